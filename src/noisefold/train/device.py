"""Devices, precision and processes: the one place that knows Accelerate.

Run one process as usual, or several under ``torchrun``; nothing else changes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

__all__ = ["PRECISIONS", "Runner"]

PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


class Runner:
    """Where and how a training runs.

    Parameters
    ----------
    precision
        "float32" or "bfloat16" (matrix products in bfloat16, weights in float32).
    device
        "auto" takes an accelerator if there is one; "cpu" does not.
    """

    def __init__(self, precision: str = "float32", device: str = "auto") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
        # A second training in one process may ask for another precision than the first.
        AcceleratorState._reset_state(reset_partial_state=False)
        self._accelerator = Accelerator(mixed_precision=PRECISIONS[precision], cpu=device == "cpu")

    @property
    def device(self) -> torch.device:
        """This process' device."""
        return self._accelerator.device

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self._accelerator.process_index

    @property
    def world(self) -> int:
        """Number of processes."""
        return self._accelerator.num_processes

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self._accelerator.is_main_process

    def prepare(self, net: nn.Module) -> nn.Module:
        """The network on its device, wrapped where there are several processes."""
        prepared: nn.Module = self._accelerator.prepare_model(net.to(self.device))
        return prepared

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which the network computes in the chosen precision."""
        return self._accelerator.autocast()

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over the processes."""
        self._accelerator.backward(loss)

    def mean(self, value: Tensor) -> Tensor:
        """Average over the processes."""
        out: Tensor = self._accelerator.reduce(value, reduction="mean")
        return out

    def wait(self) -> None:
        """Until every process is here."""
        self._accelerator.wait_for_everyone()
