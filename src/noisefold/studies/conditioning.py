r"""The study behind the choice of a conditioning: error of the posterior against cost, where it is known.

Laws are Gaussian mixtures over the nodes of a graph, so that the posterior given some of the nodes is known
in closed form. Truths are drawn from the law; each gives known values, and each method draws the others. The
draws are compared with the posterior:

- mean: :math:`\sqrt{\sum_i |\bar x_i - \mu_i|^2 / \sum_i |\mu_i|^2}` over truths i, less what chance puts
  there;
- covariance: :math:`|\sum_i (S_i - C_i)| / |\sum_i C_i|`, Frobenius;
- coverage: how often the central intervals of 50 and 90 % hold the truth.

Cost is the number of passes through the denoiser, forwards and backwards, a pass each. Oracle denoisers
leave only the method's own error; a small network, with and without masks in its training, shows what becomes
of it when the denoiser is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.set_transformer import SetTransformer
from noisefold.noise import Gaussian, Target, derive_seed
from noisefold.noise.source import seeded
from noisefold.progress import progress
from noisefold.sample import (
    DDIM,
    Amortized,
    Bound,
    Completion,
    Conditioning,
    Heun,
    Known,
    LangevinCorrection,
    Reconstruction,
    Repaint,
    Replacement,
    Solver,
    UnderdampedLangevin,
    Uniform,
)
from noisefold.studies.conditioning_figures import figure, table
from noisefold.studies.conditioning_laws import (
    LINE_KNOWN,
    MODES_KNOWN,
    Posterior,
    field,
    line,
    modes,
    posterior_of,
)
from noisefold.studies.study import Study, keep
from noisefold.theory import GaussianMixture
from noisefold.train import Training, train

__all__ = ["CONDITIONING", "DESCRIPTION", "NAME", "SCALES", "run"]

NAME = "conditioning"
DESCRIPTION = "error of the posterior against cost, for every way of conditioning, on laws that are known"
SCALES = ("smoke", "short")
_DRAWS = 99  # intervals of 50 and 90 % end at whole order statistics


class _Unconditioned(Conditioning):
    """Takes no notice of what is known."""

    def __call__(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        solver: Solver,
        known: Known,
        path: Gaussian,
        noise: Callable[[], Tensor],
    ) -> tuple[Callable[[Tensor, Tensor], Tensor], Solver]:
        return denoise, solver


@dataclass(frozen=True)
class _Way:
    """A method with a solver and its steps."""

    name: str
    method: Conditioning
    solver: Solver
    steps: int


_FULL = {i: Reconstruction(iterations=i) for i in (1, 2, 4, 8)}
_WAYS = (
    _Way("prior", _Unconditioned(), Heun(), 10),
    _Way("replacement", Replacement(), DDIM(), 50),
    _Way("repaint 9", Repaint(9), DDIM(), 20),
    _Way("repaint 19", Repaint(19), DDIM(), 20),
    _Way("Langevin 5", LangevinCorrection(5), DDIM(), 20),
    _Way("Langevin 10", LangevinCorrection(), DDIM(), 20),
    _Way("Langevin 20", LangevinCorrection(20), DDIM(), 20),
    _Way("scalar", Reconstruction("scalar"), Heun(), 10),
    _Way("rows", Reconstruction("rows"), Heun(), 10),
    *(_Way(f"full {i}", method, Heun(), 10) for i, method in _FULL.items()),
    _Way("full 4, 20 steps", _FULL[4], Heun(), 20),
    _Way("full 4 + Langevin", _FULL[4], UnderdampedLangevin(Heun(), 5), 10),
)
_LONG = ("repaint 19", "Langevin 20", "full 4, 20 steps", "full 4 + Langevin")  # with an oracle alone
_TOLD = _Way("told", Amortized(), Heun(), 10)


@dataclass(frozen=True)
class _Scale:
    truths: int
    wide_truths: int
    learned_truths: int
    training: int
    ways: tuple[_Way, ...]


_SIZES = {
    "smoke": _Scale(6, 3, 3, 3, tuple(w for w in _WAYS if w.name in ("prior", "replacement", "full 4"))),
    "short": _Scale(60, 20, 15, 1500, _WAYS),
}


def run(scale: str, seed: int = 0) -> dict[str, Any]:
    """Run the study.

    Parameters
    ----------
    scale
        "smoke" or "short".
    seed
        The seed.

    Returns
    -------
    dict
        Plain data: one of ``rows`` for every law and method, with ``mean``, ``covariance``, ``variance``
        (total, over the exact one), ``cover50``, ``cover90`` (with their standard errors ``_error``) and
        ``cost``; law "line, learned" has the learned denoiser.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    if scale not in _SIZES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = _SIZES[scale]
    chosen = torch.randperm(100, generator=_generator(seed, 9))[:40].sort().values
    smooth = line()
    tasks = {
        "line": _Task.of(smooth, LINE_KNOWN, size.truths, seed),
        "field": _Task.of(field(), tuple(chosen.tolist()), size.wide_truths, seed),
        "modes": _Task.of(modes(), MODES_KNOWN, size.truths, seed),
    }
    plan = [(name, task, way, task.oracle()) for name, task in tasks.items() for way in size.ways]
    task = _Task.of(smooth, LINE_KNOWN, size.learned_truths, seed)
    for for_completion in (False, True):
        learned = _learned(smooth, for_completion, size.training, seed)
        for way in (_TOLD,) if for_completion else (w for w in size.ways if w.name not in _LONG):
            plan.append(("line, learned", task, way, task.bound(learned)))
    rows: list[dict[str, Any]] = []
    for name, task in tasks.items():
        exact = task.posterior.draws(_DRAWS, _generator(seed, 4))
        free = {"steps": 0, "forwards": 0, "backwards": 0, "cost": 0}
        rows.append(
            {"law": name, "method": "exact", "truths": len(task.truths), **free, **_errors(task, exact)}
        )
    with progress(NAME, len(plan)) as advance:
        for name, task, way, denoise in plan:
            found = _measure(task, way, denoise, seed)
            rows.append({"law": name, "method": way.name, "truths": len(task.truths), **found})
            advance(1, f"{name}: {way.name}")
    return {"name": NAME, "scale": scale, "seed": seed, "draws": _DRAWS, "rows": rows}


