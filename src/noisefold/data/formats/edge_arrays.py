"""Sets of graphs as lists of edges: the arrays of a .npz file, and how they become `Graphs`.

================================  =====================================================================
array                             meaning
================================  =====================================================================
`num_nodes`                       nodes of each graph, ``[g]``; or `node_offsets` ``[g + 1]``
`edge_offsets`                    the edges of graph i are the rows ``edge_offsets[i]:edge_offsets[i + 1]``
`edges`                           nodes that edges join, numbered within their graph, ``[m, 2]``, each
                                  undirected edge once
`split`                           part of each graph, ``[g]``: 0 train, 1 validation, 2 test
`node_type`, `node_types`         a type per node, and the names; `edge_type` ``[m]`` and `edge_types` alike
`atom`, `charge`                  a molecule's atoms, 0 C, 1 N, 2 O, 3 F, and formal charges, ``[n]``; the
                                  type is both together, as ``N+``
`bond`                            order of each edge, 1 to 3, ``[m]``: the types single, double and triple
================================  =====================================================================

Other arrays are passed over. The graphs have positions ``[n, 0]`` and both directions of each edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.folders import FolderSplit
from noisefold.data.formats.reader import Part
from noisefold.data.formats.text import word
from noisefold.geometry.graphs import Graphs

__all__ = ["from_edge_arrays", "is_edge_arrays", "undirected"]

Integers = NDArray[np.int64]
_ELEMENTS = ("C", "N", "O", "F")
_CHARGES = 1000
_BONDS = ("single", "double", "triple")
_PARTS = ("train", "val", "test")


def undirected(
    sizes: Sequence[int] | Integers, counts: Sequence[int] | Integers, edges: Integers, **fields: Any
) -> Graphs:
    """Return graphs without positions from edges that are listed once.

    Parameters
    ----------
    sizes, counts
        Numbers of nodes and of edges of each graph, ``[g]``.
    edges
        Nodes numbered within their graph, ``[m, 2]``, graph by graph. A self-loop stays one.
    **fields
        Other fields of `Graphs`; of `edge_type` ``[m]`` both directions have the same.
    """
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    owner = np.repeat(np.arange(len(ptr) - 1), counts)
    ends = edges + ptr[owner][:, None]
    back = np.flatnonzero(edges[:, 0] != edges[:, 1])
    rows = np.concatenate([np.arange(len(edges)), back])
    order = np.argsort(owner[rows], kind="stable")
    both = np.concatenate([ends, ends[back][:, ::-1]])[order]
    if (kinds := fields.get("edge_type")) is not None:
        fields["edge_type"] = torch.as_tensor(kinds)[rows[order]]
    return Graphs(
        torch.zeros(int(ptr[-1]), 0),
        ptr=torch.from_numpy(ptr.astype(np.int64)),
        edge_index=torch.from_numpy(np.ascontiguousarray(both.T.astype(np.int64))),
        **fields,
    )


def is_edge_arrays(arrays: Mapping[str, Any]) -> bool:
    """Whether named arrays are a set of graphs in this layout."""
    return {"edges", "edge_offsets"} <= set(arrays) and bool({"num_nodes", "node_offsets"} & set(arrays))


def from_edge_arrays(arrays: Mapping[str, Any]) -> Part:
    """Return the graphs of named arrays, with the split that they say.

    Raises
    ------
    ValueError
        If the arrays do not fit together, or an edge names a node that its graph does not have.
    """
    if "num_nodes" in arrays:
        sizes = _integers(arrays, "num_nodes", None)
        if bool((sizes < 0).any()):
            raise ValueError("`num_nodes` must not be negative; correct it.")
    else:
        sizes = _offsets(arrays, "node_offsets", None, None)
    nodes = int(sizes.sum())
    edges = np.asarray(arrays["edges"])
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(
            f"`edges` must be integers [m, 2], got {edges.dtype} {list(edges.shape)}; correct it."
        )
    edges = edges.astype(np.int64)
    counts = _offsets(arrays, "edge_offsets", len(sizes), len(edges))
    owner = np.repeat(np.arange(len(sizes)), counts)
    wrong = np.flatnonzero(((edges < 0) | (edges >= sizes[owner][:, None])).any(axis=1))
    if len(wrong):
        i = int(owner[wrong[0]])
        raise ValueError(
            f"`edges` must join the {sizes[i]} nodes of graph {i}, numbered from 0, got "
            f"{edges[wrong[0]].tolist()}; number them within each graph."
        )
    fields = _node_types(arrays, nodes) | _edge_types(arrays, len(edges))
    graphs = undirected(sizes, counts, edges, **fields)
    if "split" not in arrays:
        return Part(graphs)
    split = _integers(arrays, "split", len(sizes))
    if bool(((split < 0) | (split >= len(_PARTS))).any()):
        raise ValueError("`split` must be 0 (train), 1 (validation) or 2 (test) for each graph; correct it.")
    parts = [_PARTS[k] for k in split]
    if len(set(parts)) < 2:
        return Part(graphs)
    listed = ", ".join(f"{parts.count(p)} {p}" for p in _PARTS if p in parts)
    note = f"its array `split` divides the graphs ({listed}); what is not in train is held out."
    return Part(graphs.replace(modality=FolderSplit.of(graphs, parts)), notes=(note,))


def _node_types(arrays: Mapping[str, Any], count: int) -> dict[str, Any]:
    if "node_type" in arrays:
        return _types(arrays, "node_type", "node_types", count)
    if "atom" not in arrays:
        return {}
    atom = _integers(arrays, "atom", count)
    if len(atom) and not 0 <= atom.min() <= atom.max() < len(_ELEMENTS):
        raise ValueError(f"`atom` must be 0 to 3, for {', '.join(_ELEMENTS)}, got {atom.max()}; correct it.")
    charge = _integers(arrays, "charge", count) if "charge" in arrays else np.zeros_like(atom)
    if bool((np.abs(charge) > 9).any()):
        raise ValueError("`charge` must lie in [-9, 9]; correct it.")
    # Elements in order; of each the neutral atom, then cations, then anions.
    order = np.where(charge > 0, 2 * charge - 1, -2 * charge)
    found, code = np.unique(atom * _CHARGES + order, return_inverse=True)
    pairs = [divmod(k, _CHARGES) for k in found.tolist()]
    names = tuple(_ELEMENTS[a] + _charge((k + 1) // 2, k % 2 == 1) for a, k in pairs)
    return {"node_type": torch.from_numpy(code.reshape(-1).astype(np.int64)), "node_types": names}


def _charge(size: int, positive: bool) -> str:
    if size == 0:
        return ""
    return ("+" if positive else "-") + (str(size) if size > 1 else "")


def _edge_types(arrays: Mapping[str, Any], count: int) -> dict[str, Any]:
    if "edge_type" in arrays:
        return _types(arrays, "edge_type", "edge_types", count)
    if "bond" not in arrays:
        return {}
    bond = _integers(arrays, "bond", count)
    if len(bond) and not 1 <= bond.min() <= bond.max() <= len(_BONDS):
        raise ValueError("`bond` must be 1, 2 or 3, single, double or triple, for each edge; correct it.")
    return {"edge_type": torch.from_numpy(bond - 1), "edge_types": _BONDS}


def _types(arrays: Mapping[str, Any], name: str, names: str, count: int) -> dict[str, Any]:
    values = _integers(arrays, name, count)
    words = tuple(word(w) for w in np.asarray(arrays[names]).ravel().tolist()) if names in arrays else ()
    most = len(words) if words else int(values.max(initial=0)) + 1
    if bool(((values < 0) | (values >= most)).any()):
        raise ValueError(f"`{name}` must lie in [0, {most}), the number of {names}; correct it.")
    return {name: torch.from_numpy(values), names: words}


def _integers(arrays: Mapping[str, Any], name: str, count: int | None) -> Integers:
    values = np.asarray(arrays[name])
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise ValueError(f"`{name}` must be integers in one row, got {values.dtype} {list(values.shape)}.")
    if count is not None and len(values) != count:
        raise ValueError(f"`{name}` must have {count} entries, got {len(values)}; correct it.")
    return values.astype(np.int64)


def _offsets(arrays: Mapping[str, Any], name: str, count: int | None, end: int | None) -> Integers:
    """Numbers of entries that offsets say."""
    offsets = _integers(arrays, name, None if count is None else count + 1)
    rises = len(offsets) > 0 and offsets[0] == 0 and bool((np.diff(offsets) >= 0).all())
    if not rises or (end is not None and offsets[-1] != end):
        until = "" if end is None else f" to the {end} edges"
        raise ValueError(f"`{name}` must rise from 0{until}; correct it.")
    return np.diff(offsets)
