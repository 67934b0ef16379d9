"""Files with something missing in, files filled in out: the work of ``noisefold complete``.

What is missing is NaN in the file. Of a tissue it may also be named: genes, a region, a time. Where several
of these are named, what fits all of them is missing: these genes in this region at this time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.configuration import __version__
from noisefold.data import Expression, Tissue, load, save, write_layers
from noisefold.data.formats.h5ad import opened
from noisefold.data.save import check_folder, check_target
from noisefold.data.source import DataSource, parse_names
from noisefold.data.tissue.layers import check_layers
from noisefold.data.tissue.region import region
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import columns_of, nearest_name
from noisefold.model import Model
from noisefold.tissues import complete_tissue, sample_tissue

__all__ = ["Missing", "fill_graphs", "fill_tissue", "generate_tissue", "provenance"]


@dataclass(frozen=True)
class Missing:
    """What to take as missing, beside NaN.

    Parameters
    ----------
    genes
        Names, as `noisefold.data.source.names_in` reads them.
    region
        Words, as `noisefold.data.tissue.region` reads them.
    time
        A time, in the unit of the data.
    """

    genes: str | None = None
    region: str | None = None
    time: float | None = None

    def entries(self, tissue: Tissue, reading: DataSource) -> Tensor:
        """Which values ``[n, genes]`` are named; none where nothing is.

        Raises
        ------
        ValueError
            If a gene, a column or a time is not there.
        """
        n, genes = len(tissue), len(tissue.genes)
        if self == Missing():
            return torch.zeros(n, genes, dtype=torch.bool)
        rows, columns = np.ones(n, dtype=bool), np.ones(genes, dtype=bool)
        if self.genes is not None:
            columns[:] = False
            columns[columns_of(tissue.genes, parse_names(self.genes) or (), "gene")] = True
        if self.region is not None:
            space = tissue.pos[:, :-1] if reading.time else tissue.pos
            rows &= region(self.region, space, reading.source)
        if self.time is not None:
            rows &= _at_time(self.time, tissue, reading)
        return torch.from_numpy(rows[:, None] & columns)


def _at_time(time: float, tissue: Tissue, reading: DataSource) -> Any:
    if not reading.time:
        raise ValueError(f"time {time:g} was named, but the model was trained without --time.")
    there = np.isclose(tissue.pos[:, -1], time)
    if not there.any():
        known = ", ".join(f"{t:g}" for t in np.unique(tissue.pos[:, -1])[:10])
        raise ValueError(
            f"no cell has the time {time:g}, only {known}; add cells with positions and NaN expression there."
        )
    return there


def fill_tissue(
    model: Model,
    reading: DataSource,
    out: Path,
    missing: Missing,
    facts: dict[str, Any],
    *,
    keep: bool = False,
    **options: Any,
) -> str:
    """Complete an .h5ad file; what was done, in words.

    Parameters
    ----------
    model
        A model of features on given positions.
    reading
        The file, and what to take from it.
    out
        The file to write.
    missing
        What is missing beside NaN.
    facts
        Provenance, as `provenance` gives it.
    keep
        Whether the draws are written as well.
    **options
        As of `noisefold.tissues.complete_tissue`.

    Raises
    ------
    ValueError
        If the file does not fit the model, or nothing is missing.
    """
    _check_out(Path(reading.source), out, (Path(reading.source).suffix.lower(),))
    tissue = _matching(model, reading)
    check_layers(reading.source, out, tissue.genes)
    known = ~missing.entries(tissue, reading)
    x = tissue.take(tissue.parts()).x
    assert x is not None
    known[torch.from_numpy(tissue.order)] &= ~x.isnan()
    if bool(known.all()):
        raise ValueError(
            f"{reading.source}: nothing is missing; mark it by NaN in x, or name --genes, --region or --time."
        )
    done = complete_tissue(model, tissue, known, keep=keep, patch=reading.patch, **options)
    facts = {**facts, "missing": float((~known).double().mean())}
    write_layers(reading.source, out, done.mean, done.std, facts, draws=done.draws, genes=tissue.genes)
    cells, genes = int((~known).any(1).sum()), int((~known).any(0).sum())
    return f"{int((~known).sum()):,} values of {genes} genes in {cells:,} cells drawn; layers in {out}"


def generate_tissue(model: Model, reading: DataSource, out: Path, count: int, **options: Any) -> str:
    """Generate expression at the positions of an .h5ad file, into a new one; what was done, in words.

    Parameters are those of `fill_tissue`; `count` is the number of draws, one graph for each group and draw.
    """
    _check_out(Path(reading.source), out, (".h5ad", ".npz"))
    tissue = replace(reading, genes=None).tissue(missing=True)
    here, learnt = tissue.pos.shape[1], 0 if model.scaling is None else len(model.scaling.pos_mean)
    if here != learnt:
        raise ValueError(
            f"{reading.source} has {here}-D positions, the model {learnt}-D ones; name others by --pos."
        )
    done = sample_tissue(model, tissue, draws=count, patch=reading.patch, **options)
    assert done.draws is not None
    order = torch.from_numpy(tissue.order)
    frame = tissue.take(tissue.parts())
    made = Graphs.collate([frame.replace(x=draw[order]) for draw in done.draws])
    names = model.feature_names if out.suffix.lower() == ".h5ad" else ()
    return f"{made} in {save(made, out, feature_names=names)}"


def fill_graphs(model: Model, source: str, out: Path, **options: Any) -> str:
    """Complete graphs in a file other than .h5ad; every draw is written as a graph, those of the first first.

    Parameters
    ----------
    model
        The model.
    source
        A file in which coordinates or features, what the model generates, are NaN where they are missing.
    out
        The file to write.
    **options
        As of `Model.complete`.

    Raises
    ------
    ValueError
        If nothing is missing, or the graphs do not fit the model.
    """
    check_target(out)
    _check_out(Path(source), out, (".npz", ".csv", ".ply", ".xyz"))
    graphs = load(source, missing=True)
    value, other = (graphs.pos, graphs.x) if model.variable == "pos" else (graphs.x, graphs.pos)
    name, given = ("coordinates", "features") if model.variable == "pos" else ("features", "coordinates")
    if value is None:
        raise ValueError(f"{source}: the model completes features, and these graphs have none.")
    if other is not None and bool(other.isnan().any()):
        raise ValueError(f"{source}: {given} are NaN, but this model completes {name} alone.")
    known = ~value.isnan()
    if bool(known.all()):
        raise ValueError(f"{source}: nothing is missing; mark {name} to be drawn by NaN.")
    done = model.complete(graphs, known, **options)
    each = [draw[i] for i in range(len(graphs)) for draw in done.draws]
    made = Graphs.collate(each)
    return f"{int((~known).sum()):,} values drawn; {made} in {save(made, out)}"


def provenance(run: Path, command: str, **facts: Any) -> dict[str, Any]:
    """What made a file: the version, the command, the model by name and by the digest of its weights."""
    weights = next(
        (p for p in (run / "model.safetensors", run / "model" / "model.safetensors") if p.is_file()), None
    )
    digest = None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()
    return {"noisefold": __version__, "command": command, "model": str(run), "weights": digest, **facts}


def _matching(model: Model, reading: DataSource) -> Tissue:
    """The tissue with the model's genes, in its order."""
    if model.variable != "x" or not model.feature_names:
        raise ValueError("this model knows no genes; train one on an .h5ad file with noisefold train.")
    path = Path(reading.source)
    if path.is_file():
        try:
            with opened(path) as parts:
                there = parts.rows("raw/var" if reading.x == "raw/X" else "var")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        lacking = [name for name in model.feature_names if name not in set(there)]
        if lacking:
            raise ValueError(
                f"{path}: {len(lacking)} of the model's {len(model.feature_names)} genes are not there, "
                f"{lacking[0]!r} the first{nearest_name(lacking[0], there).rstrip('.')}; genes that were not "
                "measured must be there as columns of NaN."
            )
    tissue = replace(reading, genes=",".join(model.feature_names)).tissue(missing=True)
    transform = model.transform
    if isinstance(transform, Expression) and (transform.values == "counts") != (tissue.kind == "counts"):
        raise ValueError(
            f"{path}: x={reading.x!r} holds {tissue.kind} values, but the model was trained on "
            f"{transform.values}; name the part that holds these by --x."
        )
    return tissue


def _check_out(source: Path, out: Path, endings: tuple[str, ...]) -> None:
    if out.suffix.lower() not in endings:
        raise ValueError(f"{out}: the result of {source.name} must end with {' or '.join(endings)}.")
    if out.is_dir():
        raise FileExistsError(f"{out}: this is a folder; name a file.")
    if source.exists() and out.exists() and source.samefile(out):
        raise ValueError(f"--out {out} is the input itself; name another file.")
    check_folder(out)
