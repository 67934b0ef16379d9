r"""Does a range that follows the noise still help where the noise is itself correlated?

Gaussian fields on a lattice, so that the posterior mean of the data is known exactly at every level of noise
(`noisefold.theory.GaussianProcess`), under white noise and under Gaussian noise whose correlation is that of
the data or three times as long. With the k nearest nodes at hand, no network can do better than the best
weights for them, :math:`v_k = e^{-2 I(k)}` (`noisefold.theory.weighted_information`): this is the theory's
prediction of the error at range k. Beside it stand networks of one layer whose messages see offsets, with
fixed ranges, with the range that the theory gives at each level, and with the paper's schedule in both
directions.

The error of a network is measured as :math:`E |\hat x - x^*|^2 / E |x^* - x_0|^2`, with :math:`x^*` the exact
:math:`E[x_0 \mid x_t]`: by how much its mean squared error exceeds the least possible one.

Source: the third check that Geometric Generative Modeling with Noise-Conditioned Graph Networks leaves open,
https://arxiv.org/abs/2507.09391
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.geometry import DataSummary, Graphs, Scaling
from noisefold.geometry.correlation import Correlation, Matern, Stationary
from noisefold.model import Model
from noisefold.nn import DMP, Adaptive
from noisefold.nn.adaptive import Exponential, Fixed
from noisefold.nn.adaptive.schedule import Schedule
from noisefold.noise import Gaussian, GPNoise, Streams, derive_seed, seeded
from noisefold.progress import progress
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    log_ticks,
    over_seeds,
    panels,
)
from noisefold.studies.kit.statistics import mean_and_error
from noisefold.studies.kit.tables import markdown
from noisefold.theory import GaussianProcess, point_information, weighted_information
from noisefold.train import Training

__all__ = [
    "NOISES",
    "STUDY",
    "ByLevel",
    "excess",
    "figure",
    "lattice",
    "measure",
    "path_of",
    "predicted",
    "table",
]

SIGNALS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SPACING, _LENGTH, _SHARE = 0.45, 2.0, 0.9
_LOOKS = tuple(zip((BLACK, ORANGE, SKY, PINK, RED, BLUE, GREEN), "xosD*^v", strict=True))


def _matern(spacings: float) -> Matern:
    return Matern(spacings * _SPACING)


DATA = _matern(_LENGTH)
NOISES: dict[str, Correlation | None] = {
    "white": None,
    "shorter": _matern(_LENGTH / 3),
    "as the data": DATA,
    "longer": _matern(3 * _LENGTH),
}
"""Correlation of the noise, by name; None for white noise."""
TRAINED = ("white", "as the data", "longer")
"""Those with which networks are trained."""


@dataclass(frozen=True)
class Scale:
    """Nodes along a side of the lattice, fields, the fixed ranges, seeds and the training."""

    side: int
    fields: int
    held_out: int
    ranges: tuple[int, ...]
    seeds: int
    width: int
    training: Training


SCALES = {
    "smoke": Scale(4, 8, 8, (5, 16), 2, 8, Training(steps=2, batch=4, warmup=1, ema=0.5)),
    "short": Scale(
        8,
        4096,
        256,
        (5, 9, 25),
        3,
        32,
        Training(steps=300, batch=32, lr=5e-3, warmup=20, ema=0.98, validate_every=10**9),
    ),
}


@dataclass(frozen=True)
class ByLevel(Schedule):
    """A range for each signal level at full resolution; between two levels, that of the nearer one.

    Parameters
    ----------
    signals, ranges
        Rising signal levels, and the range at each.
    """

    signals: tuple[float, ...]
    ranges: tuple[int, ...]

    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range of the nearest level, at most all nodes, and all nodes."""
        place = (signal[..., None] - signal.new_tensor(self.signals)).abs().argmin(-1)
        return torch.minimum(nodes.new_tensor(self.ranges)[place], nodes), nodes.clone()


def lattice(side: int) -> Tensor:
    """Return the nodes of a square lattice around 0, ``[side^2, 2]``."""
    line = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * _SPACING
    return torch.cartesian_prod(line, line)


def path_of(noise: Correlation | None) -> Gaussian:
    """Return the path with this correlation of the noise."""
    return Gaussian() if noise is None else Gaussian(source=GPNoise(Stationary(noise)))


# -- theory --------------------------------------------------------------------------------------------------


