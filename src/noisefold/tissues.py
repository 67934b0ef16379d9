"""Large tissues and a model of patches: what is missing is drawn for all cells at once.

The state of a sample is the whole tissue, and only the network works patch by patch
(`noisefold.nn.Tiled`); so draws have no seams, and known cells act across patches.

What is torn out may be larger than a patch, and in the middle of it a patch would see nothing that is known.
Such a patch is shown, beside its own cells, the nearest ones that know what it lacks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from noisefold.data.tissue.tissue import Tissue
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import cut
from noisefold.model import Model
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.tiled import Tiled
from noisefold.noise.source import derive_seed

__all__ = ["Drawn", "complete_tissue", "sample_tissue"]

_OVERLAP = 0.25
_CELLS = 16_384  # of all draws that are made together
_BESIDE = 1e-3  # weight of those, whose answers count only where no other patch has one


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a model draws of a tissue, cells in the tissue's order.

    Parameters
    ----------
    mean, std
        Posterior mean and standard deviation, ``[n, genes]``; where known, the given value and 0. The
        standard deviation of a single draw is NaN.
    draws
        The draws, ``[k, n, genes]``, if they are kept.
    """

    mean: Tensor
    std: Tensor
    draws: Tensor | None


def complete_tissue(
    model: Model,
    tissue: Tissue,
    known: Tensor,
    *,
    draws: int = 32,
    keep: bool = False,
    patch: int = 400,
    seed: int = 0,
    **options: Any,
) -> Drawn:
    """Draw what is not known of a tissue, given what is.

    Parameters
    ----------
    model
        A model of features on given positions, trained on patches of about that size.
    tissue
        With the model's genes in its order; what is not known may be NaN.
    known
        Which values are known, ``[n, genes]``, bool.
    draws
        How many; draw j is a function of (seed, j) and the tissue.
    keep
        Whether the draws are kept, and not only their mean and spread.
    patch
        Cells of a patch; a group of cells that is no larger is not cut.
    seed
        The seed.
    **options
        `steps`, `method`, `solver`, `grid` and `guidance`, as of `Model.complete`.

    Raises
    ------
    ValueError
        If an argument is out of its range, or tissue, mask and model do not fit together.
    """

    def draw(on: Model, graphs: Graphs, unknown: Tensor, count: int, number: int) -> Tensor:
        classes = _classes(on, graphs)
        done = on.complete(graphs, ~unknown, draws=count, labels=classes, seed=number, batch=count, **options)
        return done.values

    return _drawn(model, tissue, ~known, draws, keep, patch, seed, draw)


def sample_tissue(
    model: Model, tissue: Tissue, *, draws: int = 1, patch: int = 400, seed: int = 0, **options: Any
) -> Drawn:
    """Generate the expression of all cells of a tissue, of which the positions alone are used.

    Parameters
    ----------
    model, draws, patch, seed
        As of `complete_tissue`; the draws are kept.
    tissue
        Gives positions and groups.
    **options
        `steps`, `solver`, `grid` and `guidance`, as of `Model.sample`.
    """

    def draw(on: Model, graphs: Graphs, unknown: Tensor, count: int, number: int) -> Tensor:
        labels = _classes(on, graphs)
        made = on.sample(count, like=graphs, labels=labels, seed=number, batch=count, **options)
        assert made.x is not None
        return made.x.view(count, graphs.num_nodes, -1)

    assert model.scaling is not None
    unknown = torch.ones(len(tissue), _features(model, tissue), dtype=torch.bool)
    return _drawn(model, tissue, unknown, draws, True, patch, seed, draw)


def _features(model: Model, tissue: Tissue) -> int:
    return len(model.feature_names) or len(tissue.genes)


_Draw = Callable[[Model, Graphs, Tensor, int, int], Tensor]


