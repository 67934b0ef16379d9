r"""Surface currents from stations: Gaussian processes fitted by maximum likelihood beside a trained network.

The data are 366 days of currents off South Africa at 2,552 places of the sea (GlobCurrent). The last fifth of
the days is for testing; of the others, the mean at each place is taken off, and models learn what differs.
Given 100 and 250 random places of a day, they draw 300 others. The rows:

- climatology: other days, whatever the stations say;
- Gaussian processes of independent components, of a curl-free and a divergence-free part, and of these with a
  second, longer divergence-free one;
- networks that see known values, trained on random places of random days.

Positions are in the tangent plane at the middle, in units of 100 km.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from noisefold.eval import PosteriorScores, score_posterior
from noisefold.geometry import Graphs, IndependentOutputs, Kernel, Nugget, Scaling, SquaredExponential
from noisefold.geometry.gp import condition, evidence, factor
from noisefold.geometry.vector_kernels import CurlFree, DivergenceFree
from noisefold.nn import EquivariantFieldNet, SetTransformer
from noisefold.nn.adaptive import Fixed
from noisefold.noise import derive_seed, seeded
from noisefold.progress import progress
from noisefold.sample import Amortized, Sampling, complete
from noisefold.studies.functions.training import denoiser_of, trained
from noisefold.studies.functions.winds_report import figure, table
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written

__all__ = ["KERNELS", "NETWORKS", "STUDY", "Currents", "fitted", "measure"]

_FILE = "wind/agulhas_currents_daily.npz"
_TEST = 73  # days
_KM = 111.195  # of a degree of latitude
_LAND = -32768
_DRAWS = 39  # intervals of 90 % end at whole order statistics
_TARGETS = 300
_NODES = 400  # stations and targets that a network sees at once
_SHOWN = ("CRPS", "energy", "RMSE", "cover 90 %", "width 90 %")
_Numbers = Sequence[float]


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds
        Computing time of a training.
    every, sets
        One test day in so many, and sets of stations.
    stations
        Numbers of stations.
    fitted, places
        Days and places that Gaussian processes are fitted to.
    iterations
        Most steps of a fit.
    steps
        Of the solver.
    width, layers
        Of networks.
    """

    seconds: float
    every: int
    sets: int
    stations: tuple[int, ...] = (100, 250)
    fitted: int = 12
    places: int = 200
    iterations: int = 40
    steps: int = 10
    width: int = 64
    layers: int = 4


SCALES = {
    "smoke": Scale(0.2, 37, 1, (20,), 2, 20, 2, 2, 16, 1),
    "short": Scale(450.0, 8, 2, steps=6),
    "paper": Scale(3600.0, 2, 3, steps=20),
}


