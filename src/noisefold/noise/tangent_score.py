r"""The score on a manifold, as what a network predicts.

With diffusion time s a network answers :math:`r \approx \sqrt s\, \nabla_x \log p_s(x)`, projected to the
tangent space. It is of unit scale where s is small, and zero is the exact answer where s is large, and for
uniform data at every time. Its squared error at times that are uniform in :math:`\log s` is, up to a
constant, the variable part of the bound on the log-likelihood.

The estimate of the data that solvers take is Tweedie's, :math:`\hat x_0 = \exp_x (s\, \nabla \log p_s)`. On a
plane that is the posterior mean; on a manifold it is a point from which the score can be read again,
:math:`\log_x \hat x_0 / s`.

Source: Song et al., Score-Based Generative Modeling through Stochastic Differential Equations (2021),
https://arxiv.org/abs/2011.13456; De Bortoli et al. (2022), https://arxiv.org/abs/2202.02763.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.prediction import Prediction, graph_means
from noisefold.noise.riemannian import Riemannian
from noisefold.noise.variable import Known

__all__ = ["TangentScore"]

_LONGEST = 3.0  # of the step to the estimate: beyond pi the score could not be read again


@configurable
@dataclass(frozen=True)
class TangentScore(Prediction[Tensor, Tensor]):
    r"""The score times :math:`\sqrt s`, on a `noisefold.noise.Riemannian` path."""

    name: ClassVar[str] = "tangent score"
    error_name: ClassVar[str] = "Mean squared chord"

    def inputs(self, state: Tensor, t: Tensor, path: Riemannian, graphs: Graphs) -> Tensor:
        """Return the state: unit vectors."""
        return state

    def estimate(self, answer: Tensor, state: Tensor, t: Tensor, path: Riemannian, graphs: Graphs) -> Tensor:
        """Return Tweedie's estimate of the data, points ``[n, columns]``."""
        s = path.diffusion(t)[graphs.batch, None]
        step = s.sqrt() * path.manifold.tangent(state, answer.to(state))
        length = step.square().sum(1, keepdim=True).clamp(min=1e-30).sqrt()
        return path.manifold.exp(state, step * (_LONGEST / length).clamp(max=1.0))

    def baseline(self, state: Tensor, t: Tensor, path: Riemannian, graphs: Graphs) -> Tensor:
        """Return the estimate of a score of zero: the state."""
        return state

    def error(self, estimate: Tensor, clean: Tensor, graphs: Graphs) -> Tensor:
        """Return the mean squared chord over the nodes of each graph, ``[g]``."""
        return graph_means(graphs, (estimate - clean).square().sum(1))

    def guided(self, both: Tensor, weight: float) -> Tensor:
        """Return the estimate moved along the difference that classes make, ``[n, columns]``.

        It lies off the manifold; a solver projects it.
        """
        conditional, unconditional = both.chunk(2)
        return unconditional + weight * (conditional - unconditional)

    def loss(
        self,
        answer: Tensor,
        clean: Tensor,
        state: Tensor,
        t: Tensor,
        path: Riemannian,
        graphs: Graphs,
        known: Known[Tensor] | None,
    ) -> Tensor:
        """Return the mean squared error of the score for each dimension, ``[g]``; 1 for zero near the data.

        Raises
        ------
        ValueError
            If the data are no points of the manifold, or observed in part.
        """
        path.manifold.check(clean, "the data")
        # Directions between points that are 4e-4 apart, in single precision, would be off by a thousandth.
        at = state.double()
        s = path.diffusion(t.double())[graphs.batch, None]
        target = s.sqrt() * path.manifold.score(at, path.manifold.project(clean.double()), s)
        difference = path.manifold.tangent(state, answer.to(state)) - target.to(state)
        if known is not None:
            path.check_observed(known.mask)
            difference = difference.masked_fill(known.mask, 0.0)
        return graph_means(graphs, difference.square().sum(1) / path.manifold.dimension)
