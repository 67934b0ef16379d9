r"""Targets: what a network predicts.

With :math:`x_t = \alpha x_0 + \sigma \varepsilon` every target is affine in the data and the state,
:math:`y = a(t)\, x_0 + b(t)\, x_t`, so that any two convert exactly into each other and a squared error in
one is a squared error in another times a known factor.

======== ============================================ ======================================
target   y                                            a, b
======== ============================================ ======================================
data     :math:`x_0`                                  1, 0
noise    :math:`\varepsilon`                          :math:`-\alpha/\sigma,\ 1/\sigma`
score    :math:`-\varepsilon/\sigma`                  :math:`\alpha/\sigma^2,\ -1/\sigma^2`
velocity :math:`\alpha' x_0 + \sigma' \varepsilon`    :math:`\alpha' - \sigma'\alpha/\sigma,\ \sigma'/\sigma`
previous :math:`E[x_s \mid x_t, x_0]`                 of the posterior, s = t - 1/steps
======== ============================================ ======================================

The score is that of the path given x_0, whose average over the posterior is the score of the marginal. Under
correlated noise (`GPNoise`, covariance K) it is K times that; all else here is linear node by node and holds
for any source.

A network answers at unit scale. With `residual` its answer r is what the best linear estimate leaves,

.. math:: \hat x_0 = \frac{\alpha\, x_t}{\alpha^2 + \sigma^2} + \frac{\sigma\, r}{\sqrt{\alpha^2 + \sigma^2}},

so that zero is the exact answer for normal data of unit variance (correlated as the noise is), and near
enough where noise hides all else; targets then differ by the weight of their errors alone.

**The likelihood's weight.** What an error costs of the evidence lower bound is
:math:`\tfrac12 \int E |L^{-1} (\hat\varepsilon - \varepsilon)|^2 d\lambda` with :math:`K = L L^T`. Under
white noise that is the squared error of the noise. Under correlated noise squared errors weigh directions by
K instead, and hardly count those that noise leaves clear, where the data are decided; `whitened` takes
:math:`L^{-1}` of the error first, :math:`e^T K^{-1} e / (n d)` for that of a graph. Where entries are
observed, K is that of the others.

Source: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (2022), section 5,
https://arxiv.org/abs/2206.00364.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.arguments import one_of
from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.prediction import Prediction, graph_means
from noisefold.noise.variable import Known

__all__ = ["TARGETS", "WEIGHTS", "Target"]

TARGETS = ("data", "noise", "velocity", "score", "previous")
WEIGHTS = ("uniform", *TARGETS, "min-snr")


@configurable
@dataclass(frozen=True)
class Target(Prediction[Tensor, Tensor]):
    """What a network predicts on a Gaussian path, and how its errors at different times are weighed.

    Parameters
    ----------
    name
        "data", "noise", "velocity", "score" or "previous".
    weight
        Whose squared error is minimised: "uniform" for the target's own, the name of another target for that
        one's, or "min-snr" for the data's times min(SNR, 5) (Hang et al., 2023,
        https://arxiv.org/abs/2303.09556).
    steps
        For "previous": the number of steps of the chain, so that the state predicted is that of t - 1/steps.
    residual
        Whether the network's answer is what the best linear estimate leaves, or else the target itself.
    whitened
        Whether errors are measured in the metric of the noise, :math:`K^{-1}`; under white noise that is the
        mean squared error. With weight "noise" the loss is the likelihood's.
    """

    error_name: ClassVar[str] = "Mean squared error"

    name: str = "velocity"
    weight: str = "uniform"
    steps: int = 1000
    residual: bool = True
    whitened: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_of("target", self.name, tuple(TARGETS)))
        object.__setattr__(self, "weight", one_of("weight", self.weight, tuple(WEIGHTS)))
        if self.steps < 2:
            raise ValueError(f"steps must be at least 2, got {self.steps}.")

    def inputs(self, state: Tensor, t: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        r"""Return the state at unit scale, :math:`x_t / \sqrt{\alpha^2 + \sigma^2}`."""
        return state / path.scale(t[graphs.batch, None])

    def estimate(self, answer: Tensor, state: Tensor, t: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        """Return the posterior mean of the data, ``[n, d]``."""
        return self.read(answer, state, t[graphs.batch, None], path)[1]

    def baseline(self, state: Tensor, t: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        r"""Return the best linear estimate, :math:`\alpha x_t / (\alpha^2 + \sigma^2)`, ``[n, d]``."""
        at = t[graphs.batch, None]
        return path.schedule.alpha(at) * state / path.scale(at) ** 2

    def error(self, estimate: Tensor, clean: Tensor, graphs: Graphs) -> Tensor:
        """Return the mean squared error over the nodes of each graph, ``[g]``."""
        return graph_means(graphs, (estimate - clean).square().mean(1))

    def guided(self, both: Tensor, weight: float) -> Tensor:
        """Return the estimate moved along the difference that classes make, ``[n, d]``."""
        conditional, unconditional = both.chunk(2)
        return unconditional + weight * (conditional - unconditional)

    def loss(
        self,
        answer: Tensor,
        clean: Tensor,
        state: Tensor,
        t: Tensor,
        path: Gaussian,
        graphs: Graphs,
        known: Known[Tensor] | None,
    ) -> Tensor:
        """Return the weighted mean squared error of the target over the nodes of each graph, ``[g]``."""
        at = t[graphs.batch, None]
        found = self.read(answer, state, at, path)[0].to(clean)
        difference = found - self.value(clean, state, at, path)
        if known is not None:
            difference = difference.masked_fill(known.mask, 0.0)
        if self.whitened:
            difference = _whitened(difference, path, graphs, known)
        return self.loss_weight(t, path) * graph_means(graphs, difference.square().mean(1))

    def coefficients(self, t: Tensor, path: Gaussian) -> tuple[Tensor, Tensor]:
        """Return the factors (a, b) of the data and of the state, of the shape of t."""
        return self._coefficients(self.name, t, path)

    def _coefficients(self, name: str, t: Tensor, path: Gaussian) -> tuple[Tensor, Tensor]:
        if name == "data":
            return torch.ones_like(t), torch.zeros_like(t)
        if name == "previous":
            transition = path.transition(t, (t - 1 / self.steps).clamp(min=0))
            return transition.data, transition.state
        alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
        if name == "noise":
            return -alpha / sigma, 1 / sigma
        if name == "score":
            return alpha / sigma**2, -1 / sigma**2
        rate = path.schedule.dsigma(t) / sigma
        return path.schedule.dalpha(t) - rate * alpha, rate

    def value(self, x0: Tensor, x_t: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the target of data x_0 and state x_t, ``[n, d]``; t broadcasts against them."""
        a, b = self.coefficients(t, path)
        return a * x0 + b * x_t

    def scale(self, t: Tensor, path: Gaussian) -> Tensor:
        """Return the standard deviation of the target for data of unit variance, independent of the noise."""
        a, b = self.coefficients(t, path)
        of_data = a + b * path.schedule.alpha(t)
        of_noise = b * path.schedule.sigma(t)
        return torch.sqrt(of_data**2 + of_noise**2)

    def read(self, answer: Tensor, x_t: Tensor, t: Tensor, path: Gaussian) -> tuple[Tensor, Tensor]:
        """Return the target and the data that a network's answer of unit scale ``[n, d]`` stands for."""
        if not self.residual:
            value = self.scale(t, path) * answer
            return value, self.to_data(value, x_t, t, path)
        alpha, sigma, scale = path.schedule.alpha(t), path.schedule.sigma(t), path.scale(t)
        data = (alpha / scale**2) * x_t + (sigma / scale) * answer
        a, b = self.coefficients(t, path)
        return a * data + b * x_t, data

    def to_data(self, value: Tensor, x_t: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the data that a value of this target stands for."""
        a, b = self.coefficients(t, path)
        return (value - b * x_t) / a

    def convert(self, value: Tensor, other: Target, x_t: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the same prediction as another target."""
        return other.value(self.to_data(value, x_t, t, path), x_t, t, path)

    def loss_weight(self, t: Tensor, path: Gaussian) -> Tensor:
        """Return the factor of the target's own squared error at these times."""
        if self.weight in ("uniform", self.name):
            return torch.ones_like(t)
        own, _ = self.coefficients(t, path)
        if self.weight == "min-snr":
            return path.log_snr(t).exp().clamp(max=5.0) / own**2
        other, _ = self._coefficients(self.weight, t, path)
        return (other / own) ** 2


def _whitened(difference: Tensor, path: Gaussian, graphs: Graphs, known: Known[Tensor] | None) -> Tensor:
    r"""Return :math:`L^{-1}` times values ``[n, d]`` of each graph, of the unobserved entries alone."""
    process = path.source.process
    if process is None:
        return difference
    sizes = graphs.sizes.tolist()
    hidden = [None] * len(sizes) if known is None else (~known.mask).split(sizes)
    parts = zip(graphs.unpack(), difference.split(sizes), hidden, strict=True)
    return torch.cat([difference[:0], *(process.whiten(*part)[0] for part in parts)])