def predicted(side: int, noise: Correlation | None) -> Result:
    """Return the range of the theory on a lattice.

    Parameters
    ----------
    side
        Nodes along a side.
    noise
        Correlation of the noise; None for white noise.

    Returns
    -------
    dict
        By signal level of `SIGNALS`: ``variance``, the least mean squared error from the k nearest nodes, for
        every k from 1 on, averaged over the nodes; ``reach``, the least k with nine tenths of what all
        neighbours together add (1 where they add less than a hundredth); ``sum``, the k whose plain sum has
        the greatest information.
    """
    pos = lattice(side)
    counts = torch.arange(1, len(pos) + 1)
    snr = torch.tensor([(u / (1 - u)) ** 2 for u in SIGNALS], dtype=torch.float64)
    best = weighted_information(DATA, pos, snr, counts=counts, noise=noise)
    plain = point_information(DATA, pos, snr, counts=counts, noise=noise).mean(0)
    variance = torch.exp(-2 * best).mean(0)
    gain = variance[:, :1] - variance
    enough = gain >= _SHARE * gain[:, -1:]
    idle = gain[:, -1] < 0.01 * variance[:, 0]
    reach = torch.where(idle, 1, enough.long().argmax(1) + 1)
    return {
        "variance": variance.tolist(),
        "reach": reach.tolist(),
        "sum": (plain.argmax(1) + 1).tolist(),
    }


# -- experiment ----------------------------------------------------------------------------------------------


def _rows(size: Scale, theory: Result) -> dict[str, Adaptive]:
    return {
        **{f"range {k}": Fixed(k) for k in size.ranges},
        "range by the theory": ByLevel(SIGNALS, tuple(theory["reach"])),
        "exponential": Exponential(),
        "exponential reversed": Exponential(reverse=True),
    }


def _trained(size: Scale, noise: Correlation | None, adaptive: Adaptive, seed: int) -> list[float]:
    """Return the relative excess of one network by signal level."""
    path = path_of(noise)
    process = GaussianProcess(Stationary(DATA))
    place = lattice(size.side)

    def draw(count: int, split: int) -> Graphs:
        graphs = Graphs.dense(place.expand(count, -1, -1))
        x = process.on(graphs, path).sample(1, Streams(derive_seed(seed, split), range(count)))
        return graphs.replace(x=x).to(dtype=torch.float32)

    with seeded(seed):
        net = DMP(2, 1, 1, width=size.width, layers=1, conv="edge", adaptive=adaptive)
    model = Model(net, path, variable="x", summary=DataSummary(Scaling((0.0, 0.0), 1.0, (0.0,), (1.0,))))
    model.fit(draw(size.fields, 0), settings=size.training, seed=seed)
    return excess(model, process, draw(size.held_out, 1), derive_seed(seed, 2))


@torch.no_grad()
def excess(model: Model, process: GaussianProcess, test: Graphs, seed: int) -> list[float]:
    """Return the mean squared difference from the posterior mean over the error of that, at every level."""
    exact = process.on(test.to(dtype=torch.float64), model.path)
    assert test.x is not None
    model.net.eval()
    out = []
    for u in SIGNALS:
        t = torch.full((len(test),), 1 - u)
        eps = model.path.source.draw(test, 1, Streams(seed, range(len(test))), test.x, t).to(test.x)
        x_t = model.path.mix(test.x, eps, t[0])
        best = exact.denoise(x_t.double(), t.double())
        least = exact.posterior_covariance(t[0].double()).diagonal().mean()
        out.append(float((model.denoiser(test, x_t, t) - best).square().mean() / least))
    return out


def measure(run: Run[Scale]) -> Result:
    """Return ``theory`` by noise, as of `predicted`, and the excess error by noise, network and seed."""
    size, seeds = run.size, run.seeds(run.size.seeds)
    rows: dict[str, dict[str, list[list[float]]]] = {}
    theory = {name: predicted(size.side, noise) for name, noise in NOISES.items()}
    work = [(n, r, a) for n in TRAINED for r, a in _rows(size, theory[n]).items()]
    with progress(run.name, len(work) * size.seeds) as advance:
        for i, (name, row, adaptive) in product(seeds, work):
            trial = partial(_trained, size, NOISES[name], adaptive, i)
            kept = run.cached(
                f"trials/{slug(name)}/{slug(row)}/seed-{i}", trial, seed=i, trial=repr(trial.args)
            )
            rows.setdefault(name, {}).setdefault(row, []).append(kept)
            advance(1, f"{name}, {row}")
    return {
        "side": size.side,
        "steps": size.training.steps,
        "length": _LENGTH,
        "signals": list(SIGNALS),
        "seeds": seeds,
        "ranges": list(size.ranges),
        "theory": theory,
        "rows": rows,
    }


