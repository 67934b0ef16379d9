r"""Structured noise: does range that follows the noise still help where the noise is itself correlated?

Gaussian fields on a lattice, so that the best estimate of the data is known exactly at every level of noise
(`noisefold.theory.GaussianProcess`), under white noise and under Gaussian noise whose correlation is that of
the data or three times as long. With k nearest nodes at hand, no network can do better than the best weights
for them, :math:`v_k = e^{-2 I(k)}` (`noisefold.theory.weighted_information`): that is the theory's prediction
of the error at range k. Beside it stand networks of one layer whose messages see offsets, with fixed ranges,
with the range that the theory names at each level, and with the paper's schedule in both directions.

The error of a network is measured as :math:`E |\hat x - x^*|^2 / E |x^* - x_0|^2`, with :math:`x^*` the exact
:math:`E[x_0 \mid x_t]`: by how much its mean squared error exceeds the least possible one.

Source: the third check that Geometric Generative Modeling with Noise-Conditioned Graph Networks (arXiv
2507.09391) leaves open.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor

from noisefold.geometry.correlation import Correlation, Matern, Stationary
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.model import Model
from noisefold.nn.adaptive import Adaptive, Exponential, Fixed
from noisefold.nn.adaptive.schedule import Schedule
from noisefold.nn.dmp.network import DMP
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.source import Streams, derive_seed, seeded
from noisefold.progress import progress
from noisefold.studies.cells import one_thread, slug
from noisefold.studies.once import once
from noisefold.studies.study import Study, keep
from noisefold.studies.tables import mean_and_error
from noisefold.theory import GaussianProcess, point_information, weighted_information
from noisefold.train.settings import Training

__all__ = ["NOISE", "NOISES", "SCALES", "ByLevel", "figure", "lattice", "predicted", "run", "table"]

NAME = "noise"
SIGNALS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SPACING = 0.45
_LENGTH = 2.0
_SHARE = 0.9
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#CC79A7", "#D55E00", "#0072B2", "#009E73")
_MARKERS = ("x", "o", "s", "D", "*", "^", "v")


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
    """A range for each signal level at full resolution; between two levels that of the nearer one.

    Parameters
    ----------
    signals, ranges
        Rising signal levels, and the range at each.
    """

    signals: tuple[float, ...]
    ranges: tuple[int, ...]

    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Range of the nearest level, at most all nodes; all nodes."""
        place = (signal[..., None] - signal.new_tensor(self.signals)).abs().argmin(-1)
        return torch.minimum(nodes.new_tensor(self.ranges)[place], nodes), nodes.clone()


def lattice(side: int) -> Tensor:
    """Nodes of a square lattice about 0, ``[side^2, 2]``."""
    line = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * _SPACING
    return torch.cartesian_prod(line, line)


def _path(noise: Correlation | None) -> Gaussian:
    return Gaussian() if noise is None else Gaussian(source=GPNoise(Stationary(noise)))


# -- theory --------------------------------------------------------------------------------------------------


def predicted(side: int, noise: Correlation | None) -> dict[str, Any]:
    """What range the theory asks for on a lattice.

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
        neighbours together add (1 where they add less than a hundredth); ``sum``, the k whose plain sum tells
        most.
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


def _rows(size: Scale, theory: dict[str, Any]) -> dict[str, Adaptive]:
    return {
        **{f"range {k}": Fixed(k) for k in size.ranges},
        "range by the theory": ByLevel(SIGNALS, tuple(theory["reach"])),
        "exponential": Exponential(),
        "exponential reversed": Exponential(reverse=True),
    }


def _trained(size: Scale, noise: Correlation | None, adaptive: Adaptive, seed: int) -> list[float]:
    """The relative excess of one network by signal level."""
    path = _path(noise)
    law = GaussianProcess(Stationary(DATA))
    place = lattice(size.side)

    def draw(count: int, split: int) -> Graphs:
        graphs = Graphs.dense(place.expand(count, -1, -1))
        x = law.on(graphs, path).sample(1, Streams(derive_seed(seed, split), range(count)))
        return graphs.replace(x=x).to(dtype=torch.float32)

    with seeded(seed):
        net = DMP(2, 1, 1, width=size.width, layers=1, conv="edge", adaptive=adaptive)
    model = Model(net, path, variable="x", scaling=Scaling((0.0, 0.0), 1.0, (0.0,), (1.0,)))
    model.fit(draw(size.fields, 0), settings=size.training, seed=seed)
    return _excess(model, law, draw(size.held_out, 1), derive_seed(seed, 2))


@torch.no_grad()
def _excess(model: Model, law: GaussianProcess, test: Graphs, seed: int) -> list[float]:
    """Mean squared difference from the best estimate, over the error of that, at every signal level."""
    exact = law.on(test.to(dtype=torch.float64), model.path)
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


def run(out: Path, scale: str, seed: int = 0) -> dict[str, Any]:
    """Run the study, or go on with it.

    Parameters
    ----------
    out
        Folder of the cells; finished ones are not repeated.
    scale
        "smoke" or "short".
    seed
        The first seed; the others follow it.

    Returns
    -------
    dict
        Plain data: settings; ``theory`` by noise, as `predicted` gives it; and ``rows`` by noise and network,
        the relative excess by signal level for every seed.

    Raises
    ------
    ValueError
        If the scale is unknown, or `out` holds cells made otherwise.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = SCALES[scale]
    rows: dict[str, dict[str, list[list[float]]]] = {}
    with one_thread():
        theory = {name: predicted(size.side, noise) for name, noise in NOISES.items()}
        work = [(n, r, a) for n in TRAINED for r, a in _rows(size, theory[n]).items()]
        with progress(NAME, len(work) * size.seeds) as advance:
            for i, (name, row, adaptive) in product(range(seed, seed + size.seeds), work):
                file = out / "cells" / slug(name) / slug(row) / f"seed-{i}.json"
                cell = (size, NOISES[name], adaptive, i)
                plan = {"cell": repr(cell)}
                rows.setdefault(name, {}).setdefault(row, []).append(
                    once(file, plan, partial(_trained, *cell))
                )
                advance(1, f"{name}, {row}")
    return {
        "name": NAME,
        "scale": scale,
        "side": size.side,
        "steps": size.training.steps,
        "length": _LENGTH,
        "signals": list(SIGNALS),
        "seeds": list(range(seed, seed + size.seeds)),
        "ranges": list(size.ranges),
        "theory": theory,
        "rows": rows,
    }


