"""Data of any size into a folder that training maps instead of reading, or into a file of another format.

The work of ``noisefold convert``.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noisefold.data.formats.compressed import ending_of
from noisefold.data.formats.h5ad import is_tissue
from noisefold.data.formats.readers import READABLE
from noisefold.data.images.files import is_picture
from noisefold.data.images.modality import Pictures
from noisefold.data.load import load
from noisefold.data.save import WRITERS, save
from noisefold.data.shards import ShardWriter
from noisefold.data.tissue.tissue import Tissue
from noisefold.data.tu import is_tu
from noisefold.files import check_out
from noisefold.geometry.graphs import Graphs
from noisefold.progress import progress

__all__ = ["convert"]

_VALUES = 1 << 24  # numbers of a tissue that are made dense together


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    points: int | None = None,
    seed: int = 0,
    **parts: Any,
) -> str:
    """Write a file, a folder or a pattern as shards, of which one file at a time is in memory.

    An `out` with the ending of a format that `noisefold.save` writes, such as ``graphs.g6``, becomes that
    file (or a folder of such files), and all is read first.

    Parameters
    ----------
    source
        As of `noisefold.load`. Of a folder of folders, each is a class.
    out
        The folder or the file to make; it stands whole or not at all.
    points, seed, **parts
        As of `noisefold.load`.

    Returns
    -------
    str
        What was done, in words.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    FileExistsError
        If something stands at `out`.
    ValueError
        If a file is damaged, files do not fit together, or they are pictures, which become an .npz file;
        nothing is left of `out` then.
    """
    source, out = Path(source).expanduser(), Path(out).expanduser()
    if ending_of(out)[0] in WRITERS:
        return _saved(load(source, points=points, seed=seed, **parts), out)
    check_out(out, folder=True)
    inside = list(source.rglob("*")) if source.is_dir() else []
    if any(map(is_picture, inside)) and not any(map(_readable, inside)):
        raise _of_pictures(source, out)
    files = _files(source)
    with ShardWriter(out) as writer, progress("converting", len(files)) as advance:
        for file, name in files:
            if is_tissue(file):
                _add_tissue(writer, Tissue.read(file, **parts))
            else:
                graphs = load(file, points=points, seed=seed, **parts)
                if isinstance(graphs.modality, Pictures):
                    raise _of_pictures(source, out)
                writer.add(_labelled(graphs, name))
            advance(1, "")
    return f"{writer.graphs:,} graphs with {writer.nodes:,} nodes in {out}"


def _of_pictures(source: Path, out: Path) -> ValueError:
    return ValueError(
        f"{source} holds pictures, whose pixels stay bytes in one file and need no shards; write "
        f"{out.with_suffix('.npz')} in the place of {out}."
    )


def _saved(graphs: Graphs, out: Path) -> str:
    target = save(graphs, out)
    return f"{len(graphs):,} graphs with {graphs.num_nodes:,} nodes in {target}"


def _files(source: Path) -> list[tuple[Path, str | None]]:
    """Return the files, each with the folder that is its class."""
    if is_tissue(source) or source.is_file() or is_tu(source):
        return [(source, None)]
    if not source.is_dir():
        found = [Path(p) for p in sorted(glob.glob(str(source), recursive=True))]
        if not found:
            raise FileNotFoundError(f"{source}: there is no such file or folder; check the path.")
        return [(p, None) for p in found if _readable(p)]
    here = [(p, None) for p in sorted(source.iterdir()) if _readable(p)]
    below: list[tuple[Path, str | None]] = [
        (p, folder.name)
        for folder in sorted(source.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and not is_tissue(folder)
        for p in sorted(_inside(folder))
    ]
    if here and below:
        raise ValueError(
            f"{source}: both files ({here[0][0].name}) and folders of files ({below[0][1]}) are here, so "
            "that classes are unclear; move either away or name a pattern."
        )
    if not here and not below:
        raise FileNotFoundError(f"{source}: the folder has no file with the ending {' '.join(READABLE)}.")
    return [*here, *below]


def _inside(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if _readable(p))


def _readable(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() not in READABLE:
        return False
    return path.is_file() or path.suffix.lower() == ".zarr"


def _labelled(graphs: Graphs, name: str | None) -> Graphs:
    if name is None:
        return graphs
    return graphs.replace(label=torch.zeros(len(graphs), dtype=torch.int64), classes=(name,))


def _add_tissue(writer: ShardWriter, tissue: Tissue) -> None:
    """Write one graph for each group, some cells at a time."""
    step = max(1, _VALUES // max(len(tissue.genes), 1))
    for rows in tissue.parts():
        pieces = np.split(rows, range(step, len(rows), step))
        for i, piece in enumerate(pieces):
            writer.add(tissue.take([piece]), more=i > 0)
