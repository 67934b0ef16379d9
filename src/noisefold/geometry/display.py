r"""Graphs prepared for viewing: one unit and colour scale for all, thinned points, a parallel projection.

Each graph is centred on its mean and divided by one unit, the same for all that are compared: the 99 %
quantile of the distance of the reference's points from the mean of their graph. Every graph then fills the
unit ball, and a sample that is too small looks too small. The colour of a point, in [0, 1], is its first
feature, or its height if there are no features, between the 2 % and 98 % quantiles of the reference. Space
is padded with zeros, or cut, to three dimensions; nodes without positions (d = 0) are placed on a circle.

The static view is a parallel projection along the direction of azimuth a and elevation e,

.. math:: (p_x \cos a + p_y \sin a,\;\; p_z \cos e + (p_x \sin a - p_y \cos a) \sin e), \qquad
    \text{depth} = (p_y \cos a - p_x \sin a) \cos e - p_z \sin e .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = [
    "Array",
    "Cloud",
    "ViewScale",
    "class_name",
    "clouds_of",
    "dot_size",
    "pick",
    "project",
    "short_name",
]

Array = NDArray[np.float32]
AZIMUTH, ELEVATION = math.radians(25), math.radians(22)
NAME_LENGTH = 16  # characters of a class below a picture


@dataclass(frozen=True)
class Cloud:
    """One graph as it is drawn.

    Parameters
    ----------
    number
        Its index in the set it was taken from.
    name
        Its class, or empty.
    points
        Positions in display units, ``[m, 3]``; flat clouds have z = 0.
    color
        Place of each point on the colour scale, ``[m]``, in [0, 1].
    total
        Number of nodes of the graph.
    lost
        Number of chosen nodes whose position is not finite.
    """

    number: int
    name: str
    points: Array
    color: Array
    total: int
    lost: int


@dataclass(frozen=True)
class ViewScale:
    """One unit of length and one colour scale for graphs that are compared.

    Parameters
    ----------
    unit
        Length that is drawn as 1.
    low, high
        Height, or first feature, of the colours 0 and 1.
    """

    unit: float
    low: float
    high: float

    @classmethod
    def of(cls, graphs: Graphs) -> ViewScale:
        """Return the scale that shows these graphs well; points that are not finite do not count."""
        centred = _centred(graphs)
        finite = _finite(graphs)
        if not bool(finite.any()):
            return cls(1.0, -1.0, 1.0)
        radius = centred[finite].norm(dim=1)
        unit = float(torch.quantile(_some(radius), 0.99)) or 1.0
        values = _values(graphs, centred)[finite].nan_to_num()
        low, high = torch.quantile(_some(values), values.new_tensor([0.02, 0.98])).tolist()
        return cls(unit, low, high) if high > low else cls(unit, low - unit, low + unit)


def class_name(graphs: Graphs, index: int) -> str:
    """Return the class of a graph by name, or "" if it has none."""
    if graphs.label is None:
        return ""
    number = int(graphs.label[index])
    if number < 0:
        return ""
    return graphs.classes[number] if number < len(graphs.classes) else f"class {number}"


def pick(graphs: Graphs, count: int, partner: Graphs | None = None) -> list[int]:
    """Choose graphs to show: the first of every class in turn, then the second; without classes, the first.

    With a partner, classes that both sets have come first, so that like stands beside like.
    """
    names = [class_name(graphs, i) for i in range(len(graphs))]
    known = sorted(set(names))
    if partner is not None:
        shared = {class_name(partner, i) for i in range(len(partner))}
        known.sort(key=lambda name: name not in shared)
    piles = [[i for i, n in enumerate(names) if n == name] for name in known]
    order = [i for turn in zip_longest(*piles) for i in turn if i is not None]
    return order[:count]


def clouds_of(graphs: Graphs, indices: Sequence[int], scale: ViewScale, limit: int) -> list[Cloud]:
    """Return some graphs, each thinned at random (with a fixed seed) to at most `limit` points.

    Points that are not finite are left out.
    """
    chosen = graphs[list(indices)].to("cpu", torch.float32)
    totals = chosen.sizes.tolist()
    thin = chosen.thin(limit, _keys(chosen)) if totals else chosen
    centred = _centred(thin)
    color = ((_values(thin, centred) - scale.low) / (scale.high - scale.low)).clamp(0, 1).nan_to_num(0.5)
    points = torch.nn.functional.pad(centred[:, :3], (0, max(0, 3 - centred.shape[1]))) / scale.unit
    clouds = []
    for k, (p, c, ok) in enumerate(
        zip(thin.unpack(points), thin.unpack(color), thin.unpack(_finite(thin)), strict=True)
    ):
        name, lost = class_name(graphs, indices[k]), int((~ok).sum())
        clouds.append(Cloud(indices[k], name, _array(p[ok]), _array(c[ok]), totals[k], lost))
    return clouds


def project(points: Array, flat: bool = False) -> tuple[Array, Array]:
    """Return places on paper ``[m, 2]`` and depths ``[m]``, large ones far, of points ``[m, 3]``."""
    if flat:
        return points[:, :2], np.zeros(len(points), np.float32)
    ca, sa, ce, se = math.cos(AZIMUTH), math.sin(AZIMUTH), math.cos(ELEVATION), math.sin(ELEVATION)
    ahead = -points[:, 0] * sa + points[:, 1] * ca
    across, up = points[:, 0] * ca + points[:, 1] * sa, points[:, 2] * ce + ahead * se
    return np.stack([across, up], 1), ahead * ce - points[:, 2] * se


def dot_size(count: int) -> float:
    """Return the diameter of a point of a cloud of this many, as a share of the cloud's width."""
    return float(np.clip(0.55 / math.sqrt(max(count, 1)), 0.012, 0.06))


def short_name(name: str) -> str:
    """Return a name, cut to what stands below a picture."""
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"


# -- parts -------------------------------------------------------------------------------------------------


def _array(values: Tensor) -> Array:
    return np.asarray(values.detach().cpu().float().numpy(), np.float32)


def _keys(graphs: Graphs) -> Tensor:
    # Uniform numbers with a fixed seed: a picture is a function of what it shows.
    return torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _some(values: Tensor, most: int = 100_000) -> Tensor:
    """Return at most this many values, evenly taken: torch refuses quantiles of very many."""
    return values[:: -(-values.numel() // most)]


def _finite(graphs: Graphs) -> Tensor:
    return graphs.pos.isfinite().all(1)


def _centred(graphs: Graphs) -> Tensor:
    """Return positions less the mean of the finite ones of their graph, ``[n, d]``, or on a circle."""
    if graphs.dim == 0:
        turn = torch.cat([2 * math.pi * torch.arange(s).double() / max(s, 1) for s in graphs.sizes.tolist()])
        return torch.stack([turn.sin(), turn.cos()], 1).to(graphs.device)
    finite = _finite(graphs)
    pos = torch.where(finite[:, None], graphs.pos, torch.zeros_like(graphs.pos)).double()
    sums = pos.new_zeros(len(graphs), graphs.dim).index_add(0, graphs.batch, pos)
    counts = pos.new_zeros(len(graphs)).index_add(0, graphs.batch, finite.to(pos)).clamp(min=1)
    return pos - (sums / counts[:, None])[graphs.batch]


def _values(graphs: Graphs, centred: Tensor) -> Tensor:
    """Return what colours a node: its first feature, or its height (the last coordinate drawn), ``[n]``."""
    if graphs.x is not None and graphs.features:
        return graphs.x[:, 0].to(centred)
    return centred[:, min(centred.shape[1], 3) - 1]
