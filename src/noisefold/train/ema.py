"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EMA"]


class EMA:
    r"""Shadow weights :math:`\bar\theta \leftarrow d\,\bar\theta + (1 - d)\,\theta` with decay
    :math:`d = \min(\text{decay}, (1 + k)/(10 + k))` at step k, so that the start is soon forgotten.

    Floating buffers, such as the running moments of a batch norm, are averaged as weights are; other buffers
    are copied.

    Parameters
    ----------
    net
        Whose weights; the average begins with them.
    decay
        In [0, 1).

    Raises
    ------
    ValueError
        If the decay is out of its range.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema must lie in [0, 1), got {decay}.")
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Take the weights after a step, counted from 0, into the average."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        now = net.state_dict()
        floating = [k for k, v in self.state.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.state[k] for k in floating], [now[k] for k in floating], weight)
        for k in self.state.keys() - set(floating):
            self.state[k].copy_(now[k])

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a saved average."""
        for k, v in self.state.items():
            v.copy_(state[k])

    @contextmanager
    def within(self, net: nn.Module) -> Iterator[None]:
        """Give the network the averaged weights, and its own again afterwards."""
        own = {k: v.clone() for k, v in net.state_dict().items()}
        net.load_state_dict(self.state)
        try:
            yield
        finally:
            net.load_state_dict(own)
