"""The block of a diffusion transformer, with adaptive layer norm that begins as the identity (adaLN-zero)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.nn.attention import attend
from noisefold.nn.blocks import perceptron, zeroed
from noisefold.nn.dit.windows import Windows
from noisefold.nn.linear import Linear

__all__ = ["DiTBlock", "modulated"]


def modulated(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    r"""Return :math:`(1 + s)\,\mathrm{norm}(h) + b` of ``h [g, m, w]``, shift and scale ``[g or 1, w]``."""
    if len(shift) == 1:
        return functional.layer_norm(h, h.shape[-1:], 1 + scale[0], shift[0], 1e-6)
    return torch.addcmul(shift[:, None], functional.layer_norm(h, h.shape[-1:], eps=1e-6), 1 + scale[:, None])


class DiTBlock(nn.Module):
    r"""Transformer block whose norms and branches are modulated by a condition c:

    .. math::

        h \leftarrow h + g_1\, \mathrm{Attention}((1 + s_1)\,\mathrm{norm}(h) + b_1), \qquad
        h \leftarrow h + g_2\, \mathrm{MLP}((1 + s_2)\,\mathrm{norm}(h) + b_2), \qquad
        (b_1, s_1, g_1, b_2, s_2, g_2) = W c + b,

    with W and b zero at first, so that every block begins as the identity.

    Shapes:
        - **h** ``[g, H W, width]``, **condition** ``[g, condition]``, or ``[1, condition]`` for all images
        - **output** ``[g, H W, width]``

    Source: Peebles and Xie, Scalable Diffusion Models with Transformers (DiT, 2023), section 3.2,
    https://arxiv.org/abs/2212.09748.

    Parameters
    ----------
    width
        Columns of h.
    condition
        Columns of the condition.
    heads
        Attention heads; must divide the width.
    expansion
        Hidden width of the perceptron, in multiples of the width.

    Raises
    ------
    ValueError
        If the heads do not divide the width.
    """

    def __init__(self, width: int, condition: int, heads: int, expansion: int = 4) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads must divide the width {width}, got {heads}.")
        self.heads = heads
        self.modulation = zeroed(nn.Linear(condition, 6 * width))
        self.to_qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.mlp = perceptron(width, expansion * width, width)

    def extra_repr(self) -> str:
        """Columns in and out, and the heads."""
        width = self.out.out_features
        return f"{width} -> {width}, heads={self.heads}"

    def forward(self, h: Tensor, condition: Tensor, windows: Windows) -> Tensor:
        """Apply the block to tokens that attend within windows."""
        b1, s1, g1, b2, s2, g2 = self.modulation(condition).to(h.dtype).chunk(6, dim=1)
        h = torch.addcmul(h, g1[:, None], self._attention(modulated(h, b1, s1), windows).to(h.dtype))
        return torch.addcmul(h, g2[:, None], self.mlp(modulated(h, b2, s2)).to(h.dtype))

    def _attention(self, h: Tensor, windows: Windows) -> Tensor:
        qkv = windows.split(self.to_qkv(h)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mask = windows.mask(len(h), h.device)
        merged = attend(q, k, v, mask, q.shape[-1] ** -0.5).transpose(1, 2).flatten(2)
        out: Tensor = self.out(windows.join(merged))
        return out
