"""The history of a training, and the schedule of a network that follows the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = ["History", "schedule_by_noise"]


@dataclass(frozen=True)
class History:
    """The losses of a training, step by step.

    Parameters
    ----------
    step, loss, seconds
        Of every entry of the log: steps done, mean loss since the entry before, time since the start.
    val_step, val_loss
        Steps of the validations, and the held-out loss at each.
    levels
        For each validation, the held-out loss in equal parts of the signal level; NaN where there was none.
    """

    step: list[int]
    loss: list[float]
    seconds: list[float]
    val_step: list[int]
    val_loss: list[float]
    levels: list[list[float]]

    @classmethod
    def of(cls, log: Sequence[Mapping[str, Any]]) -> History:
        """Read entries of ``metrics.jsonl``; losses that are not finite are left out."""
        steps = [e for e in log if _finite(e.get("loss"))]
        checks = [e for e in log if _finite(e.get("val_loss"))]
        return cls(
            [int(e["step"]) for e in steps],
            [float(e["loss"]) for e in steps],
            [float(e["seconds"]) if _finite(e.get("seconds")) else math.nan for e in steps],
            [int(e["step"]) for e in checks],
            [float(e["val_loss"]) for e in checks],
            [_levels(e.get("val_loss_by_signal")) for e in checks],
        )

    def __bool__(self) -> bool:
        return bool(self.step)

    @property
    def wide(self) -> bool:
        """Whether the losses need a logarithmic axis."""
        values = [*self.loss, *self.val_loss]
        return min(values) > 0 and max(values) > 8 * min(values)

    @property
    def total_seconds(self) -> float:
        """Seconds the training took, or NaN."""
        known = [s for s in self.seconds if math.isfinite(s)]
        return known[-1] if known else math.nan

    @property
    def minutes_per_step(self) -> float:
        """Mean minutes of a step, or 0 if not known."""
        minutes = self.total_seconds / 60
        return minutes / self.step[-1] if math.isfinite(minutes) and minutes > 0 and self.step[-1] else 0.0

    def smooth(self) -> list[float]:
        """Return the losses, averaged over a twentieth of the entries (fewer at both ends)."""
        loss = np.asarray(self.loss)
        total = np.concatenate([[0.0], loss.cumsum()])
        k = np.arange(len(loss))
        reach = np.minimum(np.minimum(k, k[::-1]), max(1, len(loss) // 40))
        return [float(v) for v in (total[k + reach + 1] - total[k - reach]) / (2 * reach + 1)]

    def val_minutes(self) -> list[float]:
        """Return the minutes of the validations, from the steps before and after."""
        return [float(v) for v in np.interp(self.val_step, self.step, np.asarray(self.seconds) / 60)]

    def snapshots(self, most: int = 4) -> list[int]:
        """Return validations to show by signal level: the first, the last, and some between."""
        usable = [k for k, levels in enumerate(self.levels) if any(math.isfinite(v) for v in levels)]
        chosen = np.linspace(0, len(usable) - 1, min(most, len(usable))).round()
        return [usable[int(c)] for c in chosen]

    def by_signal(self, k: int) -> tuple[list[float], list[float]]:
        """Return the middles of the parts of the signal level, and the losses there, of validation k."""
        losses = self.levels[k]
        return [(i + 0.5) / len(losses) for i in range(len(losses))], losses


def schedule_by_noise(
    adaptive: Any, nodes: int, points: int = 101
) -> tuple[list[float], list[int], list[int]]:
    """Return noise levels 1 - u from 0 to 1, and the range and resolution of a schedule at each."""
    noise = [i / (points - 1) for i in range(points)]
    with torch.no_grad():
        pairs = [adaptive(1 - v, nodes) for v in noise]
    return noise, [int(r) for r, _ in pairs], [int(s) for _, s in pairs]


def _levels(losses: Sequence[float | None] | None) -> list[float]:
    return [math.nan if v is None or not _finite(v) else float(v) for v in losses or ()]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
