"""Ragged batches for the tests of this folder."""

from __future__ import annotations

import torch
from hypothesis import strategies
from torch import Tensor


def batch(sizes: list[int], d: int, seed: int, kind: str = "normal") -> tuple[Tensor, Tensor]:
    """Positions and offsets. On a "lattice" of few integers ties and nodes at one place abound."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    if kind == "lattice":
        pos = torch.randint(0, 3, (n, d), generator=generator).double()
    elif kind == "one place":
        pos = torch.ones(n, d, dtype=torch.float64)
    else:
        pos = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return pos, torch.tensor([0, *sizes]).cumsum(0)


batches = strategies.builds(
    batch,
    sizes=strategies.lists(strategies.integers(0, 30), min_size=1, max_size=6),
    d=strategies.integers(1, 3),
    seed=strategies.integers(0, 2**31),
    kind=strategies.sampled_from(["normal", "lattice", "one place"]),
)
