"""The studies of range and resolution: complete, plain, and in agreement with what the theory says."""

import json

import pytest

from noisefold.studies import STUDIES, range, resolution


@pytest.fixture(scope="module")
def result():
    return range.run("smoke", seed=0)


def test_range_is_plain_repeats_and_agrees(result):
    assert json.loads(json.dumps(result)) == result
    assert range.run("smoke", seed=0) == result
    assert len(result["radii"]) == 12
    for row in result["radii"]:
        assert row["radius"] == sorted(row["radius"], reverse=True)
    rows = [*result["information"], *result["distances"]]
    assert len(rows) == 36 + 12
    for row in rows:  # 48 rows of 500 draws: beyond 4 errors once in 300 runs
        assert abs(row["simulated"] - row["formula"]) < 4 * row["error"]
    assert "Largest difference in 48 rows" in range.table(result)
    assert len(range.figure(result).axes) == 3


def test_range_shows_the_erratum(result):
    paper = result["paper"]
    assert paper["printed"] == sorted(paper["printed"], reverse=True)
    assert paper["right"] == sorted(paper["right"])
    assert max(paper["right_snr"]) < 4.5


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


@pytest.mark.parametrize("study", [range, resolution])
def test_unknown_scale_is_refused(study):
    with pytest.raises(ValueError, match="scale"):
        study.run("paper")
