r"""Figure 3 of the paper: where a trained network of attention looks, by distance and level of noise.

A network of one layer, in which every node attends to all nodes of its graph, learns three tasks on the
geometric shapes: positions; the paper's features, which are displacements from the centre, given positions;
and a smooth random field given positions. The paper's features stand in the positions themselves, so that no
neighbour is needed to find them; the field is there because its value stands nowhere else.

The score of graph attention (`GAT`), :math:`\mathrm{LeakyReLU}(r_i + s_j)`, ranks the senders j alike for
every receiver i: it can look at the rim or at the middle of a shape, but not "near i". Beside it stands the
attention of transformers, :math:`q_i \cdot k_j`, which can.

What is measured: the mean distance that a node attends to, :math:`\sum_j a_{ij} d_{ij}`, as a share of what
it would be if all weights were equal, :math:`\frac1n \sum_j d_{ij}`, distances between clean positions; and
how much the weights differ between receivers, :math:`\frac12 \sum_j |a_{ij} - \bar a_j|`, from 0 to 1.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks (arXiv 2507.09391), section 3.2.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from noisefold.data.mesh import Mesh, sample_surface, unit_sphere
from noisefold.data.shapes import shapes
from noisefold.geometry.correlation import Matern, Stationary
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.adaptive import Fixed
from noisefold.nn.denoiser import noised_value
from noisefold.nn.dmp.convolution import GAT
from noisefold.nn.dmp.network import DMP
from noisefold.nn.dmp.sparse_graph import SLOPE
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.source import Streams, derive_seed, seeded
from noisefold.progress import progress
from noisefold.studies.cells import one_thread, slug
from noisefold.studies.data import data_folder
from noisefold.studies.once import once
from noisefold.studies.study import Study, keep
from noisefold.studies.tables import mean_and_error
from noisefold.train.settings import Training

__all__ = [
    "ATTENTION",
    "KINDS",
    "TASKS",
    "ScalarProduct",
    "attended",
    "figure",
    "gat_weights",
    "look",
    "run",
    "table",
]

NAME = "attention"
TASKS = ("positions", "displacements", "field")
KINDS = ("GAT", "scalar product")
SIGNALS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_BINS = 12
_FIELD = GPNoise(Stationary(Matern(0.5)))
_FILE = "geometric_shapes/geometric_shapes.npz"
_COLOURS = {"GAT": "#0072B2", "scalar product": "#D55E00"}
_SHADES = ("#000000", "#0072B2", "#E69F00")


@dataclass(frozen=True)
class _Scale:
    """Clouds of every mesh, points of each, and the training."""

    copies: int
    points: int
    seeds: int
    width: int
    training: Training


SCALES = {
    "smoke": _Scale(1, 16, 2, 8, Training(steps=3, batch=4, warmup=1, ema=0.5)),
    "short": _Scale(
        20, 64, 3, 32, Training(steps=600, batch=32, lr=3e-3, warmup=50, ema=0.99, validate_every=10**9)
    ),
}


class ScalarProduct(nn.Module):
    r"""Attention :math:`\mathrm{softmax}_j(q_i \cdot k_j / \sqrt w)` in complete graphs of one size.

    Parameters
    ----------
    width
        Columns w.
    nodes
        n of every graph.
    """

    def __init__(self, width: int, nodes: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def weights(self, h: Tensor) -> Tensor:
        """Attention ``[g, n, n]``, receivers first, of ``h [g n, w]``."""
        q, k = (f(h).unflatten(0, (-1, self.nodes)) for f in (self.query, self.key))
        weights: Tensor = (q @ k.mT / math.sqrt(h.shape[1])).softmax(-1)
        return weights

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        """Map ``h [g n, w]`` to the same shape; the edges are all there are."""
        values = self.value(h).unflatten(0, (-1, self.nodes))
        out: Tensor = (self.weights(h) @ values).flatten(0, 1)
        return out


def gat_weights(conv: GAT, h: Tensor, nodes: int) -> Tensor:
    """Attention of the first head ``[g, n, n]``, receivers first, of ``h [g n, w]`` in complete graphs."""
    value = conv.lin(h).unflatten(-1, (conv.heads, -1))
    sent, received = (
        (value * part).sum(-1)[:, 0].unflatten(0, (-1, nodes)) for part in (conv.att_src, conv.att_dst)
    )
    return functional.leaky_relu(received[:, :, None] + sent[:, None, :], SLOPE).softmax(-1)


_Clouds = tuple[Graphs, Graphs, str]


# -- data ----------------------------------------------------------------------------------------------------


def _clouds(copies: int, points: int, seed: int) -> _Clouds:
    """Training and test clouds in the unit sphere, and what they are."""
    file = data_folder() / _FILE
    if not file.is_file():
        train = shapes(40 * copies, points=points, seed=2 * seed)
        test = shapes(40, points=points, seed=2 * seed + 1)
        return train, test, "procedural shapes, since geometric_shapes was not found"
    with np.load(file, allow_pickle=False) as archive:
        vertices, faces = archive["vertices"].astype(np.float64), archive["faces"].astype(np.int64)
        meshes = [
            Mesh(vertices[a:b], faces[c:d])
            for a, b, c, d in zip(
                *(archive["vert_offset"][i:j] for i, j in ((None, -1), (1, None))),
                *(archive["face_offset"][i:j] for i, j in ((None, -1), (1, None))),
                strict=True,
            )
        ]
        held_out = archive["is_test"].astype(bool)

    def draw(test: bool, count: int) -> Graphs:
        some = [mesh for mesh, out in zip(meshes, held_out, strict=True) if out == test]
        found = []
        for i, mesh in enumerate(some * count):
            rng = np.random.Generator(
                np.random.Philox(key=np.array([derive_seed(seed, int(test)), i], dtype=np.uint64))
            )
            found.append(unit_sphere(sample_surface(mesh, points, rng)))
        return Graphs.dense(torch.from_numpy(np.stack(found)).float())

    about = f"geometric shapes: {(~held_out).sum()} meshes for training, {held_out.sum()} held out"
    return draw(False, copies), draw(True, 1), about


def _with_task(clouds: Graphs, task: str, seed: int) -> Graphs:
    if task == "positions":
        return clouds
    if task == "displacements":
        middle = clouds.pos.unflatten(0, (len(clouds), -1)).mean(1)
        return clouds.replace(x=clouds.pos - middle[clouds.batch])
    return clouds.replace(x=_FIELD.draw(clouds, 3, Streams(seed, range(len(clouds)))).float())


# -- training and looking ------------------------------------------------------------------------------------


def _levels(clouds: _Clouds, task: str, kind: str, size: _Scale, seed: int) -> list[dict[str, Any]]:
    """Where one network looks, at every signal level."""
    train, test = (_with_task(graphs, task, derive_seed(seed, i)) for i, graphs in enumerate(clouds[:2]))
    model = _trained(train, task, kind, size, seed)
    return [look(model, test, u, derive_seed(seed, 2)) for u in SIGNALS]


def _trained(train: Graphs, task: str, kind: str, size: _Scale, seed: int) -> Model:
    conv: str | Callable[[int], nn.Module] = "gat"
    if kind != "GAT":
        conv = lambda width: ScalarProduct(width, size.points)  # noqa: E731
    with seeded(seed):
        net = DMP(
            train.dim,
            train.features,
            out_dim=3,
            width=size.width,
            layers=1,
            conv=conv,
            adaptive=Fixed(),
            neighbors="full",
        )
    model = Model(net, variable="pos" if task == "positions" else "x")
    return model.fit(train, settings=size.training, seed=seed)


def attended(weight: Tensor, pos: Tensor) -> dict[str, Any]:
    """How far attention reaches.

    Parameters
    ----------
    weight
        Weights ``[g, n, n]``, receivers first, summing to 1 over the senders.
    pos
        Positions ``[g, n, d]``.

    Returns
    -------
    dict
        ``reach``: mean attended distance over that of equal weights, of each graph; ``own``: how much weights
        differ between receivers; ``profile``: weight over equal weight by distance, in bins of equal numbers
        of pairs of different nodes; ``distance``: mean distance of each bin, in units of the graph's own.
    """
    n = pos.shape[1]
    gap = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    reach = (weight * gap).sum((1, 2)) / gap.mean(2).sum(1)
    off = ~torch.eye(n, dtype=torch.bool)
    far = (gap / gap.mean((1, 2), keepdim=True))[:, off]
    order = far.argsort(1)
    parts = (weight[:, off] * n).gather(1, order).tensor_split(_BINS, 1)
    places = far.gather(1, order).tensor_split(_BINS, 1)
    return {
        "reach": reach.tolist(),
        "own": float((weight - weight.mean(1, keepdim=True)).abs().sum(2).mean()) / 2,
        "profile": [float(p.mean()) for p in parts],
        "distance": [float(p.mean()) for p in places],
    }


@torch.no_grad()
def look(model: Model, test: Graphs, signal: float, seed: int = 0) -> dict[str, Any]:
    """Where a network of one layer looks at one signal level.

    Parameters
    ----------
    model
        Whose network is a `DMP` of one layer in which all nodes see all, with `GAT` or `ScalarProduct`.
    test
        Clouds of one size.
    signal
        Signal level u.
    seed
        Of the noise.

    Returns
    -------
    dict
        What `attended` gives, by distances between clean positions; the ``signal``; and the ``loss``.
    """
    assert isinstance(model.net, DMP)
    graphs = model.units.apply(test)
    n = int(graphs.sizes[0])
    t = torch.full((len(graphs),), 1 - signal)
    x0 = noised_value(graphs, model.variable)
    x_t = model.path.mix(x0, Streams(seed, range(len(graphs))).normal(graphs.sizes, x0.shape[1], x0), t[0])
    seen: list[Tensor] = []
    conv = model.net.layers[0].get_submodule("conv")
    handle = conv.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model.net.eval()
    found = model.denoiser.predict(graphs, x_t, t)
    handle.remove()
    if isinstance(conv, GAT):
        weight = gat_weights(conv, seen[0], n)
    else:
        inner = conv.get_submodule("conv")
        assert isinstance(inner, ScalarProduct)
        weight = inner.weights(seen[0])
    loss = (found - model.target.value(x0, x_t, t[0], model.path)).square().mean()
    return {"signal": signal, **attended(weight, test.pos.unflatten(0, (-1, n))), "loss": float(loss)}


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
        Plain data: settings, and one of ``rows`` for every task, kind of attention, seed and signal level,
        with what `look` gives.

    Raises
    ------
    ValueError
        If the scale is unknown, or `out` holds cells made otherwise.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = SCALES[scale]
    rows = []
    with one_thread(), progress(NAME, len(TASKS) * len(KINDS) * size.seeds) as advance:
        for s in range(seed, seed + size.seeds):
            clouds = _clouds(size.copies, size.points, s)
            for task, kind in product(TASKS, KINDS):
                file = out / "cells" / slug(f"{task} {kind}") / f"seed-{s}.json"
                plan = {"size": repr(size), "data": clouds[2], "seed": s}
                levels = once(file, plan, partial(_levels, clouds, task, kind, size, s))
                rows += [{"task": task, "kind": kind, "seed": s, **level} for level in levels]
                advance(1, f"{task}, {kind}")
    return {
        "name": NAME,
        "scale": scale,
        "data": clouds[2],
        "points": size.points,
        "steps": size.training.steps,
        "seeds": list(range(seed, seed + size.seeds)),
        "signals": list(SIGNALS),
        "rows": rows,
    }


# -- what it says --------------------------------------------------------------------------------------------


def _some(result: dict[str, Any], task: str, kind: str, signal: float) -> list[dict[str, Any]]:
    return [r for r in result["rows"] if r["task"] == task and r["kind"] == kind and r["signal"] == signal]


def table(result: dict[str, Any]) -> str:
    """Markdown: the attended distance by signal level, its spread, and how much receivers differ."""
    signals, seeds = result["signals"], len(result["seeds"])
    lines = [
        f"{result['data']}; {result['points']} points, {result['steps']} steps, {seeds} seeds. Mean attended "
        "distance as a share of that of equal weights: mean ± standard error over seeds (standard deviation "
        "over graphs). Below, how much the weights of two receivers differ, 0 not at all, 1 wholly.",
        "",
        f"| task | attention |{''.join(f' u = {u:g} |' for u in signals)}",
        f"| --- | --- |{' --- |' * len(signals)}",
    ]
    for task, kind in product(TASKS, KINDS):
        cells = []
        for u in signals:
            rows = _some(result, task, kind, u)
            mean, error = mean_and_error([statistics.fmean(r["reach"]) for r in rows])
            spread = statistics.fmean(statistics.pstdev(r["reach"]) for r in rows)
            cells.append(f"{mean:.2f} ± {error:.2f} ({spread:.2f})")
        lines.append(f"| {task} | {kind} | {' | '.join(cells)} |")
    lines += ["", *lines[2:4]]
    for task, kind in product(TASKS, KINDS):
        own = [statistics.fmean(r["own"] for r in _some(result, task, kind, u)) for u in signals]
        lines.append(f"| {task} | {kind} | {' | '.join(f'{v:.2f}' for v in own)} |")
    return "\n".join(lines)


def figure(result: dict[str, Any]) -> Figure:
    """Weight by distance at three levels, for each task and attention; attended distance by level."""
    picture = Figure(figsize=(12, 6.4), layout="constrained")
    panels = picture.subplots(2, 3)
    shown = [result["signals"][i] for i in (1, 3, -1)]
    for panel, task in zip(panels[0], TASKS, strict=True):
        for (colour, u), kind in product(zip(_SHADES, shown, strict=True), KINDS):
            rows = _some(result, task, kind, u)
            place, height = (
                [statistics.fmean(r[name][b] for r in rows) for b in range(_BINS)]
                for name in ("distance", "profile")
            )
            style = "-" if kind == "GAT" else "--"
            panel.plot(place, height, style, color=colour, label=f"{kind}, u = {u:g}", linewidth=1.4)
        panel.axhline(1, color="0.6", linewidth=0.8)
        panel.set(title=task, xlabel="distance / mean distance of the shape", yscale="log")
        panel.grid(color="0.9")
    panels[0, 0].set_ylabel("attention weight / equal weight")
    panels[0, 0].legend(frameon=False, fontsize=8)
    for panel, task in zip(panels[1], TASKS, strict=True):
        for kind in KINDS:
            means, spreads = [], []
            for u in result["signals"]:
                rows = _some(result, task, kind, u)
                means.append(statistics.fmean(statistics.fmean(r["reach"]) for r in rows))
                spreads.append(statistics.fmean(statistics.pstdev(r["reach"]) for r in rows))
            panel.errorbar(
                result["signals"],
                means,
                yerr=spreads,
                color=_COLOURS[kind],
                marker="o" if kind == "GAT" else "s",
                markersize=5,
                capsize=2,
                label=kind,
            )
        panel.axhline(1, color="0.6", linewidth=0.8)
        panel.set(xlabel="signal level u (0 noise, 1 data)", xlim=(0, 1))
        panel.grid(color="0.9")
    panels[1, 0].set_ylabel("attended distance / that of equal weights")
    panels[1, 0].legend(frameon=False, fontsize=9, title="± deviation over graphs", title_fontsize=8)
    return picture


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(out / scale, scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


ATTENTION = Study("attention by distance and level of noise (figure 3)", tuple(SCALES), _study)
