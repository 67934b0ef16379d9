"""AnnData in memory, as .h5ad files and .zarr folders, and what resembles it: its parts by name.

Parts are named as in the file: ``X``, ``layers/log1p``, ``raw/X``, ``obsm/spatial``, ``obs/stage``. Only the
parts that are asked for are read, sparse matrices as such. Needs anndata (``noisefold[bio]``).

A .zarr folder is an AnnData, or SpatialData with one table, whose path may also be given
(``a.zarr/tables/cells``). A .h5 file is a matrix of 10x Genomics with positions beside it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from noisefold.data.earth.netcdf import is_gridded
from noisefold.data.formats.backed import Backed, backed
from noisefold.data.formats.guard import available_memory
from noisefold.data.formats.sparse import check_sparse
from noisefold.data.formats.stores import Store, libraries, opened_store
from noisefold.data.formats.tenx import is_tenx, read_tenx
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import nearest_name

__all__ = ["TISSUES", "Parts", "is_sparse", "is_tissue", "opened", "write_h5ad"]

TISSUES = (".h5ad", ".zarr", ".h5")
"""Endings of files and folders that hold cells and genes."""
_SHARE = 4  # of the free memory, that a matrix may take
_RATIO = 200  # declared bytes for one on disk, of a matrix that is large by right
_MATRICES = ("X", "layers", "raw")


class Parts:
    """The parts of an AnnData, by name.

    Parameters
    ----------
    read
        Gives a part that is there.
    names
        Names of all matrices: ``X``, ``layers/...``, ``raw/X``, ``obsm/...``.
    large
        Gives a matrix that is too large for memory as one that stays on disk, and None for others.
    """

    def __init__(
        self,
        read: Callable[[str], Any],
        names: Sequence[str],
        large: Callable[[str], Backed | None] = lambda _: None,
    ) -> None:
        self._read, self.names, self._large = read, tuple(names), large
        self._obs = read("obs")
        if not hasattr(self._obs, "columns"):
            raise ValueError("it is of an anndata older than 0.7; open it with anndata and write it again.")

    def rows(self, table: str) -> list[str]:
        """Names of the rows of ``obs`` (cells), ``var`` or ``raw/var`` (genes), each of them different.

        Raises
        ------
        ValueError
            If a name occurs twice.
        """
        names = [str(name) for name in (self._obs if table == "obs" else self._read(table)).index]
        if len(set(names)) < len(names):
            values, counts = np.unique(names, return_counts=True)
            twice = values[counts > 1]
            what = "cell" if table == "obs" else "gene"
            raise ValueError(
                f"{len(twice)} {what} names occur more than once, {str(twice[0])!r} among them; make them "
                f"unique with AnnData.{table[-3:]}_names_make_unique."
            )
        return names

    def column(self, name: str, argument: str) -> Any:
        """A column of ``obs``, named ``obs/COLUMN``, as a pandas Series.

        Raises
        ------
        ValueError
            If there is none.
        """
        known = [f"obs/{column}" for column in self._obs.columns]
        name = _found(name, known, argument)
        return self._obs[name.partition("/")[2]]

    def named(self, name: str, argument: str) -> str:
        """Return the full name of a matrix, which may be given in any case and without its group.

        Raises
        ------
        ValueError
            If there is none, or several.
        """
        places = ("obsm",) if argument == "pos" else _MATRICES
        return _found(name, [k for k in self.names if k.partition("/")[0] in places], argument)

    def matrix(self, name: str, argument: str) -> Any:
        """A matrix of real numbers: an array, or a sparse matrix of SciPy.

        Raises
        ------
        ValueError
            If there is none, or it holds something else.
        """
        name = self.named(name, argument)
        if argument != "pos" and (held := self._large(name)) is not None:
            if held.shape[0] != len(self._obs):
                raise ValueError(f"{argument}={name!r} has {held.shape[0]} rows for {len(self._obs)} cells.")
            return held
        value = self._read(name)
        for plain in ("to_numpy", "to_memory"):  # of a table, as obsm may hold, and of what is still on disk
            value = getattr(value, plain)() if hasattr(value, plain) else value
        if getattr(getattr(value, "dtype", None), "kind", "O") not in "fiub":
            raise ValueError(f"{argument}={name!r} holds text or objects, not numbers; name another part.")
        if len(value.shape) != 2 or value.shape[0] != len(self._obs):
            raise ValueError(
                f"{argument}={name!r} must be a matrix with a row for each of the {len(self._obs)} cells, "
                f"got shape {list(value.shape)}."
            )
        if is_sparse(value):
            check_sparse(value)
        return value


def _found(name: str, known: Sequence[str], argument: str) -> str:
    """Return the known name that is meant: as it stands, in any case, or without its group."""
    wanted = name.casefold()
    for found in (
        [k for k in known if k == name],
        [k for k in known if k.casefold() == wanted],
        [k for k in known if k.partition("/")[2] == name],
        [k for k in known if k.partition("/")[2].casefold() == wanted],
    ):
        if len(found) == 1:
            return found[0]
    raise ValueError(f"{argument}={name!r} is not there{nearest_name(name, known)}")


def is_sparse(values: Any) -> bool:
    """Whether a matrix is one of SciPy's sparse ones."""
    from scipy.sparse import issparse

    return bool(issparse(values))


