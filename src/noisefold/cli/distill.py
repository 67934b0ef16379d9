"""``noisefold distill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noisefold.cli.options import RunFolder
from noisefold.cli.output import say

__all__ = ["distill"]


def distill(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Run folder of the new model.")],
    data: Annotated[str | None, typer.Argument(help="Training data; default those of the run.")] = None,
    steps: Annotated[int, typer.Option(help="Steps that the new model samples in.")] = 4,
    substeps: Annotated[int, typer.Option(help="Steps of the run's model within each of them.")] = 2,
    guidance: Annotated[float, typer.Option(help="Weight of the classes that is built in.")] = 1.0,
    option: Annotated[
        list[str] | None, typer.Option("-o", help="One entry of the training, such as training.steps=500.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    device: Annotated[str | None, typer.Option(help="Short for -o training.device=NAME.")] = None,
) -> None:
    """Distil a trained model into one that samples in a few steps."""
    from noisefold.configuration import decode, encode
    from noisefold.data.source import HELD_OUT
    from noisefold.distillation import distill as distilled
    from noisefold.distillation import student_training
    from noisefold.domains.plan import from_options, override
    from noisefold.files import check_out
    from noisefold.model import Model
    from noisefold.runs import Run

    check_out(out, folder=True)
    home, new = Run(run), Run(out)
    if not resume and new.begun:
        raise ValueError(f"{out} already holds a run; give --resume to go on with it, or another --out.")
    teacher = Model.from_pretrained(run)
    short = [] if device is None else [f"training.device={device}"]
    changes = from_options([*(option or []), *short])
    if foreign := sorted(set(changes) - {"training"}):
        raise ValueError(f"option {foreign[0]!r} cannot change: the model begins as the run's; see training.")
    plan = override({"training": encode(student_training(teacher.training))}, changes)
    if data is None:
        learned, held = home.data()
    else:
        source = home.reading(data)
        learned, held = source.divided(HELD_OUT, 0)
        new.remember(source, HELD_OUT, 0)
    distilled(
        teacher,
        learned,
        held,
        steps=steps,
        substeps=substeps,
        guidance=guidance,
        out=out,
        resume=resume,
        settings=decode(plan["training"]),
    )
    new.inherit(home)
    say(f"{out}: samples in {steps} steps; next: noisefold sample {out} -n 16 --out new.npz")
