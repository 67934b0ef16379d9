"""Readers of all formats, by the ending of a file.

===========================  ========================================================================
ending                       what is read
===========================  ========================================================================
.ply .off .obj .stl          a mesh, as points uniform by area on its surface, or a cloud without
                             faces: `noisefold.data.formats.surfaces`
.pcd .las .laz               a cloud with named features, of a depth camera or a laser scanner
.csv .tsv .txt .xyz .pts     points as lines of text, molecules: `noisefold.data.formats.tables`;
.parquet                     with pyarrow, the same columns
.npy .npz                    one graph or several: `noisefold.data.formats.arrays`
.graphml .gexf .gml          a graph with attributes: `noisefold.data.formats.graph_files`
.edgelist .adjlist .mtx      a graph as a list of edges: `noisefold.data.formats.adjacency`
.g6 .s6                      a graph a line: `noisefold.data.formats.graph6`
.smi .smiles .sdf            with rdkit, molecules, as a .csv or .tsv file with a column of SMILES:
                             `noisefold.data.formats.smiles`, `noisefold.data.formats.sdf`
.h5ad .zarr .h5              a tissue, or one for each group of cells: `noisefold.data.Tissue`
.nc .nc4 .cdf .zarr          with xarray, fields and stations on the sphere: `noisefold.data.earth.gridded`; a
                             table with latitudes and longitudes: `noisefold.data.earth.stations`
===========================  ========================================================================

All but .h5ad may be compressed, as ``.csv.gz``. `noisefold.data.save` writes them.

A format is added by one line in `READERS`: its ending, and a function of a file's bytes and of what was asked
that gives `Graphs` or a `Part` (`noisefold.data.formats.reader`).
"""

from __future__ import annotations

from pathlib import Path

from noisefold.data.earth.netcdf import ENDINGS, is_gridded
from noisefold.data.formats.adjacency import read_adjlist, read_edgelist, read_mtx
from noisefold.data.formats.arrays import read_npy, read_npz
from noisefold.data.formats.compressed import ending_of
from noisefold.data.formats.graph6 import read_graph6
from noisefold.data.formats.graph_files import read_gexf, read_gml, read_graphml
from noisefold.data.formats.h5ad import TISSUES
from noisefold.data.formats.parquet import read_parquet
from noisefold.data.formats.reader import Reader
from noisefold.data.formats.sdf import read_sdf
from noisefold.data.formats.smiles import or_molecules, read_smiles
from noisefold.data.formats.surfaces import SURFACES, read_surface
from noisefold.data.formats.tables import holds_points, read_csv, read_points, read_pts, read_tsv, read_xyz
from noisefold.data.formats.track_tables import or_tracks

__all__ = ["READABLE", "READERS", "is_readable", "reader_of"]


def _surface(ending: str) -> Reader:
    return lambda data, ask: read_surface(data, ending, lambda mesh: ask.sample(mesh, data))


READERS: dict[str, Reader] = {
    **{ending: _surface(ending) for ending in SURFACES},
    ".csv": or_molecules(or_tracks(read_csv)),
    ".tsv": or_molecules(read_tsv),
    ".txt": read_points,
    ".xyz": read_xyz,
    ".pts": read_pts,
    ".parquet": read_parquet,
    ".npy": read_npy,
    ".npz": read_npz,
    ".graphml": read_graphml,
    ".gexf": read_gexf,
    ".gml": read_gml,
    ".edgelist": read_edgelist,
    ".adjlist": read_adjlist,
    ".mtx": read_mtx,
    ".g6": read_graph6,
    ".s6": read_graph6,
    ".smi": read_smiles,
    ".smiles": read_smiles,
    ".sdf": read_sdf,
}
"""Reader of each ending; its bytes may be compressed (.gz)."""
READABLE: tuple[str, ...] = (*READERS, *TISSUES, *ENDINGS)
"""Endings that `load` knows."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill", ".bin")


def reader_of(ending: str) -> Reader:
    """Return the reader of an ending.

    Raises
    ------
    ValueError
        If there is none.
    """
    if ending in _PICKLES:
        raise ValueError(
            f"{ending} files are pickles, which are never opened because that runs their author's code; save "
            f"plain arrays with numpy.savez."
        )
    if ending in TISSUES or ending in ENDINGS:
        raise ValueError(f"a compressed {ending} file is not read; unpack it, as with gunzip.")
    if ending not in READERS:
        raise ValueError(f"the ending {ending!r} is not supported, only {' '.join(READABLE)}; convert it.")
    return READERS[ending]


def is_readable(path: Path) -> bool:
    """Return whether a file holds graphs, by its ending and, of text, its first lines."""
    ending, packed = ending_of(path)
    if is_gridded(path) or (ending in TISSUES and not packed):
        return path.exists()
    if ending in ENDINGS:
        return path.is_file()
    if ending not in READERS or not path.is_file():
        return False
    # Notes and licences are text, too.
    return ending != ".txt" or packed or _begins_with_points(path)


def _begins_with_points(path: Path) -> bool:
    with path.open("rb") as stream:
        return holds_points(stream.read(4096))
