"""Saved models: ``model.safetensors`` and ``config.json`` in a folder."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
import yaml
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from noisefold.configuration import RENAMED_PARTS, __version__
from noisefold.files import atomic_text, staged, sync
from noisefold.tensor_files import atomic_tensors, read_tensors
from noisefold.train.checkpoint import Checkpoints
from noisefold.train.device import is_main

__all__ = ["FORMAT", "PACKAGED", "Pretrained", "folder_of", "read_model", "upgraded", "write_model"]

_PLAN = ("net", "path", "target", "variable", "for_completion", "training")

FORMAT = 3
"""Of the configurations that are written now."""

PACKAGED = {"noisefold/shapes": Path(__file__).parent / "assets" / "shapes"}
"""Models within the package, by name."""


def folder_of(name: str | Path) -> Path | None:
    """Return the folder of a model: a packaged one by name, the folder itself or a run's; else None."""
    folder = PACKAGED.get(str(name), Path(name))
    return next((f for f in (folder, folder / "model") if (f / "config.json").is_file()), None)


def upgraded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's configuration in today's format, from any earlier one.

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
    """Return format 3, which has one summary of the data, and renamed two fields."""
    model = {RENAMED_PARTS.get(k, k): v for k, v in config["model"].items()}
    kept = {name: model.pop(name, []) for name in ("sizes", "classes", "class_weights", "feature_names")}
    scaling = model.pop("scaling", None)
    summary = None if scaling is None else {"kind": "geometry.DataSummary", "scaling": scaling, **kept}
    return {**config, "format": 3, "model": {**model, "summary": summary}}


_UPGRADES: dict[Any, Callable[[Mapping[str, Any]], dict[str, Any]]] = {2: _from_2}


def write_model(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write a model, each file whole or not at all."""
    text = json.dumps(config, indent=1)
    # Both are on the disk before either takes its place; the weights go first, since a config marks a model.
    with staged(folder / "config.json") as part:
        part.write_text(text, encoding="utf-8")
        sync(part)
        atomic_tensors(folder / "model.safetensors", state)


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the configuration and weights of a model.

    Weights may be stored in half precision to save space; they come back in float32, as networks compute.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = read_tensors(folder / "model.safetensors")
    return config, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


class Pretrained(
    ModelHubMixin, library_name="noisefold", tags=["point-clouds", "diffusion", "flow-matching"]
):
    """What a model needs to be saved, loaded and shared: its configuration and its network."""

    net: nn.Module

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return everything but the weights, as plain data."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the untrained model of a configuration."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device."""

    def save_pretrained(
        self, save_directory: str | Path, *, push_to_hub: bool = False, repo_id: str | None = None, **hub: Any
    ) -> str | None:
        """Write ``model.safetensors`` and ``config.json`` into a folder, each whole or not at all.

        Parameters
        ----------
        save_directory
            The folder; a model that is there already is replaced.
        push_to_hub, repo_id, **hub
            Whether to upload it too, under which name, and what else `huggingface_hub` should know.

        Raises
        ------
        ValueError
            If the network was built with something that cannot be written down, such as a function.
        """
        folder = Path(save_directory)
        write_model(folder, self.config(), self.net.state_dict())
        return self.push_to_hub(repo_id or folder.name, **hub) if push_to_hub else None

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name: str | Path, *, download: bool = False, device: str = "cpu", **hub: Any
    ) -> Self:
        """Return a saved model: a folder, a model within the package ("noisefold/shapes"), or one on the hub.

        Parameters
        ----------
        name
            Folder, or name.
        download
            Whether the hub may be asked; nothing is fetched otherwise.
        device
            Where to put the network.
        **hub
            Passed on to `huggingface_hub`, such as ``revision``.

        Raises
        ------
        FileNotFoundError
            If there is no such model here and `download` was not asked for.
        ValueError
            If its files cannot be read.
        """
        folder = folder_of(name)
        if folder is not None:
            return cls._load(folder).to(device)
        if not download:
            raise FileNotFoundError(
                f"{name} holds no model (config.json); give a folder that save_pretrained wrote, "
                f"one of {', '.join(PACKAGED)}, or download=True to ask the hub."
            )
        model: Self = super().from_pretrained(str(name), **hub)
        return model.to(device)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **hub: Any) -> Self:
        from huggingface_hub import snapshot_download

        allowed = {k: v for k, v in hub.items() if k in ("revision", "cache_dir", "force_download", "token")}
        return cls._load(Path(snapshot_download(model_id, **allowed)))

    @classmethod
    def _load(cls, folder: Path) -> Self:
        try:
            config, state = read_model(folder)
            model = cls.from_config(config)
            model.net.load_state_dict(state)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{folder} holds a model that cannot be read: {reason}") from error
        model.net.eval()
        return model

    def _write_plan(self, run: Path | None, finished: bool) -> None:
        """Write the configuration of a training into its run folder, and the model when it is finished."""
        if run is None or not is_main():
            return
        run.mkdir(parents=True, exist_ok=True)
        if finished or not Checkpoints(run / "checkpoints").steps():
            model = self.config()["model"]
            plan = {"noisefold": __version__, **{k: model[k] for k in _PLAN}}
            atomic_text(run / "config.yaml", yaml.safe_dump(plan, sort_keys=False))
        if finished:
            self.save_pretrained(run / "model")
