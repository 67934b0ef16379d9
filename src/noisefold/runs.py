"""What a run folder says about itself."""

from __future__ import annotations

import json
import platform
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml

from noisefold.configuration import __version__
from noisefold.data.source import DataSource
from noisefold.geometry.graphs import Graphs
from noisefold.train.checkpoint import Checkpoints, atomic_text
from noisefold.train.device import is_main
from noisefold.train.log import read_log

__all__ = [
    "data_of",
    "describe",
    "facts_of",
    "log_of",
    "machine",
    "reading_of",
    "remember_data",
]


def describe(graphs: Graphs) -> dict[str, str]:
    """What a data set holds, in words."""
    sizes = graphs.sizes
    centre = graphs.pos.mean(0)
    out = {
        "graphs": str(len(graphs)),
        "nodes": str(
            graphs.uniform or f"{int(sizes.min())} to {int(sizes.max())}, median {int(sizes.median())}"
        ),
        "positions": f"{graphs.dim}-D, from {_list(graphs.pos.amin(0))} to {_list(graphs.pos.amax(0))}, "
        f"mean {_list(centre)}, standard deviation {float((graphs.pos - centre).square().mean().sqrt()):.4g}",
        "features": str(graphs.features or "none"),
    }
    if graphs.label is not None:
        count = torch.bincount(graphs.label, minlength=len(graphs.classes)).tolist()
        names = graphs.classes or [str(i) for i in range(len(count))]
        out["classes"] = ", ".join(f"{n} {c}" for n, c in zip(names, count, strict=True))
    variable = "features, given the positions" if graphs.features else "positions"
    out["generates"] = f"{variable}; standardised for training and given back in the data's units"
    return out


def _list(values: torch.Tensor) -> str:
    return "(" + ", ".join(f"{v:.3g}" for v in values.tolist()) + ")"


def remember_data(run: Path, **facts: Any) -> None:
    """Note where the data of a run came from; a run that has begun keeps the note it has."""
    if not is_main() or Checkpoints(run / "checkpoints").steps():
        return
    run.mkdir(parents=True, exist_ok=True)
    atomic_text(run / "data.json", json.dumps(facts, indent=1))


def reading_of(run: Path) -> tuple[DataSource, dict[str, Any]] | None:
    """How the data of a run, or of the run that a saved model is in, were read, and the whole note."""
    note = next((p for p in (run / "data.json", run.parent / "data.json") if p.is_file()), None)
    if note is None:
        return None
    facts = json.loads(note.read_text(encoding="utf-8"))
    return DataSource(**{f.name: facts[f.name] for f in fields(DataSource) if f.name in facts}), facts


def data_of(run: Path) -> tuple[Graphs | None, Graphs | None]:
    """Training and held-out graphs of a run, if it noted them and they are still there."""
    noted = reading_of(run)
    if noted is None:
        return None, None
    reading, facts = noted
    try:
        learning = reading.learning(facts["hold_out"], facts["seed"])
    except (FileNotFoundError, ValueError):
        return None, None
    return learning.train, learning.val


def log_of(run: Path) -> list[dict[str, Any]]:
    """The training log of a run, empty if there is none."""
    return read_log(run / "metrics.jsonl")


def facts_of(run: Path) -> dict[str, str]:
    """How long, on what and with what a run was trained."""
    log = log_of(run)
    steps = [e for e in log if "loss" in e]
    facts = {}
    if steps:
        facts["training"] = f"{steps[-1]['step']:,} steps in {steps[-1]['seconds']:,.0f} s"
    if (run / "config.yaml").is_file():
        settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["training"]
        facts["settings"] = ", ".join(
            f"{k} {settings[k]}" for k in ("batch", "nodes", "lr", "ema", "precision")
        )
    return {**facts, **machine()}


def machine() -> dict[str, str]:
    """Device and software of this process."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "device": f"{device}, {torch.get_num_threads()} threads",
        "software": f"noisefold {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    }
