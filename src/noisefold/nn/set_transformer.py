r"""The default network for features on given positions: every node attends to every node.

A field is decided node by node, and what a node says depends on all others, near and far: on 100 nodes of
the limb-bud simulation this network is below the loss of the best linear estimate (.57) after 200 steps, and
learned latents, made for shapes, are at .97 after 300. Attention costs n² in the number of nodes; beyond a
few thousand cut a tissue into patches, or take `Latents`.

Source: Lee et al., Set Transformer (2019); Peebles and Xie, DiT (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.nn.attention import Places, Transformer
from noisefold.nn.blocks import Condition, Fourier, Modulation, perceptron

__all__ = ["SetTransformer"]


@register_module
class SetTransformer(nn.Module):
    """A transformer whose tokens are the nodes, with relative positions, modulated by the noise level.

    Permutation-equivariant; a graph's result does not depend on the batch it stands in.

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    features
        Features f of every node, 0 for none.
    out_dim
        Columns of the prediction; default d.
    width
        Columns at the nodes.
    blocks
        Transformer blocks.
    heads
        Attention heads.
    classes
        Number of classes of graphs, 0 for none.
    frequencies
        Fourier features per coordinate of the positions, from wavelength 8 down to 1/4 of a standard
        deviation of the data.
    expansion
        Inner columns of a block's perceptron over its width.

    Notes
    -----
    ``forward(graphs, log_snr [g], label [g] or None) -> [n, out_dim]``.
    """

    def __init__(
        self,
        pos_dim: int = 3,
        features: int = 0,
        out_dim: int | None = None,
        width: int = 128,
        blocks: int = 4,
        heads: int = 4,
        classes: int = 0,
        frequencies: int = 6,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.fourier = Fourier(pos_dim, frequencies, 2 * torch.pi / 8, 2 * torch.pi * 4)
        self.condition = Condition(width, classes)
        self.lift = perceptron(self.fourier.width + features, width, width)
        self.places = Places(pos_dim, heads, width // heads, width)
        self.blocks = nn.ModuleList(Transformer(width, width, heads, expansion) for _ in range(blocks))
        self.norm = Modulation(width, width)
        self.head = nn.Linear(width, out_dim or pos_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        pos, real = graphs.padded(graphs.pos)
        mask = real if graphs.uniform is None else None
        if _same(log_snr) and (label is None or _same(label)):
            log_snr, label = log_snr[:1], None if label is None else label[:1]
        condition = self.condition(log_snr, label)
        inputs = self.fourier(graphs.pos)
        if graphs.x is not None:
            inputs = torch.cat([inputs, graphs.x], dim=-1)
        h, _ = graphs.padded(self.lift(inputs))
        place = self.places(pos[:1] if _same(pos) else pos, condition)
        for block in self.blocks:
            h = block(h, condition, mask, place)
        out: Tensor = self.head(self.norm(h, condition))
        return out.flatten(0, 1) if mask is None else out[mask]


def _same(values: Tensor) -> bool:
    """Whether the first is as all."""
    return len(values) > 0 and bool((values == values[:1]).all())
