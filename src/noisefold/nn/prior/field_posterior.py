"""Posterior of the values of one graph, as `noisefold.nn.prior.field_prior` finds it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from noisefold.nn.prior.covariance import LEAST, MOST
from noisefold.nn.prior.joint_gaussian import JointGaussian

__all__ = ["FieldPosterior"]


@dataclass(frozen=True, eq=False)
class FieldPosterior:
    """Mean and variance ``[n, columns]`` of a graph's values given the observed ones, and joint Gaussians.

    Parameters
    ----------
    mean, variance
        ``[n, columns]``; meaningless where a value is observed.
    joint
        Covariance over nodes, for sets of nodes and features.
    """

    mean: Tensor
    variance: Tensor
    joint: tuple[JointGaussian, ...] = ()

    def given_noisy(self, state: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance ``[n, columns]`` given the noisy values of the other nodes as well.

        Parameters
        ----------
        state
            Noisy values :math:`a x + b \\varepsilon`, ``[n, columns]``.
        a, b
            Signal and noise, numbers, :math:`a^2 + b^2 = 1`.
        """
        mean, variance = self.mean.clone(), self.variance.clone()
        for part in self.joint:
            at = (part.rows[:, None], part.features)
            mean[at], variance[at] = part.others(self.mean[at], state[at], a, b)
        return mean, variance.clamp(LEAST, MOST)
