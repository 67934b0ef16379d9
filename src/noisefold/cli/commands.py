"""The command line.

Exit status 0 done, 1 failed, 2 misuse. What goes wrong is said in one sentence; ``--debug`` shows where.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

import noisefold.cli.demo as demonstration
from noisefold import plan as plans
from noisefold.cli.completion import Missing, fill_graphs, fill_tissue, generate_tissue, provenance
from noisefold.cli.errors import report_errors, show_tracebacks
from noisefold.cli.options import (
    METHODS,
    SOLVERS,
    Classes,
    Data,
    ForCompletion,
    Genes,
    Group,
    Patch,
    Points,
    Pos,
    Precision,
    Run,
    Seed,
    Steps,
    Time,
    Values,
    method_of,
    solver_of,
)
from noisefold.configuration import __version__
from noisefold.data import save
from noisefold.data.save import check_target
from noisefold.data.source import HELD_OUT, DataSource, Learning
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report import Names, write_report
from noisefold.runs import data_of, describe, facts_of, log_of, reading_of, remember_data
from noisefold.studies import STUDIES
from noisefold.train.checkpoint import Checkpoints, atomic_text
from noisefold.train.device import is_main

__all__ = ["app", "main"]

app = typer.Typer(
    name="noisefold",
    help="Learn to generate geometric graphs by diffusion and flow matching.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_out = Console()


def _several(devices: int) -> int:
    """Run this command line in several processes; the exit status of the worst."""
    # Addresses in numbers, since not every machine resolves its own name.
    here = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command = [sys.executable, "-m", "torch.distributed.run", *here, f"--nproc-per-node={devices}"]
    return subprocess.run([*command, "-m", "noisefold", *sys.argv[1:]], check=False).returncode


def _say(text: str) -> None:
    if is_main():
        _out.print(text, highlight=False, markup=False, soft_wrap=True)


def _version(wanted: bool) -> None:
    if wanted:
        _out.print(f"noisefold {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    if debug:
        show_tracebacks()


def _like_run(run: Path, data: str, points: int | None = None, classes: str | None = None) -> DataSource:
    """Other data, read as those of a run were."""
    noted = reading_of(run)
    if noted is None or not data.lower().endswith(".h5ad"):
        return DataSource(data, points, classes)
    return replace(noted[0], source=data, points=points, classes=classes)


@app.command()
@report_errors
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run and the report.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Training steps of the small model.")] = 2000,
    draws: Annotated[int, typer.Option(help="Shapes to generate from each model.")] = 100,
    seed: Seed = 0,
) -> None:
    """Train a small model, generate from it and from the shipped one, score both, write a report."""
    demonstration.run(out, steps=steps, draws=draws, seed=seed, show=sys.stdout.isatty(), say=_say)


@app.command()
@report_errors
def inspect(
    data: Data,
    points: Points = None,
    classes: Classes = None,
    pos: Pos = None,
    x: Values = "X",
    genes: Genes = None,
    group: Group = None,
    time: Time = None,
    patch: Patch = 200,
    for_completion: ForCompletion = False,
) -> None:
    """Say what was understood of the data, and the configuration it suggests."""
    reading = DataSource(data, points, classes, pos, x, genes, group, time, patch)
    if reading.is_tissue:
        learning = reading.learning(HELD_OUT)
        said = {**reading.tissue().describe(), "learning": f"from {learning.train}"}
    else:
        learning = Learning(reading.graphs(), None)
        said = describe(learning.train)
    for name, value in said.items():
        _out.print(f"[bold]{name:>10}[/]  {value}", highlight=False, soft_wrap=True)
    _out.print(
        "\n# configuration; save it, change it, and give it to `noisefold train --config`", style="dim"
    )
    plan = plans.suggest(learning.train, for_completion, learning.fields)
    _say(yaml.safe_dump(plan, sort_keys=False))


@app.command()
@report_errors
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder.")],
    config: Annotated[Path | None, typer.Option(help="YAML with any part of a configuration.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("-o", help="One entry, such as net.width=128 or training.lr=1e-3.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps; short for -o training.steps=N.")] = None,
    points: Points = None,
    classes: Classes = None,
    hold_out: Annotated[float, typer.Option(help="Share of the graphs kept for validation.")] = HELD_OUT,
    seed: Seed = 0,
    pos: Pos = None,
    x: Values = "X",
    genes: Genes = None,
    group: Group = None,
    time: Time = None,
    patch: Patch = 200,
    for_completion: ForCompletion = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    devices: Annotated[int, typer.Option(help="Processes that share each batch, one for each device.")] = 1,
) -> None:
    """Train a model on a data set."""
    reading = DataSource(data, points, classes, pos, x, genes, group, time, patch)
    learning = reading.learning(hold_out, seed)
    wanted = [{} if config is None else plans.read_plan(config), {"training": {"seed": seed}}]
    wanted += [plans.from_options([*(option or []), *([f"training.steps={steps}"] if steps else [])])]
    plan = plans.suggest(learning.train, for_completion, learning.fields, plans.kind_in(wanted))
    for changes in wanted:
        plan = plans.override(plan, changes)
    model, settings = plans.build(plan, **learning.fitted)
    if not resume and Checkpoints(out / "checkpoints").steps():
        raise ValueError(f"{out} already holds a run; give --resume to go on with it, or another --out.")
    if devices > 1 and "RANK" not in os.environ:  # only now, when all that the user could mend is checked
        raise typer.Exit(_several(devices))
    told = (learning.about, str(learning.train), str(model), plans.tell(plan))
    _say("\n".join(filter(None, told)))
    remember_data(out, **reading.facts(), hold_out=hold_out, seed=seed)
    model.fit(learning.train, learning.judged, out=out, resume=resume, settings=settings)
    losses = [e["val_loss"] for e in log_of(out) if "val_loss" in e]
    held = f", held-out loss {losses[-1]:.4f}" if losses else ""
    _say(f"{out}: {settings.steps} steps done{held}; next: noisefold report {out}")


@app.command()
@report_errors
def sample(
    run: Run,
    out: Annotated[Path, typer.Option(help="File to write; its ending says the format.")],
    count: Annotated[int | None, typer.Option("-n", help="How many; default 16, or 1 of --like.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes of each; default as in training.")] = None,
    label: Annotated[str | None, typer.Option(help="Class, or several separated by commas.")] = None,
    guidance: Annotated[float, typer.Option(help="Weight of classifier-free guidance.")] = 1.0,
    steps: Steps = 50,
    solver: Annotated[str | None, typer.Option(help=", ".join(SOLVERS))] = None,
    seed: Seed = 0,
    precision: Precision = "float32",
    like: Annotated[
        str | None, typer.Option(help="File whose positions features are generated on, as .h5ad.")
    ] = None,
) -> None:
    """Generate graphs from a trained model."""
    model = Model.from_pretrained(run)
    how: dict[str, Any] = {"steps": steps, "solver": solver_of(solver), "guidance": guidance}
    how |= {"seed": seed, "precision": precision}
    if like is not None and model.variable == "x":
        reading = _like_run(run, like)
        if reading.is_tissue:
            _say(generate_tissue(model, reading, out, 1 if count is None else count, **how))
            return
        frame = reading.graphs()
        count = len(frame) if count is None else count
        check_target(out, count)
        _say(f"{(made := model.sample(count, like=frame, labels=label, **how))} in {save(made, out)}")
        return
    count = 16 if count is None else count
    check_target(out, count)
    labels = label.split(",") if label else None
    made = model.sample(count, nodes=nodes, labels=labels, **how)
    _say(f"{made} in {save(made, out)}")


@app.command()
@report_errors
def complete(
    run: Run,
    data: Annotated[str, typer.Argument(help="File in which what is missing is NaN, or named below.")],
    out: Annotated[Path, typer.Option(help="File to write; .h5ad for .h5ad.")],
    draws: Annotated[int, typer.Option(help="Draws from the posterior.")] = 32,
    genes: Annotated[str | None, typer.Option(help="Genes to draw: a,b,c or @file.")] = None,
    region: Annotated[
        str | None, typer.Option(help='Cells to draw: "x>0.2 & y<1", a box "0:1,0:2", "obs/COLUMN=VALUE".')
    ] = None,
    time: Annotated[float | None, typer.Option(help="Time of the cells to draw.")] = None,
    keep_draws: Annotated[bool, typer.Option("--keep-draws", help="Write every draw, too.")] = False,
    method: Annotated[str | None, typer.Option(help=", ".join(METHODS))] = None,
    steps: Steps = 20,
    seed: Seed = 0,
    precision: Precision = "float32",
    pos: Pos = None,
    x: Annotated[str | None, typer.Option("--x", help="Of .h5ad: another part than in training.")] = None,
) -> None:
    """Draw what is missing, given what is there; mean and spread as layers of an .h5ad file."""
    model = Model.from_pretrained(run)
    missing = Missing(genes, region, time)
    asked: dict[str, Any] = {"draws": draws, "steps": steps, "seed": seed, "precision": precision}
    how = {**asked, "method": method_of(method)}
    if not data.lower().endswith(".h5ad"):
        if missing != Missing():
            raise ValueError("--genes, --region and --time are for .h5ad files; mark what is missing by NaN.")
        _say(fill_graphs(model, data, out, **how))
        return
    reading = _like_run(run, data)
    reading = replace(reading, pos=pos or reading.pos, x=x or reading.x)
    line = shlex.join(["noisefold", *sys.argv[1:]])
    facts = provenance(run, line, **asdict(missing), **asked, method=method or "default")
    _say(fill_tissue(model, reading, out, missing, facts, keep=keep_draws, **how))


@app.command()
@report_errors
def evaluate(
    run: Run,
    data: Data,
    draws: Annotated[
        int, typer.Option(help="Graphs to generate, and test graphs they are compared with.")
    ] = 100,
    points: Points = None,
    classes: Classes = None,
    steps: Steps = 50,
    seed: Seed = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the scores here.")] = None,
) -> None:
    """Score a model against held-out data, beside the trivial baselines."""
    model = Model.from_pretrained(run)
    test = _like_run(run, data, points, classes).graphs(held_out=True)
    scores = model.evaluate(test, draws=draws, steps=steps, seed=seed)
    _say(str(scores))
    if json_file is not None:
        atomic_text(json_file, json.dumps(scores.to_dict(), indent=1))


@app.command()
@report_errors
def report(
    run: Run,
    data: Annotated[str | None, typer.Argument(help="Held-out data; default what training held out.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default report.html in the run folder.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Graphs to generate and score.")] = 100,
    genes: Annotated[str | None, typer.Option(help="Genes to show in any case, separated by commas.")] = None,
    steps: Steps = 50,
    seed: Seed = 0,
) -> None:
    """Write one self-contained page about a model: samples, path, curves, scores."""
    model = Model.from_pretrained(run)
    learnt, test = (None, _like_run(run, data).graphs(held_out=True)) if data else data_of(run)
    page = write_report(
        out or (run if run.is_dir() else Path()) / "report.html",
        model=model,
        test=test,
        train=learnt,
        log=log_of(run),
        facts={**facts_of(run), "command": f"noisefold report {run} {data or ''}".strip()},
        names=Names(model.feature_names, time=_time_axis(run, learnt if test is None else test)),
        features=genes.split(",") if genes else (),
        draws=draws,
        steps=steps,
        seed=seed,
    )
    _say(f"report: {page}")


def _time_axis(run: Path, fields: Graphs | None) -> int | None:
    """Which coordinate of the fields of a run is time: the last one, if the run noted a time."""
    noted = reading_of(run)
    return fields.dim - 1 if fields is not None and noted is not None and noted[0].time else None


@app.command()
@report_errors
def study(
    name: Annotated[str, typer.Argument(help='A study, or "list".')],
    source: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Other data, for studies that take them: a name or a file."),
    ] = None,
    scale: Annotated[str, typer.Option(help="smoke, short or paper.")] = "smoke",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/studies"),
    data: Annotated[str | None, typer.Option(help="The same as DATA.")] = None,
    seed: Seed = 0,
) -> None:
    """Run one of the studies behind the documentation's tables and figures; some on data of your own."""
    if name == "list":
        for known, item in STUDIES.items():
            _out.print(
                f"[bold]{known:12}[/] {item.description} [dim]({', '.join(item.scales)})[/]", highlight=False
            )
        return
    if name not in STUDIES:
        raise ValueError(f"study {name!r} is unknown; known are {', '.join(STUDIES)}.")
    if scale not in STUDIES[name].scales:
        raise ValueError(f"study {name} has no scale {scale!r}; it has {', '.join(STUDIES[name].scales)}.")
    if source is not None and data is not None:
        raise ValueError(f"data were named twice, {source!r} and --data {data!r}; name them once.")
    chosen, other = STUDIES[name], source if data is None else data
    if other is not None:
        if chosen.on is None:
            taking = ", ".join(known for known, item in STUDIES.items() if item.on is not None)
            raise ValueError(f"study {name} has its own data and takes no other, got {other!r}; {taking} do.")
        chosen = chosen.on(other)
    for path in chosen.run(out / name, scale, seed):
        _say(str(path))


def main() -> None:
    """Entry point. ``--debug`` may stand anywhere."""
    if "--debug" in sys.argv[1:]:
        show_tracebacks()
        sys.argv = [a for a in sys.argv if a != "--debug"]
    app()
