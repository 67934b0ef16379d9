r"""Exact denoisers on joint paths, for distributions of finitely many graphs with positions.

Given the data the parts of a joint state are independent, so that with weights :math:`p_k`

.. math:: P(k \mid x_t) \propto p_k\, N\bigl(x_t^{pos};\, \alpha x_k^{pos}, \sigma^2\bigr)
          \prod_e q\bigl(x_t^e \mid x_0^e = x_k^e\bigr),

and the estimate is the mean of the positions and the marginals of the types under it. An error of a sampler
that uses it is the sampler's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.noise.joint import Joint, JointPath
from noisefold.noise.variable import Types

if TYPE_CHECKING:
    from noisefold.noise.discrete import Discrete
    from noisefold.noise.gaussian import Gaussian

__all__ = ["FiniteGeometricGraphs"]


@dataclass(frozen=True)
class FiniteGeometricGraphs:
    """A distribution on finitely many graphs of one size, with positions about their mean.

    Parameters
    ----------
    graphs
        The k graphs, in float64.
    weights
        Their probabilities, ``[k]``.

    Raises
    ------
    ValueError
        If graphs have different sizes, or there is not a weight for each.
    """

    graphs: Graphs
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.graphs.uniform is None or len(self.weights) != len(self.graphs):
            raise ValueError("graphs must all have as many nodes, and a weight each.")

    def posterior(self, state: Joint, t: Tensor, path: JointPath) -> Tensor:
        """Return the probability of each graph given states of positions and types, ``[g, k]``.

        Parameters
        ----------
        state
            Positions ``[g n, d]`` and `Categories` of g graphs.
        t
            Scalar time.
        path
            A Gaussian path on the positions, then a discrete one.
        """
        k, where, kind = len(self.graphs), cast("Gaussian", path.parts[0]), cast("Discrete", path.parts[1])
        times = path.times(t.double())
        alpha, sigma = where.schedule.alpha(times[0]), where.schedule.sigma(times[0])
        pos, types = state.parts
        support = self.graphs.pos.double().view(1, k, -1)
        step = pos.double().view(-1, 1, support.shape[2]) - alpha * support
        log = -step.square().sum(2) / (2 * sigma**2)
        keep = kind.keep(times[1])
        known = Types().read(self.graphs).map(lambda v: v.view(k, -1))

        def log_likelihood(options: Tensor, value: Tensor, noise: Tensor) -> Tensor:
            entries = value.view(-1, options.shape[1])
            same = (entries[:, None] == options).double()
            return torch.log(keep * same + (1 - keep) * noise[entries][:, None]).sum(2)

        found = known.map(log_likelihood, types, kind.noise_distribution)
        prior = torch.tensor(self.weights, dtype=torch.float64).log()
        # A state that no graph can have led to, which only a sampler's own error reaches, is judged by its
        # positions alone.
        discrete = found.nodes + found.pairs
        lost = torch.isneginf(discrete).all(1, keepdim=True)
        return torch.softmax(log + torch.where(lost, 0.0, discrete) + prior, 1)

    def estimate(self, state: Joint, t: Tensor, path: JointPath) -> Joint:
        """Return the posterior mean of the positions and the marginals of the types, an exact denoiser."""
        posterior = self.posterior(state, t, path)
        k, kind = len(self.graphs), cast("Discrete", path.parts[1])
        mean = (posterior @ self.graphs.pos.double().view(k, -1)).view(-1, self.graphs.dim)
        known = Types().read(self.graphs).map(lambda v: v.view(k, -1))

        def marginals(options: Tensor, noise: Tensor) -> Tensor:
            certain = torch.nn.functional.one_hot(options, len(noise)).double()
            return torch.einsum("gk,kmc->gmc", posterior, certain).reshape(-1, len(noise))

        return Joint((mean, known.map(marginals, kind.noise_distribution)))
