"""Predictions: what a network answers, what estimate of the data that is, and what its loss is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Protocol, TypeVar

from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.noise.variable import Known

__all__ = ["Prediction", "graph_means"]

S = TypeVar("S")
E = TypeVar("E")


class Prediction(Protocol[S, E]):
    """What every prediction offers, for states of type S and estimates of type E.

    `noisefold.noise.Target` predicts the posterior mean of the data on Gaussian paths,
    `noisefold.noise.Classes` the posterior probabilities of classes on discrete ones. A network's answer is a
    tensor, or of the structure of the state.

    Attributes
    ----------
    error_name
        What the error is called, such as "Mean squared error".
    """

    error_name: ClassVar[str]

    @abstractmethod
    def inputs(self, state: S, t: Tensor, path: Any, graphs: Graphs) -> S:
        """Return what the network sees of a state at times ``t [g]``, at unit scale."""

    @abstractmethod
    def estimate(self, answer: Any, state: S, t: Tensor, path: Any, graphs: Graphs) -> E:
        """Return the estimate of the data that an answer stands for."""

    @abstractmethod
    def baseline(self, state: S, t: Tensor, path: Any, graphs: Graphs) -> E:
        """Return the estimate that needs no network, such as the best linear one."""

    @abstractmethod
    def error(self, estimate: E, clean: S, graphs: Graphs) -> Tensor:
        """Return the error of an estimate of each graph, ``[g]``."""

    @abstractmethod
    def guided(self, both: E, weight: float) -> E:
        """Return the estimate guided by classes.

        Parameters
        ----------
        both
            The estimate for two copies of the graphs, with their classes and without.
        weight
            Weight of the classes; 1 takes the estimate with classes as it is.
        """

    @abstractmethod
    def loss(
        self,
        answer: Any,
        clean: S,
        state: S,
        t: Tensor,
        path: Any,
        graphs: Graphs,
        known: Known[S] | None,
    ) -> Tensor:
        """Return the loss of each graph, ``[g]``; what is observed has none."""


def graph_means(graphs: Graphs, values: Tensor) -> Tensor:
    """Return the mean over the nodes of every graph, ``[g]``, of ``values [n]``."""
    if (size := graphs.uniform) is not None:
        return values.reshape(len(graphs), size).mean(1)
    total = values.new_zeros(len(graphs)).index_add(0, graphs.batch, values)
    return total / graphs.sizes.to(values)
