r"""Mean functions: polynomials of the position that features are taken relative to.

A process whose noise has a mean function m,

.. math:: Y_t = m + \alpha\, (Y_0 - m) + \sigma\, \varepsilon, \qquad \varepsilon \sim N(0, K),

ends in :math:`N(m, K)`, and is the process without one for :math:`Y - m`. So a mean function is a
transformation of the data, under which paths, targets, solvers and likelihoods are as they were.

Source: Mathieu et al., Geometric Neural Diffusion Processes (2023), section 3.1,
https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.gp import pseudo_inverse
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform

__all__ = ["Trend"]

_DEGREES = range(4)


@configurable
@dataclass(frozen=True)
class Trend(Transform):
    r"""Features relative to a polynomial mean function, :math:`x - m(s)` at positions s.

    .. math:: m(s) = \sum_k c_k \prod_{i \in k} \frac{s_i - o_i}{l}

    over all products k of at most `degree` coordinates, the constant first, then those of one coordinate, of
    two, and so on, in their order.

    Parameters
    ----------
    coefficients
        c, a row for each product, ``[terms, f]``, in units of the features.
    centre, length
        o, d numbers, and l, in units of the positions.
    degree
        0, a constant, to 3, cubic.

    Raises
    ------
    ValueError
        If numbers do not fit together; in use, if graphs have other dimensions or features.

    Examples
    --------
    >>> import torch, noisefold as nf
    >>> pos = torch.linspace(-1, 1, 5)[:, None]
    >>> graphs = nf.Graphs.collate([nf.Graphs(pos, x=3 - 2 * pos)] * 2)
    >>> bool(nf.geometry.Trend.fit(graphs).apply(graphs).x.abs().max() < 1e-5)
    True
    """

    coefficients: tuple[tuple[float, ...], ...]
    centre: tuple[float, ...]
    length: float = 1.0
    degree: int = 1

    def __post_init__(self) -> None:
        if self.degree not in _DEGREES:
            raise ValueError(f"degree must be 0 to {_DEGREES[-1]}, got {self.degree}.")
        if not self.length > 0 or not math.isfinite(self.length):
            raise ValueError(f"length must be positive, got {self.length}.")
        terms = len(_products(len(self.centre), self.degree))
        if len(self.coefficients) != terms or len({len(row) for row in self.coefficients}) != 1:
            raise ValueError(
                f"coefficients must have {terms} rows of one length for degree {self.degree} in "
                f"{len(self.centre)} dimensions, got {len(self.coefficients)}."
            )

    @classmethod
    def fit(cls, graphs: Graphs, degree: int = 1) -> Trend:
        """Fit the mean function to all nodes by least squares, the shortest where several fit equally well.

        Parameters
        ----------
        graphs
            With features ``x [n, f]``; missing values, NaN, do not count.
        degree
            Of the polynomial.

        Raises
        ------
        ValueError
            If there are no features, a feature has no value, or positions are not finite.
        """
        if graphs.x is None or not graphs.features:
            raise ValueError("the graphs must have features x [n, f] to fit a mean function to.")
        if degree not in _DEGREES:
            raise ValueError(f"degree must be 0 to {_DEGREES[-1]}, got {degree}.")
        pos, x = graphs.pos.double().cpu(), graphs.x.double().cpu()
        if not bool(pos.isfinite().all()):
            raise ValueError("pos holds NaN or infinite values; remove those nodes first.")
        centre = pos.mean(0)
        length = float((pos - centre).square().mean().sqrt()) or 1.0
        columns = _monomials((pos - centre) / length, degree)
        found = []
        for j, values in enumerate(x.unbind(1)):
            some = values.isfinite()
            if not bool(some.any()):
                raise ValueError(f"feature {j} has no finite value to fit a mean function to.")
            found.append(pseudo_inverse(columns[some]) @ values[some])
        rows = torch.stack(found, 1).tolist()
        return cls(tuple(map(tuple, rows)), tuple(centre.tolist()), length, degree)

    def mean(self, pos: Tensor) -> Tensor:
        """Return the mean function at positions ``[n, d]``, ``[n, f]``, float64."""
        wide = pos.double()
        scaled = (wide - wide.new_tensor(self.centre)) / self.length
        return _monomials(scaled, self.degree) @ wide.new_tensor(self.coefficients)

    def apply(self, graphs: Graphs) -> Graphs:
        """Return the graphs with features relative to the mean function."""
        return self._moved(graphs, -1.0)

    def undo(self, graphs: Graphs) -> Graphs:
        """Return the graphs with the mean function added to the features."""
        return self._moved(graphs, 1.0)

    def entries(self, known: Tensor) -> Tensor:
        """Return the same entries, ``[n, f]``."""
        return known

    def _moved(self, graphs: Graphs, sign: float) -> Graphs:
        dim, features = len(self.centre), len(self.coefficients[0])
        if graphs.dim != dim or graphs.features not in (0, features):
            raise ValueError(
                f"the mean function is of {features} features at {dim}-D positions, got {graphs.features} at "
                f"{graphs.dim}-D ones."
            )
        if graphs.x is None:
            return graphs
        return graphs.replace(x=(graphs.x.double() + sign * self.mean(graphs.pos)).to(graphs.x.dtype))


def _products(dim: int, degree: int) -> list[tuple[int, ...]]:
    return [k for order in range(degree + 1) for k in combinations_with_replacement(range(dim), order)]


def _monomials(pos: Tensor, degree: int) -> Tensor:
    """Return all products of at most `degree` coordinates of ``pos [n, d]``, ``[n, terms]``."""
    columns = [pos[:, list(k)].prod(1) for k in _products(pos.shape[1], degree)]
    return torch.stack(columns, 1)
