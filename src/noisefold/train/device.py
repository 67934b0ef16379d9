"""Devices, precision and processes: the one place that knows Accelerate.

Run one process as usual, or several with ``torchrun --standalone --nproc-per-node=4 script.py``; nothing else
changes. Every process trains on its share of each batch, and gradients are averaged; the first process alone
writes files. Where names such as "localhost" cannot be resolved, say ``--rdzv-backend=c10d
--rdzv-endpoint=127.0.0.1:0 --local-addr=127.0.0.1`` instead of ``--standalone``.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["DEVICES", "PRECISIONS", "Runner", "autocast", "device_of", "is_main"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEVICES = ("auto", "cpu")


def is_main() -> bool:
    """Whether this process is the first of those that ``torchrun`` started, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def device_of(name: str | torch.device) -> torch.device:
    """Return a device by its name; "auto" is the accelerator, if there is one.

    Raises
    ------
    ValueError
        If the name is no device, or it is not there.
    """
    if name == "auto":
        there = torch.accelerator.is_available()
        return (
            torch.accelerator.current_accelerator() or torch.device("cpu") if there else torch.device("cpu")
        )
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'device {str(name)!r} cannot be used: {reason}; give "auto" or "cpu".') from error
    return device


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Context in which networks compute in "float32", or their matrix products in "bfloat16".

    Raises
    ------
    ValueError
        If the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    dtype = PRECISIONS[precision]
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype=dtype)


class Runner:
    """Where and how a training runs.

    Parameters
    ----------
    precision
        "float32" or "bfloat16" (matrix products in bfloat16, weights in float32).
    device
        "auto" takes an accelerator if there is one; "cpu" does not.

    Raises
    ------
    ValueError
        If precision or device is unknown, or the processes of ``torchrun`` cannot share the work on it.
    """

    def __init__(self, precision: str = "float32", device: str = "auto") -> None:
        autocast(precision, torch.device("cpu"))
        if device not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}.")
        self.precision = precision
        launched = "LOCAL_RANK" in os.environ
        on_cpu = device == "cpu" or not torch.accelerator.is_available()
        # Accelerate joins processes on CPUs only if told so; a single process may change its device freely.
        self._state = PartialState(cpu=on_cpu and launched)
        self.device: torch.device = torch.device("cpu") if on_cpu else self._state.device
        expected = int(os.environ.get("WORLD_SIZE", 1)) if launched else 1
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
        """The network on its device, wrapped where there are several processes."""
        net = net.to(self.device)
        if self.world == 1:
            return net
        # Networks may leave weights unused in a step (a class embedding, a layer whose graph has no edges).
        return DistributedDataParallel(net, find_unused_parameters=True)

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which the network computes in the chosen precision."""
        return autocast(self.precision, self.device)

    def mean(self, value: Tensor) -> Tensor:
        """Average over the processes."""
        out: Tensor = reduce(value, reduction="mean") if self.world > 1 else value
        return out

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            self._state.wait_for_everyone()
