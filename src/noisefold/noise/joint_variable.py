"""The variable of several parts that are noised side by side, such as positions with types and bonds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Transform
from noisefold.noise.joint import Joint
from noisefold.noise.known import Known
from noisefold.noise.variable import VARIABLES, Positions, Types, Variable

__all__ = ["JointVariable"]


@dataclass(frozen=True)
class JointVariable(Variable[Joint]):
    """Several variables of one graph, read and written together.

    Parameters
    ----------
    parts
        The variables, in the order of the state.

    Raises
    ------
    ValueError
        If there are fewer than two, or one stands there twice.
    """

    parts: tuple[Variable[Any], ...]

    scaffolds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"parts must be two or more different variables, got {names}.")

    @property
    def name(self) -> str:
        """Names of the parts, such as "pos+types"."""
        return "+".join(part.name for part in self.parts)

    @property
    def noun(self) -> str:
        """What a user calls the parts."""
        return ", ".join(part.noun for part in self.parts)

    @property
    def given_noun(self) -> str:
        """What a user calls what is given, as far as the last part says it."""
        return self.parts[-1].given_noun

    @property
    def positions_given(self) -> bool:
        """Whether positions are given, which no part generates."""
        return all(part.positions_given for part in self.parts)

    def read(self, graphs: Graphs) -> Joint:
        """Return the state of each part."""
        return Joint(tuple(part.read(graphs) for part in self.parts))

    def write(self, graphs: Graphs, state: Joint) -> Graphs:
        """Return the graphs with another state of every part."""
        for part, own in zip(self.parts, state.parts, strict=True):
            graphs = part.write(graphs, own)
        return graphs

    def over(self, known: Known[Joint], state: Joint) -> Joint:
        """Return the state with the observed values in their places."""

        def own(part: Variable[Any], value: Any, mask: Any, now: Any) -> Any:
            return part.over(Known(value, mask, known.graph), now)

        return Joint(self.parts).map(own, known.value, known.mask, state)

    def twice(self, state: Joint) -> Joint:
        """Return the state of two copies of the graphs side by side."""
        return Joint(self.parts).map(lambda part, own: part.twice(own), state)

    def given(self, graphs: Graphs) -> Graphs:
        """Return the graphs with nothing that a part generates."""
        for part in self.parts:
            graphs = part.given(graphs)
        return graphs

    def blank(self, graphs: Graphs, summary: DataSummary) -> Graphs:
        """Return the graphs with a state of zeros of every part."""
        for part in self.parts:
            graphs = part.blank(graphs, summary)
        return graphs

    def columns(self, state: Joint) -> int:
        """Return the columns of all parts together."""
        return sum(self._columns(state))

    def _columns(self, state: Joint) -> list[int]:
        return [part.columns(own) for part, own in zip(self.parts, state.parts, strict=True)]

    def mask(self, graphs: Graphs, entries: Tensor) -> Joint:
        """Return the mask of a state from what is observed of each node, columns of the parts in order."""
        columns = entries.split(self._columns(self.read(graphs)), 1)
        return Joint(self.parts).map(lambda part, own: part.mask(graphs, own), columns)

    def flagged(self, graphs: Graphs, mask: Joint | None) -> Graphs:
        """Return the graphs with the flags of every part as further features."""
        for part, own in zip(
            self.parts, (None,) * len(self.parts) if mask is None else mask.parts, strict=True
        ):
            graphs = part.flagged(graphs, own)
        return graphs

    def entries(self, mask: Joint, transform: Transform) -> Joint:
        """Return what is observed in standard units."""
        return Joint(self.parts).map(lambda part, own: part.entries(own, transform), mask)

    def check_given(self, graphs: Graphs) -> None:
        """Accept all graphs: what one part takes for given another generates."""


VARIABLES["pos+types"] = JointVariable((Positions(), Types()))
