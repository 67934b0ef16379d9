r"""Latent positions of the nodes of graphs, by variational inference.

Every node has a latent vector, whose posterior is approximated by a normal distribution with independent
coordinates. Means, deviations and the decoder's numbers raise the evidence lower bound

.. math:: \sum_{i < j} E_q \log p(a_{ij} \mid z_i, z_j) - \sum_i \mathrm{KL}\bigl(q(z_i) \,\|\, N(0, I)\bigr)

by Adam, from eigenvectors of the normalised adjacency matrix on. Coordinates that explain fewer edges than
they cost are left at the prior. The bound is a description length, and decides between numbers of
dimensions.

Source: Hoff, Raftery and Handcock, Latent space approaches to social network analysis (2002),
https://doi.org/10.1198/016214502388618906; Kipf and Welling, Variational graph auto-encoders (2016),
https://arxiv.org/abs/1611.07308.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from noisefold.geometry.gp import eigh
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pair_decoder import SIZE, PairDecoder
from noisefold.geometry.pair_strata import PairStrata, simple_edges
from noisefold.geometry.segment import segment_mean
from noisefold.progress import progress

__all__ = ["Posterior", "fitted"]

_RATE, _DECODER_RATE = 0.2, 0.1
_START_DEVIATION, _START_SOCIALITY = 0.3, 0.5
_START_LENGTH = 1.0  # mean square of edges at the start, in units of the decoder
_SHORTEST, _MOST_CONTRACTION = 1e-2, 2.0  # length of an edge at the start, and e there
_ALIKE = 0.2  # of log sizes, from which on contraction cannot be seen
_LARGEST = 3.0  # of the start, in standard deviations of the prior
_DENSE = 300  # nodes up to which all eigenvectors are computed
_ACCURACY, _KRYLOV = 1e-6, 60  # of the others: the largest eigenvalues of long graphs lie close together
_TAIL = 0.1  # of the steps, over which the bound is averaged

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Posterior:
    """What was inferred of the nodes of some graphs.

    Parameters
    ----------
    mean, deviation
        Of each coordinate of each node, ``[n, d + 1]``, float32; the last is the node's sociality.
    decoder
        Pairs' probabilities from such vectors.
    bound
        Evidence lower bound for each edge, in nats.
    """

    mean: Tensor
    deviation: Tensor
    decoder: PairDecoder
    bound: float

    def drawn(self, graphs: Graphs) -> Tensor:
        """Draw latent vectors ``[n, d + 1]``; those of a graph are a function of it alone."""
        noise = torch.cat([_noise(n, self.mean.shape[1], 0) for n in graphs.sizes.tolist()])
        return self.mean + self.deviation * noise


def fitted(graphs: Graphs, dim: int, steps: int, decoder: PairDecoder | None = None) -> Posterior:
    """Return the approximate posterior of latent vectors, and the decoder that goes with it.

    Parameters
    ----------
    graphs
        Simple undirected graphs, one at least with an edge.
    dim
        Dimensions d of the latent space.
    steps
        Steps of Adam.
    decoder
        Kept as it is; None fits it together with the vectors. With it the vectors of a graph do not depend on
        other graphs, up to rounding.
    """
    graphs = graphs.to("cpu")
    start, strata = _start(graphs, dim), PairStrata.of(graphs)
    length = _lengths(start, strata.edges, graphs)
    unit = torch.ones_like(start)  # steps are as long as edges: those of large graphs are short
    unit[:, :-1] = length.clamp(max=1.0)[graphs.batch, None]
    moved = torch.zeros_like(start).requires_grad_()
    log_deviation = (_START_DEVIATION * unit).log().requires_grad_()
    log_scale, bias = _numbers(decoder, length, graphs, dim)
    groups: list[dict[str, object]] = [{"params": [moved, log_deviation], "lr": _RATE}]
    if decoder is None:
        groups.append({"params": [log_scale.requires_grad_(), bias.requires_grad_()], "lr": _DECODER_RATE})
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: 0.01 + 0.5 * (1 + math.cos(math.pi * k / steps))
    )
    size = (graphs.sizes.float() / SIZE).log()[graphs.batch]
    softplus, bounds = torch.nn.functional.softplus, []
    noises = _noises(graphs.sizes.tolist(), dim + 1)
    with torch.enable_grad(), progress("latent positions", steps) as advance:
        for step in range(steps):
            mean = start + unit * moved
            z = (mean + log_deviation.exp() * next(noises)) * log_scale.exp()
            z = torch.cat([z[:, :-1] * (0.5 * bias[2] * size[:, None]).exp(), z[:, -1:]], 1)
            others, weight = strata.turn(step)
            missed = softplus(-_logits(z, strata.edges, bias, size)).sum()
            wrong = (weight * softplus(_logits(z, others, bias, size))).sum()
            divergence = 0.5 * (mean.square() + (2 * log_deviation).exp() - 1 - 2 * log_deviation).sum()
            loss = missed + wrong + divergence  # a sum, so that gradients do not depend on other graphs
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            bounds.append(-float(loss.detach()) / max(1, strata.edges.shape[1]))
            advance(1, "")
    if decoder is None:
        scales = log_scale.detach().exp().tolist()
        decoder = PairDecoder(tuple(scales[:dim]), scales[dim], *bias.detach().tolist())
    last = bounds[-max(1, int(_TAIL * steps)) :]
    mean, deviation = _signed((start + unit * moved).detach(), graphs), log_deviation.detach().exp()
    return Posterior(mean, deviation, decoder, sum(last) / len(last))


def _lengths(start: Tensor, edges: Tensor, graphs: Graphs) -> Tensor:
    """Return the root mean square length of each graph's edges at the start, ``[g]``; 1 without edges."""
    one, other = start[edges]
    owner = graphs.batch[edges[0]]
    square = segment_mean((one - other)[:, :-1].square().sum(1, keepdim=True), owner, len(graphs))[:, 0]
    count = torch.bincount(owner, minlength=len(graphs))
    return torch.where(count > 0, square.sqrt().clamp(min=_SHORTEST), 1.0)


