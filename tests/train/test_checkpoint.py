"""Checkpoints are whole or absent, whatever fails."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import assert_same_state
from torch import Tensor, nn

from noisefold import tensor_files
from noisefold.files import atomic_text
from noisefold.train import Checkpoint, Checkpoints


def _checkpoint(step: int, size: int = 5) -> Checkpoint:
    torch.manual_seed(step)
    tensors = {
        "net": {"a": torch.randn(size), "b.c": torch.tensor(step)},
        "optimizer": {"0.step": torch.ones(())},
    }
    return Checkpoint(step, tensors, {"identity": {"seed": 1}, "seconds": 1.5})


def _assert_equal(a: Checkpoint | None, b: Checkpoint) -> None:
    assert a is not None
    assert (a.step, a.plain) == (b.step, b.plain)
    assert a.tensors.keys() == b.tensors.keys()
    for name in a.tensors:
        assert_same_state(a.tensors[name], b.tensors[name])


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "runs" / "a")
    assert checkpoints.latest() is None
    assert checkpoints.steps() == []
    checkpoints.save(_checkpoint(3))
    _assert_equal(checkpoints.latest(), _checkpoint(3))


def test_any_tensor_can_be_saved(tmp_path: Path) -> None:
    tied = torch.randn(4, 3)
    odd: dict[str, Tensor] = {
        "tied.1": tied,
        "tied.2": tied,
        "view": tied[:, 1],
        "transposed": tied.T,
        "empty": torch.zeros(0, 2),
        "low": torch.randn(3).bfloat16(),
        "parameter": nn.Parameter(torch.randn(2)),
        "flag": torch.tensor(True),
    }
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(Checkpoint(1, {"net": odd, "nothing": {}}, {}))
    _assert_equal(checkpoints.latest(), Checkpoint(1, {"net": odd, "nothing": {}}, {}))


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (5, 9, 10, 100):
        checkpoints.save(_checkpoint(step))
    assert checkpoints.steps() == [10, 100]
    _assert_equal(checkpoints.latest(), _checkpoint(100))


def test_finite_sees_every_tensor() -> None:
    good = _checkpoint(1)
    assert good.finite
    assert Checkpoint(0, {}, {}).finite
    for bad in (float("nan"), float("inf")):
        tensors = {**good.tensors, "average": {"w": torch.tensor([[0.0, bad]])}}
        assert not Checkpoint(1, tensors, {}).finite


# -- failing writes ------------------------------------------------------------------------------------------


class _FailAt:
    """Calls a function, but fails at its n-th call."""

    def __init__(self, function: Callable[..., Any], n: int, error: Exception) -> None:
        self.function, self.left, self.error = function, n, error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.function(*args, **kwargs)


WRITES = [
    (os, "replace", 2),
    (os, "fsync", 6),
    (tensor_files, "save_file", 2),
    (Path, "write_text", 1),
    (Path, "mkdir", 2),
]
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name", "n"),
    [(owner, name, n + 1) for owner, name, calls in WRITES for n in range(calls)],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_a_full_disk_leaves_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, n: int
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(_checkpoint(1))
    failing = _FailAt(getattr(owner, name), n, FULL)
    with monkeypatch.context() as patch:
        # A plain function, so that methods of Path still get their self.
        patch.setattr(owner, name, lambda *a, **k: failing(*a, **k))
        with pytest.raises(OSError, match="No space left on device") as caught:
            checkpoints.save(_checkpoint(2))
    assert failing.left == 0
    message = str(caught.value)
    assert message.startswith(f"checkpoint 2 could not be written to {tmp_path} (")
    assert message.endswith("older ones are kept, so make room there and resume.")
    # The last fsync comes after the renaming; the checkpoint is whole then.
    done = checkpoints.steps()
    assert done == ([1, 2] if (name, n) == ("fsync", 6) else [1])
    _assert_equal(checkpoints.latest(), _checkpoint(done[-1]))
    assert sorted(p.name for p in tmp_path.iterdir()) == [str(s) for s in done]
    checkpoints.save(_checkpoint(2))
    _assert_equal(checkpoints.latest(), _checkpoint(2))


def test_every_write_was_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = dict.fromkeys((name for _, name, _ in WRITES), 0)

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    for owner, name, _ in WRITES:
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    Checkpoints(tmp_path).save(_checkpoint(1))
    assert counts == {name: calls for _, name, calls in WRITES}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.name != "posix" or os.geteuid() != 0:
        pytest.skip("a small disk needs root and mount")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    checkpoints = Checkpoints(small_disk, keep=1)
    checkpoints.save(_checkpoint(1, size=20_000))
    with pytest.raises(OSError, match="checkpoint 2 could not be written"):
        checkpoints.save(_checkpoint(2, size=60_000))
    assert [p.name for p in small_disk.iterdir()] == ["1"]
    _assert_equal(checkpoints.latest(), _checkpoint(1, size=20_000))
    checkpoints.save(_checkpoint(2, size=20_000))
    assert checkpoints.steps() == [2]


def test_an_interrupt_within_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_files, "save_file", _FailAt(tensor_files.save_file, 2, KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(tmp_path).save(_checkpoint(1))
    assert list(tmp_path.iterdir()) == []


# -- damaged files -------------------------------------------------------------------------------------------


def _cut(folder: Path) -> None:
    path = folder / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def _flip(folder: Path) -> None:
    path = folder / "net.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut": _cut,
    "one bit": _flip,
    "file gone": lambda folder: (folder / "optimizer.safetensors").unlink(),
    "state gone": lambda folder: (folder / "state.json").unlink(),
    "state cut": lambda folder: (folder / "state.json").write_text("{"),
    "manifest gone": lambda folder: (folder / "manifest.json").unlink(),
    "manifest cut": lambda folder: (folder / "manifest.json").write_text('{"state.json": {"by'),
    "manifest of nothing": lambda folder: (folder / "manifest.json").write_text("{}"),
    "manifest of another kind": lambda folder: (folder / "manifest.json").write_text("[1]"),
    "entry of another kind": lambda folder: (folder / "manifest.json").write_text('{"state.json": 3}'),
    "empty": _empty,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_passed_over_and_replaced(
    tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2):
        checkpoints.save(_checkpoint(step))
    damage(tmp_path / "2")
    with pytest.warns(UserWarning, match=r"checkpoint 2 in .* is damaged; 1 is taken instead"):
        _assert_equal(checkpoints.latest(), _checkpoint(1))
    checkpoints.save(_checkpoint(2))
    _assert_equal(checkpoints.latest(), _checkpoint(2))
    assert checkpoints.steps() == [1, 2]


def test_damaged_newer_ones_do_not_push_out_sound_older_ones(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (10, 20):
        checkpoints.save(_checkpoint(step))
    _cut(tmp_path / "20")
    for step in (12, 14):
        checkpoints.save(_checkpoint(step))
    assert checkpoints.steps() == [12, 14, 20]


def test_nothing_sound_at_all_is_an_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(_checkpoint(step))
        _cut(tmp_path / str(step))
    with pytest.raises(
        ValueError, match=r"every checkpoint in .* is damaged \(1, 2\); restore one of them, or"
    ):
        checkpoints.latest()


def test_a_sound_checkpoint_is_never_taken_away_to_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_checkpoint(1))
    monkeypatch.setattr(tensor_files, "save_file", _FailAt(tensor_files.save_file, 1, FULL))
    monkeypatch.setattr(shutil, "rmtree", _FailAt(shutil.rmtree, 1, AssertionError("removed")))
    checkpoints.save(_checkpoint(1))
    _assert_equal(checkpoints.latest(), _checkpoint(1))


def test_leftovers_are_ignored_and_tidied(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.tidy()
    checkpoints.save(_checkpoint(1))
    left = checkpoints.folder / ".staged-2"
    shutil.copytree(checkpoints.folder / "1", left)
    assert checkpoints.steps() == [1]
    checkpoints.tidy()
    assert not left.exists()
    assert checkpoints.steps() == [1]
    # Leftovers of the same step do not get into a new checkpoint.
    shutil.copytree(checkpoints.folder / "1", left)
    (left / "other.safetensors").write_bytes(b"x")
    checkpoints.save(_checkpoint(2))
    _assert_equal(checkpoints.latest(), _checkpoint(2))


def test_strangers_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    (tmp_path / "best").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    for step in (1, 2):
        checkpoints.save(_checkpoint(step))
    (tmp_path / "2" / ".DS_Store").write_text("whatever")
    _assert_equal(checkpoints.latest(), _checkpoint(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "best", "notes.txt"]


def test_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    atomic_text(path, json.dumps([1]))
    for owner, name in ((os, "replace"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, _FailAt(getattr(owner, name), 1, FULL))
            with pytest.raises(OSError, match="No space"):
                atomic_text(path, "other")
        assert path.read_text() == "[1]"
        assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
