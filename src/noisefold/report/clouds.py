r"""Clouds made ready to be looked at, by matplotlib and by a browser alike.

Every cloud is centred on its mean and divided by one unit, the same for all that are to be compared: the
99 % quantile of the distance of reference points from their cloud's mean. So a cloud fills the ball of radius
1, and a sample that is too small looks too small. The colour of a point, in [0, 1], is its height, or its
first feature, between the 2 % and 98 % quantiles of the reference. Space of other than three dimensions is
padded with zeros, or cut to its first three coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["Cloud", "Scale", "class_name", "clouds_of", "counted", "numbers_of", "pick"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Cloud:
    """One graph as it is drawn.

    Parameters
    ----------
    number
        Its place in the set it was taken from.
    name
        Its class, or empty.
    points
        Positions in display units, ``[m, 3]``; flat clouds have z = 0.
    color
        Place of each point on the colour scale, ``[m]``, in [0, 1].
    total
        Number of nodes it has.
    lost
        Number of nodes that were to be drawn, but are not finite.
    """

    number: int
    name: str
    points: Array
    color: Array
    total: int
    lost: int


@dataclass(frozen=True)
class Scale:
    """One unit and one colour scale for clouds that are to be compared.

    Parameters
    ----------
    unit
        What becomes the length 1.
    low, high
        Height, or first feature, that becomes the colour 0 and 1.
    """

    unit: float
    low: float
    high: float

    @classmethod
    def of(cls, graphs: Graphs) -> Scale:
        """The scale that shows these graphs well; points that are not finite do not count."""
        centred = _centred(graphs)
        finite = _finite(graphs)
        if not bool(finite.any()):
            return cls(1.0, -1.0, 1.0)
        radius = centred[finite].norm(dim=1)
        unit = float(torch.quantile(_some(radius), 0.99)) or 1.0
        values = _values(graphs, centred)[finite]
        low, high = torch.quantile(_some(values), values.new_tensor([0.02, 0.98])).tolist()
        return cls(unit, low, high) if high > low else cls(unit, low - unit, low + unit)


def counted(count: int, noun: str) -> str:
    """``1 point``, ``1,024 points``."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def class_name(graphs: Graphs, index: int) -> str:
    """Class of a graph by name, or empty if it has none."""
    if graphs.label is None:
        return ""
    number = int(graphs.label[index])
    if number < 0:
        return ""
    return graphs.classes[number] if number < len(graphs.classes) else f"class {number}"


def pick(graphs: Graphs, count: int, partner: Graphs | None = None) -> list[int]:
    """Graphs to show: the first of every class in turn, then the second; without classes, the first ones.

    With a partner, a class that it has too comes first, so that like stands beside like.
    """
    names = [class_name(graphs, i) for i in range(len(graphs))]
    known = sorted(set(names))
    if partner is not None:
        shared = {class_name(partner, i) for i in range(len(partner))}
        known.sort(key=lambda name: name not in shared)
    piles = [[i for i, n in enumerate(names) if n == name] for name in known]
    turns = zip_longest(*piles)
    order = [i for turn in turns for i in turn if i is not None]
    return order[:count]


def clouds_of(graphs: Graphs, indices: Sequence[int], scale: Scale, limit: int) -> list[Cloud]:
    """Some graphs, each thinned at random (with a fixed seed) to at most `limit` points.

    Points that are not finite are left out.
    """
    chosen = graphs[list(indices)].to("cpu", torch.float32)
    totals = chosen.sizes.tolist()
    thin = chosen.thin(limit, _keys(chosen)) if totals else chosen
    centred = _centred(thin)
    color = ((_values(thin, centred) - scale.low) / (scale.high - scale.low)).clamp(0, 1).nan_to_num(0.5)
    points = _spatial(centred) / scale.unit
    clouds = []
    for k, (p, c, ok) in enumerate(
        zip(thin.unpack(points), thin.unpack(color), thin.unpack(_finite(thin)), strict=True)
    ):
        name = class_name(graphs, indices[k])
        lost = int((~ok).sum())
        clouds.append(Cloud(indices[k], name, numbers_of(p[ok]), numbers_of(c[ok]), totals[k], lost))
    return clouds


def numbers_of(values: Tensor) -> Array:
    """A tensor as float32 numbers of numpy."""
    return values.detach().cpu().float().numpy().astype(np.float32)


def _keys(graphs: Graphs) -> Tensor:
    # Uniform numbers with a fixed seed: a page is a function of what it shows.
    return torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _some(values: Tensor, most: int = 100_000) -> Tensor:
    """At most this many values, evenly taken: torch refuses quantiles of very many."""
    return values[:: -(-values.numel() // most)]


def _finite(graphs: Graphs) -> Tensor:
    return graphs.pos.isfinite().all(1)


def _centred(graphs: Graphs) -> Tensor:
    """Positions less the mean of the finite ones of their graph, ``[n, d]``."""
    finite = _finite(graphs)
    pos = torch.where(finite[:, None], graphs.pos, torch.zeros_like(graphs.pos)).double()
    sums = pos.new_zeros(len(graphs), graphs.dim).index_add(0, graphs.batch, pos)
    counts = pos.new_zeros(len(graphs)).index_add(0, graphs.batch, finite.to(pos)).clamp(min=1)
    return pos - (sums / counts[:, None])[graphs.batch]


def _spatial(pos: Tensor) -> Tensor:
    """Positions with three coordinates, ``[n, 3]``."""
    return torch.nn.functional.pad(pos[:, :3], (0, max(0, 3 - pos.shape[1])))


def _values(graphs: Graphs, centred: Tensor) -> Tensor:
    """What colours a node: its first feature, or its height (the last coordinate drawn), ``[n]``."""
    if graphs.x is not None and graphs.features:
        return graphs.x[:, 0].to(centred)
    return centred[:, min(graphs.dim, 3) - 1]
