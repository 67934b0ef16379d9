r"""Diffusion transformer (DiT) on images, with patches and windows that follow the noise.

An image is cut into patches of p x p pixels, each a token at the patch's centre q in pixels,

.. math::

    h = W_p\, \mathrm{patch} + \mathrm{sincos}(q) + e_\mathrm{label}, \qquad
    h \leftarrow \mathrm{Block}_k(h; c(\lambda, \mathrm{label})),\ k = 1, \ldots, K, \qquad
    y = V_p\, [(1 + s(c))\, \mathrm{norm}(h) + b(c)],

with blocks of adaLN-zero (`noisefold.nn.dit.block`). Positions are in pixels, so that all sizes of images and
of patches share one code. Patch size and window are those of the noise level (`PatchSchedule`): coarse tokens
that see all at high noise, fine ones that see their neighbours at low noise.

Source: Peebles and Xie, Scalable Diffusion Models with Transformers (DiT, 2023),
https://arxiv.org/abs/2212.09748; Geometric Generative Modeling with Noise-Conditioned Graph Networks,
appendix C, https://arxiv.org/abs/2507.09391.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.lattice import Lattice, lattices, node_values
from noisefold.nn.blocks import Condition, zeroed
from noisefold.nn.dit.block import DiTBlock, modulated
from noisefold.nn.dit.patch_schedule import PatchSchedule
from noisefold.nn.dit.patches import PatchEmbedding, PatchHead, cut, joined, patch_positions
from noisefold.nn.dit.windows import Windows
from noisefold.noise.schedule import signal_level

__all__ = ["DiT"]

_PATCHES = PatchSchedule()
_LABEL_STD = 0.5  # of DiT's 0.02 a network under adaLN-zero ignores the class for a thousand steps
_SLOWEST = 1000.0  # the longest wavelength of positions, over the shortest


@register_module
class DiT(nn.Module):
    """Diffusion transformer on images of any size; see the module for the formula.

    Pixels are nodes at positions (row, column), in any order and unit (`noisefold.geometry.lattice`). An
    image whose sides the patch does not divide is padded inside. A graph's result does not depend on its
    batch, which may mix sizes and noise levels: it is computed by size and patch.

    Shapes:
        - **graphs** positions ``[n, 2]`` and features ``[n, features]``
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, out_dim]``

    Parameters
    ----------
    features
        Columns of a pixel.
    out_dim
        Columns of the prediction; default those of a pixel.
    width
        Columns of a token; a multiple of 4.
    blocks
        Number K of blocks.
    heads
        Attention heads; must divide the width.
    classes
        Number of classes of images, 0 for none.
    patches
        Patch size and window at each noise level.
    shared_kernel
        Whether patches of all sizes share one kernel, resized (FlexiViT), or each has its own.
    expansion
        Hidden width of a block's perceptron, in multiples of its width.

    Raises
    ------
    ValueError
        If `features` is below 1, or the width is no multiple of 4 or of the heads.
    """

    def __init__(
        self,
        features: int = 1,
        out_dim: int | None = None,
        width: int = 128,
        blocks: int = 6,
        heads: int = 4,
        classes: int = 0,
        patches: PatchSchedule = _PATCHES,
        shared_kernel: bool = True,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"features must be at least 1, the channels of a pixel, got {features}.")
        if width < 4 or width % 4:
            raise ValueError(f"width must be a multiple of 4, for positions on two axes, got {width}.")
        self.patches = patches
        self.embedding = PatchEmbedding(features, width, patches.sizes, shared_kernel)
        self.condition = Condition(width, classes)
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.blocks = nn.ModuleList(DiTBlock(width, width, heads, expansion) for _ in range(blocks))
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.head = PatchHead(width, out_dim or features, patches.sizes, shared_kernel)
        waves = _SLOWEST ** -torch.linspace(0, 1, width // 4)
        self.register_buffer("waves", waves, persistent=False)
        for table in (self.label, self.condition.label):
            if table is not None:
                nn.init.normal_(table.weight, std=_LABEL_STD)

    def extra_repr(self) -> str:
        """Columns in and out."""
        features = self.embedding.kernels.channels
        return f"2 + {features} -> {self.head.kernels.channels}"

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy images at ``log_snr [g]``."""
        features = self.embedding.kernels.channels
        if graphs.x is None or graphs.features != features:
            raise ValueError(f"x must hold {features} columns of each pixel, got {graphs.features}.")
        tiers = self.patches.tier(signal_level(log_snr.double()))
        condition = self.condition(log_snr, label)
        parts: list[tuple[Lattice, Tensor]] = []
        for lattice in lattices(graphs):
            own = tiers[lattice.graphs]
            for tier in own.unique().tolist():
                part = lattice.where(own == tier)
                here = part.graphs
                given = None if label is None else label[here]
                parts.append((part, self._images(part.images(graphs.x), condition[here], given, tier)))
        return node_values(parts, graphs.x)

    def _images(self, images: Tensor, condition: Tensor, label: Tensor | None, tier: int) -> Tensor:
        """Return the prediction ``[k, out_dim, h, w]`` for images ``[k, features, h, w]`` of one size."""
        size, window = self.patches.sizes[tier], self.patches.windows[tier]
        height, width = images.shape[-2:]
        patches = cut(images, size)
        rows, columns = patches.shape[1:3]
        # At low noise a pixel's own noise is below the rounding of bfloat16: first and last map are exact.
        with torch.autocast(images.device.type, enabled=False):
            h = self.embedding(patches.to(self.embedding.bias.dtype), size) + self._places(
                rows, columns, size
            )
        h = h.flatten(1, 2)
        if self.label is not None:
            known = torch.full((len(h),), -1, device=h.device) if label is None else label
            h = h + self.label(known + 1)[:, None]
        for i, block in enumerate(self.blocks):
            h = block(h, condition, Windows(rows, columns, window, i % 2 * (window // 2)))
        shift, scale = self.modulation(condition).to(h.dtype).chunk(2, dim=1)
        with torch.autocast(images.device.type, enabled=False):
            out = self.head(modulated(h, shift, scale), size)
        return joined(out.unflatten(1, (rows, columns)), size, height, width)

    def _places(self, rows: int, columns: int, size: int) -> Tensor:
        """Return the code of the patches' centres, ``[H, W, width]``: half of the columns for each axis."""
        waves: Tensor = self.waves  # type: ignore[assignment]
        angles = patch_positions(rows, columns, size, waves)[..., None] * waves
        return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