# -- what it says --------------------------------------------------------------------------------------------


def _over_optimum(theory: dict[str, Any], k: int) -> list[float]:
    """The theory's relative excess of the k nearest nodes, by signal level."""
    return [row[k - 1] / row[-1] - 1 for row in theory["variance"]]


def table(result: dict[str, Any]) -> str:
    """Markdown: the ranges that the theory asks for; predicted and measured excess over the optimum."""
    signals, nodes = result["signals"], result["side"] ** 2
    head = "".join(f" u = {u:g} |" for u in signals)
    dashes = " --- |" * len(signals)
    lines = [
        f"Lattice of {nodes} nodes, data with a Matern 3/2 correlation of {result['length']:g} spacings.",
        "",
        "Nodes needed for nine tenths of what neighbours add (in brackets: whose plain sum tells most).",
        "",
        f"| noise |{head}",
        f"| --- |{dashes}",
    ]
    for name, theory in result["theory"].items():
        cells = " | ".join(f"{a} ({b})" for a, b in zip(theory["reach"], theory["sum"], strict=True))
        lines.append(f"| {name} | {cells} |")
    lines += [
        "",
        f"Mean squared error over the least possible one, in %: mean ± standard error over "
        f"{len(result['seeds'])} seeds, {result['steps']} steps each. In the last column, mean over levels.",
        "",
        f"| noise | |{head} mean |",
        f"| --- | --- |{dashes} --- |",
    ]
    for name, rows in result["rows"].items():
        for k in (1, *result["ranges"]):
            told = _over_optimum(result["theory"][name], k)
            cells = " | ".join(f"{100 * v:.1f}" for v in (*told, statistics.fmean(told)))
            lines.append(f"| {name} | theory, range {k} | {cells} |")
        for row, seeds in rows.items():
            means = [mean_and_error([100 * s[i] for s in seeds]) for i in range(len(signals))]
            means.append(mean_and_error([100 * statistics.fmean(s) for s in seeds]))
            cells = " | ".join(f"{m:.1f} ± {e:.1f}" for m, e in means)
            lines.append(f"| {name} | {row} | {cells} |")
    return "\n".join(lines)


def figure(result: dict[str, Any]) -> Figure:
    """Range that the theory asks for by noise; predicted and measured excess by range, for each noise."""
    picture = Figure(figsize=(13, 6.6), layout="constrained")
    panels = picture.subplots(2, 4)
    signals = result["signals"]
    reach, worth = panels[:, 0]
    for colour, marker, (name, theory) in zip(
        ("#000000", "#56B4E9", "#E69F00", "#D55E00"), "osD^", result["theory"].items(), strict=True
    ):
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "label": name}
        reach.plot(signals, theory["reach"], **style)
        worth.plot(signals, [100 * v for v in _over_optimum(theory, 1)], **style)
    reach.set(title="theory", ylabel="nodes for 9/10 of the gain", yscale="log")
    reach.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    reach.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    reach.yaxis.set_minor_formatter(NullFormatter())
    worth.set(ylabel="error of a node alone\nover the optimum [%]")
    reach.legend(
        frameon=False,
        fontsize=8,
        title="noise",
        title_fontsize=8,
        loc="center",
        bbox_to_anchor=(0.5, 0.2),
        ncols=2,
    )
    top = 0.0
    for column, (name, rows) in zip(panels[:, 1:].T, result["rows"].items(), strict=True):
        above, below = column
        for i, k in enumerate((1, *result["ranges"])):
            told = [100 * v for v in _over_optimum(result["theory"][name], k)]
            above.plot(signals, told, color=_COLOURS[i], marker=_MARKERS[i], markersize=4, label=f"range {k}")
            top = max(top, *told)
        for i, (row, seeds) in enumerate(rows.items()):
            means = [mean_and_error([100 * s[j] for s in seeds]) for j in range(len(signals))]
            below.errorbar(
                signals,
                [m for m, _ in means],
                yerr=[0.0 if math.isnan(e) else e for _, e in means],
                color=_COLOURS[(i + 1) % len(_COLOURS)],
                marker=_MARKERS[(i + 1) % len(_MARKERS)],
                markersize=4,
                linewidth=1.2,
                capsize=2,
                label=row,
            )
        above.set_title(f"noise: {name}")
    for panel in panels[:, 1:].flatten():
        panel.set_yscale("symlog", linthresh=1)
        panel.set_ylim(0, 1.5 * max(top, 1))
    panels[0, 1].set_ylabel("predicted error over the optimum [%]")
    panels[1, 1].set_ylabel("measured error over the optimum [%]")
    panels[0, 2].legend(frameon=False, fontsize=8)
    panels[1, 2].legend(frameon=False, fontsize=8)
    for panel in panels.flatten():
        panel.grid(color="0.9")
        panel.set_xlim(0, 1)
    picture.supxlabel("signal level u (0 noise, 1 data)")
    return picture


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(out / scale, scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


NOISE = Study("range under white and correlated noise, theory beside experiment", tuple(SCALES), _study)
