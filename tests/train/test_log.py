"""The log survives kills and goes on where its checkpoint stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from noisefold.train.log import Log, read_log

ENTRIES = [
    {"step": 2, "loss": 1.5},
    {"step": 4, "loss": 1.25},
    {"step": 4, "val_loss": 1.0},
    {"step": 6, "loss": 1.0},
]


def _written(path: Path) -> Log:
    log = Log(path)
    log.begin(0)
    for entry in ENTRIES:
        log.add(entry)
    return log


def test_entries_come_back(tmp_path: Path) -> None:
    log = _written(tmp_path / "metrics.jsonl")
    log.sync()
    assert read_log(tmp_path / "metrics.jsonl") == ENTRIES == log.entries


def test_without_a_file_entries_are_only_kept() -> None:
    log = Log(None)
    log.begin(0)
    log.add(ENTRIES[0])
    log.sync()
    log.close()
    assert log.entries == ENTRIES[:1]
    assert read_log(Path("nowhere.jsonl")) == []


def test_later_entries_are_dropped(tmp_path: Path) -> None:
    _written(tmp_path / "metrics.jsonl")
    log = Log(tmp_path / "metrics.jsonl")
    log.begin(4)
    assert log.entries == ENTRIES[:3]
    log.add({"step": 5})
    assert read_log(tmp_path / "metrics.jsonl") == [*ENTRIES[:3], {"step": 5}]


@pytest.mark.parametrize("torn", [b'{"step": 8, "lo', b"\xff\xfe", b"{"])
def test_a_torn_line_is_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    _written(path)
    with path.open("ab") as file:
        file.write(torn)
    assert read_log(path) == ENTRIES
    log = Log(path)
    log.begin(8)
    log.add({"step": 8})
    assert read_log(path) == [*ENTRIES, {"step": 8}]


def test_only_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    _written(path)
    before = path.read_bytes()
    other = Log(path, writes=False)
    other.begin(4, board=True)
    other.add({"step": 5})
    other.sync()
    other.close()
    assert path.read_bytes() == before
    assert other.entries == [*ENTRIES[:3], {"step": 5}]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def _events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = Log(tmp_path / "metrics.jsonl")
    log.begin(0, board=True)
    log.add({"step": 2, "loss": 1.5})
    log.add({"step": 2, "val_loss_by_signal": [0.5, None, 0.25]})
    log.add({"step": 4, "loss": 1.25})
    log.sync()
    log.add({"step": 6, "loss": 9.0})
    log.close()
    # The part after the checkpoint at step 4 is done again.
    log = Log(tmp_path / "metrics.jsonl")
    log.begin(4, board=True)
    log.add({"step": 6, "loss": 1.0})
    log.close()
    events = _events(tmp_path / "tensorboard")
    assert events["loss"] == [(2, 1.5), (4, 1.25), (6, 1.0)]
    assert events["val_loss_by_signal/0"] == [(2, 0.5)]
    assert events["val_loss_by_signal/2"] == [(2, 0.25)]
    assert "val_loss_by_signal/1" not in events


def test_without_tensorboard_the_mend_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"`pip install noisefold\[tensorboard\]`"):
        Log(tmp_path / "metrics.jsonl").begin(0, board=True)
