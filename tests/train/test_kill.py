"""Killed without warning at any moment, a training that is taken up again ends with the same bits."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tiny_training import assert_same_run, data, denoiser, newest, settings, timeless

from noisefold.train import Training, read_log, train

# The server imports torch once; every training is still a process of its own, forked from it and killed.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "noisefold.train.loop", "torch._dynamo"])


def _settings(steps: int) -> Training:
    return settings(steps=steps, log_every=2, validate_every=5, checkpoint_every=1)


def _train(out: Path, steps: int, progress: Connection) -> None:
    train(denoiser(), data(), _settings(steps), val=data(1), out=out, resume=True, on_step=progress.send)


def _kill(out: Path, steps: int, moment: Callable[[Connection], None]) -> tuple[int, bool]:
    """Start or resume a training and kill it; the last step it told of, and whether it was within a save."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_train, args=(out, steps, there))
    process.start()
    there.close()
    moment(here)
    process.kill()
    process.join()
    assert process.exitcode == -9, "the training ended before it was killed"
    told = 0
    try:
        while here.poll():
            told = here.recv()
    except (EOFError, OSError):
        pass
    return told, any(out.glob("checkpoints/.staged-*"))


def _battery(tmp_path: Path, kills: int, steps: int, seed: int) -> int:
    """Kill as often as that; the number of kills that hit a checkpoint being written."""
    rng, hits = random.Random(seed), 0

    def moment(pipe: Connection) -> None:
        pipe.recv()
        start = time.perf_counter()
        pipe.recv()
        # Anywhere within a step and the checkpoint that follows it, however fast the machine is.
        time.sleep(rng.uniform(0, 1.2) * (time.perf_counter() - start))

    def early(pipe: Connection) -> None:
        time.sleep(rng.uniform(0, 0.15))  # perhaps while it starts, or takes up a checkpoint

    for k in range(kills):
        told, within = _kill(tmp_path / "killed", steps, early if k % 4 == 3 else moment)
        hits += within
        # What a step told of was done: its checkpoint is there, and is sound.
        if told:
            assert newest(tmp_path / "killed").step >= told
    assert 0 < newest(tmp_path / "killed").step < steps
    log = train(denoiser(), data(), _settings(steps), val=data(1), out=tmp_path / "killed", resume=True)
    whole = train(denoiser(), data(), _settings(steps), val=data(1), out=tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    assert timeless(log) == timeless(whole) == timeless(read_log(tmp_path / "killed" / "metrics.jsonl"))
    assert not list((tmp_path / "killed").rglob(".staged-*"))
    return hits


def test_three_kills(tmp_path: Path) -> None:
    _battery(tmp_path, kills=3, steps=16, seed=0)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    hits = _battery(tmp_path, kills=20, steps=200, seed=1)
    # Most of the time of these steps goes into checkpoints, so kills that never hit one would test nothing.
    assert hits > 0
