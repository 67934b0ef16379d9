r"""The discrete path: every node and every pair keeps its class, or takes a class from a noise distribution.

With the share :math:`\kappa(t) = 1 - t` of entries that are still data, row vectors, and the noise
distribution m,

.. math:: q(x_t \mid x_0) = \kappa_t\, \delta_{x_0} + (1 - \kappa_t)\, m,
    \qquad q(x_t \mid x_s) = \tfrac{\kappa_t}{\kappa_s}\, \delta_{x_s}
    + \bigl(1 - \tfrac{\kappa_t}{\kappa_s}\bigr)\, m, \quad s < t.

Nodes have one noise distribution and pairs another, and all entries are independent. Pairs are those i < j of
`noisefold.geometry.pairs`, so that every state is a simple undirected graph.

All discrete schedules describe this one path: a schedule :math:`\bar\alpha` of another text is the time grid
:math:`t = 1 - \bar\alpha` (`noisefold.sample.Power`, `noisefold.sample.CosineGrid`).

Sources: Austin et al., Structured Denoising Diffusion Models in Discrete State-Spaces (2021),
https://arxiv.org/abs/2107.03006; Vignac et al., DiGress (2023), https://arxiv.org/abs/2209.14734; Campbell et
al., Generative Flows on Discrete State-Spaces (2024), https://arxiv.org/abs/2402.04997.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_ptr
from noisefold.noise.categories import Categories
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import Streams
from noisefold.noise.variable import Types

if TYPE_CHECKING:
    from noisefold.noise.coupling import Coupling
    from noisefold.noise.variable import Variable

__all__ = ["NOISES", "Discrete", "draw_classes", "posterior_table", "transition_matrix"]

_CATEGORICAL = ("types", "directed")
NOISES = ("marginal", "uniform", "absorbing")


@configurable
@dataclass(frozen=True)
class Discrete(ProbabilityPath[Categories]):
    """Independent noise on the classes of nodes and pairs.

    Parameters
    ----------
    nodes, pairs
        Shares of the classes in the data, a and b numbers that sum to 1; class 0 of the pairs is "no edge".
    noise
        The noise distribution: "marginal", that of the data; "uniform"; or "absorbing", one further class
        that says nothing and that no data have.
    margin
        The log-SNR is that of times within [margin, 1 - margin], so that it is finite.

    Raises
    ------
    ValueError
        If shares are negative or do not sum to 1, the noise is unknown, or the margin is out of its range.
    """

    nodes: tuple[float, ...]
    pairs: tuple[float, ...]
    noise: str = "marginal"
    margin: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("nodes", "pairs"):
            shares = getattr(self, name)
            if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
                raise ValueError(f"{name} must be shares of 0 or more that sum to 1, got {shares}.")
        if self.noise not in NOISES:
            raise ValueError(f"noise must be one of {', '.join(NOISES)}, got {self.noise!r}.")
        if not 0 < self.margin < 0.5:
            raise ValueError(f"margin must lie in (0, 0.5), got {self.margin}.")

    @classmethod
    def fit(cls, graphs: Graphs, noise: str = "marginal") -> Self:
        """Measure the shares of the classes in data whose types are named, or numbered from 0.

        A class that is named but does not occur counts half a time, so that held-out graphs may have it.

        Raises
        ------
        ValueError
            If there are no nodes.
        """
        if not graphs.num_nodes:
            raise ValueError("graphs hold no nodes; give at least one graph with nodes.")
        state = Types().read(graphs)
        pairs = torch.bincount(state.pairs, minlength=1 + max(1, len(graphs.edge_types)))
        nodes = torch.bincount(state.nodes, minlength=max(1, len(graphs.node_types)))
        return cls(_shares(nodes), _shares(pairs), noise)

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return f"discrete path, {self.noise} noise"

    def clip(self, t: Tensor) -> Tensor:
        """Return times kept within [0, 1]; both ends are part of the path."""
        return t.clamp(0, 1)

    def keep(self, t: Tensor) -> Tensor:
        r"""Return the share :math:`\kappa = 1 - t` of entries that are still data."""
        return 1 - t

    def log_snr(self, t: Tensor) -> Tensor:
        r"""Return :math:`2 \log(\kappa / (1 - \kappa))`, so that the signal level is kappa."""
        t = t.clamp(self.margin, 1 - self.margin)
        return 2 * torch.log((1 - t) / t)

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times of log signal-to-noise ratios."""
        return torch.sigmoid(-log_snr / 2)

    def check(self, variable: Variable[Categories]) -> None:
        """Refuse a variable that is not of classes.

        Raises
        ------
        ValueError
            If it is not.
        """
        if variable.name not in _CATEGORICAL:
            raise ValueError(
                f"variable={variable.name!r} has no classes; a discrete path goes with variable='types'."
            )

    @property
    def shares(self) -> Categories:
        """Shares of the classes in the data, ``[a]`` and ``[b]`` with a 0 for an absorbing class, float64."""
        nodes, pairs = (
            torch.tensor(self._states(shares), dtype=torch.float64) for shares in (self.nodes, self.pairs)
        )
        return Categories(nodes, pairs)

    def _states(self, shares: tuple[float, ...]) -> list[float]:
        # A single class says nothing that noise could hide.
        return [*shares, 0.0] if self.noise == "absorbing" and len(shares) > 1 else list(shares)

    @property
    def noise_distribution(self) -> Categories:
        """The noise distributions m, of the shape of `shares`."""
        if self.noise == "marginal":
            return self.shares
        if self.noise == "uniform":
            return self.shares.map(lambda s: torch.full_like(s, 1 / len(s)))
        return self.shares.map(lambda s: torch.eye(len(s), dtype=s.dtype)[-1])

    def prior(self, graphs: Graphs, like: Categories, t: Tensor, random: Streams) -> Categories:
        """Draw from the noise distribution; at a time before 1, from the marginal of independent entries."""
        keep = float(self.keep(t))
        mixed = self.noise_distribution.map(lambda m, s: keep * s + (1 - keep) * m, self.shares)
        every = mixed.map(lambda m, v: m.to(v.device).expand(len(v), -1), like)
        return draw_classes(every, graphs, random)

    def corrupt(
        self, clean: Categories, t: Tensor, graphs: Graphs, random: Streams, coupling: Coupling | None = None
    ) -> Categories:
        """Draw from q(x_t | x_0); noise on classes has no coupling with the data."""
        return self._noised(clean, self.keep(t), graphs, random)

    def renoise(self, state: Categories, s: Tensor, t: Tensor, graphs: Graphs, random: Streams) -> Categories:
        """Draw from q(x_t | x_s)."""
        return self._noised(state, self.keep(t) / self.keep(s), graphs, random)

    def _noised(self, state: Categories, keep: Tensor, graphs: Graphs, random: Streams) -> Categories:
        """Keep each entry with a probability, a scalar or ``[g]``, or draw it from the noise."""
        keep = keep.to(graphs.device)
        shares = per_entry(keep.expand(len(graphs)), graphs)
        kept = uniforms(graphs, random, keep).map(torch.lt, shares)
        noise = self.noise_distribution.map(lambda m, v: m.to(v.device).expand(len(v), -1), state)
        return kept.map(torch.where, state, draw_classes(noise, graphs, random))

    def log_likelihood(self, state: Categories, t: Tensor, graphs: Graphs) -> Categories:
        """Return log q(x_t | x_0 = x) for every class x of the data, ``[n, a]`` and ``[p, b]``, float64."""
        keep = per_entry(self.keep(t).double().to(graphs.device).expand(len(graphs)), graphs)

        def rows(m: Tensor, value: Tensor, kept: Tensor) -> Tensor:
            m = m.to(value.device)
            noise = (1 - kept) * m[value]
            same = torch.nn.functional.one_hot(value, len(m)) * kept[:, None]
            return torch.log(noise[:, None] + same)

        return self.noise_distribution.map(rows, state, keep)


