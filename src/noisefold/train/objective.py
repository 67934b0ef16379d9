r"""The loss: :math:`E\, w(t)\, |y_\theta(x_t, t) - y(x_0, x_t, t)|^2`.

Averaged over the coordinates and nodes of a graph, then over graphs, so that every graph weighs the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser, Known, noised_value
from noisefold.noise.coupling import Coupling
from noisefold.noise.levels import LevelDistribution
from noisefold.noise.source import Streams
from noisefold.train.masks import Masks

__all__ = ["errors", "graph_means", "hide_labels"]


def errors(
    denoiser: Denoiser,
    graphs: Graphs,
    streams: Streams,
    quantiles: Tensor,
    coupling: Coupling,
    times: LevelDistribution | None = None,
    masks: Masks | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted squared error of each graph, ``[g]``, and the times ``[g]`` it was measured at.

    Parameters
    ----------
    denoiser
        Its network may be wrapped for several processes.
    graphs
        Standardised data.
    streams
        One random stream per graph.
    quantiles
        Uniform numbers ``[g]`` that place the times.
    coupling
        Pairs the noise with the data.
    times
        Law of the noise levels; None is uniform in t.
    masks
        What an informed denoiser is told; None is `Masks` as it comes. What is known has no error, and every
        unknown value weighs the same.
    """
    path, target = denoiser.path, denoiser.target
    x0 = noised_value(graphs, denoiser.variable)
    if times is None:
        t = path.margin + (1 - 2 * path.margin) * quantiles.to(x0)
    else:
        t = times(path, quantiles).to(x0)
    known = None
    if denoiser.for_completion:
        known = Known(x0, (masks or Masks())(graphs, x0.shape[1], streams))
    eps = coupling(graphs, x0, lambda: path.source.draw(graphs, x0.shape[1], streams, x0, t).to(x0))
    at = t[graphs.batch, None]
    x_t = path.mix(x0, eps, at)
    told = {} if known is None else {"known": known}
    found = denoiser.predict(graphs, x_t, t, graphs.label, **told).to(x0)
    difference = found - target.value(x0, x_t, at, path)
    if known is not None:
        difference = difference.masked_fill(known.mask, 0.0)
    return target.loss_weight(t, path) * graph_means(graphs, difference.square().mean(1)), t


def graph_means(graphs: Graphs, values: Tensor) -> Tensor:
    """Mean over the nodes of every graph, ``[g]``, of ``values [n]``."""
    if (size := graphs.uniform) is not None:
        return values.reshape(len(graphs), size).mean(1)
    total = values.new_zeros(len(graphs)).index_add(0, graphs.batch, values)
    return total / graphs.sizes.to(values)


def hide_labels(graphs: Graphs, streams: Streams, share: float) -> Graphs:
    """Replace this share of the classes by -1, "unconditional"."""
    if graphs.label is None or share == 0:
        return graphs
    draws = streams.uniform([1] * len(graphs), 1, torch.empty(0, dtype=torch.float64))[:, 0].to(graphs.device)
    return graphs.replace(label=torch.where(draws < share, -1, graphs.label))
