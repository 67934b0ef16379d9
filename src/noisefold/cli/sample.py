"""``noisefold sample``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisefold.cli.lists import names_of
from noisefold.cli.options import SOLVERS, Device, Precision, RunFolder, Seed, Steps, solver_of
from noisefold.cli.output import say

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

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
    guidance: Annotated[float, typer.Option(help="Weight of classifier-free guidance.")] = 1.0,
    steps: Steps = 50,
    solver: Annotated[str | None, typer.Option(help=", ".join(SOLVERS))] = None,
    seed: Seed = 0,
    precision: Precision = "float32",
    like: Annotated[
        str | None, typer.Option(help="File whose positions features are generated on, as .h5ad.")
    ] = None,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(help="Processes that divide the samples.")] = 1,
    part: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Generate graphs from a trained model."""
    from noisefold.cli.frames import frame_of
    from noisefold.data import save
    from noisefold.data.save import check_target
    from noisefold.model import Model
    from noisefold.train.device import resolve_device

    model = Model.from_pretrained(run, device=str(resolve_device(device)))
    frame = None if like is None or not model.variable.positions_given else frame_of(model, run, like, out)
    if frame is None:
        count = 16 if count is None else count
    elif count is None or frame.modality is not None:  # of a whole tissue, so many draws
        count = len(frame) * (1 if count is None else count)
    check_target(out, count, like=frame)
    numbers = range(count) if part is None else range(int(part.split("/")[0]), count, int(part.split("/")[1]))
    how: dict[str, Any] = {"steps": steps, "solver": solver_of(solver), "guidance": guidance}
    labels = names_of(label, model.classes, "--label")
    if devices > 1:
        made = _divided(devices, count)
    else:
        made = model.sample(
            numbers, nodes=nodes, like=frame, labels=labels, seed=seed, precision=precision, **how
        )
    say(f"{made} in {save(made, out)}")


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
            )
            for k, file in enumerate(files)
        ]
        if max(process.wait() for process in running):
            raise OSError("one of the processes failed; its message stands above.")
        parts = [load(file) for file in files]
    return Graphs.collate([parts[i % devices][i // devices] for i in range(count)])