def transition_matrix(keep: float, noise: Tensor) -> Tensor:
    r"""Return the matrix :math:`\kappa I + (1 - \kappa)\, 1 m^\top` of a kernel, ``[k, k]``."""
    return keep * torch.eye(len(noise), dtype=noise.dtype, device=noise.device) + (1 - keep) * noise


def posterior_table(keep_s: float, keep_t: float, noise: Tensor) -> Tensor:
    r"""Return :math:`q(x_s \mid x_t, x_0)` for s < t as ``[x_0, x_t, x_s]``.

    .. math:: q(x_s \mid x_t, x_0) = \frac{q(x_t \mid x_s)\, q(x_s \mid x_0)}{q(x_t \mid x_0)}

    Where x_t cannot be reached from x_0 it is 0.

    Parameters
    ----------
    keep_s, keep_t
        The shares kappa at s and t.
    noise
        The noise distribution, ``[k]``.
    """
    step = transition_matrix(keep_t / keep_s, noise)
    early, late = transition_matrix(keep_s, noise), transition_matrix(keep_t, noise)
    joint = early[:, None, :] * step.T[None, :, :]
    return torch.where(late[:, :, None] > 0, joint / late.clamp(min=1e-300)[:, :, None], 0.0)


def per_entry(values: Tensor, graphs: Graphs) -> Categories:
    """Return the value of each graph ``[g]`` for each of its nodes and pairs."""
    pairs = pair_ptr(graphs.ptr).diff()
    return Categories(values[graphs.batch], torch.repeat_interleave(values, pairs))


def uniforms(graphs: Graphs, random: Streams, like: Tensor) -> Categories:
    """Draw a uniform number for each node and each pair, from the stream of its graph."""
    pairs = pair_ptr(graphs.ptr).diff()
    return Categories(random.uniform(graphs.sizes, 1, like)[:, 0], random.uniform(pairs, 1, like)[:, 0])


def draw_classes(probabilities: Categories, graphs: Graphs, random: Streams) -> Categories:
    """Draw a class for each node and pair, from ``[n, a]`` and ``[p, b]`` that sum to 1 row by row."""
    drawn = uniforms(graphs, random, torch.empty(0, dtype=torch.float64, device=graphs.device))

    def chosen(p: Tensor, u: Tensor) -> Tensor:
        cumulative = p.double().cumsum(1)
        # The draw is scaled to the sum, so that rounding gives no class of probability 0.
        return (cumulative <= u[:, None] * cumulative[:, -1:]).sum(1)

    return probabilities.map(chosen, drawn)


def _shares(counts: Tensor) -> tuple[float, ...]:
    if not int(counts.sum()):  # graphs of one node have no pairs
        counts = counts.index_fill(0, torch.zeros(1, dtype=torch.int64), 1)
    seen = torch.where(counts > 0, counts.double(), 0.5)
    return tuple((seen / seen.sum()).tolist())
