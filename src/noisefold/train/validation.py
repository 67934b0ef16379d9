"""The loss on held-out graphs."""

from __future__ import annotations

from typing import Any

import torch

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.source import derive_seed
from noisefold.train.batches import Batches
from noisefold.train.objective import batch_loss
from noisefold.train.settings import Training

__all__ = ["repeated", "validate"]

_LEVELS = 10
_LEAST, _MOST = 24, 512


def repeated(val: Graphs) -> Graphs:
    """Return held-out graphs, again and again if they are few.

    Each stands at one noise level, and of a few levels a mean says little.
    """
    return val if len(val) >= _LEAST else val[[i % len(val) for i in range(_LEAST)]]


@torch.no_grad()
def validate(
    denoiser: Denoiser[Any, Any],
    val: Graphs,
    settings: Training,
    device: torch.device,
    transform: Transform | None = None,
) -> dict[str, Any]:
    """Return the loss on held-out graphs, in all and by signal level (ten equal parts of [0, 1]).

    At most 512 graphs, each at one noise level. Graphs, levels and noise are the same at every call, whatever
    the batch. The network is left in evaluation mode.
    """
    denoiser.net.eval()
    count = min(len(val), _MOST)
    seed = derive_seed(settings.seed, 77)
    batches = Batches(val, count, seed, settings.nodes, transform=transform)
    losses, levels = [], []
    for start in range(0, count, settings.batch):
        torch.manual_seed(derive_seed(seed, start))
        batch = batches.part(0, range(start, min(start + settings.batch, count)))
        graphs = batch.graphs.to(device)
        how = (settings.coupling, None, settings.masks)
        loss, t = batch_loss(denoiser, graphs, batch.streams, batch.quantiles, *how)
        losses.append(loss.cpu())
        levels.append(denoiser.path.signal(t).cpu())
    loss, level = torch.cat(losses), torch.cat(levels)
    bins = (level * _LEVELS).long().clamp(max=_LEVELS - 1)
    by_level = [float(loss[bins == b].mean()) if bool((bins == b).any()) else None for b in range(_LEVELS)]
    return {"val_loss": float(loss.mean()), "val_loss_by_signal": by_level}
