"""The table of scores as HTML: metrics down; the models, then their references, across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from noisefold.eval.score_table import Metric, Score, Scores

__all__ = ["references", "score_table"]

_ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better"}
_MODELS = ('<circle r="5"/>', '<rect x="-4.5" y="-4.5" width="9" height="9"/>', '<path d="M0 6-6-4H6Z"/>')
_REFERENCES = {
    "real": '<path d="M0-6 6 0 0 6-6 0Z"/>',
    "train": '<path d="M0-5 5 4-5 4Z"/>',
    "noise": '<path d="M-4-4 4 4M-4 4 4-4"/>',
    "collapsed": '<path d="M0-5V5M-5 0H5"/>',
}
_WIDTH, _EDGE = 150, 10


@dataclass(frozen=True)
class _Row:
    """A row of the scores, which is a column here: its name, "model" or "reference", and its mark."""

    name: str
    kind: str
    mark: str

    def head(self) -> str:
        drawn = f'<svg class="mark {self.kind}" viewBox="-8 -8 16 16" aria-hidden="true">{self.mark}</svg>'
        return drawn + escape(self.name)

    def at(self, place: float) -> str:
        return f'<g class="mark {self.kind}" transform="translate({place} 13)">{self.mark}</g>'


def references(scores: Scores) -> list[str]:
    """Rows that are no model: any but the first that carry the name of a reference."""
    return [row for row in scores.rows[1:] if row in _REFERENCES]


def score_table(scores: Scores) -> str:
    """The table, and below it what its columns are."""
    if not scores.rows:
        return "<p>The table of scores is empty.</p>"
    rows = _rows(scores)
    models, others = ([r for r in rows if r.kind == kind] for kind in ("model", "reference"))
    tall = ' rowspan="2" scope="col"'
    group = f'<th scope="colgroup" colspan="{len(others)}">references</th>' if others else ""
    about = "".join(
        f"<div><dt>{row.head()}{' <small>reference</small>' if row in others else ''}</dt>"
        f"<dd>{escape(scores.about[row.name])}</dd></div>"
        for row in rows
        if scores.about.get(row.name)
    )
    note = f" {escape(scores.note)}" if scores.note else ""
    body = "".join(_line(scores, metric, rows) for metric in scores.metrics)
    return (
        '<div class="scroll" role="region" aria-label="Table of scores" tabindex="0"><table class="scores">'
        f"<thead><tr><th{tall}>metric</th>"
        + "".join(f'<th{tall} class="model">{row.head()}</th>' for row in models)
        + f'{group}<th{tall} class="strip">side by side</th></tr><tr>'
        + "".join(f'<th scope="col" class="reference">{row.head()}</th>' for row in others)
        + f"</tr></thead><tbody>{body}</tbody></table></div>"
        f'<dl class="legend">{about}</dl><p class="note">Below each value: its 95 % interval.{note}</p>'
    )


def _rows(scores: Scores) -> list[_Row]:
    """Models first, references last."""
    known = references(scores)
    models = [row for row in scores.rows if row not in known]
    return [
        *(_Row(row, "model", _MODELS[min(k, len(_MODELS) - 1)]) for k, row in enumerate(models)),
        *(_Row(row, "reference", _REFERENCES[row]) for row in known),
    ]


def _line(scores: Scores, metric: Metric, rows: Sequence[_Row]) -> str:
    cells = [scores[row.name].get(metric.name) for row in rows]
    decimals = scores.decimals(metric.name)
    best = _ARROWS.get(metric.direction, f"→ best {metric.direction}")
    unit = f", in {escape(metric.unit)}" if metric.unit else ""
    return (
        f'<tr><th scope="row"><span class="metric">{escape(metric.name)}</span> '
        f'<span class="best">{escape(best)}{unit}</span><p>{escape(metric.meaning)}</p></th>'
        + "".join(_cell(row, cell, decimals) for row, cell in zip(rows, cells, strict=True))
        + f'<td class="strip">{_strip(rows, cells, metric)}</td></tr>'
    )


def _cell(row: _Row, score: Score | None, decimals: int) -> str:
    head = f'<td class="{row.kind}" data-row="{escape(row.name)}">'
    if score is None:
        return f"{head}–</td>"
    value, _, interval = score.format(decimals).partition(" ")
    below = f"<small>{escape(interval)}</small>" if interval else ""
    return f"{head}<span>{escape(value)}</span>{below}</td>"


def _strip(rows: Sequence[_Row], cells: Sequence[Score | None], metric: Metric) -> str:
    """All values of a metric on one line, the interval of the first model as a bar."""
    known = [v for s in cells if s is not None for v in (s.value, s.low, s.high) if v is not None]
    ends = [v for v in known if math.isfinite(v)]
    if len(ends) < 2 or min(ends) == max(ends):
        return ""
    # Distances of very different size would fall together on an even scale.
    positive = math.isinf(metric.bounds[1]) and min(ends) > 0 and max(ends) > 12 * min(ends)

    def place(value: float) -> float:
        low, high, at = (math.log(v) if positive else v for v in (min(ends), max(ends), value))
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (at - low) / (high - low), 1)

    parts = [f'<path class="rail" d="M{_EDGE} 13H{_WIDTH - _EDGE}"/>']
    first = cells[0]
    if first is not None and first.low is not None and first.high is not None and math.isfinite(first.value):
        parts.append(f'<path class="bar" d="M{place(first.low)} 13H{place(first.high)}"/>')
    # The first model is drawn last, and so on top.
    for row, score in reversed(list(zip(rows, cells, strict=True))):
        if score is not None and math.isfinite(score.value):
            parts.append(row.at(place(score.value)))
    scale = f'<text x="{_WIDTH - 4}" y="27" text-anchor="end">log</text>' if positive else ""
    size = f'viewBox="0 0 {_WIDTH} 28" width="{_WIDTH}" height="28"'
    return f'<svg {size} aria-hidden="true">{"".join(parts)}{scale}</svg>'
