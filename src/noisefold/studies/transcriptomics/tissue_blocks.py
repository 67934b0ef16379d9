"""Real tissues, divided into training patches and held-out blocks, and the questions about these blocks.

Whole blocks of neighbouring cells are held out. Training uses patches of the other cells around random
centres. A question is about a held-out block amid the nearest training cells, which are observed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from noisefold.data import Expression, Tissue
from noisefold.geometry import Graphs, Scaling
from noisefold.geometry.patches import blocks, hold_out
from noisefold.studies.kit.datasets import data_folder

__all__ = ["QUESTIONS", "SUBJECTS", "HeldOut", "Subject", "held_out", "patches_of", "source"]

_FOLDER = "spatial_omics"
_HELD = 0.2
_SHARE = 0.2

QUESTIONS: dict[str, str] = {
    "torn": "a block of cells is missing whole",
    "genes": "a fifth of the genes was not measured in a block of cells",
    "entries": "half of the values are missing at random in a block of cells",
}
"""Questions by name: what is not observed."""


@dataclass(frozen=True)
class Subject:
    """A tissue.

    Parameters
    ----------
    title, file
        What it is called, and its file in ``spatial_omics/``.
    pos, valid
        Coordinates, and the column of cells to keep, if not all.
    questions
        Of `QUESTIONS`.
    shown
        Genes that are drawn as maps.
    """

    title: str
    file: str
    pos: str
    questions: tuple[str, ...]
    shown: tuple[str, ...]
    valid: str | None = None


SUBJECTS = {
    "fly": Subject(
        "fly embryo (BDTNP), nuclei in 3-D",
        "fly_embryo_bdtnp.h5ad",
        "obsm/spatial_3d",
        ("torn", "genes", "entries"),
        ("ftz", "eve", "twi"),
    ),
    "mouse": Subject(
        "mouse embryo (seqFISH)",
        "mouse_embryo_seqfish.h5ad",
        "obsm/spatial",
        ("torn", "genes"),
        ("Ttn", "Popdc2", "Cdx2"),
    ),
    "cortex": Subject(
        "mouse cortex (osmFISH), valid cells",
        "mouse_cortex_osmfish.h5ad",
        "obsm/spatial",
        ("torn", "genes"),
        ("Lamp5", "Rorb", "Plp1"),
        valid="valid",
    ),
}
"""Tissues by name."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A tissue divided into training patches and held-out blocks.

    Parameters
    ----------
    train
        Training cells.
    patches
        Patches of them, in the data's units.
    test
        Held-out blocks, each amid training cells.
    core
        Which nodes of `test` are held out.
    transform, scaling
        To standardised values, and to standard positions.
    about
        In words.
    """

    train: Tissue
    patches: Graphs
    test: Graphs
    core: Tensor
    transform: Expression
    scaling: Scaling
    about: str

    def unit(self, x: Tensor) -> Tensor:
        """Return features ``[n, f]`` of the test graphs in standard deviations of the training cells."""
        y = self.transform.apply(self.test.replace(x=x)).x
        assert y is not None
        return y

    def data_units(self, units: Tensor) -> Tensor:
        """Return draws ``[m, n, f]`` in the data's units, not negative where the data are not."""
        made = [self.transform.undo(self.test.replace(x=x)).x for x in units]
        return torch.stack([x for x in made if x is not None])

    def known(self, question: str) -> Tensor:
        """Return the mask of observed values ``[n, f]``, bool."""
        generator = torch.Generator().manual_seed(0)
        features = self.test.features
        if question == "torn":
            hidden = torch.ones(features, dtype=torch.bool).expand(len(self.core), -1)
        elif question == "genes":
            some = torch.randperm(features, generator=generator)[: max(1, round(_SHARE * features))]
            hidden = torch.zeros(features, dtype=torch.bool).index_fill_(0, some, True)
            hidden = hidden.expand(len(self.core), -1)
        else:
            hidden = torch.rand(len(self.core), features, generator=generator) < 0.5
        return ~(hidden & self.core[:, None])


def source(file: str) -> Path | None:
    """Return a file of ``spatial_omics/`` in the data folder; None if it is not there."""
    path = data_folder() / _FOLDER / file
    return path if path.is_file() else None


def patches_of(
    tissue: Tissue, count: int, cells: int, seed: int, change: Callable[[Graphs], Graphs] | None = None
) -> Graphs:
    """Return patches of the cells nearest to each of some random cells, within their group."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    groups = tissue.parts()
    trees = [KDTree(tissue.pos[rows]) for rows in groups]
    shares = np.array([len(rows) for rows in groups]) / len(tissue)
    parts: list[NDArray[np.int64]] = []
    for group in generator.choice(len(groups), size=count, p=shares):
        rows = groups[group]
        centre = tissue.pos[rows[generator.integers(len(rows))]]
        parts.append(rows[trees[group].query(centre, min(cells, len(rows)))[1]])
    graphs = tissue.take(parts)
    return graphs if change is None else change(graphs)


def held_out(subject: Subject, cells: int, patches: int, held: int, seed: int = 0) -> HeldOut | None:
    """Divide a tissue; None if its file is not there.

    Parameters
    ----------
    subject
        Which.
    cells
        Cells of every patch, two fifths of them held out in those of the test.
    patches
        Patches to learn from.
    held
        Held-out blocks that are completed, at most.
    seed
        Of the division.
    """
    path = source(subject.file)
    if path is None:
        return None
    if subject.valid is None:
        whole = Tissue.read(path, pos=subject.pos)
    else:
        import anndata

        read = anndata.read_h5ad(path)
        whole = Tissue.read(read[read.obs[subject.valid].astype(bool)].copy(), pos=subject.pos)
    size = 2 * cells // 5
    seen, apart = hold_out(whole.pos, whole.group, size, 1 - _HELD, seed)
    hidden = np.sort(np.concatenate(apart))
    train, rest = whole.part(seen), whole.part(hidden)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation
    cut = blocks(rest.pos, np.zeros(len(rest), dtype=np.int64), size)[0]
    parts, core = [], []
    for i in order(len(cut))[:held]:
        rows = cut[i]
        near = np.argsort(KDTree(rest.pos[rows]).query(train.pos)[0], kind="stable")[: cells - len(rows)]
        parts.append(np.concatenate([hidden[rows], seen[near]]))
        core.append(torch.arange(cells) < len(rows))
    transform = Expression.fit(train)
    scaling = Scaling.fit(train.graphs().replace(x=None))
    blank = (0.0,) * len(whole.genes)
    about = (
        f"{len(whole)} cells, {len(whole.genes)} genes; learned from {len(train)}; {len(rest)} held out in "
        f"blocks of up to {size}, of which {len(parts)} blocks ({sum(int(c.sum()) for c in core)} cells) are "
        f"asked about, each amid the nearest training cells ({cells} in all)."
    )
    return HeldOut(
        train,
        patches_of(train, patches, cells, seed),
        whole.take(parts),
        torch.cat(core),
        transform,
        replace(scaling, x_mean=blank, x_scale=(1.0,) * len(blank)),
        about,
    )
