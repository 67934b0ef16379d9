"""The table of scores as HTML: metrics down, the model and its references across."""

from __future__ import annotations

import math
from html import escape

from noisefold.eval.scores import Metric, Score, Scores

__all__ = ["score_table"]

_ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better"}
_MARKS = (
    '<circle r="5"/>',
    '<path d="M0-6 6 0 0 6-6 0Z"/>',
    '<path d="M0-5 5 4-5 4Z"/>',
    '<path d="M-4-4 4 4M-4 4 4-4"/>',
    '<path d="M0-5V5M-5 0H5"/>',
)
_WIDTH, _EDGE = 150, 10


def score_table(scores: Scores) -> str:
    """The table, and below it what its columns are.

    The first row of the scores is the model; all others are its references.
    """
    rows = scores.rows
    if not rows:
        return "<p>The table of scores is empty.</p>"
    heads = [f">{_mark(k)}{escape(row)}</th>" for k, row in enumerate(rows)]
    column = '<th scope="col" class="reference"'
    group = f'<th scope="colgroup" colspan="{len(rows) - 1}">references</th>' if len(rows) > 1 else ""
    tall = ' rowspan="2"'
    body = "".join(_line(scores, metric) for metric in scores.metrics)
    about = "".join(
        f"<div><dt>{_mark(k)}{escape(row)}{' <small>reference</small>' if k else ''}</dt>"
        f"<dd>{escape(scores.about.get(row, ''))}</dd></div>"
        for k, row in enumerate(rows)
        if scores.about.get(row)
    )
    note = f" {escape(scores.note)}" if scores.note else ""
    return (
        '<div class="scroll" role="region" aria-label="Table of scores" tabindex="0"><table class="scores">'
        f'<thead><tr><th{tall} scope="col">metric</th><th{tall} scope="col" class="model"{heads[0]}{group}'
        f'<th{tall} scope="col" class="strip">side by side</th></tr>'
        f"<tr>{''.join(column + head for head in heads[1:])}</tr></thead>"
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
    decimals = scores._decimals(metric.name)
    best = _ARROWS.get(metric.direction, f"→ best {metric.direction}")
    unit = f", in {escape(metric.unit)}" if metric.unit else ""
    return (
        f'<tr><th scope="row"><span class="metric">{escape(metric.name)}</span> '
        f'<span class="best">{escape(best)}{unit}</span><p>{escape(metric.meaning)}</p></th>'
        + "".join(_cell(row, cells[k], k, decimals) for k, row in enumerate(scores.rows))
        + f'<td class="strip">{_strip(cells, metric)}</td></tr>'
    )


def _cell(row: str, score: Score | None, k: int, decimals: int) -> str:
    head = f'<td class="{_kind(k)}" data-row="{escape(row)}">'
    if score is None:
        return f"{head}–</td>"
    value, _, interval = score.format(decimals).partition(" ")
    below = f"<small>{escape(interval)}</small>" if interval else ""
    return f"{head}<span>{escape(value)}</span>{below}</td>"


def _strip(cells: list[Score | None], metric: Metric) -> str:
    """All values of a metric on one line, the interval of the model as a bar."""
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
    model = cells[0]
    if model is not None and model.low is not None and model.high is not None and math.isfinite(model.value):
        parts.append(f'<path class="bar" d="M{place(model.low)} 13H{place(model.high)}"/>')
    for k, score in reversed(list(enumerate(cells))):
        if score is not None and math.isfinite(score.value):
            shape = _MARKS[min(k, len(_MARKS) - 1)]
            at = f'transform="translate({place(score.value)} 13)"'
            parts.append(f'<g class="mark {_kind(k)}" {at}>{shape}</g>')
    scale = f'<text x="{_WIDTH - 4}" y="27" text-anchor="end">log</text>' if positive else ""
    size = f'viewBox="0 0 {_WIDTH} 28" width="{_WIDTH}" height="28"'
    return f'<svg {size} aria-hidden="true">{"".join(parts)}{scale}</svg>'
