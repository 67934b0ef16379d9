"""Sentences of a report: the model, and the verdict of its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.reported import ReportedModel

__all__ = ["counted", "duration", "introduction", "listed", "references", "span", "verdict"]

_REFERENCES = ("real", "train", "noise", "collapsed", "truth", "copied", "Erdos-Renyi", "independent")
_BESIDE = ("real", "truth", "noise", "Erdos-Renyi", "independent")


def counted(count: int, noun: str) -> str:
    """Return ``1 point``, ``1,024 points``."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def span(graphs: Graphs) -> str:
    """Return the range of the graphs' numbers of nodes."""
    low, high = int(graphs.sizes.min()), int(graphs.sizes.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def references(scores: Scores) -> list[str]:
    """Return the rows that are no model: any but the first that carry the name of a reference."""
    return [row for row in scores.rows[1:] if row in _REFERENCES]


def duration(seconds: float) -> str:
    """Return ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return ``a, b and c``; of long lists the beginning."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def introduction(model: ReportedModel) -> str:
    """Return what the model is, in a sentence or two."""
    text = (
        f"A {type(model.net).__name__} network with {counted(model.num_parameters, 'parameter')} turns noise "
        f"into data step by step ({model.path.about}; it predicts the {model.target.name})."
    )
    names = [name for name in model.classes if name]
    return text + (f" Its classes are {listed(names)}." if len(names) > 1 else "")


def verdict(scores: Scores | None) -> str:
    """Return what the first metric says: a sentence for the model, and one for each other model."""
    if scores is None:
        return "It has not been scored yet."
    model = scores.rows[0] if scores.rows else ""
    metric = next((m for m in scores.metrics if model and m.name in scores[model]), None)
    if metric is None:
        return "The table of scores is empty."
    decimals = scores.decimals(metric.name)
    column = {row: cells[metric.name] for row, cells in scores.table.items() if metric.name in cells}
    beside = [r for r in references(scores) if r in _BESIDE and r in column]
    text = f"On {metric.name} (best: {metric.direction}) its samples score "
    text += _with_interval(column[model], decimals)
    if beside:
        text += ", where " + listed([f"{_called(r)} {column[r].value:.{decimals}f}" for r in beside])
    text += _placed(metric, column, model) + "."
    for row in column:
        if row != model and row not in references(scores):
            text += (
                f" {row.capitalize()}: {_with_interval(column[row], decimals)}{_placed(metric, column, row)}."
            )
    return text


def _called(row: str) -> str:
    words = {"real": "real data score", "truth": "the true generator scores", "noise": "noise scores"}
    return words.get(row, f"{row} graphs score")


def _with_interval(score: Score, decimals: int) -> str:
    text = f"{score.value:.{decimals}f}"
    if score.low is None or score.high is None:
        return text
    return f"{text} (95 % interval {score.low:.{decimals}f} to {score.high:.{decimals}f})"


def _placed(metric: Metric, column: Mapping[str, Score], row: str) -> str:
    """Return where a score lies between those of noise and of real data, if these are known."""
    if "real" not in column or "noise" not in column:
        return ""
    return ": " + _between(metric, column[row], column["real"], column["noise"])


def _between(metric: Metric, score: Score, real: Score, noise: Score) -> str:
    span = real.value - noise.value
    if not math.isfinite(span) or span == 0 or not math.isfinite(score.value):
        return "this metric cannot place them"
    way = (score.value - noise.value) / span
    goal = float(metric.best) if isinstance(metric.best, float | int) else real.value
    if _holds(score, goal):
        if _holds(score, noise.value):
            return "these are too few clouds to tell them from either"
        return "with this many clouds it cannot tell them from real data"
    if isinstance(metric.best, float | int) and (score.value - metric.best) * (noise.value - metric.best) < 0:
        return "beyond what is best, which hints at copies of known data"
    if way <= 0:
        return "no better than noise"
    if way >= 1:
        return "at least as good as real data"
    return f"{100 * way:.0f} % of the way from noise to real data"


def _holds(score: Score, value: float) -> bool:
    """Whether a score's interval holds a value; overlap of two intervals would be too easy a test."""
    if score.low is None or score.high is None:
        return score.value == value
    return score.low <= value <= score.high
