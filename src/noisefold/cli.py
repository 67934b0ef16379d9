"""The command line.

Exit status 0 done, 1 failed, 2 misuse. What goes wrong is said in one sentence; ``--debug`` shows where.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.console import Console

import noisefold.demo as demonstration
from noisefold import plan as plans
from noisefold.configuration import __version__
from noisefold.data import load, save, shapes
from noisefold.data.outputs import check_target
from noisefold.eval.comparison import score_clouds
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report.page import write_report
from noisefold.runs import data_of, describe, facts_of, log_of, remember_data, trajectory
from noisefold.sample.solver import DDIM, Ancestral, DPMSolver, Euler, Heun, Solver, StochasticHeun
from noisefold.studies import STUDIES
from noisefold.train.checkpoint import Checkpoints, atomic_text
from noisefold.train.device import is_main
from noisefold.train.loop import TrainingError

__all__ = ["app", "main"]

app = typer.Typer(
    name="noisefold",
    help="Learn to generate geometric graphs by diffusion and flow matching.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_SOLVERS: dict[str, Solver] = {
    type(s).__name__.lower(): s for s in (Heun(), Euler(), DPMSolver(), DDIM(), Ancestral(), StochasticHeun())
}
_F = TypeVar("_F", bound=Callable[..., None])
_out = Console()
_errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
_debug = False
_MISUSE = (ValueError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, ImportError)

Data = Annotated[
    str, typer.Argument(help='File, folder or pattern ("shapes/*.ply"), or "shapes" for built-in ones.')
]
Run = Annotated[Path, typer.Argument(help='Run folder, saved model, or "noisefold/shapes".')]
Points = Annotated[int | None, typer.Option(help="Points sampled on each mesh and kept of each cloud.")]
Classes = Annotated[str | None, typer.Option(help="Keep these classes alone, separated by commas.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Steps = Annotated[int, typer.Option(help="Steps of the solver.")]


def _plainly(command: _F) -> _F:
    """Say what went wrong in one sentence, with the right exit status."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            _fail("stopped; what was finished is kept, and `train --resume` goes on from there.", 1)
        except _MISUSE as error:
            _fail(error, 2)
        except (TrainingError, OSError, MemoryError) as error:
            _fail(error, 1)

    return run  # type: ignore[return-value]


def _fail(error: object, status: int) -> None:
    if _debug:
        traceback.print_exc()
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}."
    _errors.print(f"noisefold: {' '.join(text.split())}")
    raise typer.Exit(status)


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
    global _debug
    _debug = _debug or debug


def _load(source: str, points: int | None, classes: str | None, held_out: bool = False) -> Graphs:
    """Data by file, or procedural shapes by name; those for judging are not those for training."""
    chosen = classes.split(",") if classes else None
    if source == "shapes" and not Path(source).exists():
        return shapes(200 if held_out else 2000, points=points or 1024, families=chosen, seed=int(held_out))
    return load(source, points=points, classes=chosen)


def _solver(name: str | None) -> Solver | None:
    """A solver by its name in any case."""
    if name is None:
        return None
    if name.lower() not in _SOLVERS:
        raise ValueError(f"solver {name!r} is unknown; known are {', '.join(_SOLVERS)}.")
    return _SOLVERS[name.lower()]


@app.command()
@_plainly
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run and the report.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Training steps of the small model.")] = 2000,
    draws: Annotated[int, typer.Option(help="Shapes to generate from each model.")] = 100,
    seed: Seed = 0,
) -> None:
    """Train a small model, generate from it and from the shipped one, score both, write a report."""
    demonstration.run(out, steps=steps, draws=draws, seed=seed, show=sys.stdout.isatty(), say=_say)


@app.command()
@_plainly
def inspect(data: Data, points: Points = None, classes: Classes = None) -> None:
    """Say what was understood of the data, and the configuration it suggests."""
    graphs = _load(data, points, classes)
    for name, value in describe(graphs).items():
        _out.print(f"[bold]{name:>10}[/]  {value}", highlight=False, soft_wrap=True)
    _out.print(
        "\n# configuration; save it, change it, and give it to `noisefold train --config`", style="dim"
    )
    _say(yaml.safe_dump(plans.suggest(graphs), sort_keys=False))


