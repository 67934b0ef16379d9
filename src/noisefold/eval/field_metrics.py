r"""Distances between two sets of fields: features on given positions.

Where all fields of both sets have the same positions, a field is one vector of its n x f values, and the sets
are samples of two distributions in that space. `energy_distance` and `sliced_wasserstein` compare these;
`marginal_wasserstein` compares the marginal distribution of each feature and needs no common positions.
Spatial dependence is measured by `noisefold.eval.spatial_statistics`.

References
----------
Szekely and Rizzo, Energy statistics, J. Statistical Planning and Inference 2013. Rabin et al., Wasserstein
barycenter and its application to texture mixing, SSVM 2011.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noisefold.eval.transport import transport_cost
from noisefold.geometry import Graphs

__all__ = [
    "aligned",
    "distances",
    "energy",
    "energy_distance",
    "marginal_distance",
    "marginal_wasserstein",
    "paper_field_distances",
    "paper_field_w",
    "sliced_distance",
    "sliced_wasserstein",
    "vectors",
]

_CLOSE = 1e-5


def aligned(*sets: Graphs) -> bool:
    """Return whether all graphs have the same positions in the same order, to 1e-5 of their extent."""
    first = sets[0]
    n = first.uniform
    if n is None or n == 0 or any(s.uniform != n or s.dim != first.dim for s in sets):
        return False
    place = first.pos[:n]
    extent = float((place.amax(0) - place.amin(0)).max()) or 1.0
    return all(
        float((s.pos.view(len(s), n, -1) - place.to(s.pos)).abs().max()) <= _CLOSE * extent for s in sets
    )


def values_of(graphs: Graphs) -> Tensor:
    """Return the features ``[n, f]`` in float64.

    Raises
    ------
    ValueError
        If there are none.
    """
    if graphs.x is None or graphs.features == 0:
        raise ValueError(
            "the graphs have no features x; clouds without features are compared by score_clouds."
        )
    return graphs.x.detach().to("cpu", torch.float64)


def vectors(graphs: Graphs) -> Tensor:
    """Return each field as one vector, ``[g, n f]``, float64.

    Raises
    ------
    ValueError
        If the graphs differ in their positions.
    """
    if not aligned(graphs):
        raise ValueError("the fields must all have the same positions to be compared as vectors.")
    return values_of(graphs).reshape(len(graphs), -1)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the Euclidean distances ``[m, k]`` of the rows of ``[m, D]`` and ``[k, D]``, divided by sqrt(D).

    That is the root mean square difference of two fields, in the unit of their values.
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") / math.sqrt(a.shape[1])


def energy(within_a: Tensor, between: Tensor, within_b: Tensor, unbiased: bool = True) -> float:
    r"""Return the energy distance from distances ``[m, m]``, ``[m, k]`` and ``[k, k]``.

    .. math:: E = 2\,\mathbb E|X - Y| - \mathbb E|X - X'| - \mathbb E|Y - Y'|

    Unbiased, the mean over pairs of a set leaves out the pairs of a sample with itself: the expectation is 0
    where the distributions agree, and half of the estimates are then below 0. Otherwise two sets of m samples
    of one distribution are about 2 E|X - X'| / m apart.
    """

    def inside(d: Tensor) -> Tensor:
        m = d.shape[0]
        return d.sum() / (m * (m - 1) if unbiased else m * m)

    return float(2 * between.mean() - inside(within_a) - inside(within_b))


def energy_distance(a: Graphs, b: Graphs, unbiased: bool = True) -> float:
    """Return the energy distance between two sets of fields on common positions, in the unit of their values.

    The distance of two fields is the root mean square of their differences (`distances`), so that the number
    does not grow with the number of nodes. In the literature the energy distance is also the square root of
    this one.

    Parameters
    ----------
    a, b
        Fields ``x [n, f]`` on the same positions, at least 2 in each set.
    unbiased
        Which estimate, see `energy`.

    Raises
    ------
    ValueError
        If positions differ, or there are too few fields.
    """
    x, y = _pair(a, b)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"a and b must hold at least 2 fields each, got {len(x)} and {len(y)}.")
    return energy(distances(x, x), distances(x, y), distances(y, y), unbiased)


def sliced_distance(a: Tensor, b: Tensor) -> float:
    """Return the root mean square over columns of the W_2 distance of projections ``[m, k]``, both of m."""
    return float((a.sort(0).values - b.sort(0).values).square().mean().sqrt())


def sliced_wasserstein(a: Graphs, b: Graphs, directions: int = 128, seed: int = 0) -> float:
    r"""Return the sliced Wasserstein distance of order 2 of two sets of fields, in the unit of their values.

    .. math:: SW_2^2 = \mathbb E_\theta\, W_2^2(\theta^\top X,\ \theta^\top Y)

    over directions :math:`\theta` uniform on the unit sphere of all n f values.

    Parameters
    ----------
    a, b
        Equally many fields on the same positions.
    directions
        Number of random directions.
    seed
        Of the directions.

    Raises
    ------
    ValueError
        If positions or numbers of fields differ.
    """
    x, y = _pair(a, b)
    if len(x) != len(y):
        raise ValueError(f"a and b must hold equally many fields, got {len(x)} and {len(y)}; cut the larger.")
    basis = slices(x.shape[1], directions, seed)
    return sliced_distance(x @ basis, y @ basis)


def slices(size: int, directions: int, seed: int) -> Tensor:
    """Return random unit vectors as columns, ``[size, directions]``, float64."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(size, directions, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(basis, dim=0)


