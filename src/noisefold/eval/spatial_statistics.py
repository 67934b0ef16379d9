r"""How the values of a field hang together in space: Moran's I, the variogram, the power spectrum.

Each is one row of numbers for each graph, so that two sets of fields are compared through the laws of these
numbers, or their means, also where the sets have no common positions (the spectrum needs a regular grid).

References
----------
Moran, Notes on continuous stochastic phenomena, Biometrika 1950. Cressie, Statistics for spatial data, 1993.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from noisefold.eval.field_metrics import aligned, values_of
from noisefold.geometry import KNN, Graphs, segment_mean, segment_sum

__all__ = ["grid_shape", "lags", "morans_i", "power_spectrum", "roughness", "spectral_distance"]

_FLOOR = 1e-6
_CENTRES, _PAIRS = 256, 1024
_BLOCK = 1 << 24


def morans_i(graphs: Graphs, neighbours: int = 6) -> Tensor:
    r"""Return Moran's I of every feature of every graph, ``[g, f]``.

    .. math:: I = \frac{n}{|E|}\,
        \frac{\sum_{(i, j) \in E} (x_i - \bar x)(x_j - \bar x)}{\sum_i (x_i - \bar x)^2}

    over the edges from the nearest neighbours of each node. 1 says that neighbours are equal; values in
    random places have the expectation -1 / (n - 1), which is also given for a constant feature.

    Parameters
    ----------
    graphs
        Fields with at least 2 nodes in each graph.
    neighbours
        Nearest neighbours of each node (as many as there are, in a smaller graph).

    Raises
    ------
    ValueError
        If there are no features, or a graph has fewer than 2 nodes.
    """
    x = values_of(graphs)
    sizes = graphs.sizes.cpu()
    if len(sizes) == 0 or int(sizes.min()) < 2:
        raise ValueError("every graph must have at least 2 nodes, for Moran's I compares neighbours.")
    batch, g = graphs.batch.cpu(), len(graphs)
    source, target = KNN(neighbours)(graphs.pos, graphs.ptr).cpu()
    count = torch.bincount(batch[target], minlength=g)
    out = []
    for part in x.split(max(1, _BLOCK // max(len(source), 1)), dim=1):
        z = part - segment_mean(part, batch, g)[batch]
        product = segment_sum(segment_sum(z[source], target, len(z)) * z, batch, g)
        square = segment_sum(z.square(), batch, g)
        # A sum of squares this small is the rounding of a constant.
        varies = square > 1e-24 * segment_sum(part.square(), batch, g)
        flat = (-1 / (sizes - 1).double())[:, None].expand_as(square)
        out.append(
            torch.where(varies, (sizes.double() / count)[:, None] * product / square.clamp(min=1e-300), flat)
        )
    return torch.cat(out, 1)


def lags(graphs: Graphs, bins: int = 8) -> Tensor:
    """Return edges ``[bins]`` of classes of distance, in equal ratios from neighbours to half the extent.

    The first class begins at 0 and ends at the median distance of nearest neighbours; the last ends at half
    of the largest distance of a typical graph.

    Raises
    ------
    ValueError
        If no graph has two nodes at different places.
    """
    nearest, farthest = [], []
    for graph in graphs[: min(len(graphs), 16)]:
        pos = graph.pos.detach().cpu().double()
        gap = torch.cdist(pos[:: max(1, len(pos) // 64)], pos)
        gap = torch.where(gap > 0, gap, math.inf)
        near = gap.amin(1)
        nearest.append(near[near.isfinite()])
        farthest.append(torch.where(gap.isfinite(), gap, 0.0).amax())
    near, far = torch.cat(nearest), float(torch.stack(farthest).median()) / 2
    if near.numel() == 0 or far <= 0:
        raise ValueError("no graph has two nodes at different places; a variogram needs pairs.")
    # A little more than the distance itself, so that rounding keeps neighbours on a grid in one class.
    low = min(float(near.median()), far / 2) * (1 + 1e-4)
    return torch.logspace(math.log10(low), math.log10(far), bins, dtype=torch.float64)


def roughness(graphs: Graphs, edges: Tensor, seed: int = 0) -> Tensor:
    r"""Return the variogram of every feature of every graph, ``[g, bins, f]``; NaN in classes without pairs.

    .. math:: \gamma(h) = \tfrac12\, \mathrm{mean}_{|p_i - p_j| \approx h}\, (x_i - x_j)^2

    All pairs of up to 128 nodes, else up to 1,024 pairs of each class between 256 random nodes and all.

    Parameters
    ----------
    graphs
        Fields.
    edges
        Upper ends of the classes of distance, as `lags` gives them.
    seed
        Of the choice of pairs, which depends on the positions and the place in the batch alone.
    """
    x = values_of(graphs)
    if aligned(graphs):
        n = graphs.uniform or 0
        found = _pairs(graphs.pos[:n], edges, seed)
        return torch.cat(
            [_classes(part.reshape(-1, n, x.shape[1]), *found, len(edges)) for part in x.split(n * 64)]
        )
    parts = []
    for i, (pos, value) in enumerate(zip(graphs.unpack(), graphs.unpack(x), strict=True)):
        parts.append(_classes(value[None], *_pairs(pos, edges, seed + i), len(edges)))
    return torch.cat(parts)


def _pairs(pos: Tensor, edges: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return pairs of nodes and the class of each."""
    pos = pos.detach().cpu().double()
    n = len(pos)
    generator = torch.Generator().manual_seed(seed)
    everything = n <= 128
    centre = torch.arange(n) if everything else torch.randperm(n, generator=generator)[:_CENTRES]
    gap = torch.cdist(pos[centre], pos, compute_mode="donot_use_mm_for_euclid_dist")
    ahead = torch.arange(n) > centre[:, None] if everything else torch.arange(n) != centre[:, None]
    row, column = (ahead & (gap <= edges[-1])).nonzero(as_tuple=True)
    class_ = torch.bucketize(gap[row, column], edges).clamp(max=len(edges) - 1)
    if not everything:
        kept = []
        for b in range(len(edges)):
            members = (class_ == b).nonzero().view(-1)
            kept.append(members[torch.randperm(len(members), generator=generator)[:_PAIRS]])
        chosen = torch.cat(kept)
        row, column, class_ = row[chosen], column[chosen], class_[chosen]
    return centre[row], column, class_


