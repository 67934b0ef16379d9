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

    `noisefold.train.train` calls `learn` once, before the first step, with at most 64 training graphs, or as
    many as an attribute ``measured_graphs`` of the network's class says: standardised, without noise, and
    thinned as the network will see them. Which ones is a function of the seed alone. It does not call `learn`
    if `learned` is set, nor on resuming from a checkpoint. So what is measured must be kept in buffers,
    `learned` among them: buffers are saved with the weights and are equal in all processes, and the
    exponential moving average leaves constant buffers unchanged.

    Attributes
    ----------
    learned
        A buffer of one bool.
    """

    learned: Tensor

    @abstractmethod
    def learn(self, graphs: Graphs) -> object:
        """Measure on graphs that are fully observed, and set `learned`; what is returned is not used."""
