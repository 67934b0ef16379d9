"""Data as a command line names them, and as a run remembers them.

A single .h5ad file is a tissue. It is cut into overlapping patches to learn from, counts are normalised in a
way that can be undone, and what is held out are blocks of cells that no patch for training touches.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from noisefold.data import Expression, Tissue, load, shapes
from noisefold.data.formats.h5ad import is_tissue
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.transform import Transform

__all__ = ["HELD_OUT", "DataSource", "Learning", "parse_names"]

HELD_OUT = 0.1
"""Share of the data that a training does not see, unless it is told."""
_JUDGED = 24
_OVERLAP = 0.6  # one tissue is few patches; the more they overlap, the more places they are cut at


@dataclass(frozen=True)
class Learning:
    """What a model is fitted to.

    Parameters
    ----------
    train, val
        Graphs to learn from, and those held out, if any.
    feature_names
        Names of the features; empty where there are none.
    transform, scaling
        Measured on the training data; None leaves both to the model.
    fields
        Independent fields that the graphs were cut from, as of `noisefold.Model.for_data`; with a time, None.
    about
        What was understood, in words.
    """

    train: Graphs
    val: Graphs | None
    feature_names: tuple[str, ...] = ()
    transform: Transform | None = None
    scaling: Scaling | None = None
    fields: int | None = None
    about: str = ""

    @property
    def judged(self) -> Graphs | None:
        """What the held-out loss is measured on: held-out graphs, again and again if they are few.

        Each stands at one noise level, and of a few levels a mean says little.
        """
        if self.val is None or len(self.val) >= _JUDGED:
            return self.val
        return self.val[[i % len(self.val) for i in range(_JUDGED)]]

    @property
    def fitted(self) -> dict[str, Any]:
        """Arguments of a `noisefold.Model` that were measured here."""
        return {"transform": self.transform, "scaling": self.scaling, "feature_names": self.feature_names}


@dataclass(frozen=True)
class DataSource:
    """Where data are and what to take from them.

    Parameters
    ----------
    source
        File, folder, pattern, or "shapes" for procedural ones.
    points, classes
        Most points of each cloud; classes to keep, separated by commas. Not for tissues.
    pos, x, genes, group, time
        Parts of an .h5ad file, as of `noisefold.data.Tissue.read`; names separated by commas, and for genes
        also ``@file``, with names by lines or commas.
    patch
        Cells of the patches that a tissue is cut into.
    """

    source: str
    points: int | None = None
    classes: str | None = None
    pos: str | None = None
    x: str = "X"
    genes: str | None = None
    group: str | None = None
    time: str | None = None
    patch: int = 200

    def __post_init__(self) -> None:
        if not self.is_tissue:
            given = {name: getattr(self, name) for name in ("pos", "genes", "group", "time")}
            named = [name for name, value in given.items() if value is not None]
            if (named or self.x != "X") and not self.source.endswith(".h5ad"):
                raise ValueError(f"--{(named or ['x'])[0]} is for .h5ad files; {self.source} is none.")
        elif self.points is not None or self.classes is not None:
            name = "points" if self.points is not None else "classes"
            raise ValueError(f"--{name} is not for .h5ad files; see --patch, --genes and --group.")

    @property
    def is_tissue(self) -> bool:
        """Whether this is one tissue: an .h5ad file, a .zarr folder, a matrix of 10x."""
        return is_tissue(self.source)

    def facts(self) -> dict[str, Any]:
        """All of it as plain data, names of genes in full."""
        genes = parse_names(self.genes)
        return asdict(replace(self, genes=None if genes is None else ",".join(genes)))

    def tissue(self, missing: bool = False) -> Tissue:
        """The tissue of an .h5ad file; `missing` lets expression be NaN."""
        places = None if self.pos is None else parse_names(self.pos)
        return Tissue.read(
            self.source,
            pos=places[0] if places is not None and len(places) == 1 else places,
            x=self.x,
            genes=parse_names(self.genes),
            group=self.group,
            time=self.time,
            missing=missing,
        )

    def graphs(self, held_out: bool = False) -> Graphs:
        """All of the data; of procedural shapes, those for judging are not those for training."""
        if self.is_tissue:
            tissue = self.tissue()
            return SpatialTranscriptomics(tissue.kind, tissue.time, self.patch).patches(tissue.graphs())
        chosen = self.classes.split(",") if self.classes else None
        if self.source == "shapes" and not Path(self.source).exists():
            count = 200 if held_out else 2000
            return shapes(count, points=self.points or 1024, families=chosen, seed=int(held_out))
        return load(self.source, points=self.points, classes=chosen)

    def learning(self, hold_out: float, seed: int = 0, overlap: float = _OVERLAP) -> Learning:
        """The data, a share of it held out; patches of a tissue overlap by a share."""
        if not 0 <= hold_out < 1:
            raise ValueError(f"hold_out must lie in [0, 1), got {hold_out}.")
        if not self.is_tissue:
            graphs = self.graphs()
            if len(graphs) < 2 or hold_out == 0:
                return Learning(graphs, None)
            return Learning(*graphs.split(1 - hold_out, seed=seed))
        tissue = self.tissue()
        whole = tissue.graphs()
        modality = SpatialTranscriptomics(tissue.kind, tissue.time, self.patch)
        whole = whole.replace(modality=modality)
        divided = hold_out > 0 and len(modality.blocks(whole)) > 1
        train, val = whole.split(1 - hold_out, seed) if divided else (whole, None)
        transform = Expression.fit(train)
        patches = modality.patches(train, overlap)
        scaling = Scaling.fit(transform.apply(patches), apart=(-1,) if self.time else ())
        # A patch of one time would not tell a network that sees places relative to their middle which it is.
        fields = None if self.time else len(train)
        about = f"{tissue}, {len(patches)} patches"
        return Learning(patches, val, tissue.genes, transform, scaling, fields, about)


def parse_names(text: str | None) -> list[str] | None:
    """Names separated by commas, or those in a file, ``@file``, one a line or separated by commas.

    Raises
    ------
    ValueError
        If there are none.
    """
    if text is None:
        return None
    content = text
    if text.startswith("@"):
        try:
            content = Path(text[1:]).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{text[1:]} is no list of names in UTF-8 text.") from error
    names = [name.strip() for line in content.splitlines() for name in line.split(",") if name.strip()]
    if not names:
        raise ValueError(f"no names are left in {text!r}; give at least one.")
    return names