def _numbers(decoder: PairDecoder | None, length: Tensor, graphs: Graphs, dim: int) -> tuple[Tensor, Tensor]:
    """Return the logarithms of a decoder's scales ``[d + 1]``, and b, c and e ``[3]``.

    Without a decoder they are where to start: edges of the start have unit length in graphs of any size.
    """
    if decoder is not None:
        scales = torch.tensor([*decoder.scales, decoder.sociality])
        return scales.clamp(min=1e-6).log(), torch.tensor([decoder.bias, decoder.growth, decoder.contraction])
    size, square = (graphs.sizes.float() / SIZE).log(), 2 * length.log()
    centred, contraction = size - size.mean(), 0.0
    if float(centred.abs().max()) > _ALIKE:
        contraction = -float((centred * square).sum() / centred.square().sum())
        contraction = min(_MOST_CONTRACTION, max(0.0, contraction))
    log_scale = torch.zeros(dim + 1)
    log_scale[:-1] = 0.5 * (math.log(_START_LENGTH) - float((square + contraction * size).mean()))
    log_scale[-1] = math.log(_START_SOCIALITY)
    return log_scale, torch.tensor([_START_LENGTH, 0.0, contraction])


def _logits(z: Tensor, pairs: Tensor, bias: Tensor, size: Tensor) -> Tensor:
    one, other = z[pairs[0]], z[pairs[1]]
    step = one[:, :-1] - other[:, :-1]
    level = bias[0] + bias[1] * size[pairs[0]] + one[:, -1] + other[:, -1]
    return level - step.square().sum(1)


