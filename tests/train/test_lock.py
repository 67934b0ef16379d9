"""A run folder is locked against other trainings, and a lock never outlives its holder."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_training import data, denoiser, settings

from noisefold.train import train
from noisefold.train.lock import LOCK, run_lock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork")


@contextmanager
def holder(folder: Path) -> Iterator[int]:
    """A process that holds the lock of a folder until it is killed."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with run_lock(folder):
                os.write(here, b"x")
                signal.pause()
        finally:
            os._exit(1)
    os.close(here)
    assert os.read(there, 1) == b"x"
    os.close(there)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def refused(folder: Path) -> bool:
    """Whether another process would be refused."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            with run_lock(folder):
                status = 0
        except ValueError:
            status = 1
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1)
    return status == 1


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir() if p.is_file()}


def test_another_process_is_refused_until_the_holder_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        before = content(tmp_path / "run")
        with (
            pytest.raises(ValueError, match=f"run is in use: process {process} "),
            run_lock(tmp_path / "run"),
        ):
            pass
        with pytest.raises(ValueError, match=str(process)):
            train(denoiser(), data(), settings(), out=tmp_path / "run", resume=True)
        assert content(tmp_path / "run") == before
    assert (tmp_path / "run" / LOCK).exists()  # as a kill leaves it: without a holder it means nothing
    with run_lock(tmp_path / "run"):
        assert refused(tmp_path / "run")
    assert not refused(tmp_path / "run")
    assert not any((tmp_path / "run").iterdir())


def test_it_is_held_for_the_whole_of_training(tmp_path: Path) -> None:
    seen = []
    train(
        denoiser(),
        data(),
        settings(steps=2),
        out=tmp_path,
        on_step=lambda _: seen.append(refused(tmp_path)),
    )
    assert seen == [True, True]
    assert not refused(tmp_path)


def test_the_holder_may_take_it_again_but_no_other_thread(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def other() -> None:
        try:
            with run_lock(tmp_path):
                pass
        except ValueError as error:
            errors.append(error)

    with run_lock(tmp_path), run_lock(tmp_path / ".." / tmp_path.name):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(errors) == 1
    with run_lock(tmp_path):
        with run_lock(tmp_path):
            pass
        assert refused(tmp_path)  # the inner one did not release it


def test_processes_that_share_a_training_leave_it_to_the_main_one(tmp_path: Path) -> None:
    with holder(tmp_path), run_lock(tmp_path, wanted=False):
        pass
    with run_lock(None):
        pass


def test_a_fork_neither_holds_nor_releases_it(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert refused(tmp_path)
        sleeper = os.fork()
        if sleeper == 0:
            signal.pause()
            os._exit(0)
    try:
        assert not refused(tmp_path)
    finally:
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, 0)
