r"""Error of the posterior against cost, for every way of conditioning, where the posterior is known.

Distributions are Gaussian mixtures over the nodes of a graph, so that the posterior given some of the nodes
has a closed form. Truths are drawn from the distribution; each gives observed values, and each method draws
the others. The draws are compared with the posterior:

- mean: :math:`\sqrt{\sum_i |\bar x_i - \mu_i|^2 / \sum_i |\mu_i|^2}` over truths i, corrected for the
  finite number of draws;
- covariance: :math:`|\sum_i (S_i - C_i)| / |\sum_i C_i|`, Frobenius;
- coverage: how often the central intervals of 50 and 90 % contain the truth.

Cost is the number of passes through the denoiser, forwards and backwards, one each. Oracle denoisers leave
only the method's own error; a small network, with and without masks in its training, shows the error when the
denoiser is learned. Under correlated noise, the samplers of functions are measured without a draw
(`noisefold.studies.sampling.correlated`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from noisefold.geometry import Graphs
from noisefold.nn import Denoiser, SetTransformer
from noisefold.noise import Gaussian, Known, Positions, Target, derive_seed, seeded
from noisefold.progress import progress
from noisefold.sample import (
    DDIM,
    Amortized,
    Bound,
    Completion,
    Conditioning,
    GaussianTask,
    Heun,
    LangevinCorrection,
    Reconstruction,
    Repaint,
    Replacement,
    Solver,
    UnderdampedLangevin,
    Uniform,
)
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.sampling.conditioning_report import figure, table
from noisefold.studies.sampling.correlated import LIMITS, WAYS, correlated_rows
from noisefold.studies.sampling.posteriors import (
    LINE_KNOWN,
    MODES_KNOWN,
    Posterior,
    field,
    line,
    modes,
    posterior_of,
)
from noisefold.theory import GaussianMixture
from noisefold.train import Training, train

__all__ = ["DRAWS", "STUDY", "Task", "errors", "measure"]

DRAWS = 99  # intervals of 50 and 90 % end at whole order statistics


class _Unconditioned(Conditioning):
    """Ignores the observed values."""

    handles: ClassVar[type] = Gaussian

    def __call__(self, task: Any, solver: Solver, known: Known[Any]) -> tuple[Any, Solver]:
        return task, solver


@dataclass(frozen=True)
class _Method:
    """A conditioning with a solver and its steps."""

    name: str
    conditioning: Conditioning
    solver: Solver
    steps: int


_FULL = {i: Reconstruction(iterations=i) for i in (1, 2, 4, 8)}
_METHODS = (
    _Method("prior", _Unconditioned(), Heun(), 10),
    _Method("replacement", Replacement(), DDIM(), 50),
    _Method("repaint 9", Repaint(9), DDIM(), 20),
    _Method("repaint 19", Repaint(19), DDIM(), 20),
    _Method("Langevin 5", LangevinCorrection(5), DDIM(), 20),
    _Method("Langevin 10", LangevinCorrection(), DDIM(), 20),
    _Method("Langevin 20", LangevinCorrection(20), DDIM(), 20),
    _Method("scalar", Reconstruction("scalar"), Heun(), 10),
    _Method("rows", Reconstruction("rows"), Heun(), 10),
    *(_Method(f"full {i}", method, Heun(), 10) for i, method in _FULL.items()),
    _Method("full 4, 20 steps", _FULL[4], Heun(), 20),
    _Method("full 4 + Langevin", _FULL[4], UnderdampedLangevin(Heun(), 5), 10),
)
_LONG = ("repaint 19", "Langevin 20", "full 4, 20 steps", "full 4 + Langevin")  # with an oracle only
_AMORTIZED = _Method("told", Amortized(), Heun(), 10)


@dataclass(frozen=True)
class Scale:
    """Truths by kind of task, training steps of the network, the methods, and draws of functions."""

    truths: int
    wide_truths: int
    learned_truths: int
    training: int
    methods: tuple[_Method, ...]
    functions: int


SCALES = {
    "smoke": Scale(6, 3, 3, 3, tuple(m for m in _METHODS if m.name in ("prior", "replacement", "full 4")), 1),
    "short": Scale(60, 20, 15, 1500, _METHODS, 4),
}


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every distribution and method.

    A row has ``mean``, ``covariance``, ``variance`` (total, over the exact one), ``cover50``, ``cover90``
    (with their standard errors ``_error``) and ``cost``; "line, learned" has the learned denoiser.
    ``functions`` are the rows of `correlated_rows`.
    """
    size, seed = run.size, run.seed
    chosen = torch.randperm(100, generator=_generator(seed, 9))[:40].sort().values
    smooth = line()
    tasks = {
        "line": Task.of(smooth, LINE_KNOWN, size.truths, seed),
        "field": Task.of(field(), tuple(chosen.tolist()), size.wide_truths, seed),
        "modes": Task.of(modes(), MODES_KNOWN, size.truths, seed),
    }
    plan = [(name, task, method, task.oracle()) for name, task in tasks.items() for method in size.methods]
    task = Task.of(smooth, LINE_KNOWN, size.learned_truths, seed)
    for for_completion in (False, True):
        learned = _learned(smooth, for_completion, size.training, seed)
        for method in (_AMORTIZED,) if for_completion else (m for m in size.methods if m.name not in _LONG):
            plan.append(("line, learned", task, method, task.bound(learned)))
    rows: list[Result] = []
    for name, task in tasks.items():
        exact = task.posterior.draws(DRAWS, _generator(seed, 4))
        about = {"law": name, "method": "exact", "truths": len(task.truths)}
        rows.append({**about, "steps": 0, "forwards": 0, "backwards": 0, "cost": 0, **errors(task, exact)})
    with progress(run.name, len(plan) + len(LIMITS) * len(WAYS)) as advance:
        for name, task, method, denoise in plan:
            found = _sampled(task, method, denoise, seed)
            rows.append({"law": name, "method": method.name, "truths": len(task.truths), **found})
            advance(1, f"{name}: {method.name}")
        functions = run.cached(
            "functions", lambda: correlated_rows(size.functions, seed, lambda what: advance(1, what))
        )
    return {"seed": seed, "draws": DRAWS, "rows": rows, "functions": functions}


