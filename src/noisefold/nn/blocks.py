r"""Shared blocks: noise-level embedding, adaptive layer norm (FiLM), Fourier features, perceptrons.

The noise level enters a network as :math:`\lambda = \log \mathrm{SNR}` alone, which is the same number on
every path with the same signal-to-noise ratio, and has no direction of time that could be mistaken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.nn.compute_budget import ComputeBudget
from noisefold.nn.linear import Linear

__all__ = ["Condition", "Fourier", "Modulation", "in_out", "perceptron", "thinned", "zeroed"]


def in_out(net: nn.Module) -> str:
    """Return "positions + features -> outputs" in columns, from a network's arguments, for its repr."""
    arguments = vars(net)["arguments"]
    pos_dim, features = arguments["pos_dim"], arguments["features"]
    out = arguments["out_dim"] or pos_dim
    return f"{pos_dim} + {features} -> {out}" if features else f"{pos_dim} -> {out}"


def zeroed(linear: nn.Linear) -> nn.Linear:
    """Return a linear map whose weights and biases are set to zero."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def perceptron(*widths: int, activation: type[nn.Module] = nn.GELU) -> nn.Sequential:
    """Return linear layers of these widths with an activation between them, none after the last."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        if i:
            layers.append(activation())
        layers.append(Linear(a, b))
    return nn.Sequential(*layers)


def thinned(mlp: nn.Sequential, fraction: float) -> Callable[[Tensor], Tensor]:
    """Return a two-layer perceptron restricted to the first `fraction` of its hidden columns (slimmed)."""
    if fraction == 1:
        return mlp
    first, activation, last = mlp
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    inner = ComputeBudget.part(fraction, first.out_features)

    def apply(h: Tensor) -> Tensor:
        hidden = activation(nn.functional.linear(h, first.weight[:inner], first.bias[:inner]))
        return nn.functional.linear(hidden, last.weight[:, :inner], last.bias)

    return apply


class Fourier(nn.Module):
    r"""Fourier features :math:`(v, \sin \omega_k v, \cos \omega_k v)` with geometrically spaced frequencies.

    Shapes:
        - **values** ``[n, inputs]``
        - **output** ``[n, inputs (1 + 2 count)]``

    Parameters
    ----------
    inputs
        Columns c of the input.
    count
        Frequencies per column.
    lowest, highest
        The first and last :math:`\omega`, in radians per unit of the input.
    """

    def __init__(self, inputs: int, count: int, lowest: float, highest: float) -> None:
        super().__init__()
        exponents = torch.linspace(0, 1, count) if count > 1 else torch.zeros(count)
        self.register_buffer("omega", lowest * (highest / lowest) ** exponents, persistent=False)
        self.width = inputs * (1 + 2 * count)

    def forward(self, values: Tensor) -> Tensor:
        """Return the features ``[n, c (1 + 2 count)]`` of ``values [n, c]``."""
        omega: Tensor = self.omega  # type: ignore[assignment]
        angles = (values[..., None] * omega).flatten(-2)
        return torch.cat([values, angles.sin(), angles.cos()], dim=-1)

    def extra_repr(self) -> str:
        """Columns in and out."""
        omega: Tensor = self.omega  # type: ignore[assignment]
        return f"{self.width // (1 + 2 * len(omega))} -> {self.width}"


class Condition(nn.Module):
    r"""Embedding of the noise level and, optionally, of a class and of numbers v:
    :math:`c = \mathrm{SiLU}(\mathrm{MLP}(\mathrm{Fourier}(\lambda)) + e_\mathrm{label} + \mathrm{MLP}(v))`.

    Class -1, or no labels, and a number that is NaN, or no numbers, mean "unconditional", as classifier-free
    guidance needs it.

    Shapes:
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None, **properties** ``[g, properties]`` or None
        - **output** ``[g, width]``

    Parameters
    ----------
    width
        Columns of the embedding.
    classes
        Number of classes; 0 for none.
    properties
        How many numbers of a graph, at unit scale; 0 for none.
    """

    def __init__(self, width: int, classes: int = 0, properties: int = 0) -> None:
        super().__init__()
        # log-SNR lies within about +-14; the finest features resolve 0.1.
        self.fourier = Fourier(1, 16, 2 * math.pi / 64, 2 * math.pi / 1.0)
        self.level = perceptron(self.fourier.width, width, width, activation=nn.SiLU)
        self.classes = classes
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.properties = properties
        self.numbers = perceptron(2 * properties, width, width, activation=nn.SiLU) if properties else None

    def extra_repr(self) -> str:
        """Columns in and out."""
        width = self.level[-1].out_features
        return f"1 -> {width}, classes={self.classes}" if self.classes else f"1 -> {width}"

    def forward(self, log_snr: Tensor, label: Tensor | None, properties: Tensor | None = None) -> Tensor:
        """Return the embedding ``[g, width]`` of ``log_snr [g]``, ``label [g]`` and ``properties [g, k]``.

        Raises
        ------
        ValueError
            If there are other than the k numbers of the network.
        """
        features = self.fourier(log_snr[:, None].clamp(-20, 20))
        # The raw value would dominate the bounded sines beside it.
        features = torch.cat([features[:, :1] / 10, features[:, 1:]], dim=1)
        out: Tensor = self.level(features)
        if self.label is not None:
            label = torch.full_like(log_snr, -1, dtype=torch.long) if label is None else label
            out = out + self.label(label + 1)
        if self.numbers is not None:
            if properties is None:
                properties = log_snr.new_full((len(log_snr), self.properties), torch.nan)
            if properties.shape[1] != self.properties:
                raise ValueError(
                    f"properties must have {self.properties} columns, as the network, got "
                    f"{properties.shape[1]}."
                )
            known = ~properties.isnan()
            seen = [properties.nan_to_num().to(log_snr), known.to(log_snr)]
            out = out + self.numbers(torch.cat(seen, 1))
        return nn.functional.silu(out)


class Modulation(nn.Module):
    r"""Adaptive layer norm (adaLN, FiLM): :math:`(1 + a(c)) \,\mathrm{norm}(h) + b(c)`, a and b linear.

    It is initialised as a plain layer norm.

    Shapes:
        - **h** ``[g, m, width]``, **condition** ``[g, condition]``, or ``[1, condition]`` for all graphs
        - **output** ``[g, m, width]``

    Source: Perez et al., FiLM (2018), https://arxiv.org/abs/1709.07871; Peebles and Xie, DiT (2023),
    https://arxiv.org/abs/2212.09748.
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.to_scale_shift = nn.Linear(condition, 2 * width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make it a plain layer norm."""
        zeroed(self.to_scale_shift)

    def extra_repr(self) -> str:
        """Columns in and out, and those of the condition."""
        width = self.to_scale_shift.out_features // 2
        return f"{width} -> {width}, condition={self.to_scale_shift.in_features}"

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Return ``h [g, m, width]`` modulated by ``condition [g, c]``, or by ``[1, c]`` for all graphs."""
        scale, shift = self.to_scale_shift(condition)[:, None].chunk(2, dim=-1)
        if len(condition) == 1:
            return nn.functional.layer_norm(h, h.shape[-1:], 1 + scale[0, 0], shift[0, 0], self.norm.eps)
        return torch.addcmul(shift, self.norm(h), 1 + scale)
