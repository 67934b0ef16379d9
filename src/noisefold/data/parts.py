"""Graphs of several files as one data set: joined by name, with one origin, and what became of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from noisefold.data.classes import named_classes
from noisefold.data.earth.together import on_earth, together, with_units
from noisefold.data.folders import FolderSplit
from noisefold.data.formats.reader import Column
from noisefold.data.notice import notify
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import nearest_name
from noisefold.geometry.origin import origin_of

__all__ = ["Piece", "columns_of", "joined"]

_FIELDS = ("label", "group", "time", "edge_index", "edge_attr", "mask", "node_type", "edge_type")
_COARSE = 1e-4  # share of a width that rounding may take
_LOOKED_AT, _COLUMNS = 10_000_000, 64  # nodes and features that are looked at for it
_CONSTANT = "one whole number throughout"


@dataclass(frozen=True)
class Piece:
    """Graphs of one file or object.

    Parameters
    ----------
    graphs
        Positions and features in float64.
    where
        The file, for messages.
    columns
        What became of its columns; empty if it has none.
    label
        The class of all of them, if a folder says so.
    part
        "train", "val" or "test", if a folder says so.
    notes
        What a user should know of it, in sentences.
    """

    graphs: Graphs
    where: str
    columns: tuple[Column, ...] = ()
    label: str | None = None
    part: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the file without its folder."""
        return Path(self.where).name