_Denoise = Callable[[Tensor, Tensor], Tensor]


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


@dataclass(frozen=True)
class Task:
    """Truths ``[g, d]``, of which the nodes `known` are observed, and the posterior of the others."""

    distribution: GaussianMixture
    known: tuple[int, ...]
    truths: Tensor
    posterior: Posterior

    @classmethod
    def of(cls, distribution: GaussianMixture, known: tuple[int, ...], truths: int, seed: int) -> Task:
        """Draw truths from a distribution."""
        drawn = distribution.sample(truths, _generator(seed, 0))
        return cls(distribution, known, drawn, posterior_of(distribution, known, drawn))

    @property
    def others(self) -> list[int]:
        """Nodes that are not given."""
        return [i for i in range(self.distribution.dim) if i not in self.known]

    def frame(self) -> Graphs:
        """Return a graph for each truth and draw, without values."""
        place = torch.linspace(0, 1, self.distribution.dim, dtype=torch.float64)[:, None]
        count = len(self.truths) * DRAWS
        return Graphs.dense(place.expand(count, -1, -1), torch.zeros(count, self.distribution.dim, 1))

    def oracle(self) -> _Denoise:
        """Return the exact denoiser."""
        return lambda x, t: self.distribution.denoise(
            x.reshape(-1, self.distribution.dim), t, Gaussian()
        ).reshape(-1, 1)

    def bound(self, denoiser: Denoiser[Tensor, Tensor]) -> _Denoise:
        """Return a denoiser on the graphs of the task."""
        place = self.frame()
        return Bound(denoiser, place.replace(pos=place.pos.float()))


class _Counted:
    """A denoiser that counts its passes, forwards and backwards."""

    def __init__(self, denoise: _Denoise) -> None:
        self.denoise, self.forwards, self.backwards = denoise, 0, 0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.forwards += 1
        out = self.denoise(x, t)
        if out.requires_grad:
            out.register_hook(self._backwards)
        return out

    def _backwards(self, gradient: Tensor) -> None:
        self.backwards += 1

    def given(self, known: Known[Tensor]) -> _Counted:
        assert isinstance(self.denoise, Bound)
        self.denoise = self.denoise.given(known)
        return self


