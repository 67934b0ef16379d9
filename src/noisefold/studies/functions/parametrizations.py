r"""The four published parametrisations of diffusion over functions, with their losses.

With :math:`x_t = \alpha x_0 + \sigma \varepsilon`, :math:`\varepsilon = L z`, :math:`L L^T = K`, a network's
answer o of unit scale stands for

============ ============================================== ================================================
prediction   o                                              loss
============ ============================================== ================================================
score        :math:`\sigma \nabla \log p`                   :math:`|o + L^{-T} z|^2`
K-score      :math:`\sigma K \nabla \log p`                 :math:`|o + L z|^2`
S-score      :math:`\sigma L^T \nabla \log p`               :math:`|o + z|^2`
data         :math:`E[x_0 \mid x_t]`                        :math:`|o - x_0|^2`
============ ============================================== ================================================

The published code solves with :math:`L^{-1}` for the score, whose minimiser is no score unless L is
symmetric.

Source: Mathieu et al., Geometric Neural Diffusion Processes, section 3.1 and table 5,
https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.geometry.gp import whiten
from noisefold.geometry.graphs import Graphs
from noisefold.noise import Gaussian, Known, Prediction, Target
from noisefold.noise.prediction import graph_means

__all__ = ["PARAMETRIZATIONS", "Published"]

PARAMETRIZATIONS = ("score", "K-score", "S-score", "data")
_DATA = Target("data")


@dataclass(frozen=True)
class Published(Prediction[Tensor, Tensor]):
    """One of the four parametrisations by name."""

    error_name: ClassVar[str] = "Mean squared error"

    name: str

    def __post_init__(self) -> None:
        if self.name not in PARAMETRIZATIONS:
            raise ValueError(f"name must be one of {', '.join(PARAMETRIZATIONS)}, got {self.name!r}.")

    def inputs(self, state: Tensor, t: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        """Return the state at unit scale."""
        return _DATA.inputs(state, t, path, graphs)

    def noise_target(self, eps: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        """Return what the answer is trained on but for its sign, of noise ``[n, d]``."""
        if self.name == "S-score":
            return _each(eps, path, graphs, whiten)
        if self.name == "score":
            return _each(eps, path, graphs, _solve)
        return eps

    def noise(self, answer: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        """Return the estimate of the noise that an answer other than the data stands for."""
        if self.name == "S-score":
            return -_each(answer, path, graphs, torch.matmul)
        if self.name == "score":
            return -_each(answer, path, graphs, lambda lower, v: lower @ (lower.mT @ v))
        return -answer

    def estimate(self, answer: Tensor, state: Tensor, t: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        """Return the posterior mean of the data, ``[n, d]``."""
        if self.name == "data":
            return answer
        at = t[graphs.batch, None]
        noise = self.noise(answer, path, graphs)
        return (state - path.schedule.sigma(at) * noise) / path.schedule.alpha(at)

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
        """Return the published loss over the numbers of each graph, ``[g]``."""
        if self.name == "data":
            return graph_means(graphs, (answer - clean).square().mean(1))
        at = t[graphs.batch, None]
        eps = (state - path.schedule.alpha(at) * clean) / path.schedule.sigma(at)
        return graph_means(graphs, (answer + self.noise_target(eps, path, graphs)).square().mean(1))

    def baseline(self, state: Tensor, t: Tensor, path: Gaussian, graphs: Graphs) -> Tensor:
        """Return the best linear estimate, ``[n, d]``."""
        return _DATA.baseline(state, t, path, graphs)

    def error(self, estimate: Tensor, clean: Tensor, graphs: Graphs) -> Tensor:
        """Return the mean squared error of the data, ``[g]``."""
        return _DATA.error(estimate, clean, graphs)

    def guided(self, both: Tensor, weight: float) -> Tensor:
        """Return the estimate moved along the difference that classes make, ``[n, d]``."""
        return _DATA.guided(both, weight)


def _solve(lower: Tensor, values: Tensor) -> Tensor:
    """Return K^{-1} v of K = L L^T."""
    solved: Tensor = torch.linalg.solve_triangular(lower.mT, whiten(lower, values), upper=True)
    return solved


def _each(
    values: Tensor, path: Gaussian, graphs: Graphs, apply: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return what a function of L and of values in float64 makes of those of each graph."""
    process = path.source.process
    if process is None:
        return values
    parts = values.double().split(graphs.sizes.tolist())
    out = []
    for pos, part in zip(graphs.unpack(), parts, strict=True):
        lower = process.factor(pos)
        out.append(process.rowwise(part, lambda v, lower=lower: apply(lower, v)))  # type: ignore[misc]
    return torch.cat(out).to(values)
