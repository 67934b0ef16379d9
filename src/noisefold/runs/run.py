"""A run folder: configuration, note on the data, log, scores, checkpoints and the model."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from noisefold.configuration import __version__
from noisefold.data.source import DataSource
from noisefold.eval.score_table import Scores
from noisefold.files import atomic_text
from noisefold.geometry.graphs import Graphs
from noisefold.train.checkpoint import Checkpoints
from noisefold.train.device import is_main
from noisefold.train.log import read_log

__all__ = ["Run", "machine"]


@dataclass(frozen=True)
class Run:
    """A run, or the folder of a saved model, which may lie in one.

    Parameters
    ----------
    folder
        The folder.
    """

    folder: Path

    @property
    def begun(self) -> bool:
        """Whether it has a checkpoint."""
        return bool(Checkpoints(self.folder / "checkpoints").steps())

    def remember(self, source: DataSource, hold_out: float, seed: int) -> None:
        """Note where the data came from and what was held out; a run that has begun keeps its note."""
        if not is_main() or self.begun:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {**source.facts(), "hold_out": hold_out, "seed": seed}
        atomic_text(self.folder / "data.json", json.dumps(facts, indent=1))

    def inherit(self, other: Run) -> None:
        """Note the data of another run, which this one was made from, unless it has a note of its own."""
        if is_main() and self._note() is None and (facts := other._note()) is not None:
            atomic_text(self.folder / "data.json", json.dumps(facts, indent=1))

    def _note(self) -> dict[str, Any] | None:
        note = next((p for f in (self.folder, self.folder.parent) if (p := f / "data.json").is_file()), None)
        if note is None:
            return None
        facts: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return facts

    def source(self) -> DataSource | None:
        """Return where its data came from, if it noted that."""
        note = self._note()
        return None if note is None else DataSource.of_facts(note)

    def reading(self, data: str) -> DataSource:
        """Return other data, read as its own were."""
        own = self.source()
        return DataSource(data) if own is None else own.of(data)

    def data(self) -> tuple[Graphs, Graphs | None]:
        """Return its training and held-out data, read again.

        Raises
        ------
        FileNotFoundError
            If it did not note them, or they are no longer there.
        ValueError
            If they can no longer be read.
        """
        note = self._note()
        if note is None:
            raise FileNotFoundError(f"{self.folder} does not say what it was trained on; name DATA.")
        return DataSource.of_facts(note).divided(note["hold_out"], note["seed"])

    def log(self) -> list[dict[str, Any]]:
        """Return its training log, empty if there is none."""
        return read_log(self.folder / "metrics.jsonl")

    def scores(self) -> Scores | None:
        """Return its scores, if it was evaluated."""
        path = self.folder / "scores.json"
        return Scores.from_dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def save_scores(self, scores: Scores) -> None:
        """Keep its scores."""
        if self.folder.is_dir():
            atomic_text(self.folder / "scores.json", json.dumps(scores.to_dict(), indent=1))

    def facts(self) -> dict[str, str]:
        """Return how long, on what and with what it was trained."""
        steps = [entry for entry in self.log() if "loss" in entry]
        facts = {}
        if steps:
            facts["training"] = f"{steps[-1]['step']:,} steps in {steps[-1]['seconds']:,.0f} s"
        path = self.folder / "config.yaml"
        if path.is_file():
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))["training"]
            named = ("batch", "nodes", "lr", "ema", "precision")
            facts["settings"] = ", ".join(f"{k} {settings[k]}" for k in named)
        return {**facts, **machine()}


def machine() -> dict[str, str]:
    """Return device and software of this process."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "device": f"{device}, {torch.get_num_threads()} threads",
        "software": f"noisefold {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    }
