r"""Structural features of graphs: cycle counts, random walks, common neighbours and Laplacian spectrum.

A graph transformer cannot count cycles of a noisy graph by itself; these features do. With the adjacency
matrix A, the degrees :math:`d = A 1`, :math:`t = \operatorname{diag} A^3`, :math:`T = A \circ A^2` and
:math:`\circ` the product of entries, the numbers of cycles of length 3 to 6 through each node are

.. math::

    2 c_3 &= t, \\
    2 c_4 &= \operatorname{diag} A^4 - d^2 - A d + d, \\
    2 c_5 &= \operatorname{diag} A^5 - 2\, t d - A t - 2\, T d + 5\, t, \\
    2 c_6 &= \operatorname{diag} A^6 - 2\, d \operatorname{diag} A^4 - t^2 - 2\, (A \circ A^3) d
             + 6 \operatorname{diag} A^4 + 2\, d\, (A d) - 2\, T t + 6\, (T \circ A^2) 1 \\
          &\quad - A \operatorname{diag} A^4 - (A^2 \circ A^2) d + 2\, d^3 - 6\, d^2 + A^2 d - 4\, t
             + 3 \operatorname{diag}(A T A) + 2\, A d^2 - 6\, A d + 4\, d,

by inclusion and exclusion over the closed walks that visit a node more than once: one term for each way to
merge vertices of a cycle that are not neighbours on it.

Source: Vignac et al., DiGress (2023), https://arxiv.org/abs/2209.14734, for cycles and spectrum; Ma et al.,
Graph Inductive Biases in Transformers without Message Passing (GRIT, 2023),
https://arxiv.org/abs/2305.17589, for random walks (RRWP).
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.gp import eigh

__all__ = ["CYCLES", "cycle_counts", "laplacian_spectrum", "random_walks"]

CYCLES = (3, 4, 5, 6)
"""Lengths of the cycles that are counted."""


def cycle_counts(adjacency: Tensor) -> Tensor:
    """Return the number of simple cycles of length 3, 4, 5 and 6 through each node.

    Parameters
    ----------
    adjacency
        Symmetric matrices of zeros and ones with zero diagonal, ``[..., m, m]``. Counts are exact in float64
        up to 2^53 closed walks of a node.

    Returns
    -------
    Tensor
        ``[..., m, 4]``, of the adjacency's type. A graph has ``counts.sum(-2) / (3, 4, 5, 6)`` cycles.

    Examples
    --------
    >>> complete = 1 - torch.eye(4, dtype=torch.float64)
    >>> cycle_counts(complete)[0].tolist()
    [3.0, 3.0, 0.0, 0.0]
    """
    a = adjacency
    a2 = a @ a
    a3 = a2 @ a
    on_edges = a * a2

    def times(matrix: Tensor, vector: Tensor) -> Tensor:
        return (matrix @ vector[..., None])[..., 0]

    d, t = a.sum(-1), on_edges.sum(-1)
    ad, walks4 = times(a, d), (a2 * a2).sum(-1)
    third = t / 2
    fourth = (walks4 - d**2 - ad + d) / 2
    fifth = ((a2 * a3).sum(-1) - 2 * t * d - times(a, t) - 2 * times(on_edges, d) + 5 * t) / 2
    sixth = (
        (a3 * a3).sum(-1)
        - 2 * d * walks4
        - t**2
        - 2 * times(a * a3, d)
        + 6 * walks4
        + 2 * d * ad
        - 2 * times(on_edges, t)
        + 6 * (on_edges * a2).sum(-1)
        - times(a, walks4)
        - times(a2 * a2, d)
        + 2 * d**3
        - 6 * d**2
        + times(a, ad)
        - 4 * t
        + 3 * ((a @ on_edges) * a).sum(-1)
        + 2 * times(a, d**2)
        - 6 * ad
        + 4 * d
    ) / 2
    return torch.stack([third, fourth, fifth, sixth], dim=-1)


def random_walks(adjacency: Tensor, steps: int) -> Tensor:
    r"""Return symmetric random-walk probabilities of 1 to `steps` steps.

    .. math:: S^k, \quad S = D^{-1/2} A D^{-1/2}, \qquad
              S^k_{ij} = \sqrt{P(i \to j)\, P(j \to i)}, \quad P = (D^{-1} A)^k

    The diagonal is the probability of return. A node without edges has zeros.

    Parameters
    ----------
    adjacency
        Symmetric matrices, ``[g, m, m]``.
    steps
        Greatest number of steps k.

    Returns
    -------
    Tensor
        ``[steps, g, m, m]``.
    """
    root = adjacency.sum(-1).clamp(min=1).rsqrt()
    step = adjacency * root[:, :, None] * root[:, None, :]
    powers = adjacency.new_empty(steps, *adjacency.shape)
    for k in range(steps):
        powers[k] = torch.bmm(powers[k - 1], step) if k else step
    return powers


def laplacian_spectrum(adjacency: Tensor, sizes: Tensor, count: int) -> Tensor:
    r"""Return the smallest eigenvalues of the normalised Laplacian, :math:`I - D^{-1/2} A D^{-1/2}`.

    They ascend, lie in [0, 2], and a zero stands for each connected component.

    Parameters
    ----------
    adjacency
        Symmetric matrices, ``[g, m, m]``, zero in the padding.
    sizes
        Nodes of each graph, ``[g]``.
    count
        Number of eigenvalues; a smaller graph has 2 in place of those it lacks.

    Returns
    -------
    Tensor
        ``[g, count]``.
    """
    g, m = adjacency.shape[:2]
    degree = adjacency.sum(-1)
    root = degree.clamp(min=1).rsqrt()
    padding = torch.arange(m, device=adjacency.device) >= sizes[:, None]
    # Padding has the eigenvalue 3, which is larger than any of a graph.
    diagonal = (degree > 0).to(adjacency) + 3 * padding
    values, _ = eigh(torch.diag_embed(diagonal) - adjacency * root[:, :, None] * root[:, None, :])
    return torch.cat([values, values.new_full((g, count), 3.0)], dim=1)[:, :count].clamp(0, 2)
