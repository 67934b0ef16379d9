r"""Figure 3 of the NCGN paper: where a trained attention network attends, by distance and level of noise.

A network of one layer, in which every node attends to all nodes of its graph, learns three tasks on the
geometric shapes: positions; the paper's features, which are displacements from the centre, given positions;
and a smooth random field given positions. The paper's features are a function of the node's own position, so
that no neighbour is needed to predict them; the field is not.

The score of graph attention (`GAT`), :math:`\mathrm{LeakyReLU}(r_i + s_j)`, ranks the senders j alike for
every receiver i: it can attend to the rim or to the middle of a shape, but not "near i". Beside it stands the
attention of transformers, :math:`q_i \cdot k_j`, which can.

What is measured: the mean distance that a node attends to, :math:`\sum_j a_{ij} d_{ij}`, as a share of what
it would be if all weights were equal, :math:`\frac1n \sum_j d_{ij}`, distances between clean positions; and
how much the weights differ between receivers, :math:`\frac12 \sum_j |a_{ij} - \bar a_j|`, from 0 to 1.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, section 3.2,
https://arxiv.org/abs/2507.09391
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from noisefold.data import shapes
from noisefold.data.mesh import Mesh, sample_surface, unit_sphere
from noisefold.geometry import Graphs
from noisefold.geometry.correlation import Matern, Stationary
from noisefold.model import Model
from noisefold.nn import DMP
from noisefold.nn.adaptive import Fixed
from noisefold.nn.dmp.convolution import GAT
from noisefold.nn.dmp.sparse_graph import SLOPE
from noisefold.noise import GPNoise, Streams, derive_seed, seeded
from noisefold.progress import progress
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import BLACK, BLUE, ORANGE, RED, panels
from noisefold.studies.kit.statistics import mean_and_error
from noisefold.studies.kit.tables import markdown
from noisefold.train import Training

__all__ = [
    "STUDY",
    "ScalarProduct",
    "attended",
    "clouds_of",
    "figure",
    "gat_weights",
    "look",
    "measure",
    "table",
]

TASKS = ("positions", "displacements", "field")
KINDS = ("GAT", "scalar product")
SIGNALS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_BINS = 12
_FIELD = GPNoise(Stationary(Matern(0.5)))
_FILE = "geometric_shapes/geometric_shapes.npz"
_LOOKS: dict[str, dict[str, Any]] = {
    "GAT": {"color": BLUE, "marker": "o"},
    "scalar product": {"color": RED, "marker": "s"},
}


@dataclass(frozen=True)
class Scale:
    """Clouds of every mesh, points of each, seeds, width of the network, and its training."""

    copies: int
    points: int
    seeds: int
    width: int
    training: Training


SCALES = {
    "smoke": Scale(1, 16, 2, 8, Training(steps=3, batch=4, warmup=1, ema=0.5)),
    "short": Scale(
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
        """Return the attention ``[g, n, n]``, receivers first, of ``h [g n, w]``."""
        q, k = (f(h).unflatten(0, (-1, self.nodes)) for f in (self.query, self.key))
        weights: Tensor = (q @ k.mT / math.sqrt(h.shape[1])).softmax(-1)
        return weights

    def forward(self, h: Tensor, edge_index: Tensor) -> Tensor:
        """Map ``h [g n, w]`` to the same shape; the edges are those of complete graphs."""
        values = self.value(h).unflatten(0, (-1, self.nodes))
        out: Tensor = (self.weights(h) @ values).flatten(0, 1)
        return out


def gat_weights(conv: GAT, h: Tensor, nodes: int) -> Tensor:
    """Return the attention of the first head ``[g, n, n]``, receivers first, in complete graphs."""
    value = conv.lin(h).unflatten(-1, (conv.heads, -1))
    sent, received = (
        (value * part).sum(-1)[:, 0].unflatten(0, (-1, nodes)) for part in (conv.att_src, conv.att_dst)
    )
    return functional.leaky_relu(received[:, :, None] + sent[:, None, :], SLOPE).softmax(-1)


Clouds = tuple[Graphs, Graphs, str]


# -- data ----------------------------------------------------------------------------------------------------


def clouds_of(copies: int, points: int, seed: int) -> Clouds:
    """Return training and test clouds in the unit sphere, and what they are."""
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


# -- training and attention weights --------------------------------------------------------------------------


def _levels(clouds: Clouds, task: str, kind: str, size: Scale, seed: int) -> list[Result]:
    """Return where one network attends, at every signal level."""
    train, test = (_with_task(graphs, task, derive_seed(seed, i)) for i, graphs in enumerate(clouds[:2]))
    model = _trained(train, task, kind, size, seed)
    return [look(model, test, u, derive_seed(seed, 2)) for u in SIGNALS]


def _trained(train: Graphs, task: str, kind: str, size: Scale, seed: int) -> Model:
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


def attended(weight: Tensor, pos: Tensor) -> Result:
    """Return how far attention reaches.

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
def look(model: Model, test: Graphs, signal: float, seed: int = 0) -> Result:
    """Return where a network of one layer attends at one signal level.

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
    x0 = model.variable.read(graphs)
    x_t = model.path.mix(x0, Streams(seed, range(len(graphs))).normal(graphs.sizes, x0.shape[1], x0), t[0])
    seen: list[Tensor] = []
    conv = model.net.layers[0].get_submodule("conv")
    handle = conv.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model.net.eval()
    with torch.no_grad():
        found = model.target.value(model.denoiser(graphs, x_t, t), x_t, t[0], model.path)
    handle.remove()
    if isinstance(conv, GAT):
        weight = gat_weights(conv, seen[0], n)
    else:
        inner = conv.get_submodule("conv")
        assert isinstance(inner, ScalarProduct)
        weight = inner.weights(seen[0])
    loss = (found - model.target.value(x0, x_t, t[0], model.path)).square().mean()
    return {"signal": signal, **attended(weight, test.pos.unflatten(0, (-1, n))), "loss": float(loss)}


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every task, kind of attention, seed and signal level, as `look` gives it."""
    size, seeds = run.size, run.seeds(run.size.seeds)
    rows = []
    with progress(run.name, len(TASKS) * len(KINDS) * size.seeds) as advance:
        for s in seeds:
            clouds = clouds_of(size.copies, size.points, s)
            for task, kind in product(TASKS, KINDS):
                trial = partial(_levels, clouds, task, kind, size, s)
                levels = run.cached(
                    f"trials/{slug(f'{task} {kind}')}/seed-{s}", trial, seed=s, data=clouds[2]
                )
                rows += [{"task": task, "kind": kind, "seed": s, **level} for level in levels]
                advance(1, f"{task}, {kind}")
    return {
        "data": clouds[2],
        "points": size.points,
        "steps": size.training.steps,
        "seeds": seeds,
        "signals": list(SIGNALS),
        "rows": rows,
    }


