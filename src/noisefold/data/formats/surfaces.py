"""Meshes and clouds in three dimensions: .ply, .off, .obj, .stl, .pcd, .las and .laz.

A mesh becomes points independent and uniform by area on its surface (`noisefold.data.mesh`). Vertices
without faces are taken as they are, with every further numeric property as a feature of its name.
Coordinates are read in float64; those far from zero become an origin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noisefold.data.formats.las import read_las
from noisefold.data.formats.obj import read_obj
from noisefold.data.formats.off import read_off
from noisefold.data.formats.pcd import read_pcd
from noisefold.data.formats.ply import read_ply
from noisefold.data.formats.stl import read_stl
from noisefold.data.formats.vertices import Sampler, Vertices, as_graphs, guarded
from noisefold.geometry.graphs import Graphs

__all__ = ["SURFACES", "Sampler", "read_surface"]

SURFACES: Mapping[str, Callable[[bytes], Vertices]] = {
    ".ply": read_ply,
    ".off": read_off,
    ".obj": read_obj,
    ".stl": read_stl,
    ".pcd": read_pcd,
    ".las": read_las,
    ".laz": read_las,
}
"""Readers by the ending of the file."""


def read_surface(data: bytes, ending: str, sampler: Sampler) -> Graphs:
    """Return one graph from the bytes of a file; `sampler` gives the points of a mesh.

    Raises
    ------
    ValueError
        If the bytes are damaged, or hold neither points nor faces.
    """
    with guarded():
        return as_graphs(SURFACES[ending](data), sampler)