def _sampled(task: Task, method: _Method, denoise: _Denoise, seed: int) -> Result:
    """Draw, count and compare."""
    dim, truths = task.distribution.dim, len(task.truths)
    rows = task.truths.repeat_interleave(DRAWS, dim=0)
    mask = torch.zeros_like(rows, dtype=torch.bool)
    mask[:, list(task.known)] = True
    graph = torch.arange(len(rows)).repeat_interleave(dim)
    dtype = torch.float32 if isinstance(denoise, Bound) else torch.float64
    known = Known(rows.view(-1, 1).to(dtype), mask.view(-1, 1), graph)
    generator, path = _generator(seed, 1), Gaussian()

    def noise() -> Tensor:
        return torch.randn(len(graph), 1, generator=generator, dtype=torch.float64).to(dtype)

    counted = _Counted(denoise)
    times = Uniform()(path, method.steps)
    with torch.no_grad():
        start = noise() * path.scale(times[0]).to(dtype)
        bare = GaussianTask.of(counted, path, times, noise)
        conditioned, solver = method.conditioning(bare, method.solver, known)
        out = solver(conditioned, start)
    draws = out.double().view(truths, DRAWS, dim)[..., task.others]
    return {
        "steps": method.steps,
        "forwards": counted.forwards,
        "backwards": counted.backwards,
        "cost": counted.forwards + counted.backwards,
        **errors(task, draws),
    }


def errors(task: Task, draws: Tensor) -> dict[str, float]:
    """Return the errors of draws ``[g, draws, f]`` from the posterior."""
    means, spreads = task.posterior.means, task.posterior.covariances
    found = draws.mean(1)
    apart = draws - found[:, None]
    sample = torch.einsum("gmd,gme->gde", apart, apart) / (DRAWS - 1)
    chance = sample.diagonal(dim1=1, dim2=2).sum() / DRAWS
    bias = ((found - means).square().sum() - chance).clamp(min=0)
    gap = (sample - spreads).mean(0)
    truth = task.truths[:, task.others]
    values = draws.transpose(0, 1).reshape(DRAWS, -1, 1)
    nodes = values.shape[1]
    done = Completion(
        Graphs(torch.zeros(nodes, 1)), Positions(), torch.zeros(nodes, 1, dtype=torch.bool), values
    )
    out = {
        "mean": float((bias / means.square().sum()).sqrt()),
        "covariance": float(gap.norm() / spreads.mean(0).norm()),
        "variance": float(sample.mean(0).trace() / spreads.mean(0).trace()),
    }
    for level in (50, 90):
        low, high = (end.view(truth.shape) for end in done.interval(level / 100))
        inside = ((low <= truth) & (truth <= high)).double().mean(1)
        out[f"cover{level}"] = float(inside.mean())
        out[f"cover{level}_error"] = float(inside.std() / len(inside) ** 0.5)
    return out


def _learned(
    distribution: GaussianMixture, for_completion: bool, steps: int, seed: int
) -> Denoiser[Tensor, Tensor]:
    """Return a small network that has learned the distribution from its draws."""
    place = torch.linspace(0, 1, distribution.dim)[:, None]
    values = distribution.sample(20_000 if steps > 100 else 64, _generator(seed, 2)).float()
    data = Graphs.dense(place.expand(len(values), -1, -1), values[..., None])
    with seeded(derive_seed(seed, 3)):
        net = SetTransformer(1, 2 if for_completion else 1, 1, width=32, blocks=2)
    denoiser = Denoiser(net, Gaussian(), Target("velocity"), "x", for_completion)
    train(denoiser, data, Training(steps=steps, batch=128, lr=3e-3, seed=seed, device="cpu"))
    return denoiser.requires_grad_(False)


STUDY = Experiment("conditioning", SCALES, written(measure, table, figure), one_core=False)
