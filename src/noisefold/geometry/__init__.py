"""Space: ragged graphs, segments, neighbours and coarsening."""

from noisefold.geometry.graphs import Graphs

__all__ = ["Graphs"]
