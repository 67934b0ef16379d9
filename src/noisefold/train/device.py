"""Devices, precision and processes: the one place that knows Accelerate.

Run one process as usual, or several with ``torchrun --standalone --nproc-per-node=4 script.py``; nothing else
changes. Every process trains on its share of each batch, and gradients are averaged; the first process alone
writes files. Where names such as "localhost" cannot be resolved, say ``--rdzv-backend=c10d
--rdzv-endpoint=127.0.0.1:0 --local-addr=127.0.0.1`` instead of ``--standalone``.
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from noisefold.arguments import device_name
from noisefold.errors import PrecisionWarning

__all__ = [
    "PRECISIONS",
    "Runner",
    "autocast",
    "emulates_bfloat16",
    "fast_precision",
    "is_main",
    "resolve_device",
]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_UNITS = {"avx512_bf16", "amx_bf16"}  # x86 extensions that multiply bfloat16
_CPU = Path("/proc/cpuinfo")
_FIRST = ("cuda", "mps", "xpu", "cpu")  # named where a device is refused


def is_main() -> bool:
    """Whether this process is the first of those that ``torchrun`` started, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which networks compute in "float32", or their matrix products in "bfloat16".

    Where the processor has no instructions for bfloat16 a `PrecisionWarning` is issued, once in a process.

    Raises
    ------
    ValueError
        If the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    dtype = PRECISIONS[precision]
    if dtype is torch.float32:
        return nullcontext()
    if device.type == "cpu" and emulates_bfloat16():
        _warn_of_emulation()
    return torch.autocast(device.type, dtype=dtype)


def fast_precision() -> str:
    """Return the precision in which this machine multiplies matrices fastest: bfloat16 where it has it."""
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if _instructions() & _UNITS else "float32"


def emulates_bfloat16() -> bool:
    """Whether this is an x86 processor without instructions for bfloat16, which PyTorch then emulates."""
    return "avx" in _instructions() and not _instructions() & _UNITS


@cache
def _instructions() -> frozenset[str]:
    """Return the names of the processor's extensions, as far as the system tells them."""
    try:  # torch does not tell instructions for bfloat16 from their emulation, which is slower than float32
        return frozenset(_CPU.read_text(encoding="ascii", errors="replace").split())
    except OSError:  # not on this system
        return frozenset()


@cache
def _warn_of_emulation() -> None:
    """Warn, once in a process: the context is entered at every step."""
    warnings.warn(
        'precision="bfloat16" is emulated by this processor, which has no instructions for it, and may be '
        'many times slower than "float32"; leave it out.',
        PrecisionWarning,
        stacklevel=3,
    )


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device of a name: "auto" is the accelerator if there is one, else the CPU.

    Parameters
    ----------
    name
        "auto", or any device of PyTorch, such as "cpu", "cuda:1" or "mps".

    Raises
    ------
    ValueError
        If it is no device, or not available here.
    """
    name = device_name(name)
    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        name = str(found or "cpu")
    device = torch.device(name)
    if device.type == "cpu":
        return torch.device("cpu")
    count = _count(device.type)
    if (device.index or 0) >= count:
        there = [kind for kind in _FIRST if kind == "cpu" or _count(kind)]
        has = f"only {count} of its kind" if count else "no such device"
        raise ValueError(
            f'device {name!r} is not available: this machine has {has}; use "auto" or one of '
            f"{', '.join(there)}."
        )
    # With its number, as tensors have it.
    return device if device.index is not None else torch.device(device.type, 0)


def _count(kind: str) -> int:
    """Return how many devices of a kind there are."""
    try:
        module = torch.get_device_module(kind)
    except RuntimeError:
        return 0
    available = getattr(getattr(torch.backends, kind, module), "is_available", lambda: False)
    return int(module.device_count()) if available() else 0


class Runner:
    """Where and how a training runs.

    Parameters
    ----------
    precision
        "float32" or "bfloat16" (matrix products in bfloat16, weights in float32).
    device
        "auto" takes an accelerator if there is one; else a device of PyTorch. Several processes each take the
        one of their number, so that theirs has none.

    Raises
    ------
    ValueError
        If precision or device is unknown, the device is not available, or the processes of ``torchrun``
        cannot share the work on it.
    """

    def __init__(self, precision: str = "float32", device: str = "auto") -> None:
        chosen = resolve_device(device)
        autocast(precision, chosen)
        self.precision = precision
        launched = "LOCAL_RANK" in os.environ
        expected = int(os.environ.get("WORLD_SIZE", 1)) if launched else 1
        if expected > 1 and chosen.type != "cpu" and ":" in device:
            raise ValueError(
                f"device must name no single device where {expected} processes need one each, "
                f"got {device!r}; use {chosen.type!r}."
            )
        # Accelerate joins processes on CPUs only if told so; a single process may change its device freely.
        self._state = PartialState(cpu=chosen.type == "cpu" and launched)
        self.device: torch.device = self._state.device if expected > 1 and chosen.type != "cpu" else chosen
        if self.world != expected:
            raise ValueError(
                f'{expected} processes cannot share the work on {self.device}; set device="cpu".'
            )

    @property
    def rank(self) -> int:
        """Number of this process."""
        return int(self._state.process_index)

    @property
    def world(self) -> int:
        """Number of processes."""
        return int(self._state.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def prepare(self, net: nn.Module) -> nn.Module:
        """Return the network on its device, wrapped where there are several processes."""
        net = net.to(self.device)
        if self.world == 1:
            return net
        # Networks may leave weights unused in a step (a class embedding, a layer whose graph has no edges).
        return DistributedDataParallel(net, find_unused_parameters=True)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which the network computes in the chosen precision."""
        return autocast(self.precision, self.device)

    def mean(self, value: Tensor) -> Tensor:
        """Return the average over the processes."""
        out: Tensor = reduce(value, reduction="mean") if self.world > 1 else value
        return out

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            self._state.wait_for_everyone()
