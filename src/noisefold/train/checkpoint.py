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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["Checkpoint", "Checkpoints", "atomic_text"]

_STAGED = ".staged-"


@dataclass(frozen=True)
class Checkpoint:
    """State of a training at a step: named groups of tensors, and plain data."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    plain: dict[str, Any]


def atomic_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    staged = path.with_name(f"{_STAGED}{path.name}")
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


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
        """Steps of the checkpoints that are named as complete, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and drop the oldest ones.

        Raises
        ------
        OSError
            If it could not be written; nothing older is touched then.
        """
        final = self.folder / str(checkpoint.step)
        staged = self.folder / f"{_STAGED}{checkpoint.step}"
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staged, ignore_errors=True)
        try:
            staged.mkdir()
            self._fill(staged, checkpoint)
            if final.exists():
                shutil.rmtree(final)
            os.replace(staged, final)
            _sync(self.folder)
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / str(step), ignore_errors=True)
        return final

    @staticmethod
    def _fill(folder: Path, checkpoint: Checkpoint) -> None:
        for name, tensors in checkpoint.tensors.items():
            plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
            try:
                save_file(plain, folder / f"{name}.safetensors")
            except Exception as error:  # safetensors hides "no space left" in an error type of its own
                raise OSError(f"{name}.safetensors could not be written to {folder.parent}: {error}") from error
        text = json.dumps({"step": checkpoint.step, **checkpoint.plain}, indent=1)
        (folder / "state.json").write_text(text, encoding="utf-8")
        manifest = {}
        for path in sorted(folder.iterdir()):
            _sync(path)
            manifest[path.name] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
        atomic_text(folder / "manifest.json", json.dumps(manifest, indent=1))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint whose files match its manifest, or None."""
        for step in reversed(self.steps()):
            folder = self.folder / str(step)
            if _complete(folder):
                return _read(folder, step)
        return None


def _read(folder: Path, step: int) -> Checkpoint:
    tensors = {p.stem: load_file(p) for p in sorted(folder.glob("*.safetensors"))}
    plain = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    plain.pop("step")
    return Checkpoint(step, tensors, plain)


def _complete(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return all(
            (folder / name).stat().st_size == entry["bytes"] and _digest(folder / name) == entry["sha256"]
            for name, entry in manifest.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
