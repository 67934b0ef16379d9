"""The study of cyclones at its smallest scale, and what its numbers mean."""

import json

import pytest

from noisefold.studies import STUDIES
from noisefold.studies.functions import cyclones


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
