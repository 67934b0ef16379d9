"""Interface of the adaptive schedules, and the edge budget that ties range to resolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, overload

import torch
from torch import Tensor

__all__ = ["Adaptive", "Schedule", "clean_range", "ends", "evaluate", "range_at"]


class Adaptive(Protocol):
    """A map from a signal level and a number of nodes to (range, resolution)."""

    @overload
    def __call__(self, signal: float, nodes: int) -> tuple[int, int]: ...
    @overload
    def __call__(self, signal: Tensor, nodes: int | Tensor) -> tuple[Tensor, Tensor]: ...
    @abstractmethod
    def __call__(self, signal: float | Tensor, nodes: int | Tensor) -> tuple[Any, Any]:
        """Return range and resolution, int or int64 ``[g]``, at signal levels ``[g]`` for ``nodes [g]``."""


def _power_root(value: Tensor, power: int) -> Tensor:
    """Return the smallest integer whose power is at least the value; exact, unlike a root in floats."""
    root = value.double().pow(1 / power).round().long()
    root = torch.where(root**power < value, root + 1, root)
    return torch.where((root - 1) ** power >= value, root - 1, root)


def clean_range(nodes: Tensor) -> Tensor:
    r"""Return the range on clean data, :math:`r_1 = \lceil N^{1/3} \rceil`, int64 ``[g]``."""
    return _power_root(nodes, 3)


def ends(nodes: Tensor, given: int | None) -> tuple[Tensor, Tensor]:
    """Return the range on clean data and the resolution at pure noise, ``[g]`` each."""
    r1 = clean_range(nodes) if given is None else torch.full_like(nodes, given)
    r1 = torch.minimum(r1, nodes)
    return r1, torch.minimum(_power_root(r1 * nodes, 2), nodes)


def range_at(resolution: Tensor, r1: Tensor, s0: Tensor, nodes: Tensor) -> Tensor:
    """Return the range ``[g]`` that keeps the budget of r1 N edges at a resolution."""
    # Nearest to the budget, in integers; at the lowest resolution the graph is complete.
    nearest = (2 * r1 * nodes + resolution) // (2 * resolution)
    return torch.where(resolution == s0, s0, torch.minimum(nearest, resolution))


def evaluate(
    levels: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], signal: float | Tensor, nodes: int | Tensor
) -> tuple[Any, Any]:
    """Check and broadcast the arguments, evaluate, and return integers for plain numbers."""
    scalar = not isinstance(signal, Tensor) and not isinstance(nodes, Tensor)
    device = (
        signal.device if isinstance(signal, Tensor) else nodes.device if isinstance(nodes, Tensor) else None
    )
    u = torch.as_tensor(signal, dtype=torch.float64, device=device)
    n = torch.as_tensor(nodes, dtype=torch.int64, device=device)
    if not bool(((u >= 0) & (u <= 1)).all()):
        raise ValueError(
            f"signal must lie in [0, 1], where 1 is clean, got {signal}; use signal_level(log_snr)."
        )
    if not bool((n >= 1).all()):
        raise ValueError(f"nodes must be at least 1, got {nodes}; drop empty graphs from the batch.")
    u, n = u + torch.zeros_like(n), n + torch.zeros_like(u, dtype=torch.int64)
    r, s = levels(u, n)
    return (int(r), int(s)) if scalar else (r, s)


class Schedule(ABC):
    """Base class of the schedules without learned parameters: checks, broadcasting and the call."""

    @overload
    def __call__(self, signal: float, nodes: int) -> tuple[int, int]: ...
    @overload
    def __call__(self, signal: Tensor, nodes: int | Tensor) -> tuple[Tensor, Tensor]: ...
    def __call__(self, signal: float | Tensor, nodes: int | Tensor) -> tuple[Any, Any]:
        """Return range and resolution, int or int64 ``[g]``, at signal levels ``[g]`` for ``nodes [g]``."""
        return evaluate(self.levels, signal, nodes)

    @abstractmethod
    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return range and resolution, int64 ``[g]``, for checked signal levels ``[g]`` and ``nodes [g]``."""
