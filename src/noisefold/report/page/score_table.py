"""The table of scores as plain data: metrics down; models, then their references, across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.report.data.summary import references
from noisefold.report.page.blocks import Block

__all__ = ["Cell", "Column", "Mark", "Row", "ScoreTable"]

_ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better"}
_WIDTH, _EDGE = 150, 10


@dataclass(frozen=True)
class Column:
    """A row of the scores, which is a column here; `shape` names the mark that stands for it."""

    name: str
    kind: str
    shape: str
    about: str


@dataclass(frozen=True)
class Cell:
    """A value and its interval as text; both empty where there is no score."""

    column: Column
    value: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Mark:
    """A column's value on the line that compares them all."""

    column: Column
    place: float


@dataclass(frozen=True)
class Row:
    """A metric: its cells, and its values along one line; `bar` is the interval of the first model."""

    metric: Metric
    best: str
    cells: Sequence[Cell]
    marks: Sequence[Mark]
    bar: tuple[float, float] | None
    log: bool


@dataclass(frozen=True)
class ScoreTable(Block):
    """A table of scores."""

    kind = "scores"
    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str

    @classmethod
    def of(cls, scores: Scores) -> ScoreTable:
        """Lay a table out: models first, references last."""
        known = references(scores)
        models = [row for row in scores.rows if row not in known]
        shapes = ["circle", "square", *["triangle"] * len(models)]
        columns = [
            *(Column(r, "model", s, scores.about.get(r, "")) for r, s in zip(models, shapes, strict=False)),
            *(Column(r, "reference", r, scores.about.get(r, "")) for r in known),
        ]
        return cls(columns, [_row(scores, metric, columns) for metric in scores.metrics], scores.note)

    @property
    def models(self) -> list[Column]:
        """Columns of models."""
        return [c for c in self.columns if c.kind == "model"]

    @property
    def references(self) -> list[Column]:
        """Columns of references."""
        return [c for c in self.columns if c.kind == "reference"]


def _row(scores: Scores, metric: Metric, columns: Sequence[Column]) -> Row:
    found = [scores[c.name].get(metric.name) for c in columns]
    cells = [
        Cell(c) if s is None else Cell(c, *s.format(scores.decimals(metric.name)).partition(" ")[::2])
        for c, s in zip(columns, found, strict=True)
    ]
    best = _ARROWS.get(metric.direction, f"→ best {metric.direction}")
    return Row(metric, best, cells, *_line(columns, found, metric))


def _line(
    columns: Sequence[Column], scores: Sequence[Score | None], metric: Metric
) -> tuple[list[Mark], tuple[float, float] | None, bool]:
    """Return the marks of all values, the interval of the first, and whether the line is logarithmic."""
    known = [v for s in scores if s is not None for v in (s.value, s.low, s.high) if v is not None]
    ends = [v for v in known if math.isfinite(v)]
    if len(ends) < 2 or min(ends) == max(ends):
        return [], None, False
    # Distances of very different size would fall together on an even scale.
    log = math.isinf(metric.bounds[1]) and min(ends) > 0 and max(ends) > 12 * min(ends)

    def place(value: float) -> float:
        low, high, at = (math.log(v) if log else v for v in (min(ends), max(ends), value))
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (at - low) / (high - low), 1)

    first, bar = scores[0], None
    if first is not None and first.low is not None and first.high is not None and math.isfinite(first.value):
        bar = (place(first.low), place(first.high))
    pairs = [(c, s) for c, s in zip(columns, scores, strict=True) if s is not None and math.isfinite(s.value)]
    # The first model is drawn last, and so on top.
    return [Mark(c, place(s.value)) for c, s in reversed(pairs)], bar, log
