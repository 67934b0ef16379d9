"""Paths from data to noise, of states of any kind.

A path runs from the data, t = 0, to noise, t = 1. Networks and grids know it through its log-SNR alone; a
trained model needs three draws: the start of sampling, a noised state of given data, and a noisier state of a
noisy one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.noise.schedule import signal_level
from noisefold.noise.source import Streams

if TYPE_CHECKING:
    from noisefold.noise.coupling import Coupling
    from noisefold.noise.variable import Variable

__all__ = ["ProbabilityPath"]

S = TypeVar("S")
_EVERYWHERE = torch.tensor([1.0, 0.0], dtype=torch.float64)


@runtime_checkable
class ProbabilityPath(Protocol[S]):
    """What every path offers, for states of type S; times are ``[g]`` or a scalar."""

    @property
    @abstractmethod
    def about(self) -> str:
        """What it is, in a few words."""

    @abstractmethod
    def clip(self, t: Tensor) -> Tensor:
        """Return times kept where a network may be asked, a little off 0 and 1."""

    def times_at(self, quantiles: Tensor) -> Tensor:
        """Return the times of evenly distributed numbers in [0, 1], for training: even within the margin."""
        last, first = self.clip(_EVERYWHERE).tolist()
        times: Tensor = first + (last - first) * quantiles
        return times

    def signal(self, t: Tensor) -> Tensor:
        """Return the signal level u = alpha / (alpha + sigma) at times; 1 is clean."""
        return signal_level(self.log_snr(t))

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log signal-to-noise ratio at times."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times of log signal-to-noise ratios."""

    @abstractmethod
    def check(self, variable: Variable[S]) -> None:
        """Refuse a variable that this path cannot noise.

        Raises
        ------
        ValueError
            If it cannot.
        """

    def check_observed(self, mask: S) -> None:
        """Refuse a mask of observed values that this path cannot condition on; most paths take any.

        Raises
        ------
        ValueError
            If it cannot.
        """
        return

    @abstractmethod
    def prior(self, graphs: Graphs, like: S, t: Tensor, random: Streams) -> S:
        """Draw a state at time t for data of which only the spread is known.

        Parameters
        ----------
        graphs
            Give the sizes and whatever is not noised.
        like
            A state of the same structure.
        t
            Scalar time.
        random
            One random stream for each graph.
        """

    @abstractmethod
    def corrupt(
        self, clean: S, t: Tensor, graphs: Graphs, random: Streams, coupling: Coupling | None = None
    ) -> S:
        """Draw a state at times t given the data.

        Parameters
        ----------
        clean
            The data.
        t
            Times ``[g]``, or a scalar.
        graphs
            Give the sizes and whatever is not noised.
        random
            One random stream for each graph.
        coupling
            Pairs noise with data; None pairs them as they come.
        """

    @abstractmethod
    def renoise(self, state: S, s: Tensor, t: Tensor, graphs: Graphs, random: Streams) -> S:
        """Draw a state at the scalar time t given that at an earlier one, s < t."""
