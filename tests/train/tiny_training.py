"""The smallest trainings that still have everything: classes, validation, thinning, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.latents import Latents
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.target import Target
from noisefold.train import Checkpoint, Checkpoints, Training

torch.set_num_threads(1)

SMALL = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
STEPS = 12


def data(seed: int = 0, graphs: int = 10) -> Graphs:
    """Ragged labelled clouds of 5 to 12 points of unit variance; the label of a graph is its number."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(5, 13, (graphs,), generator=generator).tolist()
    clouds = [torch.randn(n, 3, generator=generator) for n in sizes]
    return Graphs.ragged(clouds, label=torch.arange(graphs))


def latents(classes: int = 10) -> nn.Module:
    """A small network of the usual kind, always with the same weights."""
    torch.manual_seed(0)
    return Latents(classes=classes, **SMALL)


def denoiser(net: nn.Module | None = None) -> Denoiser:
    """Flow matching with this network or the usual one.

    The answer is the velocity itself: beyond the best linear estimate normal data have nothing to teach, and
    gradients that are mere noise say little about a training.
    """
    return Denoiser(net or latents(), Gaussian(), Target(residual=False))


def settings(**changes: Any) -> Training:
    """Chores at steps that coincide and that do not."""
    usual = {
        "steps": STEPS,
        "batch": 4,
        "nodes": 8,
        "lr": 1e-2,
        "warmup": 2,
        "ema": 0.8,
        "log_every": 4,
        "validate_every": 5,
        "checkpoint_every": 3,
    }
    return Training(**{**usual, **changes})


class Moody(nn.Module):
    """A network with random numbers of its own, buffers, and a weight that is never used."""

    def __init__(self, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.lift = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8) if norm else nn.LayerNorm(8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)
        self.idle = nn.Linear(3, 3)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        inputs = torch.cat([graphs.pos, log_snr[graphs.batch, None] / 10], dim=1)
        out: Tensor = self.head(self.dropout(self.norm(self.lift(inputs)).relu()))
        return out


def newest(folder: Path) -> Checkpoint:
    """The newest checkpoint of a run folder."""
    checkpoint = Checkpoints(folder / "checkpoints").latest()
    assert checkpoint is not None
    return checkpoint


def timeless(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A log without what depends on the clock."""
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in log]


def assert_same_state(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """The same tensors, bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_same_run(a: Path, b: Path) -> None:
    """Two run folders whose newest checkpoints agree in every bit of every tensor."""
    first, second = newest(a), newest(b)
    assert first.step == second.step
    assert first.tensors.keys() == second.tensors.keys()
    for group in first.tensors:
        assert_same_state(first.tensors[group], second.tensors[group])
