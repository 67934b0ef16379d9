"""Killed without warning at any moment, a command leaves every file whole and can be run again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_commands import RESULTS, Server, assert_whole, leftovers, prepare, staged, state

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
CHAIN = 4  # kills of a training, each resumed from the one before, until it is let run to its end


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="module")
def place(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    prepare(folder)
    (folder / "model").symlink_to(folder / "whole" / "run" / "model")
    undisturbed(server, folder, "train")
    return folder


def undisturbed(server: Server, place: Path, name: str) -> tuple[float, dict[str, str]]:
    """Seconds and result of a command that nothing disturbs; it runs once."""
    if (place, name) not in WHOLE:
        ended = server.run(place / "whole", name)
        assert ended.status == 0, ended.said
        WHOLE[place, name] = ended.seconds, _result(place / "whole", name)
    return WHOLE[place, name]


WHOLE: dict[tuple[Path, str], tuple[float, dict[str, str]]] = {}


def _signal(rng: random.Random, number: int, seconds: float, folder: Path, within: bool) -> Disturb:
    """Send a signal at a random time; if `within`, when the next file after that time is being written."""

    def disturb(process: int, running: Callable[[], bool]) -> None:
        end = time.perf_counter() + 0.005 + rng.uniform(0, seconds)
        while running() and time.perf_counter() < end:
            time.sleep(0.0005)
        while within and running() and not staged(folder):
            time.sleep(0.0002)
        if within:
            time.sleep(rng.uniform(0, 0.002))
        if running():
            os.kill(process, number)

    return disturb


Disturb = Callable[[int, Callable[[], bool]], None]


def _result(folder: Path, name: str) -> dict[str, str]:
    """Files of a command's result."""
    return {k: v for k, v in state(folder).items() if k.startswith(RESULTS[name])}


def _battery(server: Server, place: Path, kills: dict[str, int], seed: int) -> Counter[str]:
    """Kill each command as often as that, and run it again; return what the kills hit."""
    rng, hits = random.Random(seed), Counter[str]()
    for name, count in kills.items():
        folder = place / f"killed-{seed}"
        seconds, want = undisturbed(server, place, name)
        for k in range(count):
            if name != "train" or k % CHAIN == 0:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            if name not in ("train", "convert") and k % 2:  # an older file, which is replaced or stays
                target = folder / next(iter(want))
                target.write_bytes((place / "whole" / next(iter(want))).read_bytes())
            before = _result(folder, name)
            within = k % 2 == 0
            # The first steps of a chain leave some for the others.
            share = 0.5 / CHAIN if name == "train" else 0.95
            disturb = _signal(rng, signal.SIGKILL, share * seconds, folder, within)
            ended = server.run(folder, name, disturb)
            assert ended.status in (0, -signal.SIGKILL), ended.said
            hits["killed" if ended.status else "ended before"] += 1
            hits["within a write"] += bool(ended.status) and staged(folder)
            assert_whole(folder)
            if name not in ("train", "convert"):
                assert _result(folder, name) in (before, want)
            if name == "convert" and (folder / "shards").exists():  # a folder that stands is not replaced
                assert _result(folder, name) == want
                continue
            if name != "train" or k % CHAIN == CHAIN - 1 or k == count - 1:
                again = server.run(folder, name)
                assert again.status == 0, again.said
                assert _result(folder, name) == want
                assert not leftovers(folder)
    return hits


def test_a_kill_of_each_command(server: Server, place: Path) -> None:
    kills = {"train": 1, "sample": 1, "complete": 1, "convert": 1}
    hits = _battery(server, place, kills, seed=0)
    assert hits["killed"] > 0


@pytest.mark.slow
def test_a_hundred_kills(server: Server, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills = {"train": 40, "sample": 16, "complete": 16, "convert": 16, "report": 12}
    hits = _battery(server, place, kills, seed=1)
    with capsys.disabled():
        print(f"\n{sum(kills.values())} commands: {dict(hits)}")
    # Kills that never hit a file being written would test nothing.
    assert hits["killed"] > 60
    assert hits["within a write"] > 20


def _interrupts(server: Server, place: Path, names: list[str], seed: int) -> None:
    rng = random.Random(seed)
    for name in names:
        folder = place / f"interrupted-{name}"
        seconds, want = undisturbed(server, place, name)
        disturb = _signal(rng, signal.SIGINT, 0.9 * seconds, folder, within=False)
        ended = server.run(folder, name, disturb)
        assert ended.status in (0, 1), ended.said
        assert "Traceback" not in ended.said
        assert (ended.said.strip().splitlines()[-1].startswith("noisefold: ")) == (ended.status == 1)
        assert not leftovers(folder)
        assert_whole(folder)
        again = server.run(folder, name)
        assert again.status == 0 or name == "convert"
        assert _result(folder, name) == want


def test_an_interrupt_is_one_sentence(server: Server, place: Path) -> None:
    _interrupts(server, place, ["train"], seed=2)


@pytest.mark.slow
def test_interrupts_of_every_command(server: Server, place: Path) -> None:
    names = ["train", "sample", "complete", "convert", "report", "evaluate", "demo", "study"]
    for k in range(6):
        for name in names:
            shutil.rmtree(place / f"interrupted-{name}", ignore_errors=True)
        _interrupts(server, place, names, seed=10 + k)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("train", "complete", "report", "evaluate")]
LIMITS = {"train": 8000}  # enough for everything but the checkpoint


@pytest.mark.parametrize("name", ["sample", "convert", *SLOW])
def test_a_file_that_cannot_grow_loses_nothing(server: Server, place: Path, name: str) -> None:
    folder = place / "full"
    shutil.rmtree(folder, ignore_errors=True)
    if name in ("sample", "evaluate"):  # an older file is there
        assert server.run(folder, name).status == 0
    folder.mkdir(exist_ok=True)
    before = state(folder)
    # A file of more bytes than the limit fails as on a full disk, in the midst of its write.
    ended = server.run(folder, name, limit=LIMITS.get(name, 256))
    assert ended.status == 1, ended.said
    assert "Traceback" not in ended.said
    assert ended.said.strip().splitlines()[-1].startswith("noisefold: ")
    if name != "train":
        assert state(folder) == before
    assert not leftovers(folder)
    assert_whole(folder)
    assert server.run(folder, name).status == 0
