"""Networks that measure something of the data before their weights are trained."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["Fittable"]


@runtime_checkable
class Fittable(Protocol):
    """A network with numbers that are measured, not trained; `noisefold.nn.KrigingResidual` is one.

    A training calls `learn` once, at its start, with some of its graphs: standardised, without noise, and
    thinned as the network will see them; at most 64, at random, a function of the seed alone. It does not if
    `learned` says that it was done, nor where it goes on from a checkpoint. So what is measured must be kept
    in buffers, `learned` among them: they are saved with the weights, are equal in all processes, and the
    average of the weights leaves buffers that do not change as they are.

    Attributes
    ----------
    learned
        A buffer of one bool.
    """

    learned: Tensor

    @abstractmethod
    def learn(self, graphs: Graphs) -> object:
        """Measure on graphs that are fully observed, and set `learned`; what is returned is not used."""
