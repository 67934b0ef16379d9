r"""The path from noise to data: sampled from a model, and prepared for viewing.

Where the noise is far larger than the data (a variance-exploding path), a moment is divided by
:math:`\max(1, \rho / (2 \rho_1))`, with :math:`\rho` its root mean square distance from the mean, and
:math:`\rho_1` that of the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from noisefold.geometry.display import Array, Cloud, ViewScale, clouds_of, pick
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.reported import ReportedModel
from noisefold.sample.defaults import default_steps

__all__ = ["CloudTrajectory", "cloud_trajectory", "evenly", "sample_trajectory"]


@dataclass(frozen=True)
class CloudTrajectory:
    """Some graphs at some moments.

    Parameters
    ----------
    clouds
        The graphs as they end.
    signal
        Signal level u of every moment, ascending in time of generation.
    points
        For each moment, the positions of each graph, ``[m, 3]``.
    colors
        For each moment, the colours of each graph, ``[m]``; the final ones if there are no features.
    flat
        Whether there are only two dimensions.
    shrunk
        Whether the noisy moments were made smaller to fit.
    """

    clouds: tuple[Cloud, ...]
    signal: tuple[float, ...]
    points: tuple[tuple[Array, ...], ...]
    colors: tuple[tuple[Array, ...], ...]
    flat: bool
    shrunk: bool

    def evenly(self, most: int) -> list[int]:
        """Return at most so many moments, evenly chosen, the first and the last among them."""
        return evenly(len(self.signal), most)

    def at(self, moment: int) -> list[Cloud]:
        """Return the graphs at one moment."""
        return [
            replace(c, points=p, color=v)
            for c, p, v in zip(self.clouds, self.points[moment], self.colors[moment], strict=True)
        ]


def sample_trajectory(
    model: ReportedModel, like: Graphs | None = None, *, steps: int = 25, seed: int = 0
) -> list[tuple[float, Graphs]]:
    """Return pairs (signal level u, graphs) from noise to data: seven samples, or one like the first given.

    Classes are the model's first ones, if it has any. `like` gives the positions of a model of features.
    """
    states: list[tuple[float, Graphs]] = []

    def callback(step: int, signal: float, graphs: Graphs) -> None:
        states.append((signal, graphs))

    labels = list(model.classes[:7]) if model.conditional and like is None else None
    count, steps = 7 if like is None else 1, default_steps(model.path, steps)
    model.sample(count, like=like, labels=labels, steps=steps, seed=seed, callback=callback)
    return states


def cloud_trajectory(
    trajectory: Sequence[tuple[float, Graphs]], clouds: int, moments: int, limit: int
) -> CloudTrajectory:
    """Return at most so many clouds, moments, and points of each cloud.

    Raises
    ------
    ValueError
        If the trajectory is empty, or its graphs change their sizes.
    """
    if not trajectory or len(trajectory[-1][1]) == 0:
        raise ValueError("trajectory must hold at least one moment with at least one graph, got none.")
    last = trajectory[-1][1].to("cpu")
    chosen = [trajectory[k] for k in evenly(len(trajectory), moments)]
    for _, graphs in chosen:
        if graphs.sizes.tolist() != last.sizes.tolist():
            raise ValueError("trajectory must hold the same graphs at every moment, but their sizes change.")
    scale, indices = ViewScale.of(last), pick(last, clouds)
    steps = [clouds_of(_whole(graphs), indices, scale, limit) for _, graphs in chosen]
    ends, size = steps[-1], _spread(steps[-1])
    factors = [max(1.0, _spread(step) / (2 * size)) if size > 0 else 1.0 for step in steps]
    return CloudTrajectory(
        tuple(ends),
        tuple(float(u) for u, _ in chosen),
        tuple(tuple(c.points / f for c in step) for step, f in zip(steps, factors, strict=True)),
        tuple(tuple(c.color for c in (step if last.features else ends)) for step in steps),
        last.dim < 3,
        max(factors) > 1,
    )


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers from 0 to count - 1, both ends among them."""
    return [int(k) for k in np.linspace(0, count - 1, min(count, max(most, 1))).round()]


def _whole(graphs: Graphs) -> Graphs:
    """Return graphs with zeros for numbers that are not finite: a point stays the same point all along."""
    return graphs.replace(pos=graphs.pos.nan_to_num(0, 0, 0))


def _spread(clouds: Sequence[Cloud]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([c.points for c in clouds]).astype(np.float64) ** 2)))
