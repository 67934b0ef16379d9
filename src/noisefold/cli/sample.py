"""``noisefold sample``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisefold.cli.lists import names_of
from noisefold.cli.options import (
    SOLVERS,
    Constraint,
    Device,
    GridName,
    Precision,
    RunFolder,
    Seed,
    Steps,
    grid_of,
    interval_of,
    numbers_of,
    solver_of,
)
from noisefold.cli.output import say

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs
    from noisefold.model import Model

__all__ = ["sample"]


def sample(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="File to write; its ending says the format.")],
    count: Annotated[
        int | None, typer.Option("-n", help="How many; default 16, or as many as --like.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes of each; default as in training.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Class; repeat the option or separate by commas for several.")
    ] = None,
    property_: Annotated[
        list[str] | None,
        typer.Option("--property", help="NAME=NUMBER to condition on; repeat it for several."),
    ] = None,
    guidance: Annotated[float, typer.Option(help="Weight of classifier-free guidance.")] = 1.0,
    steps: Steps = None,
    solver: Annotated[str | None, typer.Option(help=", ".join(SOLVERS))] = None,
    grid: GridName = None,
    constraint: Constraint = None,
    guidance_interval: Annotated[
        str | None, typer.Option(help='Log-SNR at which guidance counts, such as "-4:3"; default everywhere.')
    ] = None,
    seed: Seed = 0,
    precision: Precision = "float32",
    like: Annotated[
        str | None,
        typer.Option(help="File whose graphs give the sizes, and the positions if features are generated."),
    ] = None,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(help="Processes that divide the samples.")] = 1,
    part: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Generate graphs from a trained model."""
    from noisefold.cli.frames import frame_of
    from noisefold.data import save
    from noisefold.data.earth.together import on_earth
    from noisefold.data.save import check_target
    from noisefold.model import Model
    from noisefold.train.device import resolve_device

    if out.suffix.lower() not in ("", ".png"):  # for images, which only the model tells
        check_target(out, count or 1)
    model = Model.from_pretrained(run, device=str(resolve_device(device)))
    frame = None if like is None else frame_of(model, run, like, out)
    if frame is None:
        count = 16 if count is None else count
    elif on_earth(frame):
        count = len(frame) * (16 if count is None else count)
    elif count is None or frame.modality is not None:  # of a whole tissue, so many draws
        count = len(frame) * (1 if count is None else count)
    check_target(out, count, like=_form(model, frame), numbers=_numbers(model, frame, count, nodes))
    numbers = range(count) if part is None else range(int(part.split("/")[0]), count, int(part.split("/")[1]))
    how: dict[str, Any] = {"steps": steps, "solver": solver_of(solver), "guidance": guidance}
    how |= {"grid": grid_of(grid), "constraint": constraint}
    how |= {"guidance_interval": interval_of(guidance_interval), "properties": numbers_of(property_)}
    labels = names_of(label, model.classes, "--label")
    if devices > 1:
        made = _divided(devices, count)
        if model.summary is not None and model.summary.frames is not None:
            made = made.replace(modality=model.summary.frames([0.0]).modality)
    else:
        made = model.sample(
            numbers, nodes=nodes, like=frame, labels=labels, seed=seed, precision=precision, **how
        )
    # Of a part of the samples every digit is kept, which pictures do not hold.
    say(f"{made} in {save(made if part is None else made.replace(modality=None), out)}")


def _form(model: Model, frame: Graphs | None) -> Graphs | None:
    """Graphs with the fields of those that will be written, if they are known beforehand."""
    import torch

    from noisefold.geometry.graphs import Graphs

    if frame is None and model.summary is not None and model.summary.frames is not None:
        return model.variable.blank(model.summary.frames([0.0]), model.summary)
    if model.summary is None or not model.variable.scaffolds:
        return frame
    return model.variable.blank(Graphs(torch.zeros(1, 0)), model.summary)


def _numbers(model: Model, frame: Graphs | None, count: int, nodes: int | None) -> int:
    """How many numbers are drawn at least."""
    if frame is not None:
        return frame.num_nodes * max(1, len(model.feature_names))
    sizes = () if model.summary is None else model.summary.sizes
    each = nodes or min(sizes, default=1)
    return count * each * (1 if model.summary is None else model.summary.dim)


def _divided(devices: int, count: int) -> Graphs:
    """Samples drawn in several processes, which are the same as those of one."""
    from noisefold.data import load
    from noisefold.geometry.graphs import Graphs

    words = sys.argv[1:]
    at = next(i for i, word in enumerate(words) if word == "--devices" or word.startswith("--devices="))
    words = words[:at] + words[at + (1 if "=" in words[at] else 2) :]
    devices = min(devices, count)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{k}.npz" for k in range(devices)]
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "noisefold", *words, "--part", f"{k}/{devices}", "--out", str(file)],
                stdout=subprocess.DEVNULL,
                # Ctrl-C is for this process alone, which then stops the others.
                process_group=0 if os.name == "posix" else None,
            )
            for k, file in enumerate(files)
        ]
        try:
            if max(process.wait() for process in running):
                raise OSError("one of the processes failed; its message stands above.")
        finally:
            for process in running:
                process.kill()
                process.wait()
        parts = [load(file) for file in files]
    return Graphs.collate([parts[i % devices][i // devices] for i in range(count)])
