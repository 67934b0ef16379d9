"""Models of images: what they start from, how they are trained, and their loss by noise level."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.files import atomic_text
from noisefold.geometry import Graphs
from noisefold.geometry.lattice import lattices
from noisefold.model import Model
from noisefold.nn import DiT, GaussianResidual, PatchSchedule
from noisefold.nn.flops import count_flops
from noisefold.noise import Gaussian, Streams, Target, seeded
from noisefold.studies.images.data import image_summary
from noisefold.train import Training

__all__ = ["BASES", "LEVELS", "ImageModel", "NoNetwork", "level_losses", "mean_flops", "pictures", "trained"]

BASES = ("none", "isotropic", "Gaussian")
"""What a network's answer is added to: nothing, the best estimate of white data, or of Gaussian data."""
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.88, 0.93, 0.97, 0.99)
"""Signal levels at which losses are compared."""
RANK = 48
_GROUP = 64


class NoNetwork(nn.Module):
    """A network that answers zero, so that a base estimate stands alone."""

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return zeros ``[n, 1]``."""
        return graphs.pos.new_zeros(graphs.num_nodes, 1)


@dataclass(frozen=True)
class ImageModel:
    """A diffusion transformer on grey images with classes.

    Parameters
    ----------
    patches
        Patch size by noise level.
    target
        "velocity" or "data".
    base
        One of `BASES`.
    net
        Further arguments of `noisefold.nn.DiT`.
    """

    patches: PatchSchedule
    target: str
    base: str
    net: dict[str, Any]

    def build(self, data: Graphs, seed: int) -> Model:
        """Return an untrained model for images; its weights follow from the seed."""
        with seeded(seed):
            net = self.network(data)
        model = Model(net, Gaussian(), Target(self.target, residual=self.base != "none"), "x")
        model.summary = image_summary(data)
        return model

    def network(self, data: Graphs) -> nn.Module:
        """Return the network."""
        classes, nodes = len(data.classes), int(data.sizes[0])
        inner = DiT(1, classes=classes, patches=self.patches, **self.net)
        if self.base != "Gaussian":
            return inner
        return GaussianResidual(inner, 1, nodes, rank=RANK, classes=classes)


def trained(model: Model, data: Graphs, settings: Training, out: Path | None = None) -> float:
    """Train a model and return the CPU seconds of it, those of earlier parts of the run in `out` included."""
    log = None if out is None else out / "cpu_seconds.json"
    start = time.process_time()
    before: list[float] = json.loads(log.read_text()) if log is not None and log.is_file() else []
    try:
        model.fit(data, settings=settings, out=out, resume=out is not None)
    finally:
        spent = [*before, time.process_time() - start]
        if log is not None:
            atomic_text(log, json.dumps(spent))
    return sum(spent)


@torch.no_grad()
def level_losses(model: Model, test: Graphs, levels: Sequence[float] = LEVELS) -> list[float]:
    r"""Return the mean squared error of the velocity, :math:`|x_0 - \hat x_0|^2 / \sigma^2`, by level.

    Images and noise are the same for every model and level.
    """
    model.denoiser.eval()
    unit, path, out = model.units.apply(test), model.path, []
    for level in levels:
        squares = []
        for start in range(0, len(unit), _GROUP):
            graphs = unit[list(range(start, min(start + _GROUP, len(unit))))]
            assert graphs.x is not None
            t = path.time(torch.full((len(graphs),), 2.0) * torch.logit(torch.tensor(level)))
            state = path.corrupt(graphs.x, t, graphs, Streams(0, range(start, start + len(graphs))))
            estimate = model.denoiser(graphs, state, t, graphs.label)
            squares.append((estimate - graphs.x).square().view(len(graphs), -1).mean(1) / (1 - level) ** 2)
        out.append(float(torch.cat(squares).mean()))
    return out


def mean_flops(model: ImageModel, data: Graphs) -> float:
    """Return the operations of a forward pass for one image, over uniform signal levels."""
    net, one = model.network(data), data[:1]
    if isinstance(net, GaussianResidual):
        net = net.net
    edges = (0.0, *model.patches.splits)
    counts = []
    for low, share in zip(edges, model.patches.shares, strict=True):
        level = torch.tensor([low + share / 2])
        counts.append(share * count_flops(net, one, 2 * torch.logit(level), one.label))
    return sum(counts)


def pictures(graphs: Graphs) -> Tensor:
    """Return images ``[k, h, w]`` in [0, 1] of grey images as bytes."""
    assert graphs.x is not None
    return lattices(graphs)[0].images(graphs.x)[:, 0].clamp(0, 255) / 255


def settings(steps: int, seed: int, **options: Any) -> Training:
    """Return how networks on images are trained."""
    return replace(
        Training(
            batch=64,
            lr=3e-3,
            warmup=50,
            ema=0.999,
            validate_every=10**9,
            checkpoint_every=250,
            keep=1,
        ),
        steps=steps,
        seed=seed,
        **options,
    )
