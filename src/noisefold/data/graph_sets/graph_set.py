"""One part of a set of graphs that its file divides."""

from __future__ import annotations

import os
import warnings

from noisefold.data.folders import FolderSplit
from noisefold.data.load import load
from noisefold.data.notice import DataNotice
from noisefold.geometry.graphs import Graphs

__all__ = ["graph_set"]


def graph_set(path: str | os.PathLike[str], part: str = "train") -> Graphs:
    """Return one part of a set of graphs that a file or a folder divides.

    `noisefold.load` returns all parts, and ``split`` on its graphs the training graphs and all others;
    benchmarks need validation and test graphs apart.

    Parameters
    ----------
    path
        A .npz file with an array ``split``, or a folder with the folders train, val or test in it.
    part
        ``"train"``, ``"val"`` or ``"test"``.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If the data cannot be read, are not divided, or have no such part.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataNotice)  # what is held out is asked for here
        graphs = load(path)
    if not isinstance(graphs.modality, FolderSplit):
        raise ValueError(f"path must be data that are divided into parts, got {path}; use load and split.")
    return graphs.modality.part(graphs, part)