class _Denoise(Protocol):
    """A denoiser that can be told what is known, if it has learned it."""

    def __call__(self, x: Tensor, t: Tensor) -> Tensor: ...


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


@dataclass(frozen=True)
class _Task:
    """Truths ``[g, d]``, of which the nodes `known` are given, and the posterior of the others."""

    law: GaussianMixture
    known: tuple[int, ...]
    truths: Tensor
    posterior: Posterior

    @classmethod
    def of(cls, law: GaussianMixture, known: tuple[int, ...], truths: int, seed: int) -> _Task:
        drawn = law.sample(truths, _generator(seed, 0))
        return cls(law, known, drawn, posterior_of(law, known, drawn))

    @property
    def others(self) -> list[int]:
        return [i for i in range(self.law.dim) if i not in self.known]

    def frame(self) -> Graphs:
        """A graph for each truth and draw, without values."""
        place = torch.linspace(0, 1, self.law.dim, dtype=torch.float64)[:, None]
        count = len(self.truths) * _DRAWS
        return Graphs.dense(place.expand(count, -1, -1), torch.zeros(count, self.law.dim, 1))

    def oracle(self) -> _Denoise:
        return lambda x, t: self.law.denoise(x.reshape(-1, self.law.dim), t, Gaussian()).reshape(-1, 1)

    def bound(self, denoiser: Denoiser) -> _Denoise:
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

    def given(self, known: Known) -> _Counted:
        assert isinstance(self.denoise, Bound)
        self.denoise = self.denoise.given(known)
        return self


def _measure(task: _Task, way: _Way, denoise: _Denoise, seed: int) -> dict[str, Any]:
    """Draw, count and compare."""
    dim, truths = task.law.dim, len(task.truths)
    rows = task.truths.repeat_interleave(_DRAWS, dim=0)
    mask = torch.zeros_like(rows, dtype=torch.bool)
    mask[:, list(task.known)] = True
    graph = torch.arange(len(rows)).repeat_interleave(dim)
    dtype = torch.float32 if isinstance(denoise, Bound) else torch.float64
    known = Known(rows.view(-1, 1).to(dtype), mask.view(-1, 1), graph)
    generator, path = _generator(seed, 1), Gaussian()

    def noise() -> Tensor:
        return torch.randn(len(graph), 1, generator=generator, dtype=torch.float64).to(dtype)

    counted = _Counted(denoise)
    times = Uniform()(path, way.steps)
    with torch.no_grad():
        conditioned, solver = way.method(counted, way.solver, known, path, noise)
        out = solver(conditioned, noise() * path.scale(times[0]).to(dtype), times, path, noise)
    draws = out.double().view(truths, _DRAWS, dim)[..., task.others]
    return {
        "steps": way.steps,
        "forwards": counted.forwards,
        "backwards": counted.backwards,
        "cost": counted.forwards + counted.backwards,
        **_errors(task, draws),
    }


def _errors(task: _Task, draws: Tensor) -> dict[str, float]:
    """What draws ``[g, draws, f]`` make of the posterior."""
    means, spreads = task.posterior.means, task.posterior.covariances
    found = draws.mean(1)
    apart = draws - found[:, None]
    sample = torch.einsum("gmd,gme->gde", apart, apart) / (_DRAWS - 1)
    chance = sample.diagonal(dim1=1, dim2=2).sum() / _DRAWS
    bias = ((found - means).square().sum() - chance).clamp(min=0)
    gap = (sample - spreads).mean(0)
    truth = task.truths[:, task.others]
    values = draws.transpose(0, 1).reshape(_DRAWS, -1, 1)
    nodes = values.shape[1]
    done = Completion(Graphs(torch.zeros(nodes, 1)), "pos", torch.zeros(nodes, 1, dtype=torch.bool), values)
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


def _learned(law: GaussianMixture, for_completion: bool, steps: int, seed: int) -> Denoiser:
    """A small network that has learned the law from its draws."""
    place = torch.linspace(0, 1, law.dim)[:, None]
    values = law.sample(20_000 if steps > 100 else 64, _generator(seed, 2)).float()
    data = Graphs.dense(place.expand(len(values), -1, -1), values[..., None])
    with seeded(derive_seed(seed, 3)):
        net = SetTransformer(1, 2 if for_completion else 1, 1, width=32, blocks=2)
    denoiser = Denoiser(net, Gaussian(), Target("velocity"), "x", for_completion)
    train(denoiser, data, Training(steps=steps, batch=128, lr=3e-3, seed=seed, device="cpu"))
    return denoiser.requires_grad_(False)


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


CONDITIONING = Study(DESCRIPTION, SCALES, _study)
