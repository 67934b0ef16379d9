"""What makes two trainings the same run, so that one may resume the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.configuration import encode, modern
from noisefold.geometry.chunks import node_chunks
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser
from noisefold.train.settings import Training

__all__ = ["check_same_run", "run_identity", "weights_digest"]

_FREE = ("steps", "device", "keep", "log_every", "validate_every", "checkpoint_every", "tensorboard")
_ROWS = 1 << 20  # of a tensor that are read together
_DIGESTS = {"data": "on other data", "network": "of a network with other weights"}


def run_identity(
    denoiser: Denoiser[Any, Any], data: Graphs, settings: Training, transform: Transform | None = None
) -> dict[str, Any]:
    """Return what must not change between the parts of one run, as plain data.

    The number of steps, the device and the bookkeeping may change.
    """
    shapes = {k: list(v.shape) for k, v in denoiser.net.state_dict().items()}
    return {
        "settings": {k: v for k, v in encode(settings).items() if k not in _FREE},
        "path": encode(denoiser.path),
        "target": encode(denoiser.target),
        "variable": denoiser.variable.name,
        "for_completion": denoiser.for_completion,
        "net": _configuration(denoiser.net),
        "network": hashlib.sha256(json.dumps(shapes).encode()).hexdigest(),
        "data": _digest(data, transform),
    }


def check_same_run(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to resume another run.

    Entries that only one side has, such as those of another version, are not compared.

    Raises
    ------
    ValueError
        If anything differs; the message names the first difference.
    """
    for name, before, after in _differences(modern(saved), now):
        values = f"with {name} = {json.dumps(before)}, and this one has {json.dumps(after)}"
        what = _DIGESTS.get(name, values)
        raise ValueError(f"{folder} holds a run {what}; go on as it began, or choose another folder.")


def _differences(
    saved: Mapping[str, Any], now: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for key in [k for k in saved if k in now]:
        before, after, name = saved[key], now[key], f"{above}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, f"{name}.")
        elif before != after:
            yield name, before, after


def _configuration(net: nn.Module) -> Any:
    try:
        return encode(net)
    except ValueError:  # a network, or a part of one, that has no configuration
        return type(net).__name__


def _digest(data: Graphs, transform: Transform | None) -> str:
    """Return a digest of the transformed data, read piece by piece."""
    digest = hashlib.sha256()
    for name in ("pos", "x"):
        for chunk in node_chunks(data) if getattr(data, name) is not None else ():
            _update(digest, getattr(chunk if transform is None else transform.apply(chunk), name))
    for tensor in (data.ptr, data.label, data.mask):
        _update(digest, tensor)
    if data.edge_index is not None:
        for end in data.edge_index:
            _update(digest, end)
    _update(digest, data.edge_attr)
    return digest.hexdigest()


def weights_digest(net: nn.Module) -> str:
    """Return a digest of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        _update(digest, tensor)
    return digest.hexdigest()


def _update(digest: Any, tensor: Tensor | None) -> None:
    if tensor is not None:
        for part in tensor.split(_ROWS) if tensor.ndim else [tensor]:
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
