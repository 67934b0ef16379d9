"""How many steps does a trained model need, and with which solver?

The distance between the clouds that a solver ends with and those at the end of very many steps, from the
same noise: the root mean square over points, in standard deviations of the data, at equal numbers of
evaluations of the network. What is small beside the network's own error is not worth more steps.
"""

from __future__ import annotations

import argparse

import torch

import noisefold as nf
from noisefold.sample import DPMSolver, Euler, Grid, Heun, Karras, LogSNR, Solver, Uniform

SOLVERS: tuple[tuple[Solver, Grid, int], ...] = (
    (Euler(), Uniform(), 1),
    (Heun(), Uniform(), 2),
    (Heun(), Karras(), 2),
    (DPMSolver(), Uniform(), 1),
    (DPMSolver(), Karras(), 1),
    (DPMSolver(), LogSNR(), 1),
)


def main(name: str, small: bool) -> None:
    count, points, many, budgets = (2, 32, 10, (4, 8)) if small else (20, 200, 150, (8, 16, 32, 64))
    model = nf.Model.from_pretrained(name)
    unit = model.data.scaling.pos_scale

    def end(solver: Solver, grid: Grid, steps: int) -> torch.Tensor:
        return model.sample(count, nodes=points, solver=solver, grid=grid, steps=steps, seed=0).pos / unit

    exact = end(Heun(), Uniform(), many)
    print(f"{model.path.schedule!r:32}" + "".join(f"{b:>10}" for b in budgets) + "   evaluations")
    for solver, grid, evaluations in SOLVERS:
        away = [float((end(solver, grid, b // evaluations) - exact).square().mean().sqrt()) for b in budgets]
        print(f"  {solver!r:15}{grid!r:15}" + "".join(f"{a:10.4f}" for a in away))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", default="noisefold/shapes", help="run folder, saved model or shipped model"
    )
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    main(arguments.model, arguments.small)
