"""Folders as data sets: which files are read, their classes, and the split that folders make.

====================================  =================================================================
layout                                meaning
====================================  =================================================================
``*.ply``                             clouds without classes
``chair/*.ply``                       a class for each folder
``chair/train/*.ply``                 classes, divided into what is trained on and what is held out
``train/chair/*.ply``                 the same
``train/*.ply``                       divided, without classes
====================================  =================================================================

Held out is all that is not in ``train``.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.arguments import one_of
from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs

__all__ = ["PARTS", "FolderSplit", "Found", "find", "folder_name"]

PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}
_RESERVED = '/\\:*?"<>|%'


@dataclass
class Found:
    """Files of a data set.

    Parameters
    ----------
    files
        What is read, sorted.
    classes, parts
        Class, and "train", "val" or "test", of each file; None where folders do not say.
    passed
        Files that are not read, counted by ending.
    divided
        False if some files are in folders such as ``train`` and others are not.
    """

    files: list[Path] = field(default_factory=list)
    classes: list[str] | None = None
    parts: list[str] | None = None
    passed: Counter[str] = field(default_factory=Counter)
    divided: bool = True

    @property
    def passed_over(self) -> str:
        """The files that were passed over, in words; empty if there are none."""
        return ", ".join(f"{n} {ending or 'without ending'}" for ending, n in sorted(self.passed.items()))


def find(folder: Path, readable: Callable[[Path], bool], classes: Sequence[str] | None = None) -> Found:
    """Return the files of a folder.

    Parameters
    ----------
    folder
        Where to look.
    readable
        Whether a file is one to read.
    classes
        Read the folders of these classes alone, if there are such.

    Raises
    ------
    ValueError
        If files stand beside folders of files, so that classes are unclear.
    """
    found = Found()
    here = _sorted(folder.iterdir(), readable, found.passed)
    inside = {p.name: p for p in _folders(folder) if not readable(p)}
    lists = {name: _sorted(_below(p, readable), readable, found.passed) for name, p in inside.items()}
    lists = {name: files for name, files in lists.items() if files}
    if here and lists:
        raise ValueError(
            f"{folder}: both files ({here[0].name}) and folders of files ({next(iter(lists))}) are here, so "
            f"that classes are unclear; move either away or name a pattern."
        )
    if here:
        found.files = here
        return found
    if lists and all(name.lower() in PARTS for name in lists):
        return _divided_first(found, inside, lists, classes)
    if classes is not None:
        chosen = {unquote(name): name for name in lists}
        if all(name in chosen for name in classes):
            lists = {chosen[name]: lists[chosen[name]] for name in classes}
    found.files = [file for files in lists.values() for file in files]
    found.classes = [unquote(name) for name, files in lists.items() for _ in files]
    below = [file.relative_to(inside[name]).parts for name, files in lists.items() for file in files]
    parts = [PARTS.get(p[0].lower()) if len(p) > 1 else None for p in below]
    if parts and all(parts) and len(set(parts)) > 1:
        found.parts = [p for p in parts if p]
    found.divided = (all(parts) or not any(parts)) and not any(name.lower() in PARTS for name in lists)
    return found


def _divided_first(
    found: Found, inside: dict[str, Path], lists: dict[str, list[Path]], classes: Sequence[str] | None
) -> Found:
    """Folders train and test, perhaps with folders of classes in them."""
    names: list[str | None] = []
    parts: list[str] = []
    for name, files in lists.items():
        for file in files:
            below = file.relative_to(inside[name]).parts
            label = unquote(below[0]) if len(below) > 1 else None
            if classes is not None and label is not None and label not in classes:
                continue
            found.files.append(file)
            names.append(label)
            parts.append(PARTS[name.lower()])
    labelled = [n for n in names if n is not None]
    if labelled and len(labelled) < len(names):
        bad = found.files[names.index(None)]
        raise ValueError(f"{bad}: this file is in no folder of a class, as others are; move it into one.")
    found.classes = labelled or None
    found.parts = parts if len(set(parts)) > 1 else None
    return found


def _sorted(paths: Iterable[Path], readable: Callable[[Path], bool], passed: Counter[str]) -> list[Path]:
    files = []
    for path in sorted(paths):
        if path.name.startswith("."):
            continue
        if readable(path):
            files.append(path)
        elif path.is_file():
            passed[path.suffix.lower()] += 1
    return files


def _folders(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]


def _below(folder: Path, readable: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield what is in a folder and below it; a folder that is read as one is not entered."""
    yield from folder.iterdir()
    for inner in _folders(folder):
        if not readable(inner) and not inner.is_symlink():
            yield from _below(inner, readable)


def folder_name(name: str) -> str:
    """Return a class's name as a folder's, from which `find` gets it back."""
    coded = "".join(f"%{ord(c):02X}" if c in _RESERVED or ord(c) < 32 else c for c in name)
    return f"%2E{coded[1:]}" if coded.startswith(".") else coded or "%20"


