"""Graphs as samples of a random function: what inputs and outputs are, and how samples are held out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from noisefold.configuration import configurable
from noisefold.data.functions.coordinates import Coordinates
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.selection import divided

__all__ = ["INPUTS", "OUTPUTS", "FunctionSamples"]

INPUTS = ("euclidean", "sphere")
OUTPUTS = ("scalars", "vector", "sphere")


@configurable
@dataclass(frozen=True)
class FunctionSamples:
    """Values ``x`` of a random function at inputs ``pos``, each graph a sample of it.

    Parameters
    ----------
    inputs
        "euclidean", any point of space, or "sphere": unit vectors ``pos [n, 3]``.
    outputs
        "scalars", features that do not turn with space; "vector", the components ``x [n, d]`` of one vector
        in the frame of the positions, on a sphere tangent to it; or "sphere": unit vectors ``x [n, 3]``.
    coordinates
        How the data that were read name and measure them, so that answers can be written back.

    Raises
    ------
    ValueError
        If a kind is unknown.
    """

    inputs: str = "euclidean"
    outputs: str = "scalars"
    coordinates: Coordinates | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, known in (("inputs", INPUTS), ("outputs", OUTPUTS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")

    def split(self, graphs: Graphs, fraction: float, seed: int = 0) -> tuple[Graphs, Graphs]:
        """Return two disjoint parts of samples, the first with about this fraction of them.

        Samples with a `group` are held out by rule: groups such as seasons, years or times are numbered in
        their order, and the second part has the last ones, each of them whole, whatever the seed. Samples
        without are divided at random, and so are all after ``graphs.replace(modality=None)``.

        Raises
        ------
        ValueError
            If there are fewer than two samples or groups.
        """
        ordered = graphs.group is not None
        generator = None if ordered else torch.Generator().manual_seed(seed)
        first, second = divided(graphs, fraction, generator)
        return first.replace(modality=self), second.replace(modality=self)
