"""Which solver, for how many evaluations? Measured where the answer is known.

The data follow a mixture of Gaussians, whose denoiser is known exactly at every noise level, so that a
solver's error is its own. The error is the root mean square distance between where a solver ends and where
the exact flow ends, from the same noise, in units of the data's standard deviation.
"""

from __future__ import annotations

import argparse

import torch

import noisefold as nf
from noisefold.sample import DDIM, DPMSolver, Euler, GaussianTask, Grid, Heun, Karras, LogSNR, Solver, Uniform

LAW = nf.theory.GaussianMixture(
    weights=(0.5, 0.5),
    means=((-0.9, -0.9), (0.9, 0.9)),
    covariances=(((0.3, 0.1), (0.1, 0.1)), ((0.15, 0.0), (0.0, 0.25))),
)
SOLVERS: tuple[tuple[Solver, Grid, int], ...] = (
    (Euler(), Uniform(), 1),
    (DDIM(), Uniform(), 1),
    (Heun(), Uniform(), 2),
    (Heun(), Karras(), 2),
    (DPMSolver(), Uniform(), 1),
    (DPMSolver(), LogSNR(), 1),
)


def end(path: nf.noise.Gaussian, solver: Solver, grid: Grid, steps: int, start: torch.Tensor) -> torch.Tensor:
    times = grid(path, steps)
    task = GaussianTask.of(LAW.bound(path), path, times)  # without noise: these solvers are deterministic
    return solver(task, path.scale(times[0]) * start)


def main(small: bool) -> None:
    budgets = (8, 16, 32) if small else (8, 16, 32, 64)
    start = torch.randn(200 if small else 1000, 2, generator=torch.Generator().manual_seed(0)).double()
    paths = {
        "flow matching": nf.noise.Gaussian(nf.noise.Linear()),
        "variance preserving": nf.noise.Gaussian(nf.noise.VP()),
        "variance exploding": nf.noise.Gaussian(nf.noise.VE()),
    }
    for name, path in paths.items():
        exact = end(path, Heun(), Karras(), 500 if small else 2000, start)
        print(f"{name:32}" + "".join(f"{b:>10}" for b in budgets) + "   evaluations")
        for solver, grid, evaluations in SOLVERS:
            errors = [
                float((end(path, solver, grid, b // evaluations, start) - exact).square().mean().sqrt())
                for b in budgets
            ]
            print(f"  {solver!r:15}{grid!r:15}" + "".join(f"{e:10.5f}" for e in errors))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    main(parser.parse_args().small)
