"""What the report needs of a model, which stands above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import nn

from noisefold.geometry.graphs import Graphs
from noisefold.noise.variable import Variable
from noisefold.sample.completion import Completion

__all__ = ["ReportedModel"]


class ReportedModel(Protocol):
    """The part of `noisefold.Model` that a report shows and asks."""

    @property
    def net(self) -> nn.Module:
        """The network."""

    @property
    def path(self) -> Any:
        """The path from data to noise."""

    @property
    def target(self) -> Any:
        """What the network predicts."""

    @property
    def variable(self) -> Variable[Any]:
        """What is generated."""

    @property
    def for_completion(self) -> bool:
        """Whether the network conditions on observed values directly."""

    @property
    def conditional(self) -> bool:
        """Whether it takes classes."""

    @property
    def num_parameters(self) -> int:
        """Number of trained numbers."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features."""

    def config(self) -> dict[str, Any]:
        """Return everything but the weights, as plain data."""

    @property
    def sample(self) -> Callable[..., Graphs]:
        """Generate graphs."""

    @property
    def sample_for(self) -> Callable[..., Graphs]:
        """Return samples to compare with a test set."""

    @property
    def complete(self) -> Callable[..., Completion]:
        """Draw what is not observed."""
