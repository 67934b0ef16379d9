r"""The flow map: where the probability flow of a trained model leads in one step.

Between two times t > s the flow takes :math:`x_t` to :math:`\Phi(x_t)`. The network answers with data
:math:`\hat x` from which one deterministic step (DDIM) reaches it,

.. math:: \Phi(x_t) = \alpha_s \hat x + \frac{\sigma_s}{\sigma_t} (x_t - \alpha_t \hat x), \qquad
    \hat x = \frac{\Phi(x_t) - (\sigma_s / \sigma_t)\, x_t}{\alpha_s - (\sigma_s / \sigma_t)\, \alpha_t} .

Where t - s is small that is the posterior mean, so a trained network is a good first guess; for s = 0 it is
the end of the flow. It is a function of :math:`x_t` alone, so its squared error can go to zero, and few steps
need not blur.

Source: Salimans and Ho, Progressive Distillation for Fast Sampling of Diffusion Models (2022), appendix G,
https://arxiv.org/abs/2202.00512; Boffi, Albergo and Vanden-Eijnden, Flow Map Matching (2024),
https://arxiv.org/abs/2406.07507.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.few_steps import FewSteps
from noisefold.noise.prediction import Prediction
from noisefold.noise.target import Target
from noisefold.noise.variable import Known

__all__ = ["FlowMap", "Teacher"]

Teacher = Callable[[Tensor, Tensor, Graphs, "Known[Tensor] | None"], Tensor]
r"""From states ``[n, d]``, times ``[g]``, graphs and what is observed to :math:`\hat x`, ``[n, d]``."""


@configurable
@dataclass(frozen=True)
class FlowMap(Prediction[Tensor, Tensor]):
    """The data from which one step reaches the end of the flow, learned from a trained model.

    Parameters
    ----------
    target
        How the network answers, and how errors at different times are weighed.
    digest
        Of the weights of the model that is learned from, so that a run is resumed with the same one.
    teacher
        That model; needed for training alone, and not saved.
    """

    error_name: ClassVar[str] = "Mean squared error of the flow map"
    name: ClassVar[str] = "flow map"

    target: Target = field(default_factory=Target)
    digest: str = ""
    teacher: Teacher | None = field(default=None, init=False, compare=False, repr=False)

    def taught_by(self, teacher: Teacher) -> FlowMap:
        """Return the same prediction with the model that it learns from."""
        taught = replace(self)
        object.__setattr__(taught, "teacher", teacher)
        return taught

    def inputs(self, state: Tensor, t: Tensor, path: FewSteps, graphs: Graphs) -> Tensor:
        """Return the state at unit scale."""
        return self.target.inputs(state, t, path.path, graphs)

    def estimate(self, answer: Tensor, state: Tensor, t: Tensor, path: FewSteps, graphs: Graphs) -> Tensor:
        r"""Return :math:`\hat x`, ``[n, d]``."""
        return self.target.estimate(answer, state, t, path.path, graphs)

    def baseline(self, state: Tensor, t: Tensor, path: FewSteps, graphs: Graphs) -> Tensor:
        """Return the best linear estimate of the data, ``[n, d]``."""
        return self.target.baseline(state, t, path.path, graphs)

    def error(self, estimate: Tensor, clean: Tensor, graphs: Graphs) -> Tensor:
        """Return the mean squared error over the nodes of each graph, ``[g]``."""
        return self.target.error(estimate, clean, graphs)

    def guided(self, both: Tensor, weight: float) -> Tensor:
        """Return the estimate moved along the difference that classes make, ``[n, d]``."""
        return self.target.guided(both, weight)

    def loss(
        self,
        answer: Tensor,
        clean: Tensor,
        state: Tensor,
        t: Tensor,
        path: FewSteps,
        graphs: Graphs,
        known: Known[Tensor] | None,
    ) -> Tensor:
        """Return the loss of the target with the teacher's answer in the place of the data, ``[g]``.

        Raises
        ------
        ValueError
            If there is no teacher.
        """
        if self.teacher is None:
            raise ValueError(
                "a model of few steps learns from the model it was distilled from; call noisefold.distill "
                "with that one."
            )
        reached = self.teacher(state, t, graphs, known).to(clean)
        return self.target.loss(answer, reached, state, t, path.path, graphs, known)
