"""Graphs as plain arrays, and the files .npy and .npz that hold them.

=============================  ========================================================================
array                          meaning
=============================  ========================================================================
`pos` (or `points`)            positions in the user's own frame, ``[g, n, d]``, or ``[n, d]`` with
                               offsets `ptr` ``[g + 1]`` (one graph without); divided by the number
                               `quant` if there is one
`x`, `feature_names`           features, ``[g, n, f]`` or ``[n, f]``, and their names
`label`, `classes`             a class per graph ``[g]``, and the names
`group`, `time`                the independent unit of each graph, such as a year, and when it was:
                               whole numbers ``[g]``
`edge_index`                   ``[2, e]``, rows of the positions, with `edge_attr` ``[e, c]``
`node_type`, `node_types`      a type per point, and the names; so `edge_type` and `edge_types`
`mask`                         a flag per point
`properties`                   numbers of each graph ``[g, k]``, with their names `property_names`
`origin`                       where positions were centred, ``[d]``; it need not be given
=============================  ========================================================================

Other arrays are passed over. Without `pos`, arrays `edges` and `edge_offsets` are a set of graphs
(`noisefold.data.formats.edge_lists`), and arrays `x`, `y` ``[n]`` and others of one length are the columns
of a table. Nothing is ever unpickled, and what a header declares is checked before its memory is taken.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.classes import coded
from noisefold.data.formats.compressed import bounded
from noisefold.data.formats.delimited import table_of_arrays
from noisefold.data.formats.edge_lists import from_edge_lists, is_edge_lists
from noisefold.data.formats.reader import ASK, Ask, Part
from noisefold.data.formats.tables import part_of
from noisefold.data.formats.text import word
from noisefold.geometry.graphs import Graphs

__all__ = [
    "archived",
    "from_array",
    "from_arrays",
    "parsing",
    "read_npy",
    "read_npz",
    "write_npy",
    "write_npz",
]

_POSITIONS = ("pos", "points")
_TENSORS = (
    "x",
    "label",
    "group",
    "time",
    "properties",
    "edge_index",
    "edge_attr",
    "mask",
    "node_type",
    "edge_type",
)
_WORDS = ("classes", "feature_names", "property_names", "node_types", "edge_types")
_KNOWN = (*_POSITIONS, *_TENSORS, *_WORDS, "quant", "ptr", "origin")
_REMEDY = "which are never opened; save plain arrays with numpy.save or numpy.savez."
_NOT_NUMPY = "this is not a NumPy file; save plain arrays with numpy.save or numpy.savez."


@contextmanager
def parsing() -> Iterator[None]:
    """Turn what a parser raises on damaged bytes into a ValueError that says so."""
    try:
        yield
    except MemoryError as error:
        raise ValueError("the file asks for more memory than there is; check or divide it.") from error
    # On damaged bytes parsers raise anything at all, NameError and tokenize.TokenError among it.
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".")
        raise ValueError(f"the file is truncated or damaged ({first}); export or copy it again.") from error


def from_array(array: Any, ask: Ask = ASK) -> Graphs | Part:
    """Return one graph from ``[n, d]`` or a structured array, many of one size from ``[g, n, d]``.

    Raises
    ------
    ValueError
        If the array has another shape, or does not hold real numbers.
    """
    names = None if isinstance(array, Tensor) else np.asarray(array).dtype.names
    if names is not None:
        return part_of(table_of_arrays({n: np.asarray(array)[n].reshape(-1) for n in names}), ask)
    pos = _floats(array, "positions")
    if pos.ndim not in (2, 3):
        raise ValueError(f"positions must be [n, d] or [g, n, d], got shape {list(pos.shape)}; reshape them.")
    return Graphs(pos) if pos.ndim == 2 else Graphs.dense(pos)


def from_arrays(arrays: Mapping[str, Any], ask: Ask = ASK) -> Graphs | Part:
    """Return graphs from named arrays.

    Raises
    ------
    ValueError
        If there are no positions, or the arrays do not fit together.
    """
    for key, value in arrays.items():
        if not (hasattr(value, "__array__") or np.isscalar(value) or _listed(value)):
            raise ValueError(f"{key!r} is of type {type(value).__name__}; a dictionary holds arrays by name.")
    name = next((n for n in _POSITIONS if n in arrays), None)
    if name is None:
        return _unnamed(arrays, ask)
    many = np.ndim(arrays[name]) == 3
    graphs = from_array(arrays[name], ask)
    assert isinstance(graphs, Graphs)
    n = graphs.num_nodes
    fields: dict[str, Any] = {k: _words(arrays[k], k) for k in _WORDS if k in arrays}
    if "quant" in arrays:
        fields["pos"] = graphs.pos / _floats(arrays["quant"], "quant")
    if "ptr" in arrays:
        fields["ptr"] = _offsets(arrays["ptr"], n)
    if "x" in arrays:
        x = _floats(arrays["x"], "x")
        fields["x"] = x.reshape(n, -1) if x.ndim == 1 or (many and x.shape[:2].numel() == n) else x
    if "label" in arrays:
        fields |= _labels(arrays["label"], fields.get("classes", ()))
    for key, convert in (
        ("edge_index", _integers),
        ("edge_attr", _floats),
        ("node_type", _integers),
        ("edge_type", _integers),
    ):
        if key in arrays:
            fields[key] = convert(arrays[key], key)
    g = len(fields["ptr"]) - 1 if "ptr" in fields else len(graphs)
    for key in ("group", "time"):  # real numbers, or one for each node, are arrays of another meaning
        if key in arrays and np.shape(arrays[key]) == (g,) and np.asarray(arrays[key]).dtype.kind in "iu":
            fields[key] = _integers(arrays[key], key)
    if "properties" in arrays:
        fields["properties"] = _floats(arrays["properties"], "properties").float()
    if "mask" in arrays:
        fields["mask"] = torch.from_numpy(np.asarray(arrays["mask"]).astype(bool).reshape(-1))
    graphs = graphs.replace(**fields)
    if "origin" in arrays:
        graphs = graphs.rebased(tuple(_floats(arrays["origin"], "origin").reshape(-1).tolist()))
    for key, names in (("label", "classes"), ("node_type", "node_types"), ("edge_type", "edge_types")):
        _in_range(getattr(graphs, key), len(getattr(graphs, names)) or None, key, names)
    return Part(graphs, notes=_unread(arrays))


def _unread(names: Iterable[Any]) -> tuple[str, ...]:
    """What is said of arrays beside `pos` that have no meaning."""
    other = [repr(str(name)) for name in names if name not in _KNOWN]
    more = f" and {len(other) - 8} more" if len(other) > 8 else ""
    return (f"these arrays are not read: {', '.join(other[:8])}{more}.",) if other else ()


def _listed(value: Any) -> bool:
    return value is None or isinstance(value, list | tuple | range)


def _unnamed(arrays: Mapping[str, Any], ask: Ask) -> Graphs | Part:
    """Graphs of arrays of which none is called `pos`: edge lists, one alone, or the columns of a table."""
    if is_edge_lists(arrays):
        return from_edge_lists(arrays)
    if list(arrays) == ["arr_0"]:
        return from_array(arrays["arr_0"], ask)
    shapes = {np.shape(v) for v in arrays.values()}
    if len(arrays) > 1 and len(shapes) == 1 and len(next(iter(shapes))) == 1:
        return part_of(table_of_arrays({str(k): np.asarray(v) for k, v in arrays.items()}), ask)
    listed = ", ".join(map(repr, sorted(map(str, arrays))[:8]))
    raise ValueError(f"there is no array `pos` or `points`, only {listed or 'none'}; rename the positions.")


def _labels(array: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    if values.dtype.kind in "US":
        label, names = coded(values.ravel().tolist())
        return {"label": label, "classes": names}
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind == "f" and bool((values % 1 == 0).all()):
        values = values.astype(np.int64)
    return {"label": _integers(values, "label"), "classes": classes}


def _words(array: Any, name: str) -> tuple[str, ...]:
    values = np.asarray(array)
    if values.dtype.kind not in "USiuO":
        raise ValueError(f"`{name}` must be words, got type {values.dtype}; convert them.")
    return tuple(word(v) for v in values.ravel().tolist())


def _in_range(values: Tensor | None, end: int | None, name: str, of: str) -> None:
    if values is not None and end is not None and not bool(((values >= 0) & (values < end)).all()):
        raise ValueError(f"`{name}` must lie in [0, {end}), the number of {of}; correct it.")


def _floats(array: Any, name: str) -> Tensor:
    if isinstance(array, Tensor) and not array.is_complex():
        if array.layout != torch.strided or array.is_quantized or array.is_meta:
            raise ValueError(f"`{name}` must be a plain tensor, got {array.layout}; make it dense.")
        return array.detach().to(torch.float64)
    values = np.asarray(array)
    if isinstance(array, np.ma.MaskedArray) and values.dtype.kind in "fiub":
        values = np.ma.filled(array.astype(np.float64), np.nan)  # what is masked is missing
    if values.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` must be real numbers, got type {values.dtype}; convert them.")
    return torch.from_numpy(values.astype(np.float64))


def _integers(array: Any, name: str) -> Tensor:
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    if values.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must be integers, got type {values.dtype}; convert them.")
    return torch.from_numpy(values.astype(np.int64))


def _offsets(array: Any, n: int) -> Tensor:
    ptr = _integers(array, "ptr").reshape(-1)
    if len(ptr) < 2 or ptr[0] != 0 or ptr[-1] != n or bool((ptr.diff() < 0).any()):
        raise ValueError(f"`ptr` must rise from 0 to the number of points, {n}; correct it.")
    return ptr


# -- files --------------------------------------------------------------------------------------------------


def read_npy(data: bytes, ask: Ask = ASK) -> Graphs | Part:
    """Return the graphs in the bytes of a .npy file."""
    if data.startswith(b"PK"):
        raise ValueError("the file is an archive of arrays; give it the ending .npz.")
    return from_array(_array(data, "the array"), ask)


def read_npz(data: bytes, ask: Ask = ASK) -> Graphs | Part:
    """Return the graphs in the bytes of a .npz file."""
    if data.startswith(b"\x93NUMPY"):
        raise ValueError("the file is one array, not an archive; give it the ending .npy.")
    if not data.startswith(b"PK"):
        raise ValueError(_NOT_NUMPY)
    arrays = archived(data)
    read = from_arrays(arrays, ask)
    if not any(name in arrays for name in _POSITIONS):
        return read
    assert isinstance(read, Part)
    with parsing():
        names = [name.removesuffix(".npy") for name in zipfile.ZipFile(io.BytesIO(data)).namelist()]
    return replace(read, notes=_unread(names))


def archived(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays that mean something in the bytes of an archive; all, if none is called `pos`."""
    with parsing():
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
    if any(n in members for n in _POSITIONS):
        members = {n: i for n, i in members.items() if n in _KNOWN}
    bounded(sum(i.file_size for i in members.values()), len(data))
    for name, info in members.items():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise ValueError(f"`{name}` is packed as NumPy never does; save it with numpy.savez.")
    with parsing():
        content = {name: archive.read(info) for name, info in members.items()}
    return {name: _array(raw, f"`{name}`") for name, raw in content.items()}


