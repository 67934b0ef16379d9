"""The studies of range and resolution: complete, plain, and in agreement with what the theory says."""

import json
from pathlib import Path

import pytest

from noisefold.studies import STUDIES
from noisefold.studies.neighbors import range


@pytest.fixture(scope="module")
def result():
    return range.measure(range.STUDY.begin(Path(), "smoke"))


@pytest.mark.slow
def test_range_is_plain_and_agrees(result):
    assert json.loads(json.dumps(result)) == result
    assert len(result["radii"]) == 12
    for row in result["radii"]:
        assert row["radius"] == sorted(row["radius"], reverse=True)
    rows = [*result["information"], *result["distances"]]
    assert len(rows) == 36 + 12
    for row in rows:  # 48 rows of 500 draws: beyond 4 errors once in 300 runs
        assert abs(row["simulated"] - row["formula"]) < 4 * row["error"]
    assert range.table(result).count("| spherical |") == 2 + 2 * 3
    assert len(range.figure(result).axes) == 3


@pytest.mark.slow
def test_range_shows_the_erratum(result):
    paper = result["paper"]
    assert paper["printed"] == sorted(paper["printed"], reverse=True)
    assert paper["right"] == sorted(paper["right"])
    assert max(paper["right_snr"]) < 4.5


@pytest.mark.slow
def test_resolution_has_every_row(tmp_path):
    paths = STUDIES["resolution"].run(tmp_path, "smoke", 0)
    found = json.loads(paths[0].read_text())
    rows = [(r["view"], r["variable"], r["pooling"]) for r in found["rows"]]
    assert len(set(rows)) == len(rows) == 8
    assert all(p.is_file() for p in paths)
    for row in found["rows"]:
        for best, low, high in row["best"]:
            assert low <= best <= high
    assert paths[1].read_text().count("| pos | mean |") == 2
