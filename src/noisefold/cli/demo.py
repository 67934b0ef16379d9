"""``noisefold demo``: the main job on built-in data, in minutes."""

from __future__ import annotations

import json
import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from noisefold.cli.options import Seed
from noisefold.cli.output import say

__all__ = ["SHIPPED", "demo"]

SHIPPED = "noisefold/shapes"
_SMALL: dict[str, Any] = {"width": 32, "latents": 32, "latent_width": 64, "rounds": 2, "blocks": 1}
_POINTS = 256


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run and the report.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Training steps of the small model.")] = 2000,
    draws: Annotated[int, typer.Option(help="Shapes to generate from each model.")] = 100,
    seed: Seed = 0,
) -> None:
    """Train a small model, generate from it and from the shipped one, score both, write a report."""
    from noisefold.data import save, shapes
    from noisefold.data.source import DataSource
    from noisefold.eval.cloud_scores import score_clouds
    from noisefold.files import atomic_text, check_out
    from noisefold.model import Model
    from noisefold.report import write_report
    from noisefold.runs import Run
    from noisefold.train.lock import run_lock
    from noisefold.train.settings import Training

    check_out(out, folder=True)
    begun = time.perf_counter()
    train, test = shapes(2000, points=_POINTS, seed=0), shapes(2 * draws, points=_POINTS, seed=1)
    say(f"1/4 training a small model on {len(train)} procedural shapes, {steps} steps")
    small, run = Model.for_data(train, **_SMALL), Run(out)
    settings = Training(
        steps=steps,
        batch=16,
        lr=1e-3,
        optimizer="muon",
        seed=seed,
        ema=0.99,
        validate_every=250,
        checkpoint_every=250,
    )
    with run_lock(out):
        run.remember(DataSource("shapes", points=_POINTS), 0.1, seed)
        small.fit(train, test, out=out, resume=True, settings=settings)
    shipped = Model.from_pretrained(SHIPPED)

    say(f"2/4 generating {draws} shapes from it and from the shipped model ({SHIPPED})")
    made = {
        name: model.sample_for(test, draws, nodes=_POINTS, steps=25, seed=seed)
        for name, model in (("model", small), ("shipped", shipped))
    }
    for name, graphs in made.items():
        save(graphs, out / f"{name}.npz")

    say("3/4 scoring both against shapes that neither has seen")
    scores = score_clouds(made, test, train, seed=seed)
    atomic_text(out / "scores.json", json.dumps(scores.to_dict(), indent=1))
    say(str(scores))

    say("4/4 writing the report")
    seconds = f"{time.perf_counter() - begun:.0f} s"
    command = f"noisefold demo --steps {steps} --seed {seed}"
    page = write_report(
        out / "report.html",
        model=small,
        samples=made["model"],
        others={"shipped": made["shipped"]},
        test=test,
        train=train,
        log=run.log(),
        scores=scores,
        facts={**run.facts(), "whole demo": seconds, "command": command},
        seed=seed,
    )
    say(f"report: {page}")
    if sys.stdout.isatty():
        webbrowser.open(page.resolve().as_uri())