# -- table and figure ----------------------------------------------------------------------------------------


def over_optimum(theory: Result, k: int) -> list[float]:
    """Return the theory's relative excess of the k nearest nodes, by signal level."""
    return [row[k - 1] / row[-1] - 1 for row in theory["variance"]]


def table(result: Result) -> str:
    """Return the ranges of the theory; predicted and measured excess over the optimum."""
    levels = [f"u = {u:g}" for u in result["signals"]]
    reach = [
        [name, *(f"{a} ({b})" for a, b in zip(theory["reach"], theory["sum"], strict=True))]
        for name, theory in result["theory"].items()
    ]
    rows: list[list[str]] = []
    for name, trained in result["rows"].items():
        for k in (1, *result["ranges"]):
            told = over_optimum(result["theory"][name], k)
            percent = [f"{100 * v:.1f}" for v in (*told, statistics.fmean(told))]
            rows.append([name, f"theory, range {k}", *percent])
        for row, seeds in trained.items():
            values = [[100 * s[i] for s in seeds] for i in range(len(levels))]
            values.append([100 * statistics.fmean(s) for s in seeds])
            rows.append([name, row, *("{:.1f} ± {:.1f}".format(*mean_and_error(v)) for v in values)])
    return "\n\n".join(
        [
            f"Lattice of {result['side'] ** 2} nodes, data with a Matern 3/2 correlation of "
            f"{result['length']:g} spacings.",
            "Nodes needed for nine tenths of what neighbours add (in brackets: most information in a sum).",
            markdown(["noise", *levels], reach),
            f"Mean squared error over the least possible one, in %: mean ± standard error over "
            f"{len(result['seeds'])} seeds, {result['steps']} steps each. Last column: mean over levels.",
            markdown(["noise", "", *levels, "mean"], rows),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw the range of the theory by noise; predicted and measured excess by range, for each noise."""
    picture, grid = panels(2, 4, 13, 6.6)
    signals, (reach, worth) = result["signals"], grid[:, 0]
    for colour, marker, (name, theory) in zip(
        (BLACK, SKY, ORANGE, RED), "osD^", result["theory"].items(), strict=True
    ):
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "label": name}
        reach.plot(signals, theory["reach"], **look)
        worth.plot(signals, [100 * v for v in over_optimum(theory, 1)], **look)
    reach.set(title="theory", ylabel="nodes for 9/10 of the gain", yscale="log")
    log_ticks(reach.yaxis)
    worth.set(ylabel="error of a node alone\nover the optimum [%]")
    place: dict[str, Any] = {"loc": "center", "bbox_to_anchor": (0.5, 0.2), "ncols": 2}
    reach.legend(frameon=False, fontsize=8, title="noise", title_fontsize=8, **place)
    top = 1.0
    for (above, below), (name, rows) in zip(grid[:, 1:].T, result["rows"].items(), strict=True):
        for (colour, marker), k in zip(_LOOKS, (1, *result["ranges"]), strict=False):
            told = [100 * v for v in over_optimum(result["theory"][name], k)]
            above.plot(signals, told, color=colour, marker=marker, markersize=4, label=f"range {k}")
            top = max(top, *told)
        for i, (row, seeds) in enumerate(rows.items()):
            colour, marker = _LOOKS[(i + 1) % len(_LOOKS)]
            values = [[100 * s[j] for s in seeds] for j in range(len(signals))]
            look = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.2, "label": row}
            over_seeds(below, signals, values, **look)
        above.set_title(f"noise: {name}")
    for panel in grid[:, 1:].flat:
        panel.set_yscale("symlog", linthresh=1)
        panel.set_ylim(0, 1.5 * top)
    grid[0, 1].set_ylabel("predicted error over the optimum [%]")
    grid[1, 1].set_ylabel("measured error over the optimum [%]")
    for panel in grid[:, 2]:
        panel.legend(frameon=False, fontsize=8)
    for panel in grid.flat:
        panel.grid(color="0.9")
        panel.set_xlim(0, 1)
    picture.supxlabel("signal level u (0 noise, 1 data)")
    return picture


STUDY = Experiment("noise", SCALES, written(measure, table, figure))
