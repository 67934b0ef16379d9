r"""The prediction on discrete paths: the probability of every class of each node and pair in the data.

With the data's shares :math:`p`, an entry that is independent of all others has the posterior

.. math:: P(x_0 = x \mid x_t) \propto p_x\, q(x_t \mid x_0 = x),

the only exact answer that needs no network. A network's answer is added to its logarithm (*prior logits*), so
that a network that answers zero is right wherever entries are independent, and classes that cannot have led
to the state have probability 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_ptr
from noisefold.noise.categories import Categories
from noisefold.noise.discrete import Discrete
from noisefold.noise.prediction import Prediction, graph_means
from noisefold.noise.variable import Known

__all__ = ["Classes"]


@configurable
@dataclass(frozen=True)
class Classes(Prediction[Categories, Categories]):
    r"""Posterior probabilities of the classes, learned by cross-entropy.

    .. math:: L = \frac1n \sum_i -\log \hat p(x_i) + w\, \frac1{|P|} \sum_{i<j} -\log \hat p(e_{ij})

    Source: Vignac et al., DiGress (2023), eq. 2, https://arxiv.org/abs/2209.14734.

    Parameters
    ----------
    pair_weight
        Weight w of the pairs.
    prior_logits
        Whether the posterior of independent entries is added to the network's answer. Without it only the
        impossible classes are excluded.

    Raises
    ------
    ValueError
        If the weight is not positive.
    """

    name: ClassVar[str] = "classes"
    error_name: ClassVar[str] = "Weighted cross-entropy"

    pair_weight: float = 5.0
    prior_logits: bool = True

    def __post_init__(self) -> None:
        if not self.pair_weight > 0:
            raise ValueError(f"pair_weight must be positive, got {self.pair_weight}.")

    def inputs(self, state: Categories, t: Tensor, path: Discrete, graphs: Graphs) -> Categories:
        """Return the state."""
        return state

    def estimate(
        self, answer: Categories, state: Categories, t: Tensor, path: Discrete, graphs: Graphs
    ) -> Categories:
        """Return the probabilities of the classes, ``[n, a]`` and ``[p, b]``."""
        return self._log_probabilities(answer, state, t, path, graphs).map(torch.exp)

    def baseline(self, state: Categories, t: Tensor, path: Discrete, graphs: Graphs) -> Categories:
        """Return the posterior of independent entries."""
        return self._independent(state, t, path, graphs).map(lambda v: torch.softmax(v, 1))

    def error(self, estimate: Categories, clean: Categories, graphs: Graphs) -> Tensor:
        """Return the weighted cross-entropy of the data under an estimate, ``[g]``."""
        surprise = estimate.map(lambda p, c: -torch.log(p.gather(1, c[:, None])[:, 0]), clean)
        return self._weighted(surprise, graphs)

    def guided(self, both: Categories, weight: float) -> Categories:
        r"""Return :math:`\hat p \propto p_\varnothing (p_y / p_\varnothing)^w`."""

        def tilted(p: Tensor) -> Tensor:
            conditional, plain = p.clamp(min=1e-30).log().chunk(2)
            return torch.softmax(plain + weight * (conditional - plain), 1)

        return both.map(tilted)

    def loss(
        self,
        answer: Categories,
        clean: Categories,
        state: Categories,
        t: Tensor,
        path: Discrete,
        graphs: Graphs,
        known: Known[Categories] | None,
    ) -> Tensor:
        """Return the weighted cross-entropy of each graph, ``[g]``; what is observed has none."""
        found = self._log_probabilities(answer, state, t, path, graphs)
        surprise = found.map(lambda p, c: -p.gather(1, c[:, None])[:, 0], clean)
        if known is not None:
            surprise = surprise.map(lambda v, m: v.masked_fill(m, 0.0), known.mask)
        return self._weighted(surprise, graphs)

    def _log_probabilities(
        self, answer: Categories, state: Categories, t: Tensor, path: Discrete, graphs: Graphs
    ) -> Categories:
        independent = self._independent(state, t, path, graphs)
        if not self.prior_logits:
            independent = independent.map(lambda v: v.masked_fill(v > -torch.inf, 0.0))
        return independent.map(lambda v, a: torch.log_softmax(a.float() + v.float(), 1), answer)

    def _independent(self, state: Categories, t: Tensor, path: Discrete, graphs: Graphs) -> Categories:
        """Return the logarithm of the posterior of independent entries, not normalised, float64."""
        found = path.log_likelihood(state, t, graphs)
        return path.shares.map(lambda s, v: torch.log(s.to(v.device)) + v, found)

    def _weighted(self, values: Categories, graphs: Graphs) -> Tensor:
        counts = pair_ptr(graphs.ptr).diff()
        owner = torch.repeat_interleave(torch.arange(len(graphs), device=graphs.device), counts)
        sums = values.pairs.new_zeros(len(graphs)).index_add(0, owner, values.pairs)
        return graph_means(graphs, values.nodes) + self.pair_weight * sums / counts.clamp(min=1)