@app.command()
@_plainly
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
    hold_out: Annotated[float, typer.Option(help="Share of the graphs kept for validation.")] = 0.1,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    devices: Annotated[int, typer.Option(help="Processes that share each batch, one for each device.")] = 1,
) -> None:
    """Train a model on a data set."""
    graphs = _load(data, points, classes)
    changes = plans.from_options([*(option or []), *([f"training.steps={steps}"] if steps else [])])
    plan = plans.suggest(graphs)
    if config is not None:
        plan = plans.override(plan, plans.read_plan(config))
    plan = plans.override(plan, {"training": {"seed": seed}})
    model, settings = plans.build(plans.override(plan, changes))
    learn, held_out = (
        graphs.split(1 - hold_out, seed=seed) if len(graphs) > 1 and hold_out > 0 else (graphs, None)
    )
    if not resume and Checkpoints(out / "checkpoints").steps():
        raise ValueError(f"{out} already holds a run; give --resume to go on with it, or another --out.")
    if devices > 1 and "RANK" not in os.environ:  # only now, when all that the user could mend is checked
        raise typer.Exit(_several(devices))
    _say(f"{graphs}\n{model}")
    remember_data(out, source=data, points=points, classes=classes, hold_out=hold_out, seed=seed)
    model.fit(learn, held_out, out=out, resume=resume, settings=settings)
    losses = [e["val_loss"] for e in log_of(out) if "val_loss" in e]
    held = f", held-out loss {losses[-1]:.4f}" if losses else ""
    _say(f"{out}: {settings.steps} steps done{held}; next: noisefold report {out}")


@app.command()
@_plainly
def sample(
    run: Run,
    out: Annotated[Path, typer.Option(help="File to write; its ending says the format.")],
    count: Annotated[int, typer.Option("-n", help="How many.")] = 16,
    nodes: Annotated[int | None, typer.Option(help="Nodes of each; default as in training.")] = None,
    label: Annotated[str | None, typer.Option(help="Class, or several separated by commas.")] = None,
    guidance: Annotated[float, typer.Option(help="Weight of classifier-free guidance.")] = 1.0,
    steps: Steps = 50,
    solver: Annotated[str | None, typer.Option(help=", ".join(_SOLVERS))] = None,
    seed: Seed = 0,
) -> None:
    """Generate graphs from a trained model."""
    model = Model.from_pretrained(run)
    check_target(out, count)
    labels = label.split(",") if label else None
    made = model.sample(
        count, nodes=nodes, labels=labels, guidance=guidance, steps=steps, solver=_solver(solver), seed=seed
    )
    _say(f"{made} in {save(made, out)}")


@app.command()
@_plainly
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
    test = _load(data, points, classes, held_out=True)
    scores = model.evaluate(test, draws=draws, steps=steps, seed=seed)
    _say(str(scores))
    if json_file is not None:
        atomic_text(json_file, json.dumps(scores.to_dict(), indent=1))


@app.command()
@_plainly
def report(
    run: Run,
    data: Annotated[str | None, typer.Argument(help="Held-out data; default what training held out.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default report.html in the run folder.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Graphs to generate and score.")] = 100,
    steps: Steps = 50,
    seed: Seed = 0,
) -> None:
    """Write one self-contained page about a model: samples, path, curves, scores."""
    model = Model.from_pretrained(run)
    learnt, test = (None, _load(data, None, None, held_out=True)) if data else data_of(run, _load)
    scores = None
    if test is None:
        samples = model.sample(16, steps=steps, seed=seed)
    else:
        samples = model.sample_for(test, draws, steps=steps, seed=seed)
        scores = score_clouds(samples, test, learnt, seed=seed)
    page = write_report(
        out or (run if run.is_dir() else Path()) / "report.html",
        model=model,
        samples=samples,
        real=test,
        log=log_of(run),
        scores=scores,
        trajectory=trajectory(model, seed=seed),
        facts={**facts_of(run), "command": f"noisefold report {run} {data or ''}".strip()},
    )
    _say(f"report: {page}")


@app.command()
@_plainly
def study(
    name: Annotated[str, typer.Argument(help='A study, or "list".')],
    scale: Annotated[str, typer.Option(help="smoke, short or paper.")] = "smoke",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/studies"),
    seed: Seed = 0,
) -> None:
    """Run one of the studies behind the documentation's tables and figures."""
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
    for path in STUDIES[name].run(out / name, scale, seed):
        _say(str(path))


def main() -> None:
    """Entry point. ``--debug`` may stand anywhere."""
    global _debug
    if "--debug" in sys.argv[1:]:
        _debug = True
        sys.argv = [a for a in sys.argv if a != "--debug"]
    app()