def marginal_distance(order: Tensor, gaps: Tensor, weight: Tensor) -> Tensor:
    r"""Return :math:`W_1 = \int |F_a - F_b|` of weighted values on each column, ``[f]``.

    Parameters
    ----------
    order
        Row of the value at each rank, all values pooled, ``[n, f]``.
    gaps
        Steps between the values in that order, ``[n - 1, f]``.
    weight
        Of each row, ``[n]``: above zero in a, below zero in b, each summing to 1.
    """
    return (weight[order].cumsum(0)[:-1].abs() * gaps).sum(0)


def ranks(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the order and the gaps of pooled values ``[n, f]``, for `marginal_distance`."""
    ordered = values.sort(0)
    return ordered.indices, ordered.values.diff(dim=0)


def marginal_wasserstein(a: Graphs, b: Graphs) -> Tensor:
    """Return the W_1 distance of the values of each feature, all nodes of a set pooled, ``[f]``.

    Exact, whatever the numbers of nodes; in the unit of the values.

    Raises
    ------
    ValueError
        If there are no features, or not equally many.
    """
    x, y = values_of(a), values_of(b)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"a and b must have the same features, got {x.shape[1]} and {y.shape[1]}.")
    weight = torch.cat([x.new_full((len(x),), 1 / len(x)), y.new_full((len(y),), -1 / len(y))])
    return marginal_distance(*ranks(torch.cat([x, y])), weight)


def paper_field_distances(a: Graphs, b: Graphs, scale: Graphs) -> Tensor:
    """Return the costs ``[ga, gb]`` of `paper_field_w`."""
    x, y = _pair(a, b)
    if not aligned(b, scale):
        raise ValueError("scale must have the positions of a and b, for it gives a range for each time.")
    n, f = b.uniform or 0, b.features
    times, at = b.pos[:n, -1].cpu().unique(return_inverse=True)
    known = values_of(scale).reshape(len(scale), n, f)
    reach = torch.stack([_range(known[:, at == t].flatten(0, 1)) for t in range(len(times))])
    unit = (1 / reach)[at].reshape(-1)
    cost = torch.cdist(x * unit, y * unit, compute_mode="donot_use_mm_for_euclid_dist")
    return cost / len(times)


def _range(values: Tensor) -> Tensor:
    """Return the largest less the smallest value of each column; 1 where there is no difference."""
    reach = values.amax(0) - values.amin(0)
    return torch.where(reach > 0, reach, 1.0)


def paper_field_w(a: Graphs, b: Graphs, scale: Graphs | None = None) -> float:
    """Return what the NCGN paper prints as "W2" for its limb bud: to compare with its tables, not to rank.

    It is W_1 with Euclidean cost between whole fields as vectors, divided by the number of time points, with
    each feature in units of its range at each time point (largest less smallest value over samples and
    places); the time is the last coordinate. It sees little but the spread:
    predicting the mean field for every
    sample scores better than the paper's best model.

    Parameters
    ----------
    a, b
        Fields on the same positions.
    scale
        Fields on these positions that give the ranges, the training data in the paper; None: `b`.

    Raises
    ------
    ValueError
        If positions differ.
    """
    return transport_cost(paper_field_distances(a, b, b if scale is None else scale))


def _pair(a: Graphs, b: Graphs) -> tuple[Tensor, Tensor]:
    if not aligned(a, b):
        raise ValueError("a and b must have the same positions in all graphs; give fields of one grid.")
    if a.features != b.features:
        raise ValueError(f"a and b must have the same features, got {a.features} and {b.features}.")
    return vectors(a), vectors(b)
