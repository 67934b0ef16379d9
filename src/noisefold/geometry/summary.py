"""What a model remembers of the data it was trained on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import numbered
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.selection import spread
from noisefold.geometry.transform import Transform

__all__ = ["DataSummary", "Frames"]

_SIZES = 256


class Frames(Protocol):
    """Where features may be generated though no graph is given: positions that are known beforehand."""

    @abstractmethod
    def __call__(self, draws: Sequence[float]) -> Graphs:
        """Return a graph without features for each of some uniform draws in [0, 1)."""


@configurable
@dataclass(frozen=True)
class DataSummary:
    """What sampling needs to know of a data set.

    Parameters
    ----------
    scaling
        Its standardisation, after the model's transformation of features.
    sizes
        Numbers of nodes that samples may have, drawn from when none is asked for.
    classes, class_weights
        Names of its classes, and their shares.
    feature_names
        Names of its features, by which data are matched to the model.
    node_types, edge_types
        Names of the types of its nodes and edges; empty where all are of one type.
    origin
        Where position 0 lies in the user's frame; empty for zeros.
    property_names, property_rows
        Names of the properties of its graphs, and values of some graphs, drawn from when none are asked for.
    frames
        Positions on which features are generated where none are given, such as the pixels of an image.
    """

    scaling: Scaling
    sizes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    class_weights: tuple[float, ...] = ()
    feature_names: tuple[str, ...] = ()
    origin: tuple[float, ...] = ()
    node_types: tuple[str, ...] = ()
    edge_types: tuple[str, ...] = ()
    frames: Frames | None = None
    property_names: tuple[str, ...] = ()
    property_rows: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, data: Graphs, scaling: Scaling, frames: Frames | None = None) -> DataSummary:
        """Summarise a data set in its own units, whose standardisation was measured."""
        sizes = tuple(sorted(data.sizes.tolist())[:: max(1, len(data) // _SIZES)])
        classes: tuple[str, ...] = ()
        shares: tuple[float, ...] = ()
        if data.label is not None:
            count = len(data.classes) or int(data.label.max()) + 1
            classes = data.classes or tuple(str(i) for i in range(count))
            counted = torch.bincount(data.label.clamp(min=0), minlength=count).double()
            shares = tuple((counted / len(data)).tolist())
        names, rows = data.property_names, data.properties
        if rows is not None and len(data):
            names = names or tuple(str(i) for i in range(rows.shape[1]))
            rows = rows[spread(len(data), min(len(data), _SIZES)).to(rows.device)].double().cpu()
        return cls(
            scaling,
            sizes,
            classes,
            shares,
            data.feature_names,
            data.origin,
            data.node_types or numbered(data.node_type),
            data.edge_types or numbered(data.edge_type),
            frames,
            () if rows is None else names,
            () if rows is None else tuple(tuple(row) for row in rows.tolist()),
        )

    @classmethod
    def fit(cls, data: Graphs, transform: Transform | None = None) -> DataSummary:
        """Measure a data set in its own units, and its standardisation after a transformation of features."""
        return cls.of(data, Scaling.fit(data, transform=transform))

    @property
    def dim(self) -> int:
        """Dimension of space."""
        return len(self.scaling.pos_mean)

    @property
    def features(self) -> int:
        """Features of a node in standard units."""
        return len(self.scaling.x_mean)
