"""``noisefold report``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noisefold.cli.lists import names_of
from noisefold.cli.options import Device, Genes, RunFolder, Seed, Steps
from noisefold.cli.output import say

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = ["report"]

_LEAST = 4_000_000  # bytes of a page: the script that draws its pictures


def report(
    run: RunFolder,
    data: Annotated[str | None, typer.Argument(help="Held-out data; default what training held out.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default report.html in the run folder.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Graphs to generate and score.")] = 100,
    genes: Genes = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write one self-contained page about a model: samples, path, curves, scores."""
    from noisefold.files import check_out
    from noisefold.model import Model
    from noisefold.runs import Run
    from noisefold.train.device import resolve_device

    page = out or (run if run.is_dir() else Path()) / "report.html"
    check_out(page, room=_LEAST)
    model, home = Model.from_pretrained(run, device=str(resolve_device(device))), Run(run)
    train: Graphs | None = None
    test: Graphs | None = None
    if data is not None:
        test = home.reading(data).load(held_out=True)
    else:
        with contextlib.suppress(FileNotFoundError, ValueError):  # then the page shows the model alone
            train, test = home.data()
    model.report(
        page,
        test,
        train,
        scores=home.scores() if data is None else None,
        log=home.log(),
        facts={**home.facts(), "command": f"noisefold report {run} {data or ''}".strip()},
        features=names_of(genes, model.feature_names, "--genes") or (),
        draws=draws,
        steps=steps or 50,
        seed=seed,
    )
    say(f"report: {page}")
