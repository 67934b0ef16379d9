"""Samples of a trained denoiser, in the units of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.source import Streams, derive_seed
from noisefold.progress import progress
from noisefold.sample.draw import SampleCallback, generate
from noisefold.sample.frames import Nodes, frames_of
from noisefold.sample.sampling import Sampling
from noisefold.sample.tiled import TILED_NODES, tiled

__all__ = ["draw_samples"]

_STEPS = 50
_DECODED = 0x5EED  # tells the seeds of what a transformation draws from others


def draw_samples(
    denoiser: Denoiser[Any, Any],
    units: Transform,
    summary: DataSummary,
    numbers: Sequence[int],
    sampling: Sampling,
    *,
    nodes: Nodes = None,
    like: Graphs | None = None,
    labels: Tensor | None = None,
    properties: Tensor | None = None,
    tile: int | None = None,
    callback: SampleCallback | None = None,
) -> Graphs:
    """Draw graphs; sample i is a function of (seed, i) alone.

    They lie where `like` does, or else on the CPU.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    units
        From the data's units to its own.
    summary
        The data it was trained on.
    numbers
        Numbers i of the samples.
    sampling
        How to draw.
    nodes
        Nodes of each, or of all; None draws sizes as in the training data.
    like
        Graphs that give what is not generated and the sizes, cycled through.
    labels, properties
        Classes of the samples, in order, and their properties ``[count, k]``, or None.
    tile
        Nodes of the tiles that larger graphs are worked on in; None takes every graph whole.
    callback
        Called after every step of the first batch with (step, signal level u, graphs).

    Raises
    ------
    ValueError
        If an argument is out of its range, or the variable needs `like`.
    """
    variable, seed = denoiser.variable, sampling.seed
    if variable.positions_given and like is None and summary.frames is None:
        raise ValueError(
            f"this model generates {variable.noun} on given positions; give them as like=graphs."
        )
    solver, times = sampling.resolved(denoiser.path, _STEPS)
    origin = summary.origin if like is None else like.origin

    place = {i: k for k, i in enumerate(numbers)}

    def undone(graphs: Graphs, indices: Sequence[int]) -> Graphs:
        return units.drawn(graphs, [derive_seed(seed, i, _DECODED) for i in indices])

    def seen(step: int, level: float, graphs: Graphs) -> None:
        if callback is not None:
            callback(step, level, undone(graphs, first).replace(origin=origin))

    def shaped(indices: list[int]) -> Graphs:
        shape = frames_of(indices, nodes, like, summary, seed)
        if labels is not None:
            chosen = labels[[place[i] for i in indices]]
            shape = shape.replace(label=chosen, classes=summary.classes)
        if properties is not None:
            values = properties[[place[i] for i in indices]]
            shape = shape.replace(properties=values, property_names=summary.property_names)
        return variable.given(shape)

    drawn: list[int] = []
    made: list[Graphs] = []
    first: list[int] = []
    with progress("sampling", len(numbers)) as advance:
        for indices, on in _batches(denoiser, units, numbers, sampling.batch, like, tile):
            first = first or indices
            shape = shaped(indices)
            graphs = variable.blank(units.apply(shape), summary)
            if on is not denoiser:
                graphs = graphs.replace(edge_index=None, edge_attr=None, edge_type=None)
            streams = Streams(seed, [2 * i for i in indices])
            done = generate(
                on, graphs.to(denoiser.device), times, solver, streams,
                guidance=sampling.guidance, guidance_interval=sampling.guidance_interval,
                callback=None if made else seen,
            )  # fmt: skip
            # What is given comes back as it was, bit for bit, and where it was.
            frame = variable.blank(shape, summary)
            done = variable.returned(frame, undone(done.to(frame.device), indices))
            names = summary.feature_names if len(summary.feature_names) == done.features else ()
            made.append(done.replace(origin=origin, feature_names=names))
            drawn += indices
            advance(len(indices), "")
    samples = Graphs.collate(made)
    if drawn == list(numbers):
        return samples
    row = {i: k for k, i in enumerate(drawn)}
    return samples[[row[i] for i in numbers]]


def _batches(
    denoiser: Denoiser[Any, Any],
    units: Transform,
    numbers: Sequence[int],
    batch: int,
    like: Graphs | None,
    tile: int | None,
) -> Iterator[tuple[list[int], Denoiser[Any, Any]]]:
    """Yield the numbers of the samples of each batch, and the denoiser that works on them."""
    sizes = [] if like is None or tile is None else like.sizes.tolist()
    large = [k for k, n in enumerate(sizes) if tile is not None and n > tile]
    left = [i for i in numbers if not large or i % len(sizes) not in large]
    for start in range(0, len(left), batch):
        yield left[start : start + batch], denoiser
    for k in large:
        assert like is not None
        assert tile is not None
        frame = units.apply(denoiser.variable.given(like[k]))
        on, _ = tiled(denoiser, frame.pos, torch.ones(frame.num_nodes, 1, dtype=torch.bool), tile)
        own = [i for i in numbers if i % len(sizes) == k]
        together = max(1, TILED_NODES // frame.num_nodes)
        for start in range(0, len(own), together):
            yield own[start : start + together], on
