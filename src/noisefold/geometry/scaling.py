r"""Standardisation: :math:`(v - \mu) / s`, kept with the model, so that samples have the data's units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs

__all__ = ["Scaling"]

_Numbers = tuple[float, ...]


@configurable
@dataclass(frozen=True)
class Scaling:
    """Centre and scale of positions and features.

    Positions share one scale over all axes, so that shapes keep their proportions; every feature has its own.

    Parameters
    ----------
    pos_mean
        Mean of each coordinate, d numbers.
    pos_scale
        Standard deviation of all coordinates together.
    x_mean, x_scale
        Mean and standard deviation of each feature, f numbers each; empty without features.
    """

    pos_mean: _Numbers
    pos_scale: float
    x_mean: _Numbers = ()
    x_scale: _Numbers = ()

    @classmethod
    def fit(cls, graphs: Graphs) -> Scaling:
        """Measure a data set; constant variables keep scale 1.

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
        spread = float((pos - mean).square().mean().sqrt())
        if graphs.x is None:
            return cls(tuple(mean.tolist()), spread or 1.0)
        x = graphs.x.double()
        deviation = x.std(0, correction=0)
        deviation[deviation == 0] = 1.0
        return cls(tuple(mean.tolist()), spread or 1.0, tuple(x.mean(0).tolist()), tuple(deviation.tolist()))

    def apply(self, graphs: Graphs) -> Graphs:
        """From the data's units to standard ones."""
        mean, x_mean, x_scale = self._tensors(graphs)
        x = None if graphs.x is None else (graphs.x - x_mean) / x_scale
        return graphs.replace(pos=(graphs.pos - mean) / self.pos_scale, x=x)

    def undo(self, graphs: Graphs) -> Graphs:
        """From standard units back to the data's."""
        mean, x_mean, x_scale = self._tensors(graphs)
        x = None if graphs.x is None else graphs.x * x_scale + x_mean
        return graphs.replace(pos=graphs.pos * self.pos_scale + mean, x=x)

    def _tensors(self, graphs: Graphs) -> tuple[Tensor, Tensor, Tensor]:
        if graphs.dim != len(self.pos_mean) or graphs.features != len(self.x_mean):
            raise ValueError(
                f"the model knows {len(self.pos_mean)}-D positions with {len(self.x_mean)} features, "
                f"got {graphs.dim}-D with {graphs.features}."
            )
        mean, x_mean, x_scale = (graphs.pos.new_tensor(v) for v in (self.pos_mean, self.x_mean, self.x_scale))
        return mean, x_mean, x_scale
