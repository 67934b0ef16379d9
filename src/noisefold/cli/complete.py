"""``noisefold complete``: files with something missing in, files filled in out.

What is missing is NaN in the file, a blank place in a table of tracks, or transparent in a picture. Of a
tissue it may also be named: genes, a region, a time. Where several of these are named, what fits all of them
is missing: these genes in this region at this time. A discrete graph in a file is the known part of one of
more nodes.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisefold.cli.lists import names_of
from noisefold.cli.options import (
    METHODS,
    Constraint,
    Device,
    Genes,
    Mask,
    Pos,
    Precision,
    RunFolder,
    Seed,
    method_of,
)
from noisefold.cli.output import say

if TYPE_CHECKING:
    from noisefold.data.source import DataSource
    from noisefold.data.tissue.missing import Missing
    from noisefold.data.tissue.tissue import Tissue
    from noisefold.model import Model

__all__ = ["complete"]


def complete(
    run: RunFolder,
    data: Annotated[str, typer.Argument(help="File in which what is missing is NaN, or named below.")],
    out: Annotated[
        Path, typer.Option(help="File to write; .h5ad for .h5ad; of pictures a folder, .png or .npz.")
    ],
    draws: Annotated[int, typer.Option(help="Draws from the posterior.")] = 32,
    genes: Genes = None,
    region: Annotated[
        str | None, typer.Option(help='Cells to draw: "x>0.2 & y<1", a box "0:1,0:2", "obs/COLUMN=VALUE".')
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(help="Of discrete graphs: nodes of each whole graph, with those of the file."),
    ] = None,
    time: Annotated[float | None, typer.Option(help="Time whose cells to draw.")] = None,
    method: Annotated[str | None, typer.Option(help=", ".join(METHODS))] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of the solver; default 20, of discrete graphs 50.")
    ] = None,
    constraint: Constraint = None,
    seed: Seed = 0,
    precision: Precision = "float32",
    mask: Mask = None,
    next_stations: Annotated[
        int, typer.Option(help="Of the earth: name so many places whose observation helps most.")
    ] = 0,
    keep_draws: Annotated[bool, typer.Option("--keep-draws", help="Write every draw, too.")] = False,
    pos: Pos = None,
    x: Annotated[
        str | None, typer.Option(help="Of .h5ad: X, layers/NAME; of tables a column; default as in training.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Draw what is missing of a file, given what is there."""
    from dataclasses import asdict, replace

    from noisefold.cli.earth import complete_earth, earth_of
    from noisefold.cli.tracks import completed_tracks, draws_tracks
    from noisefold.data.images.canvas import Canvas
    from noisefold.data.tissue.missing import Missing
    from noisefold.model import Model
    from noisefold.runs import Run
    from noisefold.runs.provenance import provenance
    from noisefold.sample import default_steps
    from noisefold.train.device import resolve_device

    model = Model.from_pretrained(run, device=str(resolve_device(device)))
    missing = Missing(names_of(genes, model.feature_names, "--genes"), region, time)
    discrete = model.variable.scaffolds
    steps = steps or default_steps(model.path, 50 if discrete else 20)
    asked: dict[str, Any] = {"draws": draws, "steps": steps, "seed": seed, "precision": precision}
    how = {**asked, "method": method_of(method), "constraint": constraint}
    if nodes is not None and not discrete:
        raise ValueError(
            f"--nodes is for models of discrete graphs; this one generates {model.variable.noun}."
        )
    if model.summary is not None and isinstance(model.summary.frames, Canvas):
        from noisefold.cli.pictures import completed_pictures

        if missing != Missing():
            raise ValueError(
                "--genes, --region and --time are for .h5ad files; name what is missing by --mask."
            )
        say(completed_pictures(model, Path(data), None if mask is None else Path(mask), out, **how))
        return
    if draws_tracks(model, Path(data)):
        if missing != Missing() or mask is not None or next_stations:
            raise ValueError(
                "--genes, --region, --time, --mask and --next-stations are not for tracks; leave the place "
                "blank in the rows to be drawn."
            )
        say(completed_tracks(model, Path(data), out, **how))
        return
    earth = None if data.lower().endswith(".h5ad") else earth_of(run, data, mask)
    if earth is None and (mask is not None or next_stations):
        raise ValueError(
            "--mask is for pictures and data of the earth, --next-stations for the latter alone."
        )
    if earth is not None and missing == Missing():
        say(complete_earth(model, run, earth, data, out, next_stations, **how))
        return
    source = Run(run).reading(data)
    source = replace(source, pos=names_of(pos, option="--pos") or source.pos, x=x or source.x)
    if not data.lower().endswith(".h5ad"):
        if missing != Missing():
            raise ValueError("--genes, --region and --time are for .h5ad files; mark what is missing by NaN.")
        whole = replace(source, points=None)
        say(_scaffolds(model, whole, out, nodes, **how) if discrete else _graphs(model, whole, out, **how))
        return
    line = shlex.join(["noisefold", *sys.argv[1:]])
    facts = provenance(run, line, **asdict(missing), **asked, method=method or "default")
    say(_tissue(model, source, out, missing, facts, keep=keep_draws, **how))


