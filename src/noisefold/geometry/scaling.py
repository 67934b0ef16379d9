r"""Standardisation: :math:`(v - \mu) / s`, kept with the model, so that samples have the data's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform

__all__ = ["Scaling"]

_Numbers = tuple[float, ...]


@configurable
@dataclass(frozen=True)
class Scaling(Transform):
    """Centre and scale of positions and features.

    Positions share one scale over all axes, so that shapes keep their proportions, unless axes are named that
    stand apart, as a time does; every feature has its own.

    Parameters
    ----------
    pos_mean
        Mean of each coordinate, d numbers.
    pos_scale
        Standard deviation of all coordinates together; with axes that stand apart, of the others.
    x_mean, x_scale
        Mean and standard deviation of each feature, f numbers each; empty without features.
    axis_scale
        The scale of each coordinate where some stand apart, d numbers; empty where all have `pos_scale`.
    """

    pos_mean: _Numbers
    pos_scale: float
    x_mean: _Numbers = ()
    x_scale: _Numbers = ()
    axis_scale: _Numbers = ()

    @classmethod
    def fit(cls, graphs: Graphs, apart: Sequence[int] = ()) -> Scaling:
        """Measure a data set; constant variables keep scale 1.

        Parameters
        ----------
        graphs
            The data.
        apart
            Axes of the positions that have a standard deviation of their own, such as -1 for a time.

        Raises
        ------
        ValueError
            If there are no nodes, or a value is not finite.
        """
        if graphs.num_nodes == 0:
            raise ValueError("the data hold no nodes; give at least one graph with nodes.")
        for name, value in (("pos", graphs.pos), ("x", graphs.x)):
            if value is not None and not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} holds NaN or infinite values; remove those nodes first.")
        pos = graphs.pos.double()
        mean = pos.mean(0)
        square = (pos - mean).square()
        alone = sorted({axis % graphs.dim for axis in apart})
        others = [axis for axis in range(graphs.dim) if axis not in alone]
        spread = (float(square[:, others].mean().sqrt()) if others else 1.0) or 1.0
        each: _Numbers = ()
        if alone:
            own = square.mean(0).sqrt().tolist()
            each = tuple((own[axis] or 1.0) if axis in alone else spread for axis in range(graphs.dim))
        if graphs.x is None:
            return cls(tuple(mean.tolist()), spread, axis_scale=each)
        x = graphs.x.double()
        deviation = x.std(0, correction=0)
        deviation[deviation == 0] = 1.0
        return cls(tuple(mean.tolist()), spread, tuple(x.mean(0).tolist()), tuple(deviation.tolist()), each)

    def apply(self, graphs: Graphs) -> Graphs:
        """From the data's units to standard ones."""
        mean, scale, x_mean, x_scale = self._tensors(graphs)
        x = None if graphs.x is None else (graphs.x - x_mean) / x_scale
        return graphs.replace(pos=(graphs.pos - mean) / scale, x=x)

    def undo(self, graphs: Graphs) -> Graphs:
        """From standard units back to the data's."""
        mean, scale, x_mean, x_scale = self._tensors(graphs)
        x = None if graphs.x is None else graphs.x * x_scale + x_mean
        return graphs.replace(pos=graphs.pos * scale + mean, x=x)

    def entries(self, known: Tensor) -> Tensor:
        """The same entries, ``[n, f]``."""
        return known

    def _tensors(self, graphs: Graphs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if graphs.dim != len(self.pos_mean) or graphs.features not in (0, len(self.x_mean)):
            raise ValueError(
                f"the model knows {len(self.pos_mean)}-D positions with {len(self.x_mean)} features, "
                f"got {graphs.dim}-D with {graphs.features}."
            )
        numbers = (self.pos_mean, self.axis_scale or self.pos_scale, self.x_mean, self.x_scale)
        mean, scale, x_mean, x_scale = (graphs.pos.new_tensor(v) for v in numbers)
        return mean, scale, x_mean, x_scale