# -- table and figure ----------------------------------------------------------------------------------------


def _some(result: Result, task: str, kind: str, signal: float) -> list[Result]:
    return [r for r in result["rows"] if r["task"] == task and r["kind"] == kind and r["signal"] == signal]


def _spread(rows: list[Result]) -> float:
    """Return the standard deviation of the attended distance over graphs, mean over seeds."""
    return statistics.fmean(statistics.pstdev(r["reach"]) for r in rows)


def table(result: Result) -> str:
    """Return the attended distance by signal level, its spread, and how much receivers differ."""
    reach, own = [], []
    for task, kind in product(TASKS, KINDS):
        rows = [_some(result, task, kind, u) for u in result["signals"]]
        told = [mean_and_error([statistics.fmean(r["reach"]) for r in some]) for some in rows]
        reach.append(
            [
                task,
                kind,
                *(f"{m:.2f} ± {e:.2f} ({_spread(r):.2f})" for (m, e), r in zip(told, rows, strict=True)),
            ]
        )
        own.append([task, kind, *(f"{statistics.fmean(r['own'] for r in some):.2f}" for some in rows)])
    head = ["task", "attention", *(f"u = {u:g}" for u in result["signals"])]
    return "\n\n".join(
        [
            f"{result['data']}; {result['points']} points, {result['steps']} steps, {len(result['seeds'])} "
            "seeds. Mean attended distance as a share of that of equal weights: mean ± standard error over "
            "seeds (standard deviation over graphs). Below, how much the weights of two receivers differ, 0 "
            "not at all, 1 wholly.",
            markdown(head, reach),
            markdown(head, own),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw weight by distance at three levels, for each task and attention; attended distance by level."""
    picture, grid = panels(2, 3, 12, 6.4)
    signals = result["signals"]
    for panel, task in zip(grid[0], TASKS, strict=True):
        shades = zip((BLACK, BLUE, ORANGE), (signals[i] for i in (1, 3, -1)), strict=True)
        for (colour, u), kind in product(shades, KINDS):
            rows = _some(result, task, kind, u)
            distance, weight = (
                [statistics.fmean(r[name][b] for r in rows) for b in range(_BINS)]
                for name in ("distance", "profile")
            )
            style = "-" if kind == "GAT" else "--"
            panel.plot(distance, weight, style, color=colour, label=f"{kind}, u = {u:g}", linewidth=1.4)
        panel.set(title=task, xlabel="distance / mean distance of the shape", yscale="log")
    for panel, task in zip(grid[1], TASKS, strict=True):
        for kind, look in _LOOKS.items():
            by_level = [_some(result, task, kind, u) for u in signals]
            means = [statistics.fmean(statistics.fmean(r["reach"]) for r in rows) for rows in by_level]
            spreads = [_spread(rows) for rows in by_level]
            panel.errorbar(signals, means, yerr=spreads, markersize=5, capsize=2, label=kind, **look)
        panel.set(xlabel="signal level u (0 noise, 1 data)", xlim=(0, 1))
    for panel in grid.flat:
        panel.axhline(1, color="0.6", linewidth=0.8)
        panel.grid(color="0.9")
    grid[0, 0].set_ylabel("attention weight / equal weight")
    grid[0, 0].legend(frameon=False, fontsize=8)
    grid[1, 0].set_ylabel("attended distance / that of equal weights")
    grid[1, 0].legend(frameon=False, fontsize=9, title="± deviation over graphs", title_fontsize=8)
    return picture


STUDY = Experiment("attention", SCALES, written(measure, table, figure))
