"""Atomic checkpoints.

A checkpoint is a folder ``checkpoints/STEP``: tensors in safetensors files, everything else in JSON, nothing
pickled. It is staged under another name, its manifest (sizes and SHA-256 of every file) is written last, and
the folder is renamed whole, so that what carries the name of a step is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisefold.files import STAGED, atomic_text, sync
from noisefold.tensor_files import read_tensors, write_tensors

__all__ = ["Checkpoint", "Checkpoints"]


@dataclass(frozen=True)
class Checkpoint:
    """State of a training at a step: named groups of tensors, and plain data."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    plain: dict[str, Any]

    @property
    def finite(self) -> bool:
        """Whether no tensor holds a NaN or an infinity."""
        tensors = (v for group in self.tensors.values() for v in group.values())
        flags = [v.isfinite().all() for v in tensors if v.is_floating_point()]
        # Scalars of an optimiser may live on another device than the weights; one wait for each device.
        devices = {flag.device for flag in flags}
        return all(bool(torch.stack([f for f in flags if f.device == d]).all()) for d in devices)


class Checkpoints:
    """The checkpoints of a run.

    Parameters
    ----------
    folder
        Holds one folder per step.
    keep
        How many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints that are named as complete, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdecimal())

    def tidy(self) -> None:
        """Remove what a killed process left half-written."""
        if self.folder.is_dir():
            for left in self.folder.glob(f"{STAGED}*"):
                shutil.rmtree(left, ignore_errors=True)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and drop the oldest ones.

        A sound checkpoint of the same step is left as it is: it holds the same state, since a training is a
        function of its settings and the step. So nothing sound is ever removed before its successor is there.

        Raises
        ------
        OSError
            If it could not be written; nothing older is touched then.
        """
        final = self.folder / str(checkpoint.step)
        if _complete(final):
            return final
        part = self.folder / f"{STAGED}{checkpoint.step}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            _fill(part, checkpoint)
            if final.exists():
                shutil.rmtree(final)
            os.replace(part, final)
            sync(self.folder)
        except OSError as error:
            raise OSError(
                f"checkpoint {checkpoint.step} could not be written to {self.folder} ({error}); older ones "
                f"are kept, so make room there and resume."
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        for step in [s for s in self.steps() if s <= checkpoint.step][: -self.keep]:
            shutil.rmtree(self.folder / str(step), ignore_errors=True)
        return final

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose files match its manifest, or None if there are none at all.

        Warns if a newer one had to be passed over.

        Raises
        ------
        ValueError
            If there are checkpoints, and every one of them is damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            if _complete(self.folder / str(step)):
                if step != steps[-1]:
                    warnings.warn(
                        f"checkpoint {steps[-1]} in {self.folder} is damaged; {step} is taken instead.",
                        stacklevel=2,
                    )
                return _read(self.folder / str(step), step)
        if steps:
            raise ValueError(
                f"every checkpoint in {self.folder} is damaged ({', '.join(map(str, steps))}); "
                f"restore one of them, or remove the folder to start anew."
            )
        return None


def _fill(folder: Path, checkpoint: Checkpoint) -> None:
    for name, tensors in checkpoint.tensors.items():
        write_tensors(folder / f"{name}.safetensors", tensors)
    text = json.dumps({"step": checkpoint.step, **checkpoint.plain}, indent=1)
    (folder / "state.json").write_text(text, encoding="utf-8")
    manifest = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        manifest[path.name] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
    atomic_text(folder / "manifest.json", json.dumps(manifest, indent=1))


def _read(folder: Path, step: int) -> Checkpoint:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    paths = [folder / name for name in manifest if name.endswith(".safetensors")]
    tensors = {p.stem: read_tensors(p) for p in paths}
    plain = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    plain.pop("step")
    return Checkpoint(step, tensors, plain)


def _complete(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return "state.json" in manifest and all(
            (folder / name).stat().st_size == entry["bytes"] and _digest(folder / name) == entry["sha256"]
            for name, entry in manifest.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
