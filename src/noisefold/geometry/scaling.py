r"""Standardisation: :math:`(v - \mu) / s`, kept with the model, so that samples have the data's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.chunks import is_large, node_chunks
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
    property_mean, property_scale
        Mean and standard deviation of each property of the graphs; empty without properties.
    """

    pos_mean: _Numbers
    pos_scale: float
    x_mean: _Numbers = ()
    x_scale: _Numbers = ()
    axis_scale: _Numbers = ()
    property_mean: _Numbers = ()
    property_scale: _Numbers = ()

    @classmethod
    def fit(cls, graphs: Graphs, apart: Sequence[int] = (), *, transform: Transform | None = None) -> Scaling:
        """Measure a data set; constant variables keep scale 1.

        Data of more than 2^26 numbers are measured piece by piece.

        Parameters
        ----------
        graphs
            The data.
        transform
            Applied before, piece by piece.
        apart
            Axes of the positions that have a standard deviation of their own, such as -1 for a time.

        Raises
        ------
        ValueError
            If there are no nodes, or a value is not finite.
        """
        if graphs.num_nodes == 0:
            raise ValueError("the data hold no nodes; give at least one graph with nodes.")
        measured = cls._of_nodes(graphs, apart, transform)
        if graphs.properties is None:
            return measured
        values = graphs.properties.double()
        mean = values.nanmean(0).nan_to_num()
        deviation = (values - mean).square().nanmean(0).sqrt().nan_to_num()
        scale = torch.where(deviation > 0, deviation, 1.0)
        return replace(measured, property_mean=tuple(mean.tolist()), property_scale=tuple(scale.tolist()))

    @classmethod
    def _of_nodes(cls, graphs: Graphs, apart: Sequence[int], transform: Transform | None) -> Scaling:
        if is_large(graphs):
            return cls._from_moments(*_moments(graphs, transform), apart)
        graphs = graphs if transform is None else transform.apply(graphs)
        _check_finite(graphs)
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

    @classmethod
    def _from_moments(cls, mean: Tensor, variance: Tensor, dim: int, apart: Sequence[int]) -> Scaling:
        """Build it from mean and variance of positions and features side by side, ``[d + f]``."""
        alone = sorted({axis % dim for axis in apart})
        others = [axis for axis in range(dim) if axis not in alone]
        spread = (float(variance[others].mean().sqrt()) if others else 1.0) or 1.0
        own = variance.sqrt().tolist()
        each = tuple((own[i] or 1.0) if i in alone else spread for i in range(dim)) if alone else ()
        x_scale = tuple(value or 1.0 for value in own[dim:])
        return cls(tuple(mean[:dim].tolist()), spread, tuple(mean[dim:].tolist()), x_scale, each)

    def apply(self, graphs: Graphs) -> Graphs:
        """Return the graphs in standard units."""
        mean, scale, x_mean, x_scale = self._tensors(graphs)
        x = None if graphs.x is None else (graphs.x - x_mean) / x_scale
        pos = graphs.pos if self._keeps_places else (graphs.pos - mean) / scale
        return graphs.replace(pos=pos, x=x, properties=self._properties(graphs, undo=False))

    def undo(self, graphs: Graphs) -> Graphs:
        """Return the graphs in the data's units."""
        mean, scale, x_mean, x_scale = self._tensors(graphs)
        x = None if graphs.x is None else graphs.x * x_scale + x_mean
        pos = graphs.pos if self._keeps_places else graphs.pos * scale + mean
        return graphs.replace(pos=pos, x=x, properties=self._properties(graphs, undo=True))

    def _properties(self, graphs: Graphs, undo: bool) -> Tensor | None:
        if graphs.properties is None or not self.property_mean:
            return graphs.properties
        mean, scale = (graphs.properties.new_tensor(v) for v in (self.property_mean, self.property_scale))
        return graphs.properties * scale + mean if undo else (graphs.properties - mean) / scale

    @property
    def _keeps_places(self) -> bool:
        """Whether positions are as they were, as those of pixels."""
        return not any(self.pos_mean) and self.pos_scale == 1 and not self.axis_scale

    def entries(self, known: Tensor) -> Tensor:
        """Return the same entries, ``[n, f]``."""
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


def _check_finite(graphs: Graphs) -> None:
    for name, value in (("pos", graphs.pos), ("x", graphs.x)):
        if value is not None and not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} holds NaN or infinite values; remove those nodes first.")


def _moments(graphs: Graphs, transform: Transform | None) -> tuple[Tensor, Tensor, int]:
    """Return mean and variance ``[d + f]`` of all nodes, and d."""
    count, mean, squares, dim = 0, torch.zeros(()), torch.zeros(()), graphs.dim
    for chunk in node_chunks(graphs):
        part = chunk if transform is None else transform.apply(chunk)
        _check_finite(part)
        values = part.pos if part.x is None else torch.cat([part.pos, part.x], 1)
        values, old, dim = values.double(), count, part.dim
        count += len(values)
        # Chan's update of mean and sum of squares.
        centre = values.mean(0)
        squares = squares + (values - centre).square().sum(0)
        squares = squares + (centre - mean).square() * old * len(values) / count
        mean = mean + (centre - mean) * len(values) / count
    return mean, squares / count, dim
