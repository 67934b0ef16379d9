r"""Figure 11 of the NCGN paper: what more layers of messages do, and a remedy for oversmoothing.

`DMP`, kNN and fully connected graphs with 1 to 64 layers learn the simulated limb bud for the same number of
steps. Beside the scores stand two measures of oversmoothing, layer by layer: the Dirichlet energy of the
nodes' states h over the edges of the nearest neighbours, relative to their variance,

.. math:: E = \frac{\sum_{(i,j)} |h_i - h_j|^2 / |E|}{2 \sum_i |h_i - \bar h|^2 / n},

1 for states that are independent of the neighbours', 0 for states that are equal, and the mean average
distance, the mean of 1 - cos(h_i, h_j). The remedy is `noisefold.nn.Details.keep`: gates that start by
keeping 1 - 1/(K + 1) of a node's own state in a network of K layers.

Source: Chen et al., Measuring and Relieving the Over-smoothing Problem for Graph Neural Networks (2020),
https://arxiv.org/abs/1909.03211, for the mean average distance; Oono and Suzuki, Graph Neural Networks
Exponentially Lose Expressive Power (2020), https://arxiv.org/abs/1905.10947
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.data import RangeByTime, limb_bud
from noisefold.eval import score_fields
from noisefold.geometry import KNN, DataSummary, Graphs
from noisefold.model import Model
from noisefold.nn import DMP, Details
from noisefold.nn.adaptive import Fixed
from noisefold.noise import derive_seed, seeded
from noisefold.sample import DPMSolver
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import marks, over_seeds, panels
from noisefold.studies.kit.tables import markdown, with_error
from noisefold.train import Training, validate

__all__ = ["STUDY", "figure", "layer_smoothness", "measure", "smoothness", "table"]

_GRAPHS: dict[str, dict[str, Any]] = {
    "DMP": {},
    "kNN": {"neighbors": "knn", "adaptive": Fixed()},
    "full": {"neighbors": "full", "adaptive": Fixed()},
}
_LOOKS = marks({"DMP": "^ #0072B2", "kNN": "o #E69F00", "full": "D #CC79A7"})
_KINDS = {"as it is": False, "keeping": True}
_LEVEL = 0.7  # signal level at which states are measured
_MEASURED = 16  # graphs
_NEIGHBOURS = 6


@dataclass(frozen=True)
class Scale:
    """One size of the study: its networks, their training, and the fields that each generates."""

    layers: tuple[int, ...]
    seeds: int
    width: int
    training: Training
    train: int
    draws: int
    sample_steps: int


_TRAINING = Training(
    steps=300, batch=32, lr=2e-3, warmup=30, ema=0.98, validate_every=10**9, checkpoint_every=10**9, keep=1
)
SCALES = {
    "smoke": Scale((1, 3), 2, 8, replace(_TRAINING, steps=3, batch=4, warmup=1), 24, 8, 2),
    "short": Scale((1, 4, 16, 64), 3, 32, _TRAINING, 2000, 200, 15),
    "paper": Scale(
        (1, 2, 4, 8, 16, 32, 64),
        5,
        32,
        replace(_TRAINING, steps=20_000, batch=128, ema=0.999),
        10_000,
        1000,
        50,
    ),
}


def measure(run: Run[Scale]) -> Result:
    """Return ``rows`` with graph, kind, layers and seed, each with loss, scores and smoothness by layer."""
    size = run.size
    ranges = RangeByTime.fit(limb_bud(size.train))
    train = ranges.apply(limb_bud(size.train))
    test = ranges.apply(limb_bud(2 * size.draws, times=10, positions=10, split="test"))
    rows = [
        run.cached(
            f"{graph}-{kind.replace(' ', '-')}-{layers}-{seed}",
            partial(_trial, size, graph, kind, layers, seed, train, test),
            seed=seed,
        )
        for seed, graph, kind, layers in product(run.seeds(size.seeds), _GRAPHS, _KINDS, size.layers)
    ]
    floor = score_fields(test[: size.draws], test, metrics=("energy-V", "paper-W"), resamples=0).to_dict()
    return {"steps": size.training.steps, "rows": rows, "references": floor["rows"]}


def _trial(size: Scale, graph: str, kind: str, layers: int, seed: int, train: Graphs, test: Graphs) -> Result:
    details = Details(keep=1 - 1 / (layers + 1)) if _KINDS[kind] else Details()
    with seeded(derive_seed(seed, layers)):
        net = DMP(2, 3, 3, width=size.width, layers=layers, conv="gcn", details=details, **_GRAPHS[graph])
    model, seen = Model(net, variable="x", summary=DataSummary.fit(train)), test[:_MEASURED]
    before, begin = smoothness(model, seen), time.process_time()
    model.fit(train, settings=replace(size.training, seed=seed))
    seconds = time.process_time() - begin
    made = model.sample(size.draws, like=test, steps=size.sample_steps, solver=DPMSolver(), seed=seed)
    scores = score_fields(made, test, metrics=("energy-V", "paper-W"), resamples=0).to_dict()
    return {
        "graph": graph,
        "kind": kind,
        "layers": layers,
        "seed": seed,
        "loss": validate(model.denoiser, model.units.apply(test), size.training, model.device)["val_loss"],
        "seconds": seconds,
        "scores": scores["rows"]["model"]["scores"],
        "before": before,
        "after": smoothness(model, seen),
    }


@torch.no_grad()
def smoothness(model: Model, graphs: Graphs) -> list[tuple[float, float]]:
    """Return the relative Dirichlet energy and the mean average distance of the states after every layer.

    Parameters
    ----------
    model
        With a `DMP` network.
    graphs
        Data, in the data's units; noised to signal level 0.7 with the same noise every time.
    """
    unit = model.units.apply(graphs)
    assert unit.x is not None
    signal = torch.full((len(unit),), _LEVEL)
    t = 1 - signal  # of the linear path
    noise = torch.randn(unit.x.shape, generator=torch.Generator().manual_seed(0))
    noisy = unit.replace(x=model.path.mix(unit.x, noise, t[unit.batch, None]))
    states: list[Tensor] = []
    assert isinstance(model.net, DMP)
    hooks = [
        layer.register_forward_hook(lambda _, __, out: states.append(out[0])) for layer in model.net.layers
    ]
    model.net.eval()
    model.net(noisy, model.path.log_snr(t), None)
    for hook in hooks:
        hook.remove()
    edges = KNN(_NEIGHBOURS)(unit.pos, unit.ptr)
    return [layer_smoothness(h.double(), edges, unit) for h in states]


def layer_smoothness(h: Tensor, edges: Tensor, graphs: Graphs) -> tuple[float, float]:
    """Return relative Dirichlet energy and mean average distance of states ``[n, f]``, edges ``[2, e]``."""
    parts = graphs.unpack(h)
    spread = sum(float((p - p.mean(0)).square().sum()) for p in parts) / len(h)
    gap = float((h[edges[0]] - h[edges[1]]).square().sum(1).mean())
    distance = [1 - torch.nn.functional.cosine_similarity(p[:, None], p[None], dim=-1).mean() for p in parts]
    return gap / (2 * spread) if spread else 0.0, float(torch.stack(distance).mean())


# -- table and figure ----------------------------------------------------------------------------------------


def _values(result: Result, graph: str, kind: str, layers: int, measured: str) -> list[float]:
    return [
        _MEASURES[measured](row)
        for row in result["rows"]
        if (row["graph"], row["kind"], row["layers"]) == (graph, kind, layers)
    ]


def _depths(result: Result) -> list[int]:
    return sorted({row["layers"] for row in result["rows"]})


_MEASURES: dict[str, Any] = {
    "loss": lambda row: row["loss"],
    "energy distance with its floor": lambda row: row["scores"]["energy-V"]["value"],
    "paper-W": lambda row: row["scores"]["paper-W"]["value"],
    "Dirichlet energy of the last layer, before training": lambda row: row["before"][-1][0],
    "Dirichlet energy of the last layer, after": lambda row: row["after"][-1][0],
    "mean average distance of the last layer, before training": lambda row: row["before"][-1][1],
    "mean average distance of the last layer, after": lambda row: row["after"][-1][1],
}


def table(result: Result) -> str:
    """Return a table for every measure, graphs and kinds by layers."""
    depths = _depths(result)
    real = result["references"]["real"]["scores"]["energy-V"]["value"]
    parts = [
        f"GCN, {result['steps']} steps for every network; mean ± standard error over seeds, if several. "
        f"Energy distance of real against real: {real:.4f}."
    ]
    for name in _MEASURES:
        rows = [
            [f"{graph}, {kind}", *(with_error(_values(result, graph, kind, k, name), 3) for k in depths)]
            for graph, kind in product(_GRAPHS, _KINDS)
        ]
        parts += [f"\n### {name}\n", markdown(["layers", *depths], rows)]
    return "\n".join(parts)


def figure(result: Result) -> Figure:
    """Draw score, loss and the smoothness of the last layer, against the number of layers."""
    picture, grid = panels(1, 3, 12, 4.4)
    chosen = ("energy distance with its floor", "loss", "mean average distance of the last layer, after")
    for panel, name in zip(grid, chosen, strict=True):
        _draw(panel, result, name)
    floor = result["references"]["real"]["scores"]["energy-V"]["value"]
    grid[0].axhline(floor, color="0.4", linestyle=":", label="real against real")
    grid[0].legend(frameon=False, fontsize=8)
    return picture


def _draw(panel: Axes, result: Result, name: str) -> None:
    depths = _depths(result)
    for graph, (kind, remedied) in product(_GRAPHS, _KINDS.items()):
        look: dict[str, Any] = {**_LOOKS[graph], "linestyle": "-" if remedied else "--"}
        look["markerfacecolor"] = look["color"] if remedied else "white"
        values = [_values(result, graph, kind, k, name) for k in depths]
        over_seeds(panel, depths, values, label=f"{graph}, {kind}", **look)
    panel.set(xscale="log", xlabel="layers", ylabel=name)
    panel.set_xticks(depths, [str(d) for d in depths])
    panel.minorticks_off()
    panel.grid(color="0.9")


STUDY = Experiment("depth", SCALES, written(measure, table, figure))
