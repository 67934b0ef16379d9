"""Graphs as plain arrays, and the files .npy and .npz that hold them.

=====================  ================================================================================
array                  meaning
=====================  ================================================================================
`pos` (or `points`)    positions, ``[g, n, d]``, or ``[n, d]`` with offsets `ptr` ``[g + 1]`` (one graph
                       without); divided by the number `quant` if there is one
`x`                    features, ``[g, n, f]`` or ``[n, f]``
`label`, `classes`     a class per graph ``[g]``, and the names
`edge_index`           ``[2, e]``, rows of the positions, with `edge_attr` ``[e, c]``
`mask`                 a flag per point
=====================  ================================================================================

Other arrays are passed over. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["from_array", "from_arrays", "parsing", "read_npy", "read_npz", "write_npy", "write_npz"]


@contextmanager
def parsing() -> Iterator[None]:
    """Turn what a parser raises on damaged bytes into a ValueError that says so."""
    try:
        yield
    # On damaged bytes parsers raise anything at all, NameError and tokenize.TokenError among it.
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".")
        raise ValueError(f"the file is truncated or damaged ({first}); export or copy it again.") from error


def from_array(array: Any) -> Graphs:
    """One graph from ``[n, d]``, or many of one size from ``[g, n, d]``, in float32.

    Raises
    ------
    ValueError
        If the array has another shape, or does not hold real numbers.
    """
    pos = _floats(array, "positions")
    if pos.ndim not in (2, 3):
        raise ValueError(f"positions must be [n, d] or [g, n, d], got shape {list(pos.shape)}; reshape them.")
    return Graphs(pos) if pos.ndim == 2 else Graphs.dense(pos)


def from_arrays(arrays: Mapping[str, Any]) -> Graphs:
    """Graphs from named arrays.

    Raises
    ------
    ValueError
        If there are no positions, or the arrays do not fit together.
    """
    name = next((n for n in ("pos", "points") if n in arrays), None)
    if name is None:
        raise ValueError(f"there is no array `pos` or `points`, only {sorted(arrays)}; rename the positions.")
    graphs = from_array(arrays[name])
    n = graphs.num_nodes
    fields: dict[str, Any] = {}
    if "quant" in arrays:
        fields["pos"] = graphs.pos / _floats(arrays["quant"], "quant")
    if "ptr" in arrays:
        fields["ptr"] = _offsets(arrays["ptr"], n)
    if "x" in arrays:
        x = _floats(arrays["x"], "x")
        many = np.ndim(arrays[name]) == 3
        fields["x"] = x.reshape(n, -1) if x.ndim == 1 or (many and x.shape[:2].numel() == n) else x
    for key, convert in (("label", _integers), ("edge_index", _integers), ("edge_attr", _floats)):
        if key in arrays:
            fields[key] = convert(arrays[key], key)
    if "classes" in arrays:
        fields["classes"] = tuple(str(c) for c in np.asarray(arrays["classes"]).ravel())
    if "mask" in arrays:
        fields["mask"] = torch.from_numpy(np.asarray(arrays["mask"]).astype(bool).reshape(-1))
    graphs = graphs.replace(**fields)
    _in_range(graphs.label, len(graphs.classes) or None, "label", "classes")
    _in_range(graphs.edge_index, n, "edge_index", "points")
    return graphs


def _in_range(values: Tensor | None, end: int | None, name: str, of: str) -> None:
    if values is not None and end is not None and not bool(((values >= 0) & (values < end)).all()):
        raise ValueError(f"`{name}` must lie in [0, {end}), the number of {of}; correct it.")


def _floats(array: Any, name: str) -> Tensor:
    if isinstance(array, Tensor) and not array.is_complex():
        return array.detach().to(torch.float32)
    values = np.asarray(array)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` must be real numbers, got type {values.dtype}; convert them.")
    return torch.from_numpy(values.astype(np.float32))


def _integers(array: Any, name: str) -> Tensor:
    values = np.asarray(array)
    if values.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must be integers, got type {values.dtype}; convert them.")
    return torch.from_numpy(values.astype(np.int64))


def _offsets(array: Any, n: int) -> Tensor:
    ptr = _integers(array, "ptr").reshape(-1)
    if len(ptr) < 2 or ptr[0] != 0 or ptr[-1] != n or bool((ptr.diff() < 0).any()):
        raise ValueError(f"`ptr` must rise from 0 to the number of points, {n}; correct it.")
    return ptr


# -- files --------------------------------------------------------------------------------------------------


def read_npy(data: bytes) -> Graphs:
    """Graphs in the bytes of a .npy file."""
    return from_array(_load(data))


def read_npz(data: bytes) -> Graphs:
    """Graphs in the bytes of a .npz file."""
    archive = _load(data)
    if not isinstance(archive, Mapping):
        raise ValueError("the file is one array, not an archive; give it the ending .npy.")
    return from_arrays(archive)


def _load(data: bytes) -> Any:
    if not data.startswith((b"\x93NUMPY", b"PK")):
        raise ValueError("this is not a NumPy file; save plain arrays with numpy.save or numpy.savez.")
    try:
        with parsing():
            content = np.load(io.BytesIO(data), allow_pickle=False)
            return content if isinstance(content, np.ndarray) else {k: content[k] for k in content.files}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError("it holds pickled objects, which are never opened; save plain arrays.") from None
        raise


def write_npy(graphs: Graphs) -> bytes:
    """Positions ``[g, n, d]`` of graphs of one size, as the bytes of a .npy file; labels are not kept."""
    if graphs.x is not None:
        raise ValueError("a .npy file holds positions alone; save features as .npz.")
    if graphs.uniform is None:
        raise ValueError("a .npy file holds graphs of one size only; save these as .npz.")
    buffer = io.BytesIO()
    np.save(buffer, _numpy(graphs.pos).reshape(len(graphs), -1, graphs.dim))
    return buffer.getvalue()


def write_npz(graphs: Graphs) -> bytes:
    """Everything, as the bytes of a .npz file."""
    tensors = {k: getattr(graphs, k) for k in ("pos", "ptr", "x", "label", "edge_index", "edge_attr", "mask")}
    arrays: dict[str, Any] = {k: _numpy(v) for k, v in tensors.items() if v is not None}
    if graphs.classes:
        arrays["classes"] = np.array(graphs.classes)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _numpy(values: Tensor) -> NDArray[Any]:
    values = values.detach().cpu()
    return np.asarray((values.float() if values.dtype == torch.bfloat16 else values).numpy())
