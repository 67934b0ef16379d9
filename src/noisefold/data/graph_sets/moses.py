"""MOSES: 1.9 million molecules of 8 to 27 heavy atoms, from the files of the installed package ``molsets``.

Its files are read where they lie; the package itself is never imported.

Source: Polykovskiy et al., Molecular Sets (MOSES): a benchmarking platform for molecular generation models
(2020), https://arxiv.org/abs/1811.12823.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from noisefold.arguments import one_of, seed_of, whole
from noisefold.data.formats.compressed import gunzip
from noisefold.data.formats.reader import ASK
from noisefold.data.formats.smiles import molecules_of, parsed
from noisefold.data.formats.text import decoded
from noisefold.data.notice import notify
from noisefold.geometry.graphs import Graphs

__all__ = ["moses"]

_PARTS = {"train": "train", "test": "test", "scaffolds": "test_scaffolds"}
_INSTALL = "pip install --no-deps molsets"


def moses(part: str = "train", count: int | None = None, seed: int = 0) -> Graphs:
    """Return molecules of a part of MOSES as graphs of atoms and bonds, without positions.

    The atoms are C, N, S, O, F, Cl and Br without charges; bonds are single, double or triple, kekulised.

    Parameters
    ----------
    part
        ``"train"``, 1.6 million molecules; ``"test"``, 176,000; or ``"scaffolds"``, 176,000 whose scaffolds
        are not in the training set.
    count
        So many at random, in the order of the file; None, or more than there are, returns all.
    seed
        Which ones, in [0, 2**63).

    Raises
    ------
    FileNotFoundError
        If the package molsets or its file is not installed; the message says how to install it.
    ValueError
        If the part is unknown, a number is out of its range, or the file cannot be read.
    ImportError
        If RDKit is not installed.

    Examples
    --------
    >>> moses("test", count=100)  # doctest: +SKIP
    Graphs(100 graphs, 14 to 26 nodes, 0-D, ...)
    """
    name = _PARTS[one_of("part", part, tuple(_PARTS))]
    count, seed = None if count is None else whole("count", count, least=1), seed_of(seed)
    file = _folder() / f"{name}.csv.gz"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; install the package again: {_INSTALL}")
    try:
        header, *lines = decoded(gunzip(file.read_bytes())).split("\n")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if header.split(",")[0].strip().upper() != "SMILES":
        raise ValueError(f"{file} has no column SMILES; install the package again: {_INSTALL}")
    rows = [(k, text) for k, line in enumerate(lines, 2) if (text := line.split(",")[0].strip())]
    if count is not None and count < len(rows):
        chosen = np.random.default_rng(seed).choice(len(rows), count, replace=False)
        rows = [rows[k] for k in np.sort(chosen)]
    try:
        graphs, _, notes = molecules_of([k for k, _ in rows], [t for _, t in rows], parsed, "line", ASK)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    for note in notes:
        notify(note)
    return graphs


def _folder() -> Path:
    """Return the folder of the files, from where the package lies, without importing it."""
    try:
        found = importlib.util.find_spec("moses")
    except ValueError:  # a module of that name without a place, such as one made by hand
        found = None
    places = () if found is None else found.submodule_search_locations or ()
    folders = [folder for place in places if (folder := Path(place) / "dataset" / "data").is_dir()]
    if not folders:
        raise FileNotFoundError(
            f"MOSES is read from the package molsets, which is not installed; install it by: {_INSTALL}"
        )
    return folders[0]