def _drawn(
    model: Model, tissue: Tissue, unknown: Tensor, draws: int, keep: bool, patch: int, seed: int, draw: _Draw
) -> Drawn:
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}.")
    n, features = unknown.shape
    mean = torch.zeros(n, features)
    squares = torch.zeros(n, features)
    kept = torch.zeros(draws, n, features) if keep else None
    for group, rows in enumerate(tissue.parts()):
        graphs = tissue.take([rows])
        given = graphs.x
        at = torch.from_numpy(rows)
        hidden = unknown[at]
        if given is not None and given.shape[1] == features:
            mean[at] = torch.where(hidden, torch.zeros(()), given)
            if kept is not None:
                kept[:, at] = mean[at]
        if not bool(hidden.any()):
            continue
        on, inside = _on_patches(model, tissue.pos[rows], hidden, patch)
        part = Graphs(graphs.pos[inside], None if given is None else given[inside], label=graphs.label)
        part = part.replace(classes=graphs.classes)
        at, hidden = at[inside], hidden[inside]
        together = max(1, _CELLS // len(inside))
        for start in range(0, draws, together):
            count = min(together, draws - start)
            number = derive_seed(seed, group, start)
            values = draw(on, part, hidden, count, number).to(mean)
            if kept is not None:
                kept[start : start + count, at] = values
            # Chan's update of mean and sum of squares, so that draws need not be held together.
            centre, before = values.mean(0), mean[at]
            share = count / (start + count)
            squares[at] += (values - centre).square().sum(0) + (centre - before).square() * start * share
            mean[at] = torch.where(hidden, before + (centre - before) * share, before)
    std = (squares / (draws - 1)).sqrt() if draws > 1 else torch.full_like(mean, torch.nan)
    return Drawn(mean, std.masked_fill(~unknown, 0.0), kept)


def _on_patches(model: Model, pos: Any, hidden: Tensor, patch: int) -> tuple[Model, Tensor]:
    """The model on the patches that have anything to draw, and the cells ``[k]`` in these."""
    if len(pos) <= patch:
        return model, torch.arange(len(pos))
    unknown = hidden.numpy()
    wanted: NDArray[np.bool_] = np.any(unknown, axis=1)
    cuts = zip(*cut(pos, np.zeros(len(pos), dtype=np.int64), patch, _OVERLAP), strict=True)
    chosen = [_told(pos, unknown, *each, patch) for each in cuts if wanted[each[0]].any()]
    inside, place = np.unique(np.concatenate([rows for rows, _ in chosen]), return_inverse=True)
    total = np.bincount(place, np.concatenate([weights for _, weights in chosen]))
    ends = np.cumsum([len(rows) for rows, _ in chosen])[:-1]
    places = np.split(place, ends)
    net = Tiled(
        model.net,
        [torch.from_numpy(p) for p in places],
        [torch.from_numpy(w / total[p]) for p, (_, w) in zip(places, chosen, strict=True)],
    )
    on = copy.copy(model)
    on.denoiser = Denoiser(net, model.path, model.target, model.variable, model.for_completion)
    return on, torch.from_numpy(inside)


def _told(
    pos: NDArray[np.float64],
    unknown: NDArray[np.bool_],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
    least: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A patch with so many cells, if there are, that know all features that others of its cells do not."""
    lacking = unknown[rows]
    knows: NDArray[np.bool_] = ~np.any(unknown[:, lacking.any(0)], axis=1)
    more = least - int(knows[rows].sum())
    if more <= 0:
        return rows, weights
    knows[rows] = False
    others = np.flatnonzero(knows)
    away = KDTree(pos[rows[lacking.any(1)]]).query(pos[others])[0] if len(others) else np.empty(0)
    beside = others[np.argsort(away, kind="stable")[:more]]
    return np.concatenate([rows, beside]), np.concatenate([weights, np.full(len(beside), _BESIDE)])


def _classes(model: Model, graphs: Graphs) -> list[int | str] | None:
    """The group of the cells if the model knows it, else none."""
    if not model.conditional:
        return None
    name = graphs.classes[int(graphs.label[0])] if graphs.label is not None and graphs.classes else ""
    return [name if name in model.classes else -1]
