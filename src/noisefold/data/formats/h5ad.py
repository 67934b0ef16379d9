"""AnnData, in memory or as .h5ad files: its parts by name.

Parts are named as in the file: ``X``, ``layers/log1p``, ``raw/X``, ``obsm/spatial``, ``obs/stage``. Only the
parts that are asked for are read, sparse matrices as such. Needs anndata (``noisefold[bio]``).
"""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from noisefold.data.formats.arrays import parsing
from noisefold.geometry.graphs import Graphs

__all__ = ["Parts", "columns_of", "is_sparse", "libraries", "nearest", "opened", "write_h5ad"]

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MATRICES = ("X", "layers", "raw")


class Parts:
    """The parts of an AnnData, by name.

    Parameters
    ----------
    read
        Gives a part that is there.
    names
        Names of all matrices: ``X``, ``layers/...``, ``raw/X``, ``obsm/...``.
    """

    def __init__(self, read: Callable[[str], Any], names: Sequence[str]) -> None:
        self._read, self.names = read, tuple(names)
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
        if name not in known:
            raise ValueError(f"{argument}={name!r} is not there{nearest(name, known)}")
        return self._obs[name.partition("/")[2]]

    def matrix(self, name: str, argument: str) -> Any:
        """A matrix of real numbers: an array, or a sparse matrix of SciPy.

        Raises
        ------
        ValueError
            If there is none, or it holds something else.
        """
        places = ("obsm",) if argument == "pos" else _MATRICES
        known = [k for k in self.names if k.partition("/")[0] in places]
        if name not in known:
            raise ValueError(f"{argument}={name!r} is not there{nearest(name, known)}")
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
            with parsing():  # what is bent would be read beyond its end
                value.check_format(full_check=True)
        return value


def is_sparse(values: Any) -> bool:
    """Whether a matrix is one of SciPy's sparse ones."""
    from scipy.sparse import issparse

    return bool(issparse(values))


def nearest(name: str, known: Sequence[str]) -> str:
    """What to name instead, as the end of a sentence."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
    return f"; there is {some}." if known else "; there is nothing of this kind."


def columns_of(known: Sequence[str], genes: Sequence[str] | None) -> list[int]:
    """Places of genes among the known ones; None means all.

    Raises
    ------
    ValueError
        If a gene is unknown, or named twice.
    """
    if genes is None:
        return list(range(len(known)))
    number = {name: i for i, name in enumerate(known)}
    for i, name in enumerate(genes):
        if name not in number:
            raise ValueError(f"genes names {name!r}, which is not there{nearest(name, known)}")
        if name in genes[:i]:
            raise ValueError(f"genes names {name!r} twice; name it once.")
    return [number[name] for name in genes]


@contextmanager
def opened(source: Any) -> Iterator[Parts]:
    """The parts of a file, while it is open, or of an AnnData.

    Raises
    ------
    ImportError
        If anndata is not installed.
    ValueError
        If the file is damaged, or no .h5ad.
    """
    if not isinstance(source, str | os.PathLike):
        names = [*(f"layers/{k}" for k in source.layers), *(f"obsm/{k}" for k in source.obsm)]
        names += ["X"] * (source.X is not None) + ["raw/X"] * (source.raw is not None)
        yield Parts(lambda name: _of_memory(source, name), names)
        return
    h5py, elements = libraries()
    with Path(source).open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("this is no HDF5 file, and so no .h5ad; write it with AnnData.write_h5ad.")
    with parsing():
        file = h5py.File(source, "r")
    with file:
        if not {"obs", "var"} <= set(file):
            raise ValueError("this HDF5 file has no obs and var; write it with AnnData.write_h5ad.")

        def read(name: str) -> Any:
            with parsing():
                return elements.read_elem(file[name])

        names = [f"{group}/{key}" for group in ("layers", "obsm") for key in file.get(group, ())]
        yield Parts(read, names + [name for name in ("X", "raw/X") if name in file])


def _of_memory(data: Any, name: str) -> Any:
    group, _, key = name.partition("/")
    if group in ("layers", "obsm"):
        return getattr(data, group)[key]
    for part in name.split("/"):
        data = getattr(data, part)
    return data


def libraries() -> tuple[Any, Any]:
    """The modules h5py and anndata.io.

    Raises
    ------
    ImportError
        If they are not installed.
    """
    try:
        import anndata.io
        import h5py
    except ImportError as error:
        raise ImportError(".h5ad files need anndata; run pip install 'noisefold[bio]'.") from error
    return h5py, anndata.io


def write_h5ad(graphs: Graphs, feature_names: Sequence[str] = ()) -> bytes:
    """Graphs with features as the bytes of an .h5ad file.

    The features are ``X``, the positions ``obsm/spatial``; of several graphs ``obs/graph`` is the number, and
    ``obs/group`` the class, if classes have names. `load` with ``group="obs/graph"`` reads them back.

    Raises
    ------
    ImportError
        If anndata is not installed.
    ValueError
        If there are no features, positions are not 2-D or 3-D, or the names do not fit.
    """
    h5py, elements = libraries()
    if graphs.x is None or graphs.dim not in (2, 3):
        raise ValueError("an .h5ad file holds features at 2-D or 3-D positions; save as .npz.")
    names = list(feature_names) or [f"f{i}" for i in range(graphs.features)]
    if len(set(names)) != graphs.features:
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
        columns["group"] = pandas.Categorical(
            np.array(graphs.classes, dtype=object)[graphs.label.cpu().numpy()[graph]],
            categories=graphs.classes,
        )
    data = anndata.AnnData(
        graphs.x.detach().cpu().float().numpy(),
        obs=pandas.DataFrame(columns, index=[f"cell{i}" for i in range(len(graph))]),
        var=pandas.DataFrame(index=names),
        obsm={"spatial": graphs.pos.detach().cpu().float().numpy()},
    )
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        elements.write_elem(file, "/", data)
    return buffer.getvalue()
