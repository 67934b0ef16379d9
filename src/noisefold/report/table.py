"""The table of scores as HTML: metrics down, the model and its references across."""

from __future__ import annotations

import math
from html import escape

from noisefold.eval.scores import Metric, Score, Scores
from noisefold.report.words import number

__all__ = ["score_table"]

_ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better"}
_MARKS = (
    '<circle r="5"/>',
    '<path d="M0-6 6 0 0 6-6 0Z"/>',
    '<path d="M0-5 5 4-5 4Z"/>',
    '<path d="M-4-4 4 4M-4 4 4-4"/>',
    '<path d="M0-5V5M-5 0H5"/>',
)
_WIDTH, _EDGE = 180, 10


def score_table(scores: Scores) -> str:
    """The table, and below it what its columns are.

    The first row of the scores is the model; all others are its references.
    """
    rows = scores.rows
    if not rows:
        return "<p>The table of scores is empty.</p>"
    group = "" if len(rows) < 2 else f'<th scope="colgroup" colspan="{len(rows) - 1}">references</th>'
    heads = "".join(
        f'<th scope="col" class="{_kind(k)}">{_mark(k)}{escape(row)}</th>' for k, row in enumerate(rows)
    )
    body = "".join(_line(scores, metric) for metric in scores.metrics)
    about = "".join(
        f"<div><dt>{_mark(k)}{escape(row)}{' <small>reference</small>' if k else ''}</dt>"
        f"<dd>{escape(scores.about.get(row, ''))}</dd></div>"
        for k, row in enumerate(rows)
        if scores.about.get(row)
    )
    note = f" {escape(scores.note)}" if scores.note else ""
    return (
        '<div class="scroll" role="region" aria-label="Table of scores" tabindex="0"><table class="scores"><thead>'
        f'<tr><th rowspan="2" scope="col">metric</th><th scope="colgroup">model</th>{group}'
        f'<th rowspan="2" scope="col" class="strip">side by side</th></tr><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<dl class="legend">{about}</dl><p class="note">Below each value: its 95 % interval.{note}</p>'
    )


def _kind(k: int) -> str:
    return "reference" if k else "model"


def _mark(k: int) -> str:
    shape = _MARKS[min(k, len(_MARKS) - 1)]
    return f'<svg class="mark {_kind(k)}" viewBox="-8 -8 16 16" aria-hidden="true">{shape}</svg>'


def _line(scores: Scores, metric: Metric) -> str:
    cells = [scores[row].get(metric.name) for row in scores.rows]
    best = _ARROWS.get(metric.direction, f"→ best {metric.direction}")
    unit = f", in {escape(metric.unit)}" if metric.unit else ""
    return (
        f'<tr><th scope="row"><span class="metric">{escape(metric.name)}</span> '
        f'<span class="best">{escape(best)}{unit}</span><p>{escape(metric.meaning)}</p></th>'
        + "".join(_cell(score, k) for k, score in enumerate(cells))
        + f'<td class="strip">{_strip(cells)}</td></tr>'
    )


def _cell(score: Score | None, k: int) -> str:
    if score is None:
        return f'<td class="{_kind(k)}">–</td>'
    interval = ""
    if score.low is not None and score.high is not None:
        interval = f"<small>{number(score.low)} to {number(score.high)}</small>"
    return f'<td class="{_kind(k)}"><span>{number(score.value)}</span>{interval}</td>'


def _strip(cells: list[Score | None]) -> str:
    """All values of a metric on one line, the interval of the model as a bar."""
    ends = [v for s in cells if s is not None for v in (s.value, s.low, s.high) if v is not None and math.isfinite(v)]
    if len(ends) < 2 or min(ends) == max(ends):
        return ""
    # Values of very different size would fall together on an even scale.
    positive = min(ends) > 0 and max(ends) > 30 * min(ends)

    def place(value: float) -> float:
        low, high, at = (math.log(v) if positive else v for v in (min(ends), max(ends), value))
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (at - low) / (high - low), 1)

    parts = [f'<path class="rail" d="M{_EDGE} 13H{_WIDTH - _EDGE}"/>']
    model = cells[0]
    if model is not None and model.low is not None and model.high is not None and math.isfinite(model.value):
        parts.append(f'<path class="bar" d="M{place(model.low)} 13H{place(model.high)}"/>')
    for k, score in reversed(list(enumerate(cells))):
        if score is not None and math.isfinite(score.value):
            shape = _MARKS[min(k, len(_MARKS) - 1)]
            parts.append(f'<g class="mark {_kind(k)}" transform="translate({place(score.value)} 13)">{shape}</g>')
    scale = '<text x="174" y="25" text-anchor="end">log</text>' if positive else ""
    return f'<svg viewBox="0 0 {_WIDTH} 26" width="{_WIDTH}" height="26" aria-hidden="true">{"".join(parts)}{scale}</svg>'