def _array(raw: bytes, name: str) -> NDArray[Any]:
    """An array in the bytes of a .npy file, as large as its header says and no larger than its bytes."""
    if not raw.startswith(b"\x93NUMPY"):
        raise ValueError(_NOT_NUMPY)
    stream = io.BytesIO(raw)
    with parsing():
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"version {version} of the format is not read")
        shape, fortran, dtype = read[version](stream)
        if any(s < 0 for s in shape):
            raise ValueError(f"the shape is {shape}")
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, {_REMEDY}")
    size, start = math.prod(shape) * dtype.itemsize, stream.tell()
    if size > len(raw) - start:
        raise ValueError(
            f"the file is truncated or damaged ({name} announces {size} bytes, {len(raw) - start} follow); "
            f"export or copy it again."
        )
    with parsing():
        flat = np.frombuffer(raw, dtype, math.prod(shape), start) if size else np.empty(0, dtype)
        return flat.reshape(shape, order="F" if fortran else "C")


def write_npy(graphs: Graphs) -> bytes:
    """Return positions ``[g, n, d]`` of graphs of one size, as the bytes of a .npy file; labels are not kept.

    Raises
    ------
    ValueError
        If there are features, or sizes differ.
    """
    if graphs.x is not None:
        raise ValueError("a .npy file holds positions alone; save features as .npz.")
    if graphs.uniform is None:
        raise ValueError("a .npy file holds graphs of one size only; save these as .npz.")
    buffer = io.BytesIO()
    np.save(buffer, _numpy(_own_frame(graphs)).reshape(len(graphs), -1, graphs.dim))
    return buffer.getvalue()


def write_npz(graphs: Graphs) -> bytes:
    """Return everything, as the bytes of a .npz file; positions are in the user's own frame."""
    tensors = {"pos": _own_frame(graphs), "ptr": graphs.ptr, **{k: getattr(graphs, k) for k in _TENSORS}}
    arrays: dict[str, Any] = {k: _numpy(v) for k, v in tensors.items() if v is not None}
    arrays |= {k: np.array(words, dtype=np.str_) for k in _WORDS if (words := getattr(graphs, k))}
    if graphs.origin:
        arrays["origin"] = np.array(graphs.origin)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _own_frame(graphs: Graphs) -> Tensor:
    return graphs.coordinates if any(graphs.origin) else graphs.pos


def _numpy(values: Tensor) -> NDArray[Any]:
    values = values.detach().cpu()
    return np.asarray((values.float() if values.dtype == torch.bfloat16 else values).numpy())
