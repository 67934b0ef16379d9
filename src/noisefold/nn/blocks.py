r"""Blocks that networks share: embedding of the noise level, modulation, perceptrons.

The noise level enters a network as :math:`\lambda = \log \mathrm{SNR}` alone. It is the same number for every
path at the same ratio of data to noise and has no direction of time that could be mistaken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.nn.compute_budget import ComputeBudget
from noisefold.nn.linear import Linear

__all__ = ["Condition", "Fourier", "Modulation", "perceptron", "thinned"]


def perceptron(*widths: int, activation: type[nn.Module] = nn.GELU) -> nn.Sequential:
    """Linear layers of these widths with an activation between them, none after the last."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        if i:
            layers.append(activation())
        layers.append(Linear(a, b))
    return nn.Sequential(*layers)


def thinned(mlp: nn.Sequential, share: float) -> Callable[[Tensor], Tensor]:
    """A perceptron of two layers of which only the first share of the inner columns works."""
    if share == 1:
        return mlp
    first, activation, last = mlp
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    inner = ComputeBudget.part(share, first.out_features)

    def apply(h: Tensor) -> Tensor:
        hidden = activation(nn.functional.linear(h, first.weight[:inner], first.bias[:inner]))
        return nn.functional.linear(hidden, last.weight[:, :inner], last.bias)

    return apply


class Fourier(nn.Module):
    r"""Fourier features :math:`(v, \sin \omega_k v, \cos \omega_k v)` with geometric frequencies.

    Parameters
    ----------
    inputs
        Columns c of the input ``[n, c]``.
    count
        Frequencies per column.
    lowest, highest
        The first and last omega, in radians per unit.
    """

    def __init__(self, inputs: int, count: int, lowest: float, highest: float) -> None:
        super().__init__()
        exponents = torch.linspace(0, 1, count) if count > 1 else torch.zeros(count)
        self.register_buffer("omega", lowest * (highest / lowest) ** exponents, persistent=False)
        self.width = inputs * (1 + 2 * count)

    def forward(self, values: Tensor) -> Tensor:
        """Features ``[n, c (1 + 2 count)]`` of ``[n, c]``."""
        omega: Tensor = self.omega  # type: ignore[assignment]
        angles = (values[..., None] * omega).flatten(-2)
        return torch.cat([values, angles.sin(), angles.cos()], dim=-1)


class Condition(nn.Module):
    """Embedding ``[g, width]`` of the noise level and, optionally, a class.

    Class index -1 (or no labels) stands for "unconditional", which classifier-free guidance needs.

    Parameters
    ----------
    width
        Columns of the embedding.
    classes
        Number of classes; 0 for none.
    """

    def __init__(self, width: int, classes: int = 0) -> None:
        super().__init__()
        # log-SNR runs over about +-14; its finest features resolve a tenth.
        self.fourier = Fourier(1, 16, 2 * math.pi / 64, 2 * math.pi / 1.0)
        self.level = perceptron(self.fourier.width, width, width, activation=nn.SiLU)
        self.classes = classes
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, log_snr: Tensor, label: Tensor | None) -> Tensor:
        """Embedding of ``log_snr [g]`` and ``label [g]``."""
        features = self.fourier(log_snr[:, None].clamp(-20, 20))
        # The raw value would dominate the bounded waves beside it.
        features = torch.cat([features[:, :1] / 10, features[:, 1:]], dim=1)
        out: Tensor = self.level(features)
        if self.label is not None:
            label = torch.full_like(log_snr, -1, dtype=torch.long) if label is None else label
            out = out + self.label(label + 1)
        return nn.functional.silu(out)


class Modulation(nn.Module):
    r"""Layer norm whose scale and shift follow the condition: :math:`(1 + a(c)) \,\mathrm{norm}(h) + b(c)`.

    It begins as a plain layer norm. Source: Perez et al., FiLM (2018); Peebles and Xie, DiT (2023).
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.to_scale_shift = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.to_scale_shift.weight)
        nn.init.zeros_(self.to_scale_shift.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Modulated ``h [g, m, width]`` by ``condition [g, c]``, or by one for all, ``[1, c]``."""
        scale, shift = self.to_scale_shift(condition)[:, None].chunk(2, dim=-1)
        if len(condition) == 1:
            return nn.functional.layer_norm(h, h.shape[-1:], 1 + scale[0, 0], shift[0, 0], self.norm.eps)
        return torch.addcmul(shift, self.norm(h), 1 + scale)