@dataclass(frozen=True, eq=False)
class Currents:
    """Currents at places of the sea.

    Parameters
    ----------
    lat, lon
        Degrees of the places, ``[n]``.
    values
        Eastward and northward current of each day, ``[days, n, 2]``, m/s.
    """

    lat: Tensor
    lon: Tensor
    values: Tensor

    @classmethod
    def read(cls, path: Path) -> Currents:
        """Read the file.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: this study needs the currents ({_FILE} in $NOISEFOLD_DATA, or in ../shared/data "
                f"beside the checkout)."
            )
        with np.load(path) as data:
            sea, lat, lon = data["ocean_always"], data["lat"].astype(float), data["lon"].astype(float)
            both = [data[f"{c}_mm_s"][:, sea] for c in "uv"]
        if any((v == _LAND).any() for v in both):
            raise ValueError(f"{path}: a place of the sea has no value on some day; read the file again.")
        places = np.meshgrid(lat, lon, indexing="ij")
        values = np.stack(both, axis=-1).astype(np.float32) / 1000
        north, east = (torch.from_numpy(p[sea]) for p in places)
        return cls(north, east, torch.from_numpy(values))

    @cached_property
    def pos(self) -> Tensor:
        """Positions ``[n, 2]`` to the east and to the north of the middle, in 100 km, float64."""
        mid_lat, mid_lon = (float((v.min() + v.max()) / 2) for v in (self.lat, self.lon))
        across = np.cos(np.radians(mid_lat))
        return torch.stack([(self.lon - mid_lon) * across, self.lat - mid_lat], dim=1) * (_KM / 100)

    @property
    def days(self) -> int:
        """Days to learn from."""
        return len(self.values) - _TEST

    @cached_property
    def anomalies(self) -> Tensor:
        """Values less the mean of each place over the days to learn from, ``[days, n, 2]``."""
        return self.values - self.values[: self.days].mean(0)

    @cached_property
    def scale(self) -> float:
        """Standard deviation of the anomalies to learn from, m/s."""
        return float(self.anomalies[: self.days].square().mean().sqrt())


# -- Gaussian processes --------------------------------------------------------------------------------------


def _independent(p: _Numbers) -> Kernel:
    smooth = SquaredExponential(p[0])
    return p[1] * IndependentOutputs(smooth, 2) + IndependentOutputs(Nugget(p[2]), 2)


def _two_parts(p: _Numbers) -> Kernel:
    parts = p[0] * DivergenceFree(p[1]) + p[2] * CurlFree(p[3])
    return parts + IndependentOutputs(Nugget(p[4]), 2)


def _two_scales(p: _Numbers) -> Kernel:
    parts = p[0] * DivergenceFree(p[1]) + p[2] * DivergenceFree(p[3]) + p[4] * CurlFree(p[5])
    return parts + IndependentOutputs(Nugget(p[6]), 2)


KERNELS: dict[str, tuple[Callable[[_Numbers], Kernel], tuple[float, ...]]] = {
    "GP, independent components": (_independent, (0.6, 1.0, 0.02)),
    "GP, div-free + curl-free": (_two_parts, (1.0, 0.6, 0.1, 3.0, 0.02)),
    "GP, two div-free scales + curl-free": (_two_scales, (0.7, 0.5, 0.5, 1.2, 0.1, 3.0, 0.01)),
}
"""Kernels of standardised anomalies by name: made of their parameters, and where these begin."""


def fitted(
    kernel: Callable[[_Numbers], Kernel],
    start: Sequence[float],
    fields: Sequence[tuple[Tensor, Tensor]],
    most: int,
) -> tuple[list[float], float]:
    """Return the parameters of greatest likelihood, and the log-likelihood of a vector under them, in nats.

    Parameters
    ----------
    kernel, start
        Makes a kernel of positive numbers; where they begin.
    fields
        Positions ``[n, d]`` and values ``[n, 2]`` of fields that are independent.
    most
        Steps of L-BFGS in the logarithms.
    """
    vectors = sum(len(pos) for pos, _ in fields)

    def loss(logs: Any) -> float:
        covariance = kernel(np.exp(logs).tolist())
        total = 0.0
        for pos, values in fields:
            seen = factor(covariance.matrix(pos), 1e-8)
            total += float(evidence(seen, values.double().reshape(-1, 1)))
        return -total / vectors

    bounds = [(np.log(1e-4), np.log(30.0))] * len(start)
    found = minimize(
        loss, np.log(start), method="L-BFGS-B", bounds=bounds, options={"maxiter": most, "eps": 1e-4}
    )
    return np.exp(found.x).tolist(), -float(found.fun)


def _by_process(kernel: Kernel, task: _Task, seed: int) -> Tensor:
    """Return draws ``[m, days, targets, 2]``, standardised."""
    seen = factor(kernel.matrix(task.pos[task.stations]), 1e-8)
    across = kernel.between(task.pos[task.stations], task.pos[task.targets])
    values = task.x[:, task.stations].double().flatten(1).mT
    known = condition(seen, across, values)
    covariance = kernel.matrix(task.pos[task.targets]) - known.half.mT @ known.half
    lower = factor(covariance, 1e-8).lower
    assert known.whitened is not None
    mean = (known.half.mT @ known.whitened).mT  # [days, 2 targets]
    white = torch.randn(
        _DRAWS, len(mean), len(lower), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    draws: Tensor = (mean + white @ lower.mT).unflatten(2, (-1, 2))
    return draws


# -- networks ------------------------------------------------------------------------------------------------


def _equivariant(size: Scale) -> nn.Module:
    return EquivariantFieldNet(2, 4, width=size.width, layers=size.layers, adaptive=Fixed(range=24))


def _attention(size: Scale) -> nn.Module:
    return SetTransformer(2, 4, 2, width=size.width, blocks=size.layers, heads=4)


NETWORKS: dict[str, Callable[[Scale], nn.Module]] = {
    "network, attention with places": _attention,
    "network, equivariant": _equivariant,
}
"""Networks by name."""


def _tasks(currents: Currents, pos: Tensor, seed: int) -> Callable[[int], tuple[Graphs, Tensor]]:
    """Return a function of the step: random places of random days, and which of them are known."""
    x = currents.anomalies[: currents.days] / currents.scale

    def task(step: int) -> tuple[Graphs, Tensor]:
        rng = np.random.default_rng(derive_seed(seed, 3, step))
        days = rng.integers(0, len(x), 4)
        n = min(_NODES, len(pos))
        places = torch.from_numpy(np.stack([rng.permutation(len(pos))[:n] for _ in days]))
        known = np.where(rng.random(4) < 0.1, 0, rng.integers(20, 301, 4))
        mask = torch.arange(n) < torch.from_numpy(known)[:, None]
        values = x[torch.from_numpy(days)[:, None], places]
        return Graphs.dense(pos[places], values), mask.flatten()

    return task


def _by_network(denoiser: Any, pos: Tensor, size: Scale, task: _Task, seed: int) -> Tensor:
    """Return draws ``[m, days, targets, 2]``, standardised; targets that fit beside the stations together."""
    plain = Scaling((0.0, 0.0), 1.0, (0.0, 0.0), (1.0, 1.0))
    room = max(1, _NODES - len(task.stations))
    made = []
    for part in task.targets.split(room):
        rows = torch.cat([task.stations, part])
        graphs = Graphs.dense(pos[rows].expand(len(task.x), -1, -1), task.x[:, rows])
        known = (torch.arange(len(rows)) < len(task.stations)).repeat(len(graphs))
        how = Sampling(steps=size.steps, seed=seed, batch=16)
        done = complete(denoiser, plain, graphs, known, Amortized(), how, draws=_DRAWS)
        made.append(done.values.view(_DRAWS, len(graphs), len(rows), 2)[:, :, len(task.stations) :])
    return torch.cat(made, dim=2)


# -- the study -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Task:
    """Days on which the same places are stations, and others targets."""

    pos: Tensor
    x: Tensor
    stations: Tensor
    targets: Tensor


def measure(run: Run[Scale]) -> Result:
    """Return ``scores`` by number of stations and row, and the fits and trainings behind them."""
    size, currents = run.size, _currents()
    standard = (currents.pos / currents.pos.std()).float()
    fits = {name: run.cached(_file(name), partial(_fit, currents, name, run)) for name in KERNELS}
    draws: dict[str, Callable[[_Task, int], Tensor]] = {"climatology": partial(_other_days, currents)}
    for name, (kernel, _) in KERNELS.items():
        draws[name] = partial(_by_process, kernel(fits[name]["parameters"]))
    trainings = {}
    for name, build in NETWORKS.items():
        with seeded(run.seed):
            denoiser = denoiser_of(build(size))
        tasks = _tasks(currents, standard, run.seed)
        trainings[name] = trained(run, _file(name), denoiser, tasks, size.seconds)
        draws[name] = partial(_by_network, denoiser, standard, size)
    rows: Result = {}
    with progress(run.name, len(size.stations) * len(draws)) as advance:
        for count in size.stations:
            judged = [_task(currents, size, count, derive_seed(run.seed, 5, k)) for k in range(size.sets)]
            rows[str(count)] = {}
            for name, draw in draws.items():
                score = partial(_scored, draw, judged, currents.scale, run.seed)
                cached = name in NETWORKS
                rows[str(count)][name] = run.cached(f"{_file(name)}-{count}", score) if cached else score()
                advance(1, name)
    return {
        "seed": run.seed,
        "days": len(judged[0].x),
        "sets": size.sets,
        "targets": len(judged[0].targets),
        "spread": float(currents.anomalies[currents.days :].square().mean().sqrt()),
        "fits": fits,
        "trainings": trainings,
        "scores": rows,
    }


@cache
def _currents() -> Currents:
    return Currents.read(data_folder() / _FILE)


def _file(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _fit(currents: Currents, name: str, run: Run[Scale]) -> Result:
    kernel, start = KERNELS[name]
    rng = np.random.default_rng(derive_seed(run.seed, 2))
    days = np.sort(rng.permutation(currents.days)[: run.size.fitted])
    fields = []
    for day in days:
        places = torch.from_numpy(rng.permutation(len(currents.pos))[: run.size.places])
        fields.append((currents.pos[places], currents.anomalies[int(day), places] / currents.scale))
    parameters, likelihood = fitted(kernel, start, fields, run.size.iterations)
    return {"parameters": parameters, "likelihood": likelihood}


def _task(currents: Currents, size: Scale, stations: int, seed: int) -> _Task:
    order = torch.randperm(len(currents.pos), generator=torch.Generator().manual_seed(seed))
    x = currents.anomalies[currents.days :: size.every] / currents.scale
    return _Task(currents.pos, x, order[:stations], order[stations : stations + _TARGETS])


def _other_days(currents: Currents, task: _Task, seed: int) -> Tensor:
    chosen = torch.randperm(currents.days, generator=torch.Generator().manual_seed(seed))[:_DRAWS]
    other = currents.anomalies[chosen][:, task.targets] / currents.scale
    return other[:, None].expand(-1, len(task.x), -1, -1)


def _scored(draw: Callable[[_Task, int], Tensor], tasks: Sequence[_Task], scale: float, seed: int) -> Result:
    """Return scores in m/s."""
    parts = [draw(task, derive_seed(seed, 6, k)).double() for k, task in enumerate(tasks)]
    draws = torch.cat(parts, dim=2) * scale  # what is drawn of a day, by all sets, goes wrong together
    truth = torch.cat([t.x[:, t.targets] for t in tasks], dim=1).double() * scale
    pos = torch.cat([t.pos[t.targets] for t in tasks]).expand(len(truth), -1, -1)
    graphs = Graphs.dense(pos)
    known = torch.zeros(graphs.num_nodes, dtype=torch.bool)
    scores: PosteriorScores = score_posterior(
        draws.flatten(1, 2), truth.flatten(0, 1), known, graphs, levels=(0.9,), unit="m/s"
    )
    return {
        **{n: [scores[n].value, scores[n].low, scores[n].high] for n in _SHOWN},
        "ranks": scores.ranks.tolist(),
    }


STUDY = Experiment("winds", SCALES, written(measure, table, figure))
