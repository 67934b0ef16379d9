"""``noisefold train``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from noisefold.cli.options import Data, ForCompletion, Seed
from noisefold.cli.output import in_processes, say
from noisefold.cli.reading import Reading, reads_data

__all__ = ["train"]


@reads_data
def train(
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="Run folder.")],
    config: Annotated[Path | None, typer.Option(help="YAML with any part of a configuration.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("-o", help="One entry, such as net.width=128 or training.lr=1e-3.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps; short for -o training.steps=N.")] = None,
    hold_out: Annotated[float, typer.Option(help="Share of the data kept for validation.")] = 0.1,
    seed: Seed = 0,
    reading: Reading,
    for_completion: ForCompletion = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    device: Annotated[str | None, typer.Option(help="Short for -o training.device=NAME.")] = None,
    devices: Annotated[int, typer.Option(help="Processes that share each batch, one for each device.")] = 1,
) -> None:
    """Train a model on a data set."""
    from noisefold.domains import Request, domain_of, recipe_for
    from noisefold.domains.plan import from_options, read_plan, summarised
    from noisefold.files import check_out
    from noisefold.model import Model
    from noisefold.runs import Run
    from noisefold.train.device import is_main
    from noisefold.train.lock import run_lock

    check_out(out, folder=True)
    source = reading.source(data)
    learned, held = source.divided(hold_out, seed)
    named = {"steps": steps, "device": device}
    short = [f"training.{name}={value}" for name, value in named.items() if value is not None]
    changes = (
        {} if config is None else read_plan(config),
        {"training": {"seed": seed}},
        from_options([*(option or []), *short]),
    )
    recipe = recipe_for(learned, Request(for_completion, seed=seed, changes=changes))
    model, run = Model.of_recipe(recipe), Run(out)
    if not resume and run.begun:
        raise ValueError(f"{out} already holds a run; give --resume to go on with it, or another --out.")
    if devices > 1 and "RANK" not in os.environ:  # only now, when all that the user could mend is checked
        with run_lock(out):
            pass
        raise typer.Exit(in_processes(devices, sys.argv[1:]))
    with run_lock(out, wanted=is_main()):
        say(f"{domain_of(learned, model.variable).name}: {learned}\n{model}\n{summarised(recipe.plan)}")
        run.remember(source, hold_out, seed)
        model.fit(learned, held, out=out, resume=resume)
    losses = [entry["val_loss"] for entry in run.log() if "val_loss" in entry]
    loss = f", held-out loss {losses[-1]:.4f}" if losses else ""
    say(f"{out}: {model.training.steps} steps done{loss}; next: noisefold report {out}")