def _signed(mean: Tensor, graphs: Graphs) -> Tensor:
    """Return the same up to the signs of coordinates, of which no pair depends: with a positive skewness."""
    skew = segment_mean(mean.double().pow(3), graphs.batch, len(graphs))
    sign = torch.where(skew < 0, -1.0, 1.0)
    sign[:, -1] = 1.0
    return mean * sign.to(mean)[graphs.batch]


def _noise(nodes: int, columns: int, seed: int) -> Tensor:
    return torch.randn(nodes, columns, generator=torch.Generator().manual_seed(seed))


def _noises(sizes: list[int], columns: int) -> Iterator[Tensor]:
    """Yield noise for all nodes, in which that of a graph depends on no other."""
    generators = [torch.Generator().manual_seed(1) for _ in sizes]
    while True:
        yield torch.cat(
            [torch.randn(n, columns, generator=g) for n, g in zip(sizes, generators, strict=True)]
        )


def _start(graphs: Graphs, dim: int) -> Tensor:
    """Return the start of the means, ``[n, d + 1]``: eigenvectors, and the logarithm of degrees."""
    edges, parts = simple_edges(graphs).numpy(), []
    bounds = np.searchsorted(edges[0], graphs.ptr.numpy())
    for k, n in enumerate(graphs.sizes.tolist()):
        ends = edges[:, bounds[k] : bounds[k + 1]] - int(graphs.ptr[k])
        degree = np.bincount(ends.reshape(-1), minlength=n).astype(float)
        level = np.log1p(degree)
        level = (level - level.mean()) / _START_SOCIALITY
        parts.append(np.column_stack([_eigenvectors(n, ends, degree, dim), level]))
    start = np.concatenate(parts) if parts else np.empty((0, dim + 1))
    return torch.from_numpy(start).float().clamp(-_LARGEST, _LARGEST)


def _eigenvectors(n: int, ends: NDArray[np.int64], degree: _Array, dim: int) -> _Array:
    """Return a start of the places, ``[n, d]``: eigenvectors of each component, about a random centre.

    All components together have about unit variance, so that the centre of a large one is near 0.
    """
    rng, out = np.random.default_rng(n), np.zeros((n, dim))
    weight = 1 / np.sqrt(degree.clip(min=1))
    values = weight[ends[0]] * weight[ends[1]]
    matrix = sparse.coo_array((values, (ends[0], ends[1])), shape=(n, n)).tocsr()
    matrix = (matrix + matrix.T).tocsr()
    count, component = sparse.csgraph.connected_components(matrix, directed=False)
    order, sizes = np.argsort(component, kind="stable"), np.bincount(component, minlength=count)
    for nodes in np.split(order, np.cumsum(sizes)[:-1]):
        share = len(nodes) / max(1, n)
        out[nodes] = rng.standard_normal(dim) * math.sqrt(1 - share)
        if len(nodes) > 1:
            within = matrix if count == 1 else matrix[nodes][:, nodes]
            out[nodes] += _of_component(within, weight[nodes], dim) * math.sqrt(share)
    return out


def _of_component(matrix: Any, weight: _Array, dim: int) -> _Array:
    """Return eigenvectors of a connected graph's random walk after the first, of unit variance."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    n, out = len(weight), np.zeros((len(weight), dim))
    count = min(dim + 1, n)
    if n <= _DENSE:
        found = eigh(torch.from_numpy(matrix.toarray()))[1].numpy()[:, ::-1]
    else:
        begin = np.random.default_rng(n).standard_normal(n)
        try:
            values, vectors = eigsh(matrix, count, which="LA", v0=begin, tol=_ACCURACY, ncv=_KRYLOV)
        except ArpackNoConvergence as stopped:
            values, vectors = stopped.eigenvalues, stopped.eigenvectors
        found = vectors[:, np.argsort(-values)]
    found = found[:, 1:count] * weight[:, None]
    spread = found.std(0)
    found = np.where(spread > 1e-9, found / np.where(spread > 1e-9, spread, 1.0), 0.0)
    out[:, : found.shape[1]] = found * np.where((found**3).sum(0) < 0, -1.0, 1.0)
    return out