def joined(pieces: Sequence[Piece], asked: bool = False) -> Graphs:
    """Return all graphs as one data set in float32, and say what was left out.

    Parameters
    ----------
    pieces
        At least one.
    asked
        Whether the features were asked for, so that none is left out.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    left = {c.name: c.why for p in pieces for c in p.columns if c.role == "left out"}
    varying, constant = _without_constants(pieces, asked)
    left |= dict.fromkeys(constant, _CONSTANT)
    if left and not asked:
        listed = ", ".join(f"{name!r} ({why})" for name, why in list(left.items())[:8])
        more = f" and {len(left) - 8} more" if len(left) > 8 else ""
        notify(
            f"{pieces[0].where}: these columns are no features: {listed}{more}; name the features with x to "
            f"take others."
        )
    for sentence in dict.fromkeys(note for p in pieces for note in p.notes):
        where = [p.where for p in pieces if sentence in p.notes]
        notify(f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: {sentence}")
    varying = _with_edge_fields(varying)
    for piece in varying[1:]:
        _fits(piece, varying[0])
    graphs = _collated(together(list(zip([p.where for p in varying], _labelled(varying), strict=True))))
    graphs = with_units(graphs) if on_earth(graphs) else _centred(graphs)
    parts = [p.part for p in pieces for _ in range(len(p.graphs))]
    if all(parts):
        graphs = graphs.replace(modality=FolderSplit.of(graphs, [p for p in parts if p]))
    return graphs


def columns_of(pieces: Sequence[Piece], asked: bool = False) -> list[dict[str, str]]:
    """Return what became of each column of all pieces together, as plain data."""
    constant = _without_constants(pieces, asked)[1]
    found: dict[str, Column] = {}
    for piece in pieces:
        for column in piece.columns or _implied(piece.graphs):
            found.setdefault(column.name, column)
    return [
        {"name": c.name, "role": "left out", "why": _CONSTANT}
        if c.name in constant and c.role == "feature"
        else {"name": c.name, "role": c.role, "why": c.why}
        for c in found.values()
    ]


def _implied(graphs: Graphs) -> list[Column]:
    """Columns of graphs that come from no table."""
    axes = [Column("xyz"[i] if graphs.dim <= 3 else f"x{i + 1}", "position") for i in range(graphs.dim)]
    names = graphs.feature_names or tuple(f"f{i}" for i in range(graphs.features))
    return [*axes, *(Column(name, "feature") for name in names)]


def _without_constants(pieces: Sequence[Piece], asked: bool) -> tuple[list[Piece], list[str]]:
    """Pieces without the columns that hold one whole number in all of them, and these columns' names.

    That is a batch, a plane or a flag of the export, and no measurement.
    """
    tables = [[c for c in p.columns if c.role == "feature"] for p in pieces]
    if asked or any(not p.columns for p in pieces):
        return list(pieces), []
    held: dict[str, set[int | None]] = {}
    for features in tables:
        for column in features:
            held.setdefault(column.name, set()).add(column.whole)
    constant = [
        name
        for name, values in held.items()
        if len(values) == 1 and None not in values and all(any(c.name == name for c in t) for t in tables)
    ]
    if not constant:
        return list(pieces), []
    out = []
    for piece, features in zip(pieces, tables, strict=True):
        kept = [i for i, c in enumerate(features) if c.name not in constant]
        graphs, x = piece.graphs, piece.graphs.x
        assert x is not None
        names = tuple(graphs.feature_names[i] for i in kept) if graphs.feature_names else ()
        x = x[:, kept] if kept else None
        out.append(replace(piece, graphs=graphs.replace(x=x, feature_names=names)))
    return out, constant


def _with_edge_fields(pieces: list[Piece]) -> list[Piece]:
    """Return pieces of which those without any edge have the empty fields of those with edges."""
    model = next((p.graphs for p in pieces if p.graphs.edge_index is not None and _edges(p.graphs)), None)
    if model is None:
        return pieces
    out = []
    for piece in pieces:
        if piece.graphs.edge_index is not None and not _edges(piece.graphs):
            fields = {n: getattr(model, n) for n in ("edge_attr", "edge_type")}
            empty = {n: None if v is None else v[:0] for n, v in fields.items()}
            graphs = piece.graphs.replace(**empty, edge_types=model.edge_types)
            out.append(replace(piece, graphs=graphs))
        else:
            out.append(piece)
    return out


def _edges(graphs: Graphs) -> int:
    return 0 if graphs.edge_index is None else graphs.edge_index.shape[1]


def _fits(piece: Piece, first: Piece) -> None:
    """Refuse graphs that are no data set together with the first."""
    a, b, where = first.graphs, piece.graphs, f"{piece.where}: "
    if a.dim != b.dim:
        raise ValueError(
            f"{where}the points have {b.dim} dimensions, those of {first.file} {a.dim}; separate them."
        )
    if a.feature_names and b.feature_names:
        for known, wanted, of in ((b, a, first.file), (a, b, piece.file)):
            lacking = [n for n in wanted.feature_names if n not in known.feature_names]
            if lacking:
                place = piece.file if known is b else first.file
                raise ValueError(
                    f"{where}the feature {lacking[0]!r} of {of} is not in {place}"
                    f"{nearest_name(lacking[0], known.feature_names)}"
                )
    if a.features != b.features:
        raise ValueError(
            f"{where}the points have {b.features} features, those of {first.file} {a.features}; divide them."
        )
    for name in _FIELDS:
        if name == "label" and (piece.label is not None or first.label is not None):
            continue
        if (getattr(a, name) is None) != (getattr(b, name) is None):
            raise ValueError(
                f"{where}one of it and {first.file} has `{name}`, the other none; separate them."
            )


def _labelled(pieces: Sequence[Piece]) -> list[Graphs]:
    """Graphs with the classes of their folders, or else their own; numbered classes get names."""
    if all(p.label is not None for p in pieces):
        names = tuple(dict.fromkeys(str(p.label) for p in pieces))
        codes = [names.index(str(p.label)) for p in pieces]
        return [
            p.graphs.replace(label=torch.full((len(p.graphs),), code), classes=names)
            for p, code in zip(pieces, codes, strict=True)
        ]
    unnamed = [p for p in pieces if p.graphs.label is not None and not p.graphs.classes]
    named = [p for p in pieces if p.graphs.classes]
    if unnamed and named:
        words = next((p for p in named if not all(c.isdecimal() for c in p.graphs.classes)), None)
        if words is not None:
            raise ValueError(
                f"{unnamed[0].where}: its labels have no names, those of {words.file} do; give all of them "
                f"`classes`."
            )
    return [named_classes(p.graphs) for p in pieces]


def _collated(parts: Sequence[Graphs]) -> Graphs:
    graphs = parts[0] if len(parts) == 1 else Graphs.collate(parts)
    if graphs.label is not None and all(c.isdecimal() and len(c) < 40 for c in graphs.classes):
        order = sorted(range(len(graphs.classes)), key=lambda i: int(graphs.classes[i]))
        place = torch.empty(len(order), dtype=torch.int64)
        place[order] = torch.arange(len(order))
        label = place.to(graphs.device)[graphs.label]
        graphs = graphs.replace(label=label, classes=tuple(graphs.classes[i] for i in order))
    return graphs


def _centred(graphs: Graphs) -> Graphs:
    """Graphs in float32, coordinates far from zero relative to one origin."""
    shift = origin_of([cloud.detach().cpu().numpy() for cloud in graphs.unpack()])
    changes: dict[str, Any] = {"pos": graphs.pos.float(), "origin": graphs.origin}
    if shift:
        old = graphs.origin or (0.0,) * graphs.dim
        changes["pos"] = (graphs.pos - graphs.pos.new_tensor(shift)).float()
        changes["origin"] = tuple(a + b for a, b in zip(old, shift, strict=True))
    for name in ("x", "edge_attr"):
        value = getattr(graphs, name)
        if value is not None and value.is_floating_point():
            changes[name] = value.float()
    out = graphs.replace(**changes)
    _say_what_is_lost(out)
    return out


def _say_what_is_lost(graphs: Graphs) -> None:
    """Say where float32 is too coarse for the shape of a graph, or for the spread of a feature."""
    if graphs.num_nodes > _LOOKED_AT:
        return
    if graphs.dim:
        low, high = (torch.full((len(graphs), graphs.dim), end) for end in (torch.inf, -torch.inf))
        graph, pos = graphs.batch.cpu()[:, None].expand(-1, graphs.dim), graphs.pos.detach().cpu()
        low, high = low.scatter_reduce(0, graph, pos, "amin"), high.scatter_reduce(0, graph, pos, "amax")
        width, far = (high - low).amax(1), torch.maximum(low.abs(), high.abs()).amax(1)
        for i in ((width > 0) & _coarse(far, width)).nonzero().ravel().tolist()[:1]:
            notify(
                f"graph {i} is {float(width[i]):.3g} wide and {float(far[i]):.3g} from the common origin, "
                f"too far for its shape in float32; load clouds of one place together, or centre each with "
                f"normalize='unit'."
            )
    if graphs.x is not None and 0 < graphs.x.shape[1] <= _COLUMNS:
        x = graphs.x.detach().cpu()
        spread, size = x.amax(0) - x.amin(0), x.abs().amax(0)
        for i in ((spread > 0) & _coarse(size, spread)).nonzero().ravel().tolist():
            name = graphs.feature_names[i] if graphs.feature_names else i
            notify(
                f"feature {name!r} varies by {float(spread[i]):.3g} around {float(size[i]):.3g}, too little "
                f"for float32; subtract what its values have in common."
            )


def _coarse(size: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Whether rounding of numbers of a size takes more than a small share of a width."""
    return size * 2.0**-24 > _COARSE * width
