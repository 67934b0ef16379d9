"""Tensors in safetensors files: written whole or not at all, read under one guard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from noisefold.files import staged
from noisefold.interrupt import deferred_interrupts

__all__ = ["atomic_tensors", "read_tensors", "write_tensors"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors; an interrupt waits until they are read.

    safetensors takes an interrupt within it for a damaged file.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If it is damaged or no safetensors file.
    """
    with deferred_interrupts() as stop:
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: these weights cannot be read ({error}); write them anew.") from error
    if stop:
        raise KeyboardInterrupt
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], name: Path | None = None) -> None:
    """Write tensors in place; for a file that is staged already, called `name` in the sentence of an error.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    # Copies, since safetensors refuses tensors that share memory, as tied weights do.
    plain = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    try:
        save_file(plain, path)
    except SafetensorError as error:  # its name for a failure to write
        raise OSError(f"{name or path} could not be written: {error}") from error


def atomic_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors whole or not at all.

    Raises
    ------
    OSError
        If they cannot be written; what was there is unchanged.
    """
    with staged(path) as part:
        write_tensors(part, tensors, path)
