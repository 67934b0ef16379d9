"""Saved models: ``model.safetensors`` and ``config.json`` in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from noisefold.train.checkpoint import atomic_tensors, atomic_text

__all__ = ["FORMAT", "PACKAGED", "folder_of", "read_model", "upgraded", "write_model"]

FORMAT = 3
"""Of the configurations that are written now."""

PACKAGED = {"noisefold/shapes": Path(__file__).parent / "assets" / "shapes"}
"""Models within the package, by name."""


def folder_of(name: str | Path) -> Path | None:
    """The folder of a model: a packaged one by name, the folder itself, or that of a run; else None."""
    folder = PACKAGED.get(str(name), Path(name))
    return next((f for f in (folder, folder / "model") if (f / "config.json").is_file()), None)


def upgraded(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a model in today's format, whichever earlier one it was written in.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    now = dict(config)
    while (number := now.get("format")) != FORMAT:
        if number not in _UPGRADES:
            raise ValueError(f"the model has format {number!r}, this noisefold reads 2 to {FORMAT}.")
        now = _UPGRADES[number](now)
    return now


def _from_2(config: Mapping[str, Any]) -> dict[str, Any]:
    """Format 3 names the generated variable and models for completion in other words."""
    names = {"noised": "variable", "informed": "for_completion"}
    return {**config, "format": 3, "model": {names.get(k, k): v for k, v in config["model"].items()}}


_UPGRADES: dict[Any, Callable[[Mapping[str, Any]], dict[str, Any]]] = {2: _from_2}


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
