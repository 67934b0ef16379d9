"""What all adaptive schedules share: the budget that ties range and resolution, and the call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, overload

import torch
from torch import Tensor

__all__ = ["Adaptive", "Schedule", "clean_range", "ends", "evaluate", "range_at"]


class Adaptive(Protocol):
    """Any map from a signal level and a size to (range, resolution)."""

    @overload
    def __call__(self, signal: float, nodes: int) -> tuple[int, int]: ...
    @overload
    def __call__(self, signal: Tensor, nodes: int | Tensor) -> tuple[Tensor, Tensor]: ...
    @abstractmethod
    def __call__(self, signal: float | Tensor, nodes: int | Tensor) -> tuple[Any, Any]:
        """Range and resolution, int or int64 ``[g]``, at ``signal [g]`` in [0, 1] for ``nodes [g]``."""


def _power_root(value: Tensor, power: int) -> Tensor:
    """The least integer whose power reaches the value; exact, where a root in floats is not."""
    root = value.double().pow(1 / power).round().long()
    root = torch.where(root**power < value, root + 1, root)
    return torch.where((root - 1) ** power >= value, root - 1, root)


def clean_range(nodes: Tensor) -> Tensor:
    r"""Range on clean data :math:`r_1 = \lceil N^{1/3} \rceil`, int64 ``[g]``, of ``nodes [g]``."""
    return _power_root(nodes, 3)


def ends(nodes: Tensor, given: int | None) -> tuple[Tensor, Tensor]:
    """Range at the clean end and resolution at the noisy end, ``[g]`` each."""
    r1 = clean_range(nodes) if given is None else torch.full_like(nodes, given)
    r1 = torch.minimum(r1, nodes)
    return r1, torch.minimum(_power_root(r1 * nodes, 2), nodes)


def range_at(resolution: Tensor, r1: Tensor, s0: Tensor, nodes: Tensor) -> Tensor:
    """Range ``[g]`` that keeps the budget r1 N at a resolution."""
    # Nearest to the budget r1 N, in integers; where the resolution is least, all see all.
    nearest = (2 * r1 * nodes + resolution) // (2 * resolution)
    return torch.where(resolution == s0, s0, torch.minimum(nearest, resolution))


def evaluate(
    levels: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], signal: float | Tensor, nodes: int | Tensor
) -> tuple[Any, Any]:
    """Check the arguments, broadcast them, and give back integers for plain numbers."""
    scalar = not isinstance(signal, Tensor) and not isinstance(nodes, Tensor)
    device = (
        signal.device if isinstance(signal, Tensor) else nodes.device if isinstance(nodes, Tensor) else None
    )
    u = torch.as_tensor(signal, dtype=torch.float64, device=device)
    n = torch.as_tensor(nodes, dtype=torch.int64, device=device)
    if not bool(((u >= 0) & (u <= 1)).all()):
        raise ValueError(
            f"signal must lie in [0, 1], 1 being clean, got {signal}; use signal_level(log_snr) of the path."
        )
    if not bool((n >= 1).all()):
        raise ValueError(f"nodes must be at least 1, got {nodes}; drop empty graphs from the batch.")
    u, n = u + torch.zeros_like(n), n + torch.zeros_like(u, dtype=torch.int64)
    r, s = levels(u, n)
    return (int(r), int(s)) if scalar else (r, s)


class Schedule(ABC):
    """The call that all schedules without parameters share."""

    @overload
    def __call__(self, signal: float, nodes: int) -> tuple[int, int]: ...
    @overload
    def __call__(self, signal: Tensor, nodes: int | Tensor) -> tuple[Tensor, Tensor]: ...
    def __call__(self, signal: float | Tensor, nodes: int | Tensor) -> tuple[Any, Any]:
        """Range and resolution, int or int64 ``[g]``, at ``signal [g]`` in [0, 1] for ``nodes [g]``."""
        return evaluate(self.levels, signal, nodes)

    @abstractmethod
    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Range and resolution, int64 ``[g]``, for a checked ``signal [g]``, float64, and ``nodes [g]``."""
