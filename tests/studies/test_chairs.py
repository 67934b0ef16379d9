"""The studies of chairs and classes at their smallest: what they write, and that they go on as they were."""

import json
from pathlib import Path

import pytest

from noisefold.studies import STUDIES


@pytest.mark.slow
def test_chairs(tmp_path: Path) -> None:
    files = STUDIES["chairs"].run(tmp_path, "smoke", 0)
    assert [f.suffix for f in files] == [".json", ".md", ".png"]
    result = json.loads(files[0].read_text())
    rows = result["scores"]["rows"].keys()
    assert {"real", "train", "noise", "collapsed"} < rows
    assert result["sampling_ms_per_cloud"].keys() == rows - {"real", "train", "noise", "collapsed"}
    assert min(result["sampling_ms_per_cloud"].values()) > 0
    assert len(result["profile"]["explained"]) == 20

    trained = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("checkpoints/*/*")}
    assert trained
    again = json.loads(STUDIES["chairs"].run(tmp_path, "smoke", 0)[0].read_text())
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("checkpoints/*/*")} == trained
    assert again["scores"] == result["scores"]
    assert again["profile"] == result["profile"]


@pytest.mark.slow
def test_classes(tmp_path: Path, shared: Path) -> None:
    result = json.loads(STUDIES["classes"].run(tmp_path, "smoke", 0)[0].read_text())
    assert len(result["classes"]) == 10
    for row in result["classes"].values():
        assert {"guidance 1", "guidance 2", "real", "noise"} < row["rows"].keys()


def test_classes_says_that_the_data_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="ModelNet"):
        STUDIES["classes"].run(tmp_path, "smoke", 0)
