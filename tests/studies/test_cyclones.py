"""The study of cyclones at its smallest scale, and what its numbers mean."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from noisefold.studies import STUDIES
from noisefold.studies.functions import cyclones

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::noisefold.data.DataNotice")
def test_smoke(tmp_path, shared, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(shared))
    train, test = cyclones.tracks()
    monkeypatch.setattr(cyclones, "tracks", lambda: (train[range(40)], test))
    assert int(train.season.max()) < 2013 <= int(test.season.min())
    assert not set(train.names) & set(test.names)
    STUDIES["cyclones"].run(tmp_path, "smoke")
    result = json.loads((tmp_path / "smoke.json").read_text(encoding="utf-8"))
    assert result["test"] == 6
    for task, rows in result["tasks"].items():
        assert set(rows) == {"model", "empirical Gaussian", "Gaussian process", "persistence"}
        assert all(len(row["error"]) == int((~cyclones.TASKS[task]).sum()) for row in rows.values())
        assert len(rows["model"]["log_prob"]) == len(rows["empirical Gaussian"]["log_prob"])
    table = (tmp_path / "smoke.md").read_text(encoding="utf-8")
    assert "nan" not in table
    assert (tmp_path / "smoke.png").stat().st_size > 1000


def test_missing_data_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="ibtracs"):
        cyclones.tracks()


def test_every_spread_of_the_table_is_a_standard_error():
    results = json.loads((RESULTS / "cyclones-short.json").read_text(encoding="utf-8"))
    rows = results["tasks"]["extrapolation"]
    cells = [line.split(" | ") for line in cyclones.table(results).splitlines() if "empirical" in line][1]
    own, model = (np.array(rows[name]["log_prob"]) for name in ("empirical Gaussian", "model"))
    for cell, values in zip(cells[1:3], (own, model - own), strict=True):
        mean, error = map(float, cell.split(" ± "))
        assert mean == pytest.approx(values.mean(), abs=0.05)
        assert error == pytest.approx(stats.sem(values), abs=0.05)
