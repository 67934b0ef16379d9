r"""The prediction on joint paths: that of every part, from the one answer of a network that sees all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.joint import Joint, JointPath
from noisefold.noise.prediction import Prediction
from noisefold.noise.variable import Known

__all__ = ["JointPrediction"]


@configurable
@dataclass(frozen=True)
class JointPrediction(Prediction[Joint, Joint]):
    r"""A prediction for each part of a state; the loss is :math:`\sum_k w_k L_k`.

    An estimate is that of each part given the state of *all* parts, such as the posterior mean of positions
    and the posterior probabilities of types. Which values of one part go with which of another it does not
    say; the sampler's steps do.

    Parameters
    ----------
    parts
        The predictions, in the order of the state.
    weights
        The weight w of each loss; None: 1 for all.

    Raises
    ------
    ValueError
        If there is no part, or not as many positive weights as parts.
    """

    name: ClassVar[str] = "joint"
    error_name: ClassVar[str] = "Weighted sum of the parts' errors"

    parts: tuple[Prediction[Any, Any], ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must hold at least one prediction, got none.")
        weights = self._weights
        if len(weights) != len(self.parts) or not all(0 < w < float("inf") for w in weights):
            raise ValueError(f"weights must be {len(self.parts)} positive numbers, got {self.weights}.")

    @property
    def _weights(self) -> tuple[float, ...]:
        return (1.0,) * len(self.parts) if self.weights is None else self.weights

    def inputs(self, state: Joint, t: Tensor, path: JointPath, graphs: Graphs) -> Joint:
        """Return every part at unit scale."""
        return Joint(self.parts).map(
            lambda target, own, time, way: target.inputs(own, time, way, graphs),
            state,
            path.seen(t),
            path.parts,
        )

    def estimate(self, answer: Joint, state: Joint, t: Tensor, path: JointPath, graphs: Graphs) -> Joint:
        """Return the estimate of every part that an answer stands for."""
        return Joint(self.parts).map(
            lambda target, said, own, time, way: target.estimate(said, own, time, way, graphs),
            answer,
            state,
            path.seen(t),
            path.parts,
        )

    def baseline(self, state: Joint, t: Tensor, path: JointPath, graphs: Graphs) -> Joint:
        """Return the estimate of every part that needs no network."""
        return Joint(self.parts).map(
            lambda target, own, time, way: target.baseline(own, time, way, graphs),
            state,
            path.seen(t),
            path.parts,
        )

    def error(self, estimate: Joint, clean: Joint, graphs: Graphs) -> Tensor:
        """Return the weighted sum of the parts' errors of each graph, ``[g]``."""
        return self._sum(
            Joint(self.parts).map(lambda target, e, c: target.error(e, c, graphs), estimate, clean)
        )

    def guided(self, both: Joint, weight: float) -> Joint:
        """Return the guided estimate of every part."""
        return Joint(self.parts).map(lambda target, own: target.guided(own, weight), both)

    def loss(
        self,
        answer: Joint,
        clean: Joint,
        state: Joint,
        t: Tensor,
        path: JointPath,
        graphs: Graphs,
        known: Known[Joint] | None,
    ) -> Tensor:
        """Return the weighted sum of the parts' losses of each graph, ``[g]``."""
        count = len(self.parts)
        seen = [None] * count if known is None else [
            Known(value, mask, known.graph)
            for value, mask in zip(known.value.parts, known.mask.parts, strict=True)
        ]  # fmt: skip
        return self._sum(
            Joint(self.parts).map(
                lambda target, said, x0, xt, time, way, given: target.loss(
                    said, x0, xt, time, way, graphs, given
                ),
                answer,
                clean,
                state,
                path.seen(t),
                path.parts,
                seen,
            )
        )

    def _sum(self, values: Joint) -> Tensor:
        total: Tensor = sum(w * v for w, v in zip(self._weights, values.parts, strict=True))
        return total
