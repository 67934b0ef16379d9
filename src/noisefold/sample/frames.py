"""What is asked of a model: how many nodes each sample has, and of which class it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from noisefold.arguments import one_of, whole
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.summary import DataSummary
from noisefold.noise.source import Streams

__all__ = [
    "Labels",
    "Nodes",
    "Properties",
    "frames_of",
    "labels_in",
    "labels_of",
    "properties_asked",
    "sizes_of",
]

Nodes = int | Sequence[int] | None
Labels = int | str | Sequence[int | str] | None
Properties = Mapping[str, float | Sequence[float]] | None


def sizes_of(indices: Sequence[int], nodes: Nodes, known: Sequence[int], seed: int) -> list[int]:
    """Return the sizes of these samples: as asked, cycled through, or drawn from the known sizes.

    Raises
    ------
    ValueError
        If a size is below 1.
    """
    if nodes is None:
        sizes = [known[int(u * len(known))] for u in _uniforms(seed, indices, 0)]
    else:
        asked = [whole("nodes", size, least=1) for size in _listed(nodes)]
        sizes = [asked[i % len(asked)] for i in indices]
    return sizes


def frames_of(
    indices: Sequence[int], nodes: Nodes, like: Graphs | None, summary: DataSummary, seed: int
) -> Graphs:
    """Return graphs for the samples with these indices, with all that is given.

    They are those of `like`, or those that the data always have, or bare nodes.

    Raises
    ------
    ValueError
        If a size is below 1, or asked for where the data or `like` have their own.
    """
    if like is not None:
        if nodes is not None:
            raise ValueError("nodes and like both give the sizes; give one of them.")
        return like[[i % len(like) for i in indices]].replace(label=None)
    if summary.frames is not None:
        if nodes is not None:
            raise ValueError("nodes is not for images; give those of the size that you want as like=graphs.")
        return summary.frames(_uniforms(seed, indices, 0))
    sizes = sizes_of(indices, nodes, summary.sizes, seed)
    return Graphs(torch.zeros(sum(sizes), summary.dim), ptr=torch.tensor([0, *sizes]).cumsum(0))


def labels_in(graphs: Graphs, classes: Sequence[str]) -> Sequence[int]:
    """Return the classes that graphs carry, by number among known ones; -1, "unconditional", for others."""
    if graphs.label is None:
        return [-1] * len(graphs)
    if not graphs.classes:
        return graphs.label.tolist()
    place = {name: i for i, name in enumerate(classes)}
    return [-1 if i < 0 else place.get(graphs.classes[i], -1) for i in graphs.label.tolist()]


def labels_of(
    labels: Labels, count: int, classes: Sequence[str], weights: Sequence[float], seed: int
) -> Tensor:
    """Return classes ``[count]``: as asked, cycled through, or drawn by weight; -1 is "unconditional".

    Raises
    ------
    ValueError
        If a class is unknown.
    """
    if labels is None:
        shares = torch.tensor(weights).cumsum(0)
        draws = torch.tensor(_uniforms(seed, range(count), 1), dtype=shares.dtype)
        return torch.searchsorted(shares / shares[-1], draws, right=True).clamp(max=len(shares) - 1)
    if count == 0:
        return torch.empty(0, dtype=torch.int64)
    numbers = [_number(v, classes) for v in _listed(labels)]
    return torch.tensor([numbers[i % len(numbers)] for i in range(count)])


def properties_asked(
    asked: Properties, count: int, names: Sequence[str], rows: Sequence[Sequence[float]], seed: int
) -> Tensor:
    """Return properties ``[count, k]``: as asked, cycled through, else NaN; or drawn from rows.

    Raises
    ------
    ValueError
        If a name is unknown, or a value is no number.
    """
    if asked is None:
        draws = _uniforms(seed, range(count), 1)
        return torch.tensor([rows[int(u * len(rows))] for u in draws]).reshape(count, len(names))
    out = torch.full((count, len(names)), torch.nan)
    for name, value in asked.items():
        if name not in names:
            raise ValueError(f"property {name!r} is unknown; the model knows {', '.join(names)}.")
        values = torch.as_tensor(value, dtype=torch.float32).reshape(-1)
        if not len(values) or bool(values.isinf().any()):
            raise ValueError(f"properties must be finite numbers, got {value!r} for {name!r}.")
        out[:, list(names).index(name)] = values[torch.arange(count) % len(values)]
    return out


def _number(label: int | str, classes: Sequence[str]) -> int:
    if isinstance(label, str):
        return list(classes).index(one_of("class", str(label), classes))
    number = whole("class", label)
    if -1 <= number < len(classes):
        return number
    raise ValueError(f"class {label!r} is unknown; known are {', '.join(classes)}.")


def _listed(asked: Any) -> list[Any]:
    """Return what is asked of the samples in turn, one or several, in a list, an array or a tensor.

    Raises
    ------
    ValueError
        If there is nothing.
    """
    several = not isinstance(asked, str) and isinstance(asked, Iterable) and getattr(asked, "ndim", 1) > 0
    values = list(asked) if several else [asked]
    if not values:
        raise ValueError("there must be one entry at least, got none; leave the argument out.")
    return values


def _uniforms(seed: int, indices: Sequence[int], purpose: int) -> list[float]:
    """Draw one number in [0, 1) for each sample, from a stream that its noise does not use."""
    streams = Streams(seed, [2 * i + 1 for i in indices])
    draws = streams.uniform([2] * len(indices), 1, torch.empty(0, dtype=torch.float64))
    return draws[purpose::2, 0].tolist()
