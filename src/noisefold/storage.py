"""Saved models: ``model.safetensors`` and ``config.json`` in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from noisefold.train.checkpoint import atomic_tensors, atomic_text

__all__ = ["PACKAGED", "folder_of", "read_model", "write_model"]

PACKAGED = {"noisefold/shapes": Path(__file__).parent / "assets" / "shapes"}
"""Models within the package, by name."""


def folder_of(name: str | Path) -> Path | None:
    """The folder of a model: a packaged one by name, the folder itself, or that of a run; else None."""
    folder = PACKAGED.get(str(name), Path(name))
    return next((f for f in (folder, folder / "model") if (f / "config.json").is_file()), None)


def write_model(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write a model, each file whole or not at all."""
    text = json.dumps(config, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_tensors(folder / "model.safetensors", state)
    atomic_text(folder / "config.json", text)


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a model.

    Weights may be stored in half precision to save space; they come back in float32, as networks compute.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = load_file(folder / "model.safetensors")
    return config, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
