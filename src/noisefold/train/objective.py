"""The loss of a batch: times and masks drawn, then the denoiser's own loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.coupling import Coupling
from noisefold.noise.levels import Levels
from noisefold.noise.source import Streams
from noisefold.noise.variable import Known
from noisefold.train.masks import Masks

__all__ = ["batch_loss", "hide_labels"]


def batch_loss(
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    random: Streams,
    quantiles: Tensor,
    coupling: Coupling,
    levels: Levels | None = None,
    masks: Masks | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the loss of each graph, ``[g]``, and the times ``[g]`` it was measured at.

    Parameters
    ----------
    denoiser
        Its network may be wrapped for several processes.
    graphs
        Standardised data.
    random
        One random stream per graph.
    quantiles
        Uniform numbers ``[g]`` that place the times.
    coupling
        Pairs the noise with the data.
    levels
        Distribution of the noise levels; None is uniform in t.
    masks
        What a denoiser for completion observes; None is `Masks` as it comes.
    """
    path, like = denoiser.path, graphs.pos
    t = path.times_at(quantiles.to(like)) if levels is None else levels(path, quantiles).to(like)
    known = None
    if denoiser.for_completion:
        variable = denoiser.variable
        state = variable.read(graphs)
        entries = (masks or Masks())(graphs, variable.columns(state), random)
        known = Known(state, variable.mask(graphs, entries))
    return denoiser.loss(graphs, t, random, coupling, known), t


def hide_labels(graphs: Graphs, random: Streams, share: float) -> Graphs:
    """Replace this share of the classes by -1, and of the properties by NaN: "unconditional"."""
    if (graphs.label is None and graphs.properties is None) or share == 0:
        return graphs
    draws = random.uniform([1] * len(graphs), 1, torch.empty(0, dtype=torch.float64))[:, 0].to(graphs.device)
    hidden = draws < share
    label = None if graphs.label is None else torch.where(hidden, -1, graphs.label)
    values = graphs.properties
    return graphs.replace(
        label=label, properties=None if values is None else values.masked_fill(hidden[:, None], torch.nan)
    )
