r"""Path gap: what a network's errors cost in likelihood, without drawing likelihoods.

With the exact and the network's posterior mean of the noise under white noise,

.. math:: \tfrac12 \int E\, |\hat\varepsilon_\mathrm{net} - \hat\varepsilon_\mathrm{exact}|^2\, d\lambda

is the difference of the evidence lower bounds, in nats. Of Gaussian processes the exact mean is linear in
the state: in the eigenvectors of the covariance C of the unknown values given the known ones,
:math:`\hat\varepsilon = b\,(a^2 C + b^2)^{-1} (y - a m)`, where :math:`y = a x_0 + b \varepsilon`,
:math:`a^2 = 1 / (1 + e^{-\lambda})`, :math:`b^2 = 1 - a^2`.

Source: Kingma et al., Variational Diffusion Models (2021), https://arxiv.org/abs/2107.00630.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry import Graphs
from noisefold.geometry.gp import condition, eigh, factor
from noisefold.nn import Denoiser
from noisefold.noise import Known, Streams, derive_seed
from noisefold.studies.functions.training import LEVELS

__all__ = ["Exact", "exact_posteriors", "path_gap"]

Covariance = Callable[[Tensor], Tensor]
"""Covariance ``[n o, n o]`` of the values at inputs ``[n, d]``, in the units of the denoiser."""


@dataclass(frozen=True)
class Exact:
    """The Gaussian of the unknown values of one graph, in the eigenvectors of its covariance.

    Parameters
    ----------
    mean
        ``[m]``.
    values, vectors
        Eigenvalues ``[m]`` and eigenvectors ``[m, m]`` of the covariance.
    """

    mean: Tensor
    values: Tensor
    vectors: Tensor

    def noise(self, state: Tensor, a: float, b: float) -> Tensor:
        """Return the posterior mean of the noise of a state ``[m]``."""
        turned = self.vectors.mT @ (state - a * self.mean)
        out: Tensor = self.vectors @ (b * turned / (a**2 * self.values + b**2))
        return out


def exact_posteriors(graphs: Graphs, known: Tensor | None, covariance: Covariance) -> list[Exact]:
    """Return the distribution of the unknown values of each graph.

    Graphs that follow each other and have the same inputs and the same known nodes share one covariance.

    Parameters
    ----------
    graphs
        Inputs and values, in the units of the denoiser.
    known
        Which nodes are known, ``[n]``; None for none.
    covariance
        Of the values at inputs.
    """
    assert graphs.x is not None
    none = torch.zeros(graphs.num_nodes, dtype=torch.bool)
    masks = graphs.unpack(none if known is None else known)
    places, values = graphs.unpack(), graphs.unpack(graphs.x)
    found: list[Exact] = []
    for i, (pos, x, mask) in enumerate(zip(places, values, masks, strict=True)):
        seen = mask[:, None].expand_as(x).reshape(-1)
        if not i or not (torch.equal(pos, places[i - 1]) and torch.equal(mask, masks[i - 1])):
            matrix = covariance(pos.double())
            rest = matrix[~seen][:, ~seen]
            given = None
            if bool(seen.any()):
                given = condition(factor(matrix[seen][:, seen]), matrix[seen][:, ~seen])
                rest = given.covariance(rest)
            values_of, vectors = eigh(rest)
        mean = (
            torch.zeros_like(values_of)
            if given is None
            else given.mean(x.double().reshape(-1, 1)[seen])[:, 0]
        )
        found.append(Exact(mean, values_of, vectors))
    return found


@torch.no_grad()
def path_gap(
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    known: Tensor | None,
    exact: list[Exact],
    levels: int = 24,
    seed: int = 0,
    batch: int = 32,
) -> tuple[Tensor, Tensor]:
    """Return the path gap of each graph in nats ``[g]``, and its part at each level, ``[levels, g]``.

    Parameters
    ----------
    denoiser
        On a Gaussian path of white noise.
    graphs, known, exact
        Data and their exact distributions, as of `exact_posteriors`.
    levels
        Levels of noise, evenly spaced within those of the training.
    seed
        Of the noise.
    batch
        Graphs at a time.
    """
    width = (LEVELS.high - LEVELS.low) / levels
    log_snrs = LEVELS.low + width * (torch.arange(levels, dtype=torch.float64) + 0.5)
    parts = torch.zeros(levels, len(graphs), dtype=torch.float64)
    ptr = graphs.ptr.tolist()
    for first in range(0, len(graphs), batch):
        some = graphs[first : first + batch]
        assert some.x is not None
        rows = slice(ptr[first], ptr[min(first + batch, len(graphs))])
        mask = torch.zeros_like(some.x, dtype=torch.bool)
        if known is not None:
            mask |= known[rows, None]
        for k, log_snr in enumerate(log_snrs):
            random = Streams(derive_seed(seed, k), range(first, first + len(some)))
            found = _noises(denoiser, some, Known(some.x, mask), exact[first:], log_snr, random)
            parts[k, first : first + len(some)] = 0.5 * width * found
    return parts.sum(0), parts


def _noises(
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    known: Known[Tensor],
    exact: list[Exact],
    log_snr: Tensor,
    random: Streams,
) -> Tensor:
    """Return the squared distance of both estimates of the noise of each graph, ``[g]``."""
    a, b = float(log_snr.sigmoid().sqrt()), float((-log_snr).sigmoid().sqrt())
    assert graphs.x is not None
    path: Any = denoiser.path
    t = path.time(log_snr)
    y = a * graphs.x + b * random.normal(graphs.sizes, graphs.features, graphs.x)
    times = t.to(graphs.pos).expand(len(graphs))
    scale = float(path.scale(t))
    estimate = denoiser(graphs, scale * y, times, known=known if denoiser.for_completion else None)
    net = (y.double() - a * estimate.double()) / b
    out = []
    for truth, mine, state, seen in zip(
        exact, graphs.unpack(net), graphs.unpack(y.double()), graphs.unpack(known.mask), strict=False
    ):
        rest = ~seen
        out.append((mine[rest] - truth.noise(state[rest], a, b)).square().sum())
    return torch.stack(out)
