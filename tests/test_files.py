"""Files stand whole or not at all, and targets are refused before the work."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noisefold import files
from noisefold.files import STAGED, atomic_text, check_out, staged, tidy

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork")


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# -- writing -------------------------------------------------------------------------------------------------


def test_a_file_and_a_folder_take_the_place_of_older_ones(tmp_path: Path) -> None:
    for text in ("old", "new"):
        atomic_text(tmp_path / "new" / "a.json", text)
        with staged(tmp_path / "b") as part:
            part.mkdir()
            (part / text).write_text(text)
    assert (tmp_path / "new" / "a.json").read_text() == "new"
    assert _names(tmp_path / "b") == ["new"]
    assert _names(tmp_path) == ["b", "new"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("folder", [False, True])
def test_what_fails_within_changes_nothing(tmp_path: Path, error: BaseException, folder: bool) -> None:
    target = tmp_path / "a"
    atomic_text(target, "old")

    def write() -> None:
        with staged(target) as part:
            if folder:
                part.mkdir()
            (part / "x" if folder else part).write_text("new")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert _names(tmp_path) == ["a"]


def test_an_error_names_the_target_and_not_what_is_staged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full") as caught, staged(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as caught, staged(tmp_path / "a") as part:
        part.read_text()
    assert caught.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as caught, staged(tmp_path / "a"):
        (tmp_path / "input").read_text()
    assert caught.value.filename == str(tmp_path / "input")


@pytest.mark.parametrize("folder", [False, True])
def test_data_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    """A rename that reaches the disk before the data leaves an empty file after a loss of power."""
    events: list[tuple[str, str]] = []

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)
            events.append((name, Path(path).name))
            return function(first, *rest)

        return call

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    with staged(tmp_path / "a") as part:
        if folder:
            part.mkdir()
            (part / "x").write_text("new")
        else:
            part.write_text("new")
    inner = [("fsync", "x")] if folder else []
    assert events == [*inner, ("fsync", part.name), ("replace", part.name), ("fsync", tmp_path.name)]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "disk" / "a.txt")
    atomic_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "disk" / "a.txt").read_text() == "new"


def test_long_names_and_names_like_patterns(tmp_path: Path) -> None:
    for name in ("n" * 255, "ü" * 127, "[a]*?.json", "-1"):
        atomic_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name
    assert len(_names(tmp_path)) == 4


@posix
@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, folder: bool) -> None:
    child = os.fork()
    if child == 0:
        with staged(tmp_path / "a") as part:
            if folder:
                part.mkdir()
            (part / "x" if folder else part).write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(_names(tmp_path)) == 1
    atomic_text(tmp_path / "b", "another target")
    with staged(tmp_path / "a b") as part:  # its name only begins alike
        part.write_text("x")
    assert len(_names(tmp_path)) == 3
    atomic_text(tmp_path / "a", "whole")
    assert _names(tmp_path) == ["a", "a b", "b"]


def test_what_is_being_written_or_foreign_is_left_alone(tmp_path: Path) -> None:
    with staged(tmp_path / "a") as mine:
        mine.write_text("mine")
        foreign = [tmp_path / f"{STAGED}a-{'0' * 8}-999999999-x", tmp_path / f"{STAGED}a-other"]
        for path in foreign:
            path.write_text("of another machine")
        tidy(tmp_path / "a")
        assert mine.exists()
        assert all(path.exists() for path in foreign)


# -- targets -------------------------------------------------------------------------------------------------


def test_targets_that_can_be_written(tmp_path: Path) -> None:
    check_out(tmp_path / "new" / "newer" / "a.json", endings=(".json",), room=1)
    check_out(tmp_path, folder=True)
    check_out(tmp_path / "new", folder=True)
    assert _names(tmp_path) == []


def test_targets_that_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    cases: list[tuple[type[Exception], Path, dict[str, Any]]] = [
        (ValueError, tmp_path / "a.csv", {"endings": (".npz",)}),
        (ValueError, tmp_path / "link", {"source": tmp_path / "file"}),
        (ValueError, tmp_path / "file" / "a", {}),
        (ValueError, tmp_path / "file" / "a", {"folder": True}),
        (FileExistsError, tmp_path, {}),
        (FileExistsError, tmp_path / "file", {"folder": True}),
        (FileExistsError, Path(os.devnull), {}),
    ]
    for error, target, how in cases:
        with pytest.raises(error, match=target.name):
            check_out(target, **how)
    assert _names(tmp_path) == ["file", "link"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def forbidden(**_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", forbidden)
    with pytest.raises(ValueError, match=os.strerror(number)):
        check_out(tmp_path / "a.json")


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OSError, match="GB"):
        check_out(tmp_path / "a", room=free + 10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(OSError, match="make room"):
        check_out(tmp_path / "a")