def _classes(values: Tensor, i: Tensor, j: Tensor, class_: Tensor, bins: int) -> Tensor:
    """Return half of the mean squared differences in each class, ``[g, n, f] -> [g, bins, f]``."""
    square = (values[:, i] - values[:, j]).square()
    count = torch.bincount(class_, minlength=bins)
    sums = values.new_zeros(len(values), bins, values.shape[2]).index_add_(1, class_, square)
    return sums / (2 * count[:, None])


def grid_shape(graphs: Graphs) -> tuple[int, ...] | None:
    """Return the numbers of nodes along each axis if all graphs stand on one regular grid, else None."""
    found = _grid(graphs)
    return None if found is None else found[0]


def _grid(graphs: Graphs) -> tuple[tuple[int, ...], Tensor] | None:
    """Return the shape of the grid, and the rows of a graph in the order of its axes."""
    if not aligned(graphs):
        return None
    pos = graphs.pos[: graphs.uniform].detach().cpu().double()
    place, shape = torch.zeros(len(pos), dtype=torch.int64), []
    for column in pos.T:
        low, high = float(column.min()), float(column.max())
        gap = column.sort().values.diff()
        steps = int((gap > 1e-4 * (high - low)).sum())
        level = (column - low) / max(high - low, 1e-300) * steps
        if float((level - level.round()).abs().max()) > 1e-3 * max(steps, 1):
            return None
        place = place * (steps + 1) + level.round().long()
        shape.append(steps + 1)
    if math.prod(shape) != len(pos) or len(place.unique()) != len(pos):
        return None
    return tuple(shape), place.argsort()


def power_spectrum(graphs: Graphs) -> Tensor:
    r"""Return the power of each mode of fields on one regular grid, ``[g, n_1, .., n_d, f]``.

    The modes are the cosines :math:`\cos(\pi k (j + \frac12) / n)` of each axis, k = 0 .. n - 1 half waves
    across the grid (the orthonormal DCT-II), which fit fields that do not repeat at the border; the powers of
    a field sum to its sum of squares.

    Raises
    ------
    ValueError
        If the graphs do not all stand on one regular grid.
    """
    from scipy import fft

    found = _grid(graphs)
    if found is None:
        raise ValueError("a power spectrum needs all graphs on one regular grid; compare variograms instead.")
    shape, order = found
    n = graphs.uniform or 0
    field = values_of(graphs).reshape(len(graphs), n, -1)[:, order].reshape(len(graphs), *shape, -1).numpy()
    waves = fft.dctn(field, axes=tuple(range(1, len(shape) + 1)), norm="ortho")
    return torch.from_numpy(np.square(waves))


def spectral_distance(a: Tensor, b: Tensor) -> float:
    r"""Return the log-spectral distance in dB, the root mean square over modes and features of power ratios.

    .. math:: \sqrt{\mathrm{mean}_k\, \big(10 \log_{10} P_a(k) / P_b(k)\big)^2}

    with P the mean power over the graphs, from `power_spectrum`. Powers below 1e-6 of a feature's total in b
    are raised to it.
    """
    p, q = (t.flatten(1, -2).mean(0) for t in (a, b))
    floor = (_FLOOR * q.sum(0)).clamp(min=1e-300)
    return float((10 * (torch.maximum(p, floor) / torch.maximum(q, floor)).log10()).square().mean().sqrt())
