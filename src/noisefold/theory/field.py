r"""Exact denoisers of fields: Gaussian processes on the nodes of graphs, at every noise level.

A field :math:`x_0 \sim N(m, C)`, :math:`C = k(\mathrm{pos}, \mathrm{pos})`, independent and identically
distributed in every column, under white or correlated noise of covariance K has

.. math:: x_t \sim N(\alpha m, V), \qquad V = \alpha^2 C + \sigma^2 K, \qquad
    \nabla \log p_t = -V^{-1} (x - \alpha m),

.. math:: E[x_0 \mid x_t] = m + \alpha C V^{-1} (x_t - \alpha m), \qquad
    \mathrm{Cov}[x_0 \mid x_t] = \sigma^2 C V^{-1} K .

Given observed values y at some nodes o, the field is Gaussian again,
:math:`m' = m + C_{\cdot o} C_{oo}^{-1} (y - m_o)` and :math:`C' = C - C_{\cdot o} C_{oo}^{-1} C_{o \cdot}`,
so that the conditional distribution has the same closed forms at every noise level.

A kernel of o outputs, of the field or of the noise, correlates columns: there are then o of them, and all
above is of the values ``[n, o]`` read row by row, with matrices ``[n o, n o]``.

Source: Mathieu et al., Geometric Neural Diffusion Processes, appendix B, https://arxiv.org/abs/2307.05431;
Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapter 2,
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.gp import cholesky, condition, factor
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.kernels import Kernel
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams
from noisefold.theory.spectral import DiagonalMixture, Seen

__all__ = ["Field", "GaussianProcess"]


@configurable
@dataclass(frozen=True)
class GaussianProcess:
    """A distribution of fields: a Gaussian process with a constant mean.

    Parameters
    ----------
    kernel
        Covariance of the data. Lengths are in the unit of the graphs' positions.
    mean
        m, the same everywhere.
    jitter
        Smallest share of white noise added to the covariance; see `noisefold.geometry.factor`.

    Examples
    --------
    >>> import torch, noisefold as nf
    >>> law = nf.theory.GaussianProcess(nf.noise.Stationary(nf.theory.Matern(0.5)))
    >>> line = nf.geometry.Graphs(torch.linspace(0, 1, 5)[:, None])
    >>> field = law.on(line, nf.noise.Gaussian())
    >>> field.denoise(torch.ones(5, 2), torch.tensor(0.5)).shape
    torch.Size([5, 2])
    """

    kernel: Kernel
    mean: float = 0.0
    jitter: float = 1e-10

    def on(self, graphs: Graphs, path: Gaussian) -> Field:
        """Return the distribution on the nodes of graphs with the same positions, under the noise of a path.

        Raises
        ------
        ValueError
            If the positions of two graphs differ, the covariance cannot be factorised, kernels of field and
            noise have different numbers of outputs, or the path's source is neither `White` nor `GPNoise`.
        """
        places = _places(graphs)
        kernels = [self.kernel] if path.source.process is None else [self.kernel, path.source.process.kernel]
        outputs = {kernel.outputs for kernel in kernels if kernel.scalar is None}
        if len(outputs) > 1:
            raise ValueError(f"kernel must have as many outputs as that of the noise, got {sorted(outputs)}.")
        o = outputs.pop() if outputs else 1
        covariance, _ = cholesky(self.kernel.scalar or self.kernel, places, self.jitter)
        noise = _noise(path, places)
        n = o * len(places)
        mean = torch.full((len(graphs), n, 1), self.mean, dtype=torch.float64, device=places.device)
        lifted = (None if value is None else _of_all(value, n) for value in (covariance, noise))
        return Field(graphs, path, mean, *lifted)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Field:
    """A Gaussian distribution of fields on g graphs of n nodes, and its marginals and posteriors on a path.

    Where columns are correlated, n counts the values of all of them, row by row. States are ``[g n, f]`` as
    in the graphs, times a scalar or ``[g]``. Computed in float64 whatever the type of the states, in which
    results are returned. Made by `GaussianProcess.on`; `denoise` has the signature
    that solvers ask for. Making it takes of the order of n^3 operations, a call n^2 for each column.

    Attributes
    ----------
    graphs, path
        The nodes, and how their values are noised.
    mean
        m, ``[g, n, 1]`` or ``[g, n, f]``.
    covariance
        C, of a column or of all values, ``[n, n]``.
    noise
        K, ``[n, n]``; None for the identity.
    """

    graphs: Graphs
    path: Gaussian
    mean: Tensor
    covariance: Tensor
    noise: Tensor | None = None

    def sample(self, columns: int, streams: Streams, t: Tensor | None = None) -> Tensor:
        """Draw ``[g n, f]``, float64: of the data, or of x_t at times t; one stream for each graph."""
        white = streams.normal(self.graphs.sizes, columns, torch.empty(0, dtype=torch.float64))
        self._check(white)
        g, n, _ = self.mean.shape
        half = (self._diagonal.basis[0] * self._diagonal.spread[0].sqrt()).to(white)
        parts = [half @ z for z in white.reshape(g, n, -1)]
        x0 = self._flat(torch.stack(parts).to(self.mean) + self.mean)
        if t is None:
            return x0
        graphs = self.graphs.to(dtype=torch.float64)
        eps = self.path.source.draw(graphs, columns, streams)
        return self.path.mix(x0, eps, self._times(t).repeat_interleave(len(x0) // g)[:, None])

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the joint log-density of the marginal in nats, over nodes and columns, ``[g]``."""
        return self._see(x, t)[0].log_prob.reshape(len(self.graphs), -1).sum(1).to(x.dtype)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        r"""Return the gradient of the log-density of the marginal, ``[g n, f]``.

        Under correlated noise what a network of target "score" learns is K times this.
        """
        return self._rows(self._see(x, t)[0].score, x)

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the posterior mean of the data, E[x_0 | x_t], ``[g n, f]``."""
        seen, mean = self._see(x, t)
        return self._rows(seen.mean + mean, x)

    def posterior_covariance(self, t: Tensor) -> Tensor:
        """Return the covariance of a column (or all values) of the data given x_t, ``[n, n]``, at a time."""
        mixture = self._diagonal
        alpha, sigma = (f(t.to(mixture.means)) for f in (self.path.schedule.alpha, self.path.schedule.sigma))
        narrow = sigma**2 * mixture.spread[0] / (alpha**2 * mixture.spread[0] + sigma**2)
        return (mixture.basis[0] * narrow) @ mixture.basis[0].mT

    def given(self, value: Tensor, known: Tensor) -> Field:
        """Return the conditional distribution, given the clean values of some nodes.

        Parameters
        ----------
        value
            ``[g n, f]``; other nodes are ignored.
        known
            Which nodes are observed, bool ``[n]``, the same in every graph and column; of correlated columns
            which values, ``[n]`` row by row.

        Raises
        ------
        ValueError
            If the shapes do not fit, or the observed covariance is singular (a node observed before).
        """
        g, n, _ = self.mean.shape
        if known.dtype != torch.bool or tuple(known.shape) != (n,):
            raise ValueError(
                f"known must be bool [{n}], one for each node of a graph (of all its values row by row), "
                f"got {known.dtype} {list(known.shape)}."
            )
        self._check(value)
        known = known.to(self.mean.device)
        y = value.to(self.mean).reshape(g, n, -1)
        across = self.covariance[known]
        observed = factor(
            across[:, known],
            climb=False,
            name="the covariance of the known nodes",
            advice="leave out those known before",
        )
        conditional = condition(observed, across)
        mean = self.mean + conditional.mean(y[:, known] - self.mean[:, known])
        rest = conditional.covariance(self.covariance)
        # Known values are certain: rounding would leave them 1e-16 of variance, of either sign.
        mean[:, known] = y[:, known]
        rest[known], rest[:, known] = 0.0, 0.0
        return dataclasses.replace(self, mean=mean, covariance=rest)

    # -- workings ---------------------------------------------------------------------------------------

    @cached_property
    def _diagonal(self) -> DiagonalMixture:
        one = self.covariance.new_ones(1)
        centre = self.covariance.new_zeros(1, len(self.covariance))
        return DiagonalMixture.of(one, centre, self.covariance[None], self.noise)

    def _see(self, x: Tensor, t: Tensor) -> tuple[Seen, Tensor]:
        """Return centred states as rows of one column and graph each, ``[g f, n]``, and the means."""
        self._check(x)
        g, n, _ = self.mean.shape
        states = x.to(self.mean).reshape(g, n, -1).mT
        columns = states.shape[1]
        times = self._times(t).repeat_interleave(columns)
        alpha, sigma = self.path.schedule.alpha(times), self.path.schedule.sigma(times)
        mean = self.mean.mT.expand(g, columns, n).reshape(-1, n)
        rows = states.reshape(-1, n) - alpha[:, None] * mean
        return self._diagonal.see(rows, alpha, sigma), mean

    def _times(self, t: Tensor) -> Tensor:
        if t.numel() not in (1, len(self.graphs)):
            raise ValueError(f"t must be a scalar or [{len(self.graphs)}], got {list(t.shape)}.")
        return t.to(self.mean).reshape(-1).expand(len(self.graphs))

    def _rows(self, values: Tensor, x: Tensor) -> Tensor:
        """Return rows ``[g f, n]`` in the layout and type of states ``[g n, f]``."""
        g, n, _ = self.mean.shape
        return self._flat(values.reshape(g, -1, n).mT).to(x)

    def _flat(self, values: Tensor) -> Tensor:
        """Return ``[g, n, f]`` in the layout of states."""
        return values.reshape(self.graphs.num_nodes, -1)

    def _check(self, x: Tensor) -> None:
        g, n, columns = self.mean.shape
        nodes = self.graphs.num_nodes
        columns = columns * g * n // max(1, nodes)
        if x.ndim != 2 or len(x) != nodes or columns not in (1, x.shape[1]):
            asked = "f" if columns == 1 else str(columns)
            raise ValueError(f"states must be [{nodes}, {asked}], got {list(x.shape)}.")


def _places(graphs: Graphs) -> Tensor:
    """Return the positions ``[n, d]`` that all graphs share, float64."""
    size = graphs.uniform
    if not len(graphs) or size is None:
        raise ValueError(f"graphs must be one or more of one size, got sizes {graphs.sizes.tolist()[:8]}.")
    every = graphs.pos.double().reshape(len(graphs), size, -1)
    if not bool((every == every[0]).all()):
        raise ValueError("graphs must all have the same positions; call on() for each kind of them.")
    return every[0]


def _of_all(covariance: Tensor, n: int) -> Tensor:
    """Return the covariance ``[n, n]`` of all values of independent columns, from that of one."""
    copies = n // len(covariance)
    return covariance if copies == 1 else torch.kron(covariance, torch.eye(copies).to(covariance))


def _noise(path: Gaussian, pos: Tensor) -> Tensor | None:
    source = path.source
    if source.white:
        return None
    if source.process is not None:
        return source.process.covariance(pos)
    raise ValueError(f"source must be White() or GPNoise(kernel) for an exact denoiser, got {source!r}.")
