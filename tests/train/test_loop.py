"""A training is a function of settings, data and seed - interrupted, resumed, or not."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import (
    STEPS,
    Moody,
    assert_same_run,
    assert_same_state,
    data,
    denoiser,
    latents,
    newest,
    settings,
    timeless,
)

from crossed import crossed
from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.coupling import MiniBatch
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.target import Target
from noisefold.train import Checkpoints, TrainingError, loop, read_log, train

NETS: dict[str, Callable[[], torch.nn.Module]] = {
    "latents": latents,
    "moody": Moody,
}


def _signal_at(step: int, *numbers: int) -> Callable[[int], None]:
    def on_step(done: int) -> None:
        if done == step:
            for number in numbers:
                os.kill(os.getpid(), number)

    return on_step


# -- resume ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stops", "net"), crossed([(1,), (7, 8), (2, 4, 6, 11), (3,), (5,)], list(NETS)), ids=str
)
def test_stopping_and_resuming_changes_no_bit(tmp_path: Path, net: str, stops: tuple[int, ...]) -> None:
    whole = denoiser(NETS[net]())
    log = train(whole, data(), settings(), val=data(1), out=tmp_path / "whole")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(
                denoiser(NETS[net]()),
                data(),
                settings(),
                val=data(1),
                out=tmp_path / "parts",
                resume=True,
                on_step=_signal_at(stop, signal.SIGINT),
            )
        assert newest(tmp_path / "parts").step == stop
    parts = denoiser(NETS[net]())
    again = train(parts, data(), settings(), val=data(1), out=tmp_path / "parts", resume=True)
    assert_same_state(whole.net.state_dict(), parts.net.state_dict())
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert timeless(again) == timeless(log)
    assert timeless(read_log(tmp_path / "parts" / "metrics.jsonl")) == timeless(log)
    seconds = [e["seconds"] for e in again if "seconds" in e]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    "changes",
    [
        {"coupling": MiniBatch(), "precision": "bfloat16", "nodes": 5},
        {"coupling": WithinCloud(blend=0.3), "precision": "bfloat16", "nodes": 5},
        {"optimizer": "muon"},
    ],
    ids=str,
)
def test_other_settings_resume_too(changes: dict[str, Any], tmp_path: Path) -> None:
    chosen = settings(**changes)
    train(denoiser(), data(), chosen, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(denoiser(), data(), chosen, out=tmp_path / "parts", on_step=_signal_at(5, signal.SIGINT))
    train(denoiser(), data(), chosen, out=tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_the_log_says_what_happened(tmp_path: Path) -> None:
    log = train(denoiser(), data(), settings(), val=data(1), out=tmp_path)
    assert [(e["step"], "val_loss" in e) for e in log] == [
        (3, False),
        (4, False),
        (5, False),
        (5, True),
        (6, False),
        (8, False),
        (9, False),
        (10, False),
        (10, True),
        (12, False),
        (12, True),
    ]
    assert log == read_log(tmp_path / "metrics.jsonl")
    peak = settings().lr
    # The rate that the step used: warm-up over 2 steps, then a cosine, counted from 0.
    for entry in log:
        if "lr" in entry:
            k = entry["step"] - 1
            exact = peak * min(1, (k + 1) / 3) * 0.5 * (1 + math.cos(math.pi * k / STEPS))
            assert entry["lr"] == pytest.approx(exact, rel=1e-12)


def test_the_loss_of_an_entry_is_the_mean_since_the_last() -> None:
    each = train(denoiser(), data(), settings(log_every=1))
    fours = train(denoiser(), data(), settings(checkpoint_every=STEPS, validate_every=STEPS))
    for i, entry in enumerate(fours):
        mean = sum(e["loss"] for e in each[4 * i : 4 * i + 4]) / 4
        # Four float32 numbers of order 1.
        assert entry["loss"] == pytest.approx(mean, rel=1e-6)


def test_a_folder_changes_nothing(tmp_path: Path) -> None:
    kept, free = denoiser(), denoiser()
    log = train(kept, data(), settings(), out=tmp_path / "new" / "folder")
    assert timeless(train(free, data(), settings())) == timeless(log)
    assert_same_state(kept.net.state_dict(), free.net.state_dict())


def test_training_does_not_depend_on_the_state_of_the_global_generator() -> None:
    first, second = denoiser(Moody()), denoiser(Moody())
    train(first, data(), settings())
    torch.rand(17)
    train(second, data(), settings())
    assert_same_state(first.net.state_dict(), second.net.state_dict())


def test_another_seed_is_another_training() -> None:
    first, second = denoiser(), denoiser()
    assert train(first, data(), settings())[0]["loss"] != train(second, data(), settings(seed=1))[0]["loss"]


def test_it_learns() -> None:
    # A thousand copies of one point: the network must find where it is.
    graphs = Graphs.dense(torch.full((16, 5, 3), 0.7))
    denoise = Denoiser(latents(0), Gaussian(), Target("data", residual=False))
    log = train(denoise, graphs, settings(steps=60, nodes=None, batch=16, lr=1e-2))
    assert log[0]["loss"] > 0.3
    assert log[-1]["loss"] < 0.02


def test_the_finished_network_is_the_average(tmp_path: Path) -> None:
    denoise = denoiser()
    train(denoise, data(), settings(), out=tmp_path)
    saved = newest(tmp_path).tensors
    assert_same_state(denoise.net.state_dict(), saved["average"])
    assert not torch.equal(saved["average"]["head.weight"], saved["net"]["head.weight"])
    assert not denoise.net.training


def test_a_finished_run_is_only_read(tmp_path: Path) -> None:
    first, second = denoiser(), denoiser()
    log = train(first, data(), settings(), out=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "checkpoints").rglob("*")}
    for steps in (STEPS, STEPS // 2):
        assert train(second, data(), settings(steps=steps), out=tmp_path, resume=True) == log
        assert_same_state(first.net.state_dict(), second.net.state_dict())
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "checkpoints").rglob("*")} == before


def test_a_run_may_be_made_longer(tmp_path: Path) -> None:
    first = train(denoiser(), data(), settings(), out=tmp_path)
    log = train(denoiser(), data(), settings(steps=20), out=tmp_path, resume=True)
    assert log[: len(first)] == first
    assert log[-1]["step"] == 20
    assert newest(tmp_path).step == 20


def test_a_used_folder_is_refused_without_resume(tmp_path: Path) -> None:
    train(denoiser(), data(), settings(), out=tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match="holds a run of 12 steps; resume it, or take another folder"):
        train(denoiser(), data(), settings(), out=tmp_path)
    with pytest.raises(ValueError, match=r"with settings\.lr = 0\.01, and this one has 0\.5;"):
        train(denoiser(), data(), settings(lr=0.5), out=tmp_path, resume=True)
    with pytest.raises(ValueError, match="on other data"):
        train(denoiser(), data(1), settings(), out=tmp_path, resume=True)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert newest(tmp_path).step == STEPS


def test_a_damaged_checkpoint_costs_only_its_steps(tmp_path: Path) -> None:
    train(denoiser(), data(), settings(), out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(denoiser(), data(), settings(), out=tmp_path / "hurt", on_step=_signal_at(10, signal.SIGINT))
    path = tmp_path / "hurt" / "checkpoints" / "10" / "net.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="checkpoint 10 in .* is damaged; 9 is taken instead"):
        log = train(denoiser(), data(), settings(), out=tmp_path / "hurt", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "hurt")
    assert timeless(log) == timeless(read_log(tmp_path / "whole" / "metrics.jsonl"))


def test_leftovers_of_a_killed_process_are_removed_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "checkpoints" / ".staged-7"
    left.mkdir(parents=True)
    (left / "net.safetensors").write_bytes(b"half")
    seen = []
    train(denoiser(), data(), settings(), out=tmp_path, on_step=lambda step: seen.append(left.exists()))
    assert not any(seen)


# -- interruption ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_finish_and_saves(tmp_path: Path, number: int) -> None:
    denoise = denoiser()
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(denoise, data(), settings(), out=tmp_path, on_step=_signal_at(4, number))
    assert signal.getsignal(number) is before
    assert newest(tmp_path).step == 4
    assert_same_state(denoise.net.state_dict(), newest(tmp_path).tensors["average"])


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(
            denoiser(), data(), settings(), out=tmp_path, on_step=_signal_at(4, signal.SIGINT, signal.SIGINT)
        )
    assert newest(tmp_path).step == 3


def test_training_works_in_another_thread() -> None:
    done, here = [], denoiser()
    thread = threading.Thread(target=lambda: done.append(train(denoiser(), data(), settings())))
    thread.start()
    thread.join()
    assert timeless(done[0]) == timeless(train(here, data(), settings()))


# -- failure -----------------------------------------------------------------------------------------------


def _poison_at(denoise: Denoiser, step: int) -> Callable[[int], None]:
    """Spoils a weight that no loss depends on, so that only a look at the weights can tell."""

    def on_step(done: int) -> None:
        if done == step:
            torch.nn.init.constant_(denoise.net.idle.weight, float("nan"))  # type: ignore[union-attr, arg-type]

    return on_step


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    denoise = denoiser(Moody())
    with pytest.raises(
        TrainingError,
        match=r"^the weights stopped being finite by step 5; checkpoint 4 is the last good one, "
        r"whose averaged weights the model keeps; try a smaller lr than 0\.01\.$",
    ):
        train(denoise, data(), settings(checkpoint_every=1), out=tmp_path, on_step=_poison_at(denoise, 4))
    assert Checkpoints(tmp_path / "checkpoints").steps() == [3, 4]
    assert newest(tmp_path).finite
    entries = read_log(tmp_path / "metrics.jsonl")
    assert [e["step"] for e in entries] == [1, 2, 3, 4, 5]
    assert all(math.isfinite(e["loss"]) for e in entries)


def test_an_interrupt_does_not_save_them_either(tmp_path: Path) -> None:
    denoise = denoiser(Moody())

    def on_step(step: int) -> None:
        _poison_at(denoise, 2)(step)
        _signal_at(2, signal.SIGINT)(step)

    with pytest.raises(
        TrainingError, match="the weights stopped being finite by step 2; there is no checkpoint"
    ):
        train(denoise, data(), settings(), out=tmp_path, on_step=on_step)
    assert Checkpoints(tmp_path / "checkpoints").steps() == []


def test_even_the_last_step_is_checked() -> None:
    denoise = denoiser(Moody())
    with pytest.raises(
        TrainingError, match=r"the weights stopped being finite by step 12; the model keeps .* of step 9;"
    ):
        train(denoise, data(), settings(), on_step=_poison_at(denoise, STEPS - 1))


def test_a_rate_that_explodes_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_rate", lambda step, settings: float(step >= 4))
    with pytest.raises(
        TrainingError, match=r"^the loss became (nan|inf), its gradient nan by step 6; checkpoint 3 is"
    ):
        train(denoiser(), data(), settings(lr=1e30), out=tmp_path)
    assert Checkpoints(tmp_path / "checkpoints").steps() == [3]
    assert newest(tmp_path).finite
    entries = read_log(tmp_path / "metrics.jsonl")
    assert [e["step"] for e in entries] == [3, 4, 5]
    assert all(math.isfinite(e["loss"]) for e in entries)


def test_after_a_failure_the_network_has_its_last_sound_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_rate", lambda step, settings: float(step >= 4))
    kept, alone, early = denoiser(), denoiser(), denoiser()
    with pytest.raises(TrainingError):
        train(kept, data(), settings(lr=1e30), out=tmp_path)
    assert newest(tmp_path).step == 3
    assert_same_state(kept.net.state_dict(), newest(tmp_path).tensors["average"])
    with pytest.raises(TrainingError, match="step 3"):
        train(alone, data(), settings(lr=1e30))
    assert_same_state(alone.net.state_dict(), kept.net.state_dict())
    with pytest.raises(TrainingError):
        train(early, data(), settings(lr=1e30, checkpoint_every=50))
    assert_same_state(early.net.state_dict(), denoiser().net.state_dict())
    with pytest.raises(TrainingError, match="checkpoint 3"):  # of a run that is taken up, too
        train(early, data(), settings(lr=1e30), out=tmp_path, resume=True)
    assert_same_state(early.net.state_dict(), kept.net.state_dict())
    assert not early.net.training


def test_data_that_overflow_stop_the_training(tmp_path: Path) -> None:
    huge = data().replace(pos=data().pos * 1e25)
    with pytest.raises(
        TrainingError, match=r"the loss became .*; there is no checkpoint to return to, .*; try a smaller lr"
    ):
        train(denoiser(), huge, settings(), out=tmp_path)
    assert Checkpoints(tmp_path / "checkpoints").steps() == []


def test_a_validation_loss_that_explodes_stops_the_training(tmp_path: Path) -> None:
    huge = data().replace(pos=data().pos * 1e25)
    with pytest.raises(
        TrainingError, match=r"the validation loss became (nan|inf) by step 5; checkpoint 3 is"
    ):
        train(denoiser(), data(), settings(), val=huge, out=tmp_path)
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_a_full_disk_keeps_the_older_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Checkpoints.save

    def save(self: Checkpoints, checkpoint: object) -> Path:
        if checkpoint.step == 6:  # type: ignore[attr-defined]
            raise OSError("checkpoint 6 could not be written")
        return real(self, checkpoint)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(OSError, match="checkpoint 6 could not be written"):
            train(denoiser(), data(), settings(), out=tmp_path / "full")
    assert newest(tmp_path / "full").step == 3
    train(denoiser(), data(), settings(), out=tmp_path / "full", resume=True)
    train(denoiser(), data(), settings(), out=tmp_path / "whole")
    assert_same_run(tmp_path / "full", tmp_path / "whole")


def _with(field: str, value: float) -> Graphs:
    graphs = data().replace(x=torch.zeros(data().num_nodes, 2))
    getattr(graphs, field)[3, 1] = value
    return graphs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": data()[[]]}, "data must hold at least one graph, and no empty ones"),
        (
            {"data": Graphs(torch.randn(3, 3), ptr=torch.tensor([0, 3, 3]))},
            "data must hold at least one graph, and no",
        ),
        ({"data": _with("pos", float("nan"))}, r"data\.pos holds NaN or infinity; leave those graphs out"),
        ({"data": _with("x", float("inf"))}, r"data\.x holds NaN or infinity; leave those graphs out"),
        ({"val": data()[[]]}, "val must hold at least one graph"),
        ({"data": data(graphs=12)}, r"data\.label must lie below the network's classes=10, got 0 to 11"),
        ({"settings": settings(tensorboard=True)}, "tensorboard=True needs a run folder; give out"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_on_is_refused(arguments: dict[str, object], message: str) -> None:
    usual = {"data": data(), "settings": settings(), "val": None, **arguments}
    with pytest.raises(ValueError, match=message):
        train(denoiser(), **usual)  # type: ignore[arg-type]


def test_tensorboard_is_written_in_the_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(denoiser(), data(), settings(tensorboard=True), out=tmp_path)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
