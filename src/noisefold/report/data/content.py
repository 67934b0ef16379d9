"""What a report is about: a model, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.projection import Names
from noisefold.report.data.reported import ReportedModel
from noisefold.sample.completion import Completion

__all__ = ["Content"]


@dataclass(frozen=True, eq=False)
class Content:
    """The arguments of `noisefold.report.write_report`, by the same names.

    Raises
    ------
    ValueError
        If a set of graphs is empty or of another dimension than the others, or `draws` or `steps` are out of
        range.
    """

    model: ReportedModel
    test: Graphs | None = None
    train: Graphs | None = None
    samples: Graphs | None = None
    others: Mapping[str, Graphs] = field(default_factory=dict)
    scores: Scores | None = None
    trajectory: Sequence[tuple[float, Graphs]] | None = None
    completion: Completion | None = None
    recovered: Scores | None = None
    log: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    features: Sequence[int | str] = ()
    draws: int = 100
    steps: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 0 or self.steps < 1:
            raise ValueError(
                f"draws must be at least 0 and steps at least 1, got draws={self.draws}, steps={self.steps}."
            )
        sets = {"samples": self.samples, "test": self.test, "train": self.train, **self.others}
        known = {name: graphs for name, graphs in sets.items() if graphs is not None}
        for name, graphs in known.items():
            first, reference = next(iter(known.items()))
            if len(graphs) == 0:
                raise ValueError(f"{name} must hold at least one graph, got none; leave it out instead.")
            if graphs.dim != reference.dim:
                raise ValueError(
                    f"{name} must have the {reference.dim} dimensions of {first}, got {graphs.dim}."
                )

    @property
    def shown(self) -> Graphs:
        """The samples."""
        if self.samples is None:
            raise ValueError(
                "samples must be given where draws is 0; give samples=graphs, or draws of at least 1."
            )
        return self.samples
