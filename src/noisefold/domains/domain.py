"""Domains: what suits which kind of data. The one place that knows.

The command line, `noisefold.Model.for_data` and a configuration file get the same answer, because all ask
here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from noisefold.domains.recipe import Recipe, Request
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.noise.variable import Variable
from noisefold.sample.likelihood import LogProb

__all__ = ["Domain", "ScoredModel"]


class ScoredModel(Protocol):
    """The part of `noisefold.Model` that scores ask."""

    @property
    def for_completion(self) -> bool:
        """Whether it conditions on observed values directly."""

    @property
    def sample_for(self) -> Callable[..., Graphs]:
        """Return samples to compare with a test set."""

    @property
    def complete(self) -> Callable[..., Any]:
        """Draw what is not observed."""

    @property
    def log_prob(self) -> Callable[..., LogProb]:
        """Return log-densities in the units of the data."""


class Domain(Protocol):
    """A kind of data.

    Attributes
    ----------
    name
        What it is called.
    """

    name: ClassVar[str]

    @abstractmethod
    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether a data set is of this kind, for a model of a variable or for any."""

    @abstractmethod
    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return what a model of a training set is made of, and how it is trained."""

    def prepared(self, data: Graphs) -> Graphs:
        """Return whole graphs as a network takes them: the data, unless a domain simplifies them."""
        return data

    def training_graphs(self, data: Graphs) -> Graphs:
        """Return the graphs that a network learns from: the prepared ones, unless a domain cuts them."""
        return self.prepared(data)

    def test_graphs(self, data: Graphs) -> Graphs:
        """Return the graphs that a model is judged on: the prepared ones, unless a domain cuts them."""
        return self.prepared(data)

    def dequantised(self, data: Graphs, seed: int) -> tuple[Graphs, float]:
        """Return data that have a density, and the logarithm of the volume of a value's cell.

        The data themselves, unless they are rounded: then with uniform noise within each cell.
        """
        return data, 0.0

    @abstractmethod
    def score(
        self,
        model: ScoredModel,
        test: Graphs,
        train: Graphs | None,
        *,
        draws: int | None,
        metrics: Sequence[str] | None,
        seed: int,
        **sampling: Any,
    ) -> Scores:
        """Return the scores of samples against a test set, beside those of the trivial baselines."""