@configurable
@dataclass(frozen=True, repr=False)
class FolderSplit:
    """Graphs that folders divide into what is trained on and what is held out.

    Graphs are recognised by their positions (those without any by their edges and types) and classes, so
    that the split survives any order or choice of them.

    Parameters
    ----------
    parts
        The part of each graph, by its key, in the order in which they were read.
    """

    parts: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        count = Counter(part for _, part in self.parts)
        return f"FolderSplit({', '.join(f'{n} {part}' for part, n in count.items())})"

    @classmethod
    def of(cls, graphs: Graphs, parts: Sequence[str]) -> FolderSplit:
        """Return the split in which graph i is in ``parts[i]``."""
        return cls(tuple(zip(_keys(graphs), parts, strict=True)))

    def split(self, graphs: Graphs, fraction: float, seed: int) -> tuple[Graphs, Graphs]:
        """Return the graphs of the folder ``train`` and all others, whatever the fraction and the seed.

        Raises
        ------
        ValueError
            If positions or classes were changed since the graphs were read, or one part is empty.
        """
        train = [part == "train" for part in self._parts_of(graphs)]
        if all(train) or not any(train):
            raise ValueError(
                f"all graphs are {'' if all(train) else 'not '}in the folder train; split at random with "
                f"graphs.replace(modality=None)."
            )
        free = graphs.replace(modality=None)
        chosen = [i for i, t in enumerate(train) if t]
        return free[chosen], free[[i for i, t in enumerate(train) if not t]]

    def part(self, graphs: Graphs, name: str) -> Graphs:
        """Return the graphs of one part, "train", "val" or "test".

        Raises
        ------
        ValueError
            If positions or classes were changed since the graphs were read, or there is no such part.
        """
        known = tuple(dict.fromkeys(part for _, part in self.parts))
        chosen = one_of("part", name, known)
        rows = [i for i, part in enumerate(self._parts_of(graphs)) if part == chosen]
        return graphs.replace(modality=None)[rows]

    def _parts_of(self, graphs: Graphs) -> list[str]:
        """Part of each graph."""
        known: dict[str, list[str]] = {}
        for key, part in self.parts:
            known.setdefault(key, []).append(part)
        met: Counter[str] = Counter()
        out: list[str] = []
        for i, key in enumerate(_keys(graphs)):
            if key not in known:
                raise ValueError(
                    f"graph {i} was changed since its folder was read, so that its part is unknown; split "
                    f"before, or at random after graphs.replace(modality=None)."
                )
            out.append(known[key][met[key] % len(known[key])])
            met[key] += 1
        return out


def _keys(graphs: Graphs) -> list[str]:
    """A key of each graph: its positions and class; without positions, its edges and types."""
    labels = [""] * len(graphs)
    if graphs.label is not None:
        labels = [graphs.classes[k] if graphs.classes else str(k) for k in graphs.label.tolist()]
    if graphs.dim == 0 and graphs.edge_index is not None:
        clouds = _structures(graphs)
    else:
        clouds = [p.detach().cpu().contiguous().numpy().tobytes() for p in graphs.unpack()]
    hashes = [hashlib.blake2b(cloud, digest_size=8).hexdigest() for cloud in clouds]
    return [f"{h} {name}" for h, name in zip(hashes, labels, strict=True)]


def _structures(graphs: Graphs) -> list[bytes]:
    """Number of nodes, edges and types of each graph, as bytes."""
    assert graphs.edge_index is not None
    edges, ptr = graphs.edge_index.cpu().numpy(), graphs.ptr.cpu().numpy()
    owner = np.searchsorted(ptr, edges[0], side="right") - 1
    order = np.argsort(owner, kind="stable")
    cuts = np.cumsum(np.bincount(owner, minlength=len(graphs)))[:-1]
    columns = [edges[0] - ptr[owner], edges[1] - ptr[owner], _named(graphs.edge_type, graphs.edge_types)]
    by_edge = np.stack(np.broadcast_arrays(*columns), axis=1)[order]
    nodes = np.broadcast_to(_named(graphs.node_type, graphs.node_types), ptr[-1])
    return [
        of_nodes.tobytes() + b"|" + of_edges.tobytes()
        for of_nodes, of_edges in zip(np.split(nodes, ptr[1:-1]), np.split(by_edge, cuts), strict=True)
    ]


def _named(types: Tensor | None, names: Sequence[str]) -> NDArray[np.int64]:
    """Types as numbers that depend on their names alone, whatever their codes are in one data set."""
    if types is None:
        return np.zeros(1, dtype=np.int64)
    codes = types.cpu().numpy()
    return np.array([zlib.crc32(name.encode()) for name in names], dtype=np.int64)[codes] if names else codes
