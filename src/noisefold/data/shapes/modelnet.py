"""ModelNet10 and ModelNet40: CAD models of 10 and 40 classes (Wu et al., *3D ShapeNets*, CVPR 2015).

Either the official tree ``ModelNet40/CLASS/train/*.off``, or archives of clouds (.npz) with `points`,
`label` and `classes` as `noisefold.data.formats.arrays` reads them, and optionally `is_test` ``[g]``.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from noisefold.arguments import one_of, seed_of, whole
from noisefold.data.classes import select
from noisefold.data.load import read_file, read_files, unit
from noisefold.geometry.graphs import Graphs
from noisefold.progress import progress

__all__ = ["modelnet40"]

_URL = "http://modelnet.cs.princeton.edu/ModelNet40.zip"
_MB = 2**20
_TREES = ("ModelNet40", "ModelNet10")


def modelnet40(
    root: str | os.PathLike[str],
    points: int = 400,
    split: str | None = "train",
    classes: Sequence[str] | None = None,
    seed: int = 0,
    up: str = "z",
    download: bool = False,
) -> Graphs:
    """Clouds of ModelNet, each centred on its mean and scaled into the unit sphere.

    Parameters
    ----------
    root
        A folder with the official ``ModelNet40`` or ``ModelNet10`` (or one of these itself), whose meshes
        are sampled uniformly by area; a folder with ``modelnet*_train*.npz`` and ``modelnet*_test*.npz``;
        or one archive, taken whole if it does not say `is_test`.
    points
        Points of each cloud; of an archive's clouds a random subset.
    split
        ``"train"``, ``"test"``, or None for both.
    classes
        These alone, numbered in this order; None means all.
    seed
        Seed of the points. Cloud i is a function of the seed and i, whatever the classes.
    up
        Axis that is up in the source, ``"z"`` (official) or ``"y"`` (some archives); it becomes z.
    download
        Fetch the official archive (about 2 GB) into `root` if there is nothing in it.

    Raises
    ------
    FileNotFoundError
        If nothing is found at `root`.
    ValueError
        If an argument or a file cannot be used.
    """
    points, seed = whole("points", points, least=2), seed_of(seed)
    split = None if split is None else one_of("split", split, ("train", "test"))
    up = one_of("up", up, ("y", "z"))
    root = Path(root)
    if download and not _present(root, split):
        _download(root)
    if not _present(root, split):
        raise FileNotFoundError(
            f"{root}: there is no ModelNet40/, ModelNet10/ or archive modelnet*_{split or '*'}*.npz; "
            f"check root, or pass download=True."
        )
    tree = _tree(root)
    if tree is not None:
        graphs = _meshes(tree, points, split, classes, seed)
    else:
        parts = [_clouds(path, points, split, seed) for path in _archives(root, split)]
        graphs = Graphs.collate(parts)
    if classes is not None:
        graphs = select(graphs, classes)
    if up == "y":
        x, y, z = graphs.pos.unbind(dim=1)
        graphs = graphs.replace(pos=torch.stack([x, -z, y], dim=1))
    return unit(graphs)


def _present(root: Path, split: str | None) -> bool:
    return _tree(root) is not None or bool(_archives(root, split))


def _tree(root: Path) -> Path | None:
    """The folder whose folders are classes with `train` and `test`."""
    places = [*(root / name for name in _TREES), root]
    return next((place for place in places if any(place.glob("*/train/*.off"))), None)


def _archives(root: Path, split: str | None) -> list[Path]:
    if root.suffix == ".npz":
        return [root] if root.is_file() else []
    splits = ("train", "test") if split is None else (split,)
    return [path for name in splits for path in sorted(root.glob(f"modelnet*_{name}*.npz"))]


def _meshes(tree: Path, points: int, split: str | None, classes: Sequence[str] | None, seed: int) -> Graphs:
    names = sorted(p.name for p in tree.iterdir() if any(p.glob("t*/*.off")))
    if classes is not None and set(classes) <= set(names):
        names = list(classes)
    splits = ("train", "test") if split is None else (split,)
    found = [
        (name, file) for name in names for s in splits for file in sorted((tree / name / s).glob("*.off"))
    ]
    if not found:
        raise FileNotFoundError(f"{tree}: there are no files CLASS/{split}/*.off; choose another split.")
    return read_files([file for _, file in found], points, seed, [name for name, _ in found])


def _clouds(path: Path, points: int, split: str | None, seed: int) -> Graphs:
    graphs = read_file(path, points, seed)
    if graphs.label is None or not graphs.classes:
        raise ValueError(f"{path}: there are no arrays `label` and `classes`; open it with noisefold.load.")
    if graphs.sizes.min() < points:
        raise ValueError(
            f"{path}: the clouds have {int(graphs.sizes.min())} points, not {points}; ask for fewer."
        )
    with np.load(path, allow_pickle=False) as archive:
        test = torch.from_numpy(archive["is_test"].astype(bool)) if "is_test" in archive.files else None
    if split is None or test is None:
        return graphs
    return graphs[test if split == "test" else ~test]


def _fetch(archive: Path) -> None:
    with urllib.request.urlopen(_URL) as response, archive.open("xb") as stream:
        size = int(response.headers.get("Content-Length") or 0)
        with progress("fetching ModelNet40, MB", max(size // _MB, 1)) as advance:
            while block := response.read(_MB):
                stream.write(block)
                advance(1, "")
    if size and archive.stat().st_size != size:
        raise http.client.IncompleteRead(b"", size - archive.stat().st_size)


def _download(root: Path) -> None:
    """Fetch and unpack the official archive; what is incomplete never gets its final name."""
    root.mkdir(parents=True, exist_ok=True)
    staged = root / f".ModelNet40.{secrets.token_hex(4)}"
    staged.mkdir()
    try:
        archive = staged / "ModelNet40.zip"
        try:
            _fetch(archive)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            raise ConnectionError(
                f"{_URL} could not be fetched ({error}); fetch and unpack it in {root}."
            ) from error
        try:
            with zipfile.ZipFile(archive) as content:
                content.extractall(staged)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{_URL} is not a whole zip archive ({error}); fetch it again.") from error
        if not (staged / "ModelNet40").is_dir():
            raise ValueError(f"{_URL} has no folder ModelNet40; fetch the official archive into {root}.")
        (staged / "ModelNet40").replace(root / "ModelNet40")
    finally:
        shutil.rmtree(staged)