def is_tissue(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says that this holds cells and genes: a file, or a .zarr folder."""
    path = Path(path)
    if (set(str(path)) & set("*?[") and not path.exists()) or is_gridded(path):
        return False
    return path.suffix.lower() in TISSUES or any(p.suffix.lower() == ".zarr" for p in path.parents)


@contextmanager
def opened(source: Any, positions: str | None = None) -> Iterator[Parts]:
    """Open a file, or take an AnnData, and give its parts.

    Parameters
    ----------
    source
        A path, or an AnnData.
    positions
        File of positions, for a matrix of 10x Genomics alone.

    Raises
    ------
    ImportError
        If anndata is not installed.
    ValueError
        If the file is damaged, or nothing that holds cells and genes.
    """
    if not isinstance(source, str | os.PathLike):
        names = [*(f"layers/{k}" for k in source.layers), *(f"obsm/{k}" for k in source.obsm)]
        names += ["X"] * (source.X is not None) + ["raw/X"] * (source.raw is not None)
        yield Parts(lambda name: _of_memory(source, name), names)
        return
    with opened_store(Path(source)) as store:
        if is_tenx(store):
            yield _of_tenx(store, positions)
            return
        if "obs" not in store:
            store = _table(store)
        if not {"obs", "var"} <= set(store.keys()):
            raise ValueError("there are no obs and var here; write the file with AnnData.write_h5ad.")
        names = [f"{group}/{key}" for group in ("layers", "obsm") for key in store.keys(group)]
        names += [name for name in ("X", "raw/X") if name in store]
        yield Parts(store.element, names, partial(_large, store))


def _large(store: Store, name: str) -> Backed | None:
    """Return a matrix that takes more than a part of the free memory as one that stays on disk."""
    declared = store.declared(name)
    if declared <= available_memory() // _SHARE or declared > _RATIO * store.size:
        return None
    return backed(store, name)


def _table(store: Store) -> Store:
    """Return the one table of SpatialData."""
    tables = [f"{group}/{key}" for group in ("tables", "table") for key in store.keys(group)]
    if len(tables) == 1:
        return store.inside(tables[0])
    if tables:
        raise ValueError(
            f"this SpatialData has {len(tables)} tables; name one as the path {store.path / tables[0]} "
            f"({', '.join(tables)})."
        )
    if store.keys("points") or store.keys("shapes"):
        raise ValueError(
            "this SpatialData has no table of cells and genes, and points and shapes (parquet) are not read; "
            "aggregate them to a table with spatialdata.aggregate."
        )
    return store


def _of_tenx(store: Store, positions: str | None) -> Parts:
    import pandas

    matrices, names = read_tenx(store, positions)
    tables = {key: pandas.DataFrame(index=value) for key, value in names.items()}
    return Parts({**tables, **matrices}.__getitem__, list(matrices))


def _of_memory(data: Any, name: str) -> Any:
    group, _, key = name.partition("/")
    if group in ("layers", "obsm"):
        return getattr(data, group)[key]
    for part in name.split("/"):
        data = getattr(data, part)
    return data


def write_h5ad(graphs: Graphs, feature_names: Sequence[str] = ()) -> bytes:
    """Return graphs with features as the bytes of an .h5ad file.

    The features are ``X``, the positions ``obsm/spatial`` in the user's own frame; a time is ``obs/time``; of
    several graphs ``obs/graph`` is the number, and ``obs/group`` the class, if classes have names. `load`
    with ``group="obs/graph"`` reads them back.

    Parameters
    ----------
    graphs
        With features; names of these become names of genes.
    feature_names
        Other names for them.

    Raises
    ------
    ImportError
        If anndata is not installed.
    ValueError
        If there are no features, positions are not 2-D or 3-D, or the names do not fit.
    """
    h5py, elements = libraries()
    pos = graphs.coordinates if any(graphs.origin) else graphs.pos
    place, time = (pos[:, :-1], pos[:, -1]) if getattr(graphs.modality, "time", False) else (pos, None)
    if graphs.x is None or place.shape[1] not in (2, 3):
        raise ValueError("an .h5ad file holds features at 2-D or 3-D positions; save as .npz.")
    names = list(feature_names or graphs.feature_names) or [f"f{i}" for i in range(graphs.features)]
    if len(set(names)) != graphs.features or len(names) != graphs.features:
        raise ValueError(
            f"feature_names must be {graphs.features} different names, one for each feature, "
            f"got {len(names)}."
        )
    import anndata
    import pandas

    graph = graphs.batch.cpu().numpy()
    columns: dict[str, Any] = {}
    if len(graphs) > 1:
        columns["graph"] = pandas.Categorical(
            graph.astype(str), categories=[str(i) for i in range(len(graphs))]
        )
    if graphs.label is not None and graphs.classes:
        columns["group"] = pandas.Categorical.from_codes(
            graphs.label.cpu().numpy()[graph], categories=list(graphs.classes)
        )
    if time is not None:
        columns["time"] = time.double().cpu().numpy()
    data = anndata.AnnData(
        graphs.x.detach().cpu().float().numpy(),
        obs=pandas.DataFrame(columns, index=[f"cell{i}" for i in range(len(graph))]),
        var=pandas.DataFrame(index=names),
        obsm={"spatial": place.detach().cpu().numpy()},
    )
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        elements.write_elem(file, "/", data)
    return buffer.getvalue()
