"""Data as a command line names them, and as a run remembers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from noisefold.data.earth.netcdf import ENDINGS
from noisefold.data.formats.compressed import ending_of
from noisefold.data.formats.h5ad import is_tissue
from noisefold.data.images.digits import digits
from noisefold.data.load import describe_columns, load
from noisefold.data.shapes import shapes
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.data.tissue.tissue import Tissue
from noisefold.geometry.graphs import Graphs

__all__ = ["HELD_OUT", "DataSource"]

HELD_OUT = 0.1
"""Share of the data that a training does not see, unless it is told."""
_TABLES = {".csv", ".tsv", ".txt", ".xyz", ".pts", ".parquet"}
_LISTS = ("classes", "pos", "genes", "level", "vector", "size", "properties")


@dataclass(frozen=True)
class DataSource:
    """Where data are and what to take from them.

    Parameters
    ----------
    source
        File, folder, pattern, or "shapes" for procedural ones and "digits" for handwritten ones.
    points, classes
        Most points of each cloud; names of the classes to keep. Not for tissues.
    pos, x, genes, group, time
        Parts of an .h5ad file, as of `noisefold.data.Tissue.read`; `pos`, `x` (names) and
        `group` also columns of tables, as of `noisefold.load`.
    label
        Column of a table that holds classes.
    skip
        Whether molecules that cannot be read are left out instead of refused.
    level, vector, mask
        Of the earth: levels to take, components of a vector, and the variable that says where there is
        something.
    size
        Of pictures: height and width to which they are cropped and resized, or one number for both.
    hydrogens, properties
        Of molecules: whether hydrogens that a file writes out are atoms, and columns of numbers to keep.
    patch
        Cells of the patches that a tissue is cut into.

    Raises
    ------
    ValueError
        If an option is not for data of this kind.
    """

    source: str
    points: int | None = None
    classes: tuple[str, ...] | None = None
    pos: tuple[str, ...] | None = None
    x: str | tuple[str, ...] = "X"
    genes: tuple[str, ...] | None = None
    group: str | None = None
    time: str | None = None
    patch: int = 200
    label: str | None = None
    skip: bool = False
    level: tuple[str, ...] | None = None
    vector: tuple[str, ...] | None = None
    mask: str | None = None
    size: int | tuple[int, ...] | None = None
    hydrogens: bool = False
    properties: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.is_tissue and not isinstance(self.x, str):
            if len(self.x) != 1:
                raise ValueError(f"--x is one part of a tissue, got {', '.join(self.x)}; name one.")
            object.__setattr__(self, "x", self.x[0])
        if not self.is_tissue:
            table = ending_of(Path(self.source))[0] in (".csv", ".tsv", ".parquet")
            named = [
                n for n in ("genes", "time") if getattr(self, n) is not None and not (table and n == "time")
            ]
            if named:
                raise ValueError(f"--{named[0]} is for tissues such as .h5ad files; {self.source} is none.")
            return
        for name in ("points", "classes", "label", "level", "vector", "mask", "size"):
            if getattr(self, name) is not None:
                raise ValueError(f"--{name} is not for tissues; see --patch, --genes and --group.")

    @classmethod
    def of_facts(cls, facts: dict[str, Any]) -> DataSource:
        """Return the source that `facts` describes; earlier runs wrote lists as text with commas."""
        known = {k: v for k, v in facts.items() if k in cls.__dataclass_fields__}
        for name in _LISTS:
            value = known.get(name)
            if value is not None and not isinstance(value, int):
                known[name] = tuple(value.split(",") if isinstance(value, str) else value)
        x = known.get("x", "X")
        if x != "X" and not is_tissue(known["source"]):
            known["x"] = tuple(x.split(",") if isinstance(x, str) else x)
        return cls(**known)

    def facts(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)

    @property
    def is_tissue(self) -> bool:
        """Whether this is one tissue: an .h5ad file, a .zarr folder, a matrix of 10x."""
        return is_tissue(self.source)

    def of(self, source: str) -> DataSource:
        """Return other data, read as these are."""
        like = DataSource(source, self.points, self.classes, size=self.size, hydrogens=self.hydrogens)
        like = replace(like, properties=self.properties)
        if self.is_tissue and like.is_tissue:
            return replace(self, source=source)
        endings = {ending_of(Path(s))[0] for s in (self.source, source)}
        if endings <= {*ENDINGS, ".zarr"}:
            return replace(self, source=source)
        if not endings <= _TABLES:
            return like
        like = replace(like, pos=self.pos, x=self.x)
        if self.group is None and self.label is None:
            return like
        # What tells graphs apart in one table may be lacking in another of a single graph.
        there = {c["name"].casefold() for c in describe_columns(source, missing=True, **like.named)}
        kept = [v if v and v.strip().casefold() in there else None for v in (self.group, self.label)]
        return replace(like, group=kept[0], label=kept[1])

    def earth(self, source: str, missing: bool) -> Graphs:
        """Return another file of the earth, read as these are; what is missing is NaN, or left out.

        Raises
        ------
        ValueError
            If it is none, or cannot be read.
        """
        named = {n: getattr(self, n) for n in ("level", "vector", "mask", "time")}
        x = self._features
        return load(source, missing=missing, **{k: v for k, v in {**named, "x": x}.items() if v is not None})

    def tissue(self, missing: bool = False, genes: Sequence[str] | None = None) -> Tissue:
        """Return the tissue of an .h5ad file; `missing` lets expression be NaN."""
        places: Any = None if self.pos is None else list(self.pos)
        if self.pos is not None and len(self.pos) == 1:
            places = self.pos[0]
        chosen = list(genes or self.genes or ()) or None
        return Tissue.read(
            self.source,
            pos=places,
            x=str(self.x),
            genes=chosen,
            group=self.group,
            time=self.time,
            missing=missing,
        )

    def load(self, held_out: bool = False, missing: bool = False) -> Graphs:
        """Return all of the data; procedural shapes for judging are not those for training.

        Parameters
        ----------
        held_out
            Whether the data are for judging.
        missing
            Whether coordinates and features may be NaN.
        """
        if self.is_tissue:
            graphs = self.tissue(missing).graphs()
            assert isinstance(graphs.modality, SpatialTranscriptomics)
            return graphs.replace(modality=replace(graphs.modality, patch=self.patch))
        chosen = None if self.classes is None else list(self.classes)
        if self.source == "shapes" and not Path(self.source).exists():
            count = 200 if held_out else 2000
            return shapes(count, points=self.points or 1024, families=chosen, seed=int(held_out))
        if self.source == "digits" and not Path(self.source).exists():
            return load(digits(), classes=chosen, size=self._sides)
        named = {**self.named, "missing": True} if missing else self.named
        return load(self.source, points=self.points, classes=chosen, **named)

    @property
    def named(self) -> dict[str, Any]:
        """What was named of data that are no tissue, as arguments of `noisefold.load`."""
        columns: dict[str, Any] = {
            "pos": None if self.pos is None else list(self.pos),
            "x": self._features,
            "group": self.group,
            "label": self.label,
            "skip": self.skip or None,
            "level": self.level,
            "vector": self.vector,
            "mask": self.mask,
            "time": self.time,
            "size": self._sides,
            "hydrogens": self.hydrogens or None,
            "properties": self.properties,
        }
        return {k: v for k, v in columns.items() if v is not None}

    @property
    def _features(self) -> list[str] | None:
        """Names of the features that were asked for, or None."""
        return None if self.x == "X" else [self.x] if isinstance(self.x, str) else list(self.x)

    @property
    def _sides(self) -> int | tuple[int, int] | None:
        if self.size is None or isinstance(self.size, int):
            return self.size
        height, width = self.size
        return height, width

    def divided(self, hold_out: float, seed: int = 0) -> tuple[Graphs, Graphs | None]:
        """Return the data without a share that is held out, and that share, or None where it cannot be.

        Raises
        ------
        ValueError
            If the share is out of its range, or the data cannot be read.
        """
        if not 0 <= hold_out < 1:
            raise ValueError(f"hold_out must lie in [0, 1), got {hold_out}.")
        graphs = self.load()
        if hold_out == 0:
            return graphs, None
        try:
            return graphs.split(1 - hold_out, seed=seed)
        except ValueError:  # the share was checked, so that there is too little to divide
            return graphs, None