def _tissue(
    model: Model, source: DataSource, out: Path, missing: Missing, facts: dict[str, Any], **how: Any
) -> str:
    """Complete an .h5ad file; what was done, in words."""
    import torch

    from noisefold.data import write_layers
    from noisefold.data.tissue.layers import check_layers
    from noisefold.files import check_out

    given = Path(source.source)
    check_out(out, endings=(given.suffix.lower(),), source=given, folder=given.is_dir())
    tissue = _matching(model, source)
    check_layers(source.source, out, tissue.genes, how["draws"] if how["keep"] else 0)
    graphs = tissue.graphs()
    assert graphs.x is not None
    known = ~missing.entries(tissue, source.source)[torch.from_numpy(tissue.order)] & ~graphs.x.isnan()
    if bool(known.all()):
        raise ValueError(
            f"{source.source}: nothing is missing; mark it by NaN in x, or name --genes, --region or --time."
        )
    done = model.complete(graphs, known, **how)
    drawn = torch.full_like(done.mean, torch.nan) if len(done) < 2 else done.std
    std = drawn.masked_fill(known, 0.0)
    facts = {**facts, "missing": float((~known).double().mean())}
    draws = done.kept
    write_layers(
        source.source, out, done.mean, std, facts, draws=draws, genes=tissue.genes, rows=tissue.order
    )
    cells, genes = int((~known).any(1).sum()), int((~known).any(0).sum())
    return f"{int((~known).sum()):,} values of {genes} genes in {cells:,} cells drawn; layers in {out}"


def _matching(model: Model, source: DataSource) -> Tissue:
    """The tissue with the model's genes, in its order."""
    from noisefold.data.tissue.expression import Expression

    if not model.variable.positions_given or not model.feature_names:
        raise ValueError("this model knows no genes; train one on an .h5ad file with noisefold train.")
    tissue = source.tissue(missing=True, genes=model.feature_names)
    transform = model.transform
    if isinstance(transform, Expression) and (transform.values == "counts") != (tissue.kind == "counts"):
        raise ValueError(
            f"{source.source}: x={source.x!r} holds {tissue.kind} values, but the model was trained on "
            f"{transform.values}; name the part that holds these by --x."
        )
    return tissue


def _graphs(model: Model, source: DataSource, out: Path, **how: Any) -> str:
    """Complete graphs in another file; every draw is written as a graph, those of the first graph first."""
    from noisefold.data import save
    from noisefold.data.save import check_target
    from noisefold.files import check_out
    from noisefold.geometry.graphs import Graphs

    file = source.source
    check_target(out)
    check_out(out, endings=(".npz", ".csv", ".tsv", ".parquet", ".ply", ".pcd", ".xyz"), source=Path(file))
    graphs, variable = source.load(missing=True), model.variable
    try:
        value = variable.read(graphs)
        variable.check_given(graphs)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    known = ~value.isnan()
    if bool(known.all()):
        raise ValueError(f"{file}: nothing is missing; mark {variable.noun} to be drawn by NaN.")
    done = model.complete(graphs, known, **how)
    made = Graphs.collate([draw[i] for i in range(len(graphs)) for draw in done.draws])
    return f"{int((~known).sum()):,} values drawn; {made} in {save(made, out)}"


def _scaffolds(model: Model, source: DataSource, out: Path, nodes: int | None, **how: Any) -> str:
    """Extend discrete graphs in a file; draws are written as those of other graphs."""
    from noisefold.data import save
    from noisefold.data.save import check_target
    from noisefold.files import check_out
    from noisefold.geometry.graphs import Graphs
    from noisefold.sample import extended

    check_target(out)
    check_out(out, source=Path(source.source))
    graphs = source.load()
    if nodes is None:
        raise ValueError(
            f"{source.source}: name the nodes of each whole graph by --nodes; those in the file are known."
        )
    whole, known = extended(graphs, nodes)
    check_target(out, len(graphs) * how["draws"], like=model.prepared(whole))
    done = model.complete(whole, known, **how)
    made = Graphs.collate([draw[i] for i in range(len(graphs)) for draw in done.draws])
    return f"{int((~known).sum()):,} nodes drawn, {len(done)} times; {made} in {save(made, out)}"
