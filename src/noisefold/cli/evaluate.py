"""``noisefold evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from noisefold.cli.lists import names_of
from noisefold.cli.options import Classes, Constraint, Device, Points, RunFolder, Seed, Steps
from noisefold.cli.output import say

__all__ = ["evaluate"]


def evaluate(
    run: RunFolder,
    data: Annotated[str | None, typer.Argument(help="Held-out data; default what training held out.")] = None,
    draws: Annotated[
        int | None, typer.Option(help="Graphs to generate; default as many as are held out.")
    ] = None,
    points: Points = None,
    classes: Classes = None,
    steps: Steps = None,
    constraint: Constraint = None,
    seed: Seed = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the scores here.")] = None,
    device: Device = "auto",
) -> None:
    """Score a model against data it has not seen, beside the trivial baselines, and keep the scores."""
    from dataclasses import replace

    from noisefold.files import atomic_text, check_out
    from noisefold.model import Model
    from noisefold.runs import Run
    from noisefold.train.device import resolve_device

    if json_file is not None:
        check_out(json_file)
    if data is None and run.is_dir():
        check_out(run, folder=True)
    model, home = Model.from_pretrained(run, device=str(resolve_device(device))), Run(run)
    if data is None:
        train, test = home.data()
        if test is None:
            raise ValueError(f"{run} was trained on all of its data; name held-out DATA.")
    else:
        source = home.reading(data)
        if points is not None or classes is not None:
            source = replace(source, points=points, classes=names_of(classes, option="--classes"))
        train, test = None, source.load(held_out=True)
    scores = model.evaluate(test, train=train, draws=draws, steps=steps, seed=seed, constraint=constraint)
    say(str(scores))
    if data is None:
        home.save_scores(scores)
    if json_file is not None:
        atomic_text(json_file, json.dumps(scores.to_dict(), indent=1))
