r"""Features scaled by the range that they have at each time.

A pattern that grows out of nothing spans many orders of magnitude. With the least and the greatest value of
feature f among the training nodes of time :math:`\tau`,

.. math:: y_f = \frac{x_f - l_f(\tau)}{h_f(\tau) - l_f(\tau)} .

Between the training's times the ends are interpolated linearly, before and after them they stay as they are:
so data on another grid of times are transformed as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform

__all__ = ["RangeByTime"]

_Table = tuple[tuple[float, ...], ...]


@configurable
@dataclass(frozen=True)
class RangeByTime(Transform):
    """Features in units of the range of each time: 0 at its lower, 1 at its upper end.

    Parameters
    ----------
    times
        Times at which the range was measured, k rising numbers.
    low, high
        Its ends, ``[k, f]``, each low below its high.
    axis
        Column of the positions that is the time.

    Raises
    ------
    ValueError
        If numbers do not fit together.
    """

    times: tuple[float, ...]
    low: _Table
    high: _Table
    axis: int = -1

    def __post_init__(self) -> None:
        if not self.times or list(self.times) != sorted(set(self.times)):
            raise ValueError(f"times must be one or more rising numbers, got {self.times}.")
        sizes = {len(row) for row in (*self.low, *self.high)}
        if len(self.low) != len(self.times) or len(self.high) != len(self.times) or len(sizes) != 1:
            raise ValueError(f"low and high must be [{len(self.times)}, f], a row for each time.")
        ends = zip(sum(self.low, ()), sum(self.high, ()), strict=True)
        if not all(low < high for low, high in ends):
            raise ValueError("each low must be below its high.")

    @classmethod
    def fit(cls, graphs: Graphs, axis: int = -1, most: int = 100) -> RangeByTime:
        """Measure a data set; where a feature never changes, its range is 1 wide.

        Parameters
        ----------
        graphs
            With features ``x [n, f]``.
        axis
            Column of the positions that is the time.
        most
            Most times that may occur: with a time for every node there is no range at a time.

        Raises
        ------
        ValueError
            If there are no features, a value is not finite, or there are more times than that.
        """
        if graphs.x is None or graphs.x.numel() == 0 or not bool(graphs.x.isfinite().all()):
            raise ValueError("the graphs must have features x [n, f], all of them finite.")
        times, place = graphs.pos[:, axis].double().unique(return_inverse=True)
        if len(times) > most:
            raise ValueError(
                f"axis {axis} of pos has {len(times)} different values, more than {most}; name the axis that "
                "is the time, or round times to a grid."
            )
        x = graphs.x.double()
        place = place[:, None].expand_as(x)
        ends = x.new_zeros(2, len(times), x.shape[1])
        for i, how in enumerate(("amin", "amax")):
            ends[i].scatter_reduce_(0, place, x, how, include_self=False)
        low, high = ends
        high = torch.where(high > low, high, low + 1)
        return cls(tuple(times.tolist()), _table(low), _table(high), axis)

    def apply(self, graphs: Graphs) -> Graphs:
        """From features ``[n, f]`` to shares of the range at each node's time; no features stay none."""
        if graphs.x is None:
            return graphs
        x, low, width = self._parts(graphs)
        return graphs.replace(x=((x - low) / width).to(x.dtype))

    def undo(self, graphs: Graphs) -> Graphs:
        """From shares of the range back to features."""
        if graphs.x is None:
            return graphs
        x, low, width = self._parts(graphs)
        return graphs.replace(x=(x * width + low).to(x.dtype))

    def entries(self, known: Tensor) -> Tensor:
        """The same entries, ``[n, f]``."""
        return known

    def _parts(self, graphs: Graphs) -> tuple[Tensor, Tensor, Tensor]:
        """Features, lower end and width of the range at every node, ``[n, f]`` each; the ends in float64."""
        if graphs.x is None or graphs.features != len(self.low[0]):
            raise ValueError(
                f"x must have {len(self.low[0])} features, as was fitted, got {graphs.features}."
            )
        time = graphs.pos[:, self.axis].double().contiguous()
        times, low, high = (time.new_tensor(v) for v in (self.times, self.low, self.high))
        after = torch.searchsorted(times, time).clamp(max=len(times) - 1)
        before = (after - 1).clamp(min=0)
        gap = (times[after] - times[before]).clamp(min=torch.finfo(torch.float64).tiny)
        share = ((time - times[before]) / gap).clamp(0, 1)[:, None]
        low = torch.lerp(low[before], low[after], share)
        return graphs.x, low, torch.lerp(high[before], high[after], share) - low


def _table(values: Tensor) -> _Table:
    return tuple(tuple(row) for row in values.tolist())
