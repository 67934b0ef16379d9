r"""Exact denoisers on discrete paths, for distributions of graphs that are known.

Entries of the noise are independent, so that a posterior over graphs is the distribution of the data,
reweighted by the likelihood of each entry. Two distributions have it in closed form:

- finitely many graphs: a sum over them;
- uniform spanning trees: with the odds :math:`w_e` that the state speaks for edge e, the posterior is a
  weighted spanning tree, in which :math:`P(e \in T) = w_e R_e` with the effective resistance R (Kirchhoff).

An error of a sampler that uses them is the sampler's own, not a network's.

Source: Kirchhoff (1847); Lyons and Peres, Probability on Trees and Networks (2016), section 4.2,
https://rdlyons.pages.iu.edu/prbtree/.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.gp import factor
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_index
from noisefold.noise.categories import Categories
from noisefold.noise.discrete import Discrete
from noisefold.noise.variable import Types
from noisefold.sample.discrete import DiscreteSolver

__all__ = ["FiniteGraphs", "SpanningTrees", "propagated"]

_MOST_STATES = 4096
_MOST_ODDS = 1e12  # beyond it the Laplacian of the odds loses its digits


@dataclass(frozen=True)
class FiniteGraphs:
    """A distribution on finitely many graphs of one size.

    Parameters
    ----------
    graphs
        The k graphs.
    weights
        Their probabilities, ``[k]``.
    """

    graphs: Graphs
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.graphs.uniform is None or len(self.weights) != len(self.graphs):
            raise ValueError("graphs must all have as many nodes, and a weight each.")

    def denoiser(self, path: Discrete) -> _FiniteDenoiser:
        """Return the exact denoiser, a function of a state and a scalar time."""
        return _FiniteDenoiser(self, path)


@dataclass(frozen=True)
class _FiniteDenoiser:
    distribution: FiniteGraphs
    path: Discrete

    def __call__(self, state: Categories, t: Tensor) -> Categories:
        k, keep = len(self.distribution.graphs), 1 - float(t)
        support = Types().read(self.distribution.graphs).map(lambda v: v.view(k, -1))

        def log_likelihood(options: Tensor, value: Tensor, noise: Tensor) -> Tensor:
            entries = value.view(-1, options.shape[1])
            same = (entries[:, None] == options).double()
            return torch.log(keep * same + (1 - keep) * noise[entries][:, None]).sum(2)

        parts = support.map(log_likelihood, state, self.path.noise_distribution)
        prior = torch.tensor(self.distribution.weights, dtype=torch.float64).log()
        posterior = torch.softmax(parts.nodes + parts.pairs + prior, 1)
        # A state that no graph of the distribution can have led to, which only a sampler's own error reaches.
        posterior = torch.where(posterior.isnan(), prior.exp(), posterior)

        def marginals(options: Tensor, noise: Tensor) -> Tensor:
            certain = torch.nn.functional.one_hot(options, len(noise)).double()
            return torch.einsum("gk,kmc->gmc", posterior, certain).reshape(-1, len(noise))

        return support.map(marginals, self.path.noise_distribution)


@dataclass(frozen=True)
class SpanningTrees:
    """Uniform random labelled trees on n nodes.

    Parameters
    ----------
    size
        The n, at least 2.
    """

    size: int

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the pairs without and with an edge."""
        return 1 - 2 / self.size, 2 / self.size

    def denoiser(self, path: Discrete) -> _TreeDenoiser:
        """Return the exact denoiser, a function of a state and a scalar time."""
        return _TreeDenoiser(self, path)


@dataclass(frozen=True)
class _TreeDenoiser:
    distribution: SpanningTrees
    path: Discrete

    def __call__(self, state: Categories, t: Tensor) -> Categories:
        n, keep = self.distribution.size, 1 - float(t)
        noise = self.path.noise_distribution.pairs
        i, j = pair_index(torch.tensor([0, n]))
        value = state.pairs.view(-1, len(i))
        likely = [keep * (value == c).double() + (1 - keep) * noise[value] for c in (0, 1)]
        odds = (likely[1] / likely[0].clamp(min=1e-300)).clamp(1 / _MOST_ODDS, _MOST_ODDS)
        laplacian = odds.new_zeros(len(odds), n, n)
        laplacian[:, i, j] = laplacian[:, j, i] = -odds
        laplacian.diagonal(dim1=1, dim2=2).copy_(-laplacian.sum(2))
        inverse = factor(laplacian[:, 1:, 1:]).inverse
        green = torch.nn.functional.pad(inverse, (1, 0, 1, 0))
        at = green.diagonal(dim1=1, dim2=2)
        edge = (odds * (at[:, i] + at[:, j] - 2 * green[:, i, j])).clamp(0, 1).reshape(-1)
        pairs = torch.stack([1 - edge, edge, *[torch.zeros_like(edge)] * (len(noise) - 2)], 1)
        return Categories(torch.ones(len(state.nodes), 1, dtype=torch.float64), pairs)


def propagated(distribution: FiniteGraphs, path: Discrete, solver: DiscreteSolver, times: Tensor) -> Tensor:
    """Return the probabilities of the k graphs, and of all else, as the last state of a sampler.

    No state is drawn: the probabilities of all states are followed from the noise to the data. Only for
    graphs of few pairs, of which there are :math:`b^p` states, and one class of nodes.

    Parameters
    ----------
    distribution
        Gives the exact denoiser.
    path, solver, times
        The sampler; falling times ``[steps + 1]``.

    Returns
    -------
    Tensor
        ``[k + 1]``, float64.

    Raises
    ------
    ValueError
        If there are more than 4,096 states.
    """
    noise = path.noise_distribution.pairs
    clean = Types().read(distribution.graphs).pairs.view(len(distribution.graphs), -1)
    classes, entries = len(noise), clean.shape[1]
    if classes**entries > _MOST_STATES:
        raise ValueError(f"{classes}^{entries} states are too many; take at most {_MOST_STATES}.")
    axes = [torch.arange(classes)] * entries
    states = torch.cartesian_prod(*axes).view(-1, entries)
    nodes = torch.zeros(len(states) * int(distribution.graphs.sizes[0]), dtype=torch.int64)
    current = noise[states].prod(1)
    denoise = distribution.denoiser(path)
    stages = [stage for t, s in itertools.pairwise(times.tolist()) for stage in solver.stages(t, s)]
    for t, kernel in stages:
        estimate = denoise(Categories(nodes, states.reshape(-1)), times.new_tensor(t)).pairs
        rows = kernel(estimate, states.reshape(-1), noise).view(len(states), entries, classes)
        step = torch.ones(len(states), len(states), dtype=torch.float64)
        for e in range(entries):
            step *= rows[:, e][:, states[:, e]]
        current = torch.where(current > 0, current, 0.0) @ torch.where(current[:, None] > 0, step, 0.0)
    place = (states[None] == clean[:, None]).all(2).double()
    found = place @ current
    return torch.cat([found, (1 - found.sum()).clamp(min=0)[None]])
