"""Precision and device of a training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_training import Moody, assert_same_state, data, denoiser, settings
from torch import nn

from noisefold.train import PrecisionWarning, train
from noisefold.train import device as devices
from noisefold.train.device import Runner, autocast, fast_precision, is_main, resolve_device


def test_bfloat16_is_close_to_float32() -> None:
    full = train(denoiser(), data(), settings(log_every=1))
    low = train(denoiser(), data(), settings(log_every=1, precision="bfloat16"))
    # The network begins with the answer 0, which every precision computes exactly.
    assert low[0]["loss"] == full[0]["loss"]
    differ = [abs(a["loss"] / b["loss"] - 1) for a, b in zip(low, full, strict=True)]
    # bfloat16 keeps 8 bits: errors of 2^-8 = .4 % in what the network adds, which is a part of the loss.
    assert 0 < max(differ) < 4e-3


def test_weights_stay_in_float32() -> None:
    denoise = denoiser()
    train(denoise, data(), settings(precision="bfloat16"))
    assert {v.dtype for v in denoise.net.state_dict().values()} == {torch.float32}


def test_trainings_of_different_precision_do_not_mix() -> None:
    alone, after = denoiser(), denoiser()
    train(alone, data(), settings())
    train(after, data(), settings(precision="bfloat16"))
    # The network itself computes in float32 again.
    graphs = data()
    assert after.net(graphs, torch.zeros(10), graphs.label).dtype is torch.float32
    with torch.no_grad():
        for mine, fresh in zip(after.net.parameters(), denoiser().net.parameters(), strict=True):
            mine.copy_(fresh)
    train(after, data(), settings())
    assert_same_state(alone.net.state_dict(), after.net.state_dict())


def test_matrix_products_are_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    layer = Moody()
    layer.lift.register_forward_hook(
        lambda module, inputs, output: kinds.add((module.training, output.dtype))
    )
    train(denoiser(layer), data(), settings(precision="bfloat16"), val=data(1))
    # Validation is always in float32, so that losses of different precisions compare.
    assert kinds == {(True, torch.bfloat16), (False, torch.float32)}


def test_one_process_is_the_main_one() -> None:
    runner = Runner()
    assert (runner.rank, runner.world, runner.main, is_main()) == (0, 1, True, True)
    value = torch.tensor([1.0, 2.0])
    assert torch.equal(runner.mean(value), value)
    assert runner.any(True)
    assert not runner.any(False)
    net = nn.Linear(1, 1)
    assert runner.prepare(net) is net


def test_the_cpu_can_be_asked_for() -> None:
    assert Runner(device="cpu").device == torch.device("cpu")


@pytest.mark.parametrize(("name", "value"), [("precision", "half"), ("device", "gpu")])
def test_unknown_names_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*, got '{value}'"):
        Runner(**{name: value})


class Two:
    """A device module of which there are two."""

    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 2)


def test_devices_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda kind: Two)
    assert resolve_device("xpu:1") == torch.device("xpu", 1)
    assert resolve_device(torch.device("xpu")) == torch.device("xpu", 0)
    assert resolve_device("cpu:0") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"device 'xpu:2' .* 2 .*auto"):
        resolve_device("xpu:2")


def test_devices_that_are_not_here_are_refused() -> None:
    for name in ("meta", "xla", "cuda:17"):
        with pytest.raises(ValueError, match=f"device '{name}' is not available"):
            resolve_device(name)
        with pytest.raises(ValueError, match=f"device '{name}' is not available"):
            Runner(device=name)
        assert settings(device=name).device == name  # a run's settings are read on other machines


def test_auto_takes_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("xpu"))
    monkeypatch.setattr(torch, "get_device_module", lambda kind: Two)
    assert resolve_device("auto") == torch.device("xpu", 0)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")


def test_processes_cannot_share_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda kind: Two)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"device .* 2 processes .*'xpu:1'"):
        Runner(device="xpu:1")


def test_processes_that_cannot_work_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Launched as one of two, but the process group (kept from before) has one member.
    Runner()
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r'2 processes cannot share the work on .*; set device="cpu"'):
        Runner()


def test_the_device_of_a_training_is_used(device: torch.device) -> None:
    if device.type != "cpu" and not torch.accelerator.is_available():
        pytest.skip("no accelerator here")
    denoise = denoiser()
    train(denoise, data(), settings(device="cpu" if device.type == "cpu" else "auto"), val=data(1))
    assert {p.device.type for p in denoise.net.parameters()} == {device.type}


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Make the machine's processor one with these extensions."""

    def forget() -> None:
        devices._instructions.cache_clear()
        devices._warn_of_emulation.cache_clear()

    def become(flags: str) -> None:
        forget()
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: fpu {flags} aes\n")
        monkeypatch.setattr(devices, "_CPU", tmp_path / "cpuinfo")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    yield become
    forget()


def test_emulated_bfloat16_is_warned_of_once(processor: Callable[[str], None]) -> None:
    processor("avx avx2")
    assert fast_precision() == "float32"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(denoiser(), data(), settings())
        assert not caught
        train(denoiser(), data(), settings(precision="bfloat16"))
        autocast("bfloat16", torch.device("cpu"))
    assert [w.category for w in caught] == [PrecisionWarning]


@pytest.mark.parametrize("flags", ["avx avx512f avx512_bf16", "avx amx_bf16", ""])
def test_bfloat16_is_not_warned_of_where_it_may_be_fast(flags: str, processor: Callable[[str], None]) -> None:
    processor(flags)
    assert fast_precision() == ("bfloat16" if flags else "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", PrecisionWarning)
        Runner("bfloat16", "cpu").autocast()
        autocast("bfloat16", torch.device("cuda"))
