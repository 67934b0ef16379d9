"""Sentences and the table of scores."""

from __future__ import annotations

import re

import pytest

from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.report.data.summary import counted, duration, listed, verdict
from noisefold.report.page.score_table import ScoreTable

NEAR = Metric("1-NNA", 0.5, "Share.", bounds=(0.0, 1.0))
DISTANCE = Metric("MMD", "lower", "Distance.", "sd")


def scores(model: Score, real: float, noise: float, metric: Metric = NEAR) -> Scores:
    cells = {"model": model, "real": Score(real, real - 0.01, real + 0.01), "noise": Score(noise)}
    return Scores((metric,), {row: {metric.name: score} for row, score in cells.items()})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Score(0.75, 0.7, 0.8), "50 % of the way from noise to real data"),
        (Score(0.52, 0.45, 0.6), "cannot tell them from real data"),
        (Score(0.75, 0.4, 1.0), "too few clouds to tell them from either"),
        (Score(1.0, 1.0, 1.0), "no better than noise"),
        (Score(0.1, 0.05, 0.15), "hints at copies"),
        (Score(float("nan")), "cannot place them"),
    ],
)
def test_verdict_near_a_number(model: Score, said: str) -> None:
    assert said in verdict(scores(model, 0.5, 1.0))


def test_verdict_on_a_distance() -> None:
    text = verdict(scores(Score(0.4, 0.35, 0.45), 0.2, 1.0, DISTANCE))
    assert "On MMD (best: lower)" in text
    assert "75 % of the way" in text
    assert "at least as good" in verdict(scores(Score(0.1, 0.09, 0.11), 0.2, 1.0, DISTANCE))


def test_verdict_has_a_sentence_for_every_model() -> None:
    base = scores(Score(0.75, 0.7, 0.8), 0.5, 1.0)
    rows = {"model": base["model"], "shipped": {"1-NNA": Score(0.6, 0.55, 0.65)}, **dict(base.table)}
    text = verdict(Scores((NEAR,), rows))
    assert "its samples score 0.75" in text
    assert re.search(r" Shipped: 0\.60* \(.*\): 80 % of the way from noise to real data\.$", text)


def test_verdict_without_references_or_scores() -> None:
    alone = Scores((DISTANCE,), {"model": {"MMD": Score(0.25)}})
    assert verdict(alone) == "On MMD (best: lower) its samples score 0.250."
    assert "not been scored" in verdict(None)
    assert "empty" in verdict(Scores((DISTANCE,), {}))
    assert "empty" in verdict(Scores((DISTANCE,), {"model": {}}))


_DURATIONS = [(45, "45 s"), (89, "89 s"), (700, "12 min"), (12_000, "3 h 20 min"), (7500, "2 h 05 min")]


@pytest.mark.parametrize(("seconds", "text"), _DURATIONS)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_listed() -> None:
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert listed([str(i) for i in range(20)]).endswith("9, 10 and 9 more")


def test_counted() -> None:
    assert [counted(n, "point") for n in (0, 1, 1024)] == ["0 points", "1 point", "1,024 points"]


def table() -> Scores:
    cells = {
        "model": {"1-NNA": Score(0.75, 0.7, 0.8), "MMD": Score(0.25)},
        "real": {"1-NNA": Score(0.5, 0.4, 0.6)},
        "noise": {"1-NNA": Score(1.0, 0.9, 1.0), "MMD": Score(25.0)},
    }
    about = {"real": "other <test> clouds", "model": "10 clouds"}
    return Scores((NEAR, DISTANCE), cells, about, "1 sd = 2 m.")


def test_table_holds_every_score() -> None:
    laid = ScoreTable.of(table())
    assert [(c.name, c.kind) for c in laid.columns] == [
        ("model", "model"),
        ("real", "reference"),
        ("noise", "reference"),
    ]
    assert [c.about for c in laid.columns] == ["10 clouds", "other <test> clouds", ""]
    assert laid.note == "1 sd = 2 m."
    first, second = laid.rows
    assert [[float(v) for v in re.findall(r"[\d.]+", c.value + c.interval)] for c in first.cells] == [
        [0.75, 0.7, 0.8],
        [0.5, 0.4, 0.6],
        [1.0, 0.9, 1.0],
    ]
    assert [bool(c.value) for c in second.cells] == [True, False, True]


def test_several_models_come_before_the_references() -> None:
    base = table()
    both = ScoreTable.of(
        Scores(base.metrics, {**dict(base.table), "shipped <2>": {"MMD": Score(0.3)}}, base.about)
    )
    assert [c.name for c in both.models] == ["model", "shipped <2>"]
    assert [c.name for c in both.references] == ["real", "noise"]
    assert len({c.shape for c in both.columns}) == 4
    assert float(both.rows[1].cells[1].value) == 0.3


def test_marks_stand_in_the_order_of_the_values() -> None:
    first, second = ScoreTable.of(table()).rows
    # Drawn from the last row to the first, so that the model is on top.
    assert [m.column.name for m in first.marks] == ["noise", "real", "model"]
    noise, real, model = (m.place for m in first.marks)
    # The scale runs from the least end of an interval, 0.4, to the greatest, 1: 130 units wide from 10 on.
    assert noise == pytest.approx(140)
    assert real == pytest.approx(10 + 130 * (0.5 - 0.4) / 0.6, abs=0.06)
    assert model == pytest.approx(10 + 130 * (0.75 - 0.4) / 0.6, abs=0.06)
    assert first.bar == pytest.approx((75, 10 + 130 * 0.4 / 0.6), abs=0.06)
    assert (first.log, second.log) == (False, True)


def test_table_without_rows_or_references() -> None:
    assert ScoreTable.of(Scores((NEAR,), {})).columns == []
    alone = ScoreTable.of(Scores((NEAR,), {"model": {"1-NNA": Score(0.5)}}))
    assert alone.references == []
    assert alone.rows[0].marks == []


def test_intervals_that_overlap_do_not_make_a_tie() -> None:
    cells = {"model": Score(0.73, 0.6, 0.86), "real": Score(0.5, 0.31, 0.69), "noise": Score(1.0)}
    text = verdict(Scores((NEAR,), {row: {"1-NNA": score} for row, score in cells.items()}))
    assert "54 % of the way from noise to real data" in text
