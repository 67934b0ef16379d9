"""Sentences and the table of scores."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.report.table import score_table
from noisefold.report.words import duration, listed, verdict

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


class Cells(HTMLParser):
    """Texts of the cells of a table, row by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


def table() -> Scores:
    cells = {
        "model": {"1-NNA": Score(0.75, 0.7, 0.8), "MMD": Score(0.25)},
        "real": {"1-NNA": Score(0.5, 0.4, 0.6)},
        "noise": {"1-NNA": Score(1.0, 0.9, 1.0), "MMD": Score(25.0)},
    }
    about = {"real": "other <test> clouds", "model": "10 clouds"}
    return Scores((NEAR, DISTANCE), cells, about, "1 sd = 2 m.")


def test_table_holds_every_score_direction_and_meaning() -> None:
    head, references, first, second = Cells(score_table(table())).rows
    assert head == ["metric", "model", "references", "side by side"]
    assert references == ["real", "noise"]
    numbers = [[float(v) for v in re.findall(r"[\d.]+", cell)] for cell in first[1:4]]
    assert numbers == [[0.75, 0.7, 0.8], [0.5, 0.4, 0.6], [1.0, 0.9, 1.0]]
    assert second[2] == "–"
    assert "best near 0.5" in first[0]
    assert "lower is better, in sd" in second[0]
    assert "Share." in first[0]


def test_several_models_come_before_the_references() -> None:
    base = table()
    both = Scores(base.metrics, {**dict(base.table), "shipped <2>": {"MMD": Score(0.3)}}, base.about)
    html = score_table(both)
    head, references, first, second = Cells(html).rows
    assert head == ["metric", "model", "shipped <2>", "references", "side by side"]
    assert references == ["real", "noise"]
    assert first[2] == "–"
    assert float(second[2]) == 0.3
    assert html.count('<td class="model"') == 4


def test_table_explains_its_rows_and_escapes() -> None:
    html = score_table(table())
    assert "other &lt;test&gt; clouds" in html
    assert html.count("<small>reference</small>") == 1
    assert "1 sd = 2 m." in html


def test_marks_stand_in_the_order_of_the_values() -> None:
    html = score_table(table())
    strip = re.findall(r'class="mark (\w+)" transform="translate\(([\d.]+) 13\)"', html.split("MMD")[0])
    # Drawn from the last row to the first, so that the model is on top.
    assert [kind for kind, _ in strip] == ["reference", "reference", "model"]
    noise, real, model = (float(place) for _, place in strip)
    # The scale runs from the least end of an interval, 0.4, to the greatest, 1: 130 units wide from 10 on.
    assert noise == pytest.approx(140)
    assert real == pytest.approx(10 + 130 * (0.5 - 0.4) / 0.6, abs=0.06)
    assert model == pytest.approx(10 + 130 * (0.75 - 0.4) / 0.6, abs=0.06)
    assert "log" in html.split("MMD")[1]


def test_table_without_rows_or_references() -> None:
    assert "empty" in score_table(Scores((NEAR,), {}))
    assert "references" not in score_table(Scores((NEAR,), {"model": {"1-NNA": Score(0.5)}}))


def test_intervals_that_overlap_do_not_make_a_tie() -> None:
    cells = {"model": Score(0.73, 0.6, 0.86), "real": Score(0.5, 0.31, 0.69), "noise": Score(1.0)}
    text = verdict(Scores((NEAR,), {row: {"1-NNA": score} for row, score in cells.items()}))
    assert "54 % of the way from noise to real data" in text
