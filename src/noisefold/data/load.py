"""Files, folders, arrays and graphs of other libraries in, as `Graphs`.

`noisefold.data.formats.readers` lists the formats; `noisefold.data.save` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noisefold.arguments import one_of, seed_of, whole
from noisefold.data.classes import select
from noisefold.data.earth.together import on_earth, with_units
from noisefold.data.images.load import load_pictures
from noisefold.data.mesh import unit_sphere
from noisefold.data.parts import columns_of, joined
from noisefold.data.reading import Reading
from noisefold.data.shards import is_shards, open_shards
from noisefold.geometry.graphs import Graphs

__all__ = ["describe_columns", "load", "read_file", "read_files", "unit"]

_NO_PARTS: Mapping[str, Any] = {}


def load(
    source: Any,
    *,
    points: int | None = None,
    classes: Sequence[str] | None = None,
    normalize: str | None = None,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    **parts: Any,
) -> Graphs:
    """Return graphs from files, folders, arrays, pictures, PyG data, NetworkX or RDKit, in float32.

    Names of features and classes come along, and several files are joined by them. Labels that are numbers
    become the names of classes. Coordinates far from zero are centred in float64; `Graphs.origin` says where.
    What was left out is said in a `DataNotice`.

    Parameters
    ----------
    source
        A file; a folder of files, or of one folder for each class; a pattern such as ``"shapes/*.ply"``;
        an array or tensor, ``[n, d]`` for one graph or ``[g, n, d]``; a dictionary of arrays as in .npz;
        a PyG `Data` or `Batch`; a graph of NetworkX; a molecule of RDKit; an AnnData; a Dataset or DataArray
        of xarray; `Graphs`; or a list of these. Pictures in files and folders, in arrays ``[n, h, w, c]`` or
        of bytes ``[n, h, w]`` (`noisefold.data.pictures` takes any), of Pillow, or in a data set of
        torchvision.
    points
        Points sampled uniformly by area on each mesh (None: 1024), and the most kept, at random, of each
        cloud (None: all).
    classes
        Keep the graphs of these classes alone, numbered in this order.
    normalize
        ``"unit"`` centres each graph on its mean and scales it into the unit sphere; None leaves
        coordinates as they are (a model standardises by itself).
    size
        Of pictures: pixels a side, or height and width, to which each is cropped around its middle and
        resized with anti-aliasing; None leaves them as they are.
    seed
        Seed of the points. What is drawn from a file is a function of the seed and its content alone.
    **parts
        What to take from a file that holds more than graphs. Of .h5ad and AnnData: `pos`, `x`, `genes`,
        `group`, `time` and `missing`, as of `noisefold.data.Tissue.read`. Of tables: the columns ``pos=("x",
        "y")``, ``x=("heat", "load")``, ``group="sample"`` and ``label="kind"``, by name, or by number from 1
        where there is no header; of other files ``x=`` chooses among named features. ``missing=True`` lets
        coordinates and features be NaN where they are missing, for `Model.complete`. Of molecules:
        ``skip=True`` leaves out those that cannot be read and says how many, ``hydrogens=True`` keeps the
        hydrogens that a file writes out as atoms, ``label="kind"`` names the classes, and
        ``properties=("logP",)`` names columns or data items that become `Graphs.properties`. Of the earth
        (NetCDF, gridded zarr, xarray): the variables ``x=("t2m",)`` or ``vector=("u", "v")``, ``level=500``,
        ``mask="sea"`` for a variable that is 1 where there is something, and `missing`.

    Returns
    -------
    Graphs
        The graphs. Those of a folder with ``train`` and ``test`` in it carry a `modality` by which `split`
        divides them as the folders do.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If a format is unknown, a file is damaged, a coordinate is not finite, a cloud has fewer than two
        points, or parts do not fit together.
    """
    points = None if points is None else whole("points", points, least=2)
    normalize = None if normalize is None else one_of("normalize", normalize, ("unit",))
    if isinstance(source, str | os.PathLike) and is_shards(source):
        if points is not None or parts:
            name = "points" if points is not None else next(iter(parts))
            raise ValueError(
                f"{source}: {name} is chosen when shards are written; give it to noisefold convert."
            )
        graphs = open_shards(source)
        graphs = with_units(graphs.replace(group=None)) if on_earth(graphs) else graphs
        return graphs if classes is None else select(graphs, classes)
    images = load_pictures(source, size, classes)
    if images is not None:
        other = {"points": points, "normalize": normalize, **parts}
        named = next((name for name, value in other.items() if value is not None), None)
        if named is not None:
            raise ValueError(f"{named} is not for pictures; leave it out (size= makes them smaller).")
        return images
    if size is not None:
        raise ValueError("size is for pictures, and the source holds none; points= thins clouds.")
    reading = Reading(points, seed_of(seed), classes, parts)
    graphs = joined(reading.pieces(source), reading.ask.x is not None)
    lacking = [name for name in reading.ask.properties or () if name not in graphs.property_names]
    if lacking:
        raise ValueError(f"properties names {lacking[0]!r}, which the data do not hold; leave it out.")
    if classes is not None:
        graphs = select(graphs, classes)
    return unit(graphs) if normalize == "unit" else graphs


def describe_columns(source: Any, **parts: Any) -> list[dict[str, str]]:
    """Return what became of the columns of files, as `load` reads them.

    Parameters
    ----------
    source, **parts
        As of `load`.

    Returns
    -------
    list of dict
        For each column its ``name``, its ``role`` (position, feature, graph, label, left out) and ``why``.
    """
    reading = Reading(None, 0, None, parts)
    return columns_of(reading.pieces(source), reading.ask.x is not None)


def unit(graphs: Graphs) -> Graphs:
    """Return each graph centred on its mean and scaled into the unit sphere."""
    clouds = [unit_sphere(p.double().cpu().numpy()) for p in graphs.unpack()]
    return graphs.replace(pos=torch.from_numpy(np.concatenate(clouds)).to(graphs.pos), origin=())


def read_files(
    files: Sequence[Path],
    points: int | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    parts: Mapping[str, Any] = _NO_PARTS,
) -> Graphs:
    """Return the graphs in several files, joined by name; a name for each file is its class."""
    reading = Reading(points, seed, None, parts)
    return joined(reading.files(files, labels), reading.ask.x is not None)


def read_file(
    path: Path, points: int | None = None, seed: int = 0, parts: Mapping[str, Any] = _NO_PARTS
) -> Graphs:
    """Return the graphs in one file; see `load`."""
    return read_files([path], points, seed, parts=parts)
