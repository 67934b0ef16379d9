"""Objects of other libraries as graphs: PyG, NetworkX, data sets of PyTorch, data frames and meshes.

No library is imported for it: an object can only be there if its library was imported already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.data.earth.gridded import Gridded
from noisefold.data.earth.libraries import is_xarray
from noisefold.data.earth.netcdf import decoded
from noisefold.data.formats.delimited import table_of_arrays
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.tables import part_of
from noisefold.data.formats.vertices import polygons
from noisefold.data.mesh import Array, Mesh
from noisefold.data.molecules import from_rdkit
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pyg import from_pyg, is_pyg, left_out

__all__ = ["from_object"]


def from_object(source: Any, ask: Ask) -> Graphs | Part | None:
    """Return the graphs in an object of another library, or None if it is of no known kind.

    Parameters
    ----------
    source
        A `Data`, `HeteroData`, `Batch`, data set or loader of PyG; a `Dataset` of PyTorch with graphs of PyG;
        a graph of NetworkX; a molecule of RDKit; a DataFrame; a Dataset or DataArray of xarray; an object
        with `vertices` and `faces`, such as a mesh of trimesh.
    ask
        What was asked for; points on a mesh are a function of the seed and its vertices.

    Raises
    ------
    ValueError
        If the object does not hold what it should, or is known but cannot be a graph.
    """

    def sampler(mesh: Mesh) -> Array:
        return ask.sample(mesh, mesh.vertices.tobytes())

    def surface(pos: Tensor, face: Tensor) -> Tensor:
        return torch.from_numpy(sampler(_mesh(pos.detach().cpu(), face.detach().cpu().T)))

    networkx, rdkit = (sys.modules.get(name) for name in ("networkx", "rdkit.Chem"))
    if is_xarray(source):
        return Gridded.of(decoded(source), ask).part()
    if is_pyg(source) or hasattr(source, "to_data_list"):
        return Part(from_pyg(source, surface), notes=left_out(source))
    if isinstance(source, torch.utils.data.Dataset):
        return from_pyg(_items(source), surface)
    if networkx is not None and isinstance(source, networkx.Graph):
        return Graphs.from_networkx(source)
    if rdkit is not None and isinstance(source, rdkit.Mol):
        return from_rdkit([source], hydrogens=ask.hydrogens)
    if type(source).__name__ in ("DataFrameGroupBy", "SeriesGroupBy", "Series", "Index"):
        raise ValueError(
            f"a {type(source).__name__} is no set of points; give the DataFrame, and group= for a graph of "
            f"each value of a column."
        )
    if hasattr(source, "columns") and hasattr(source, "dtypes"):
        names = [str(name) for name in source.columns]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ValueError(f"the columns must have different names, got {twice!r} twice; rename one.")
        return part_of(table_of_arrays({str(name): np.asarray(source[name]) for name in source.columns}), ask)
    if getattr(source, "vertices", None) is not None and getattr(source, "faces", None) is not None:
        return Graphs(torch.from_numpy(sampler(_mesh(source.vertices, source.faces))))
    if getattr(source, "pos", None) is not None:
        return from_pyg(source, surface)
    return None


def _items(source: Any) -> Iterator[Any]:
    """Yield the items of a data set of PyTorch."""
    if not hasattr(source, "__len__"):
        yield from source
        return
    for i in range(len(source)):
        item = source[i]
        if not is_pyg(item):
            raise ValueError(
                f"{type(source).__name__} holds {type(item).__name__}, not graphs of PyG; give a list of its "
                f"positions [n, d]."
            )
        yield item


def _mesh(vertices: Any, faces: Any) -> Mesh:
    pos, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces)
    if pos.ndim != 2 or pos.shape[1] != 3 or corners.ndim != 2 or corners.dtype.kind not in "iu":
        raise ValueError(
            f"a mesh has vertices [v, 3] and faces [f, k], got shapes {list(pos.shape)} and "
            f"{list(corners.shape)}; correct them."
        )
    sizes = np.full(len(corners), corners.shape[1], dtype=np.int64)
    return Mesh(pos, polygons(pos, corners.astype(np.int64).ravel(), sizes))
