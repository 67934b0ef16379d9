"""Tensors read and written: equal, whole, and under one guard."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from noisefold import tensor_files
from noisefold.tensor_files import atomic_tensors, read_tensors


def test_round_trip_of_tied_and_strided_tensors(tmp_path: Path) -> None:
    whole = torch.randn(4, 3)
    atomic_tensors(tmp_path / "a.safetensors", {"one": whole, "tied": whole, "strided": whole.T})
    found = read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(found["tied"], whole)
    assert torch.equal(found["strided"], whole.T)


@pytest.mark.parametrize("left", [0, 7, 60, -1])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.safetensors"
    atomic_tensors(path, {"x": torch.arange(50.0)})
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=path.name):
        read_tensors(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_all_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path, read = tmp_path / "a.safetensors", []
    atomic_tensors(path, {"x": torch.arange(50.0)})
    load = tensor_files.load_file

    def interrupted(name: Path) -> dict[str, torch.Tensor]:
        os.kill(os.getpid(), number)
        read.append(load(name))
        return read[0]

    monkeypatch.setattr(tensor_files, "load_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_tensors(path)
    assert read
