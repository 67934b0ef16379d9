r"""Set transformer: every node attends to every node. The default for features on given positions.

The tokens are the nodes, without any coarsening, so that every value of a field is predicted from all
others, near and far. Attention sees relative positions (`noisefold.nn.attention.RelativePosition`), and every
block is modulated by the noise level (adaptive layer norm). The cost is quadratic in the number of nodes;
beyond a few thousand, cut a graph into patches or use `Latents`.

Source: Lee et al., Set Transformer (2019), https://arxiv.org/abs/1810.00825; Peebles and Xie, Scalable
Diffusion Models with Transformers (DiT, 2023), https://arxiv.org/abs/2212.09748.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.nn.attention import RelativePosition, Transformer
from noisefold.nn.blocks import Condition, Fourier, Modulation, in_out, perceptron, zeroed

__all__ = ["SetTransformer"]


@register_module
class SetTransformer(nn.Module):
    r"""Transformer on the nodes with relative positions, modulated by the noise level.

    .. math::

        h = \mathrm{MLP}[\mathrm{Fourier}(p), x], \qquad
        h \leftarrow \mathrm{Transformer}_k(h; p, \lambda),\ k = 1, \ldots, K, \qquad
        y = W \,\mathrm{norm}(h; \lambda) + b

    Permutation-equivariant. A graph's result does not depend on its batch. Without absolute positions,
    :math:`h = \mathrm{MLP}[x]`, it is equivariant under translations of space, too: a stationary process is
    learned once, and not anew at every place.

    Shapes:
        - **graphs** positions ``[n, pos_dim]`` and features ``[n, features]``
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, out_dim]``

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    features
        Number of features f per node, 0 for none.
    out_dim
        Columns of the prediction; default d.
    width
        Columns of the nodes.
    blocks
        Number K of transformer blocks.
    heads
        Attention heads.
    classes
        Number of classes of graphs, 0 for none.
    frequencies
        Fourier features per coordinate of the positions, with wavelengths from 8 down to 1/4 standard
        deviations of the data.
    expansion
        Hidden width of a block's perceptron, in multiples of its width.
    absolute
        Whether nodes see their own positions, or else relative ones in attention alone.

    Raises
    ------
    ValueError
        If there are neither absolute positions nor features, so that all nodes look the same.
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
        absolute: bool = True,
    ) -> None:
        super().__init__()
        if not absolute and not features:
            raise ValueError("absolute=False needs features, since nodes would all look the same; got none.")
        self.fourier = Fourier(pos_dim, frequencies, 2 * torch.pi / 8, 2 * torch.pi * 4) if absolute else None
        self.condition = Condition(width, classes)
        placed = 0 if self.fourier is None else self.fourier.width
        self.lift = perceptron(placed + features, width, width)
        self.places = RelativePosition(pos_dim, heads, width // heads, width)
        self.blocks = nn.ModuleList(Transformer(width, width, heads, expansion) for _ in range(blocks))
        self.norm = Modulation(width, width)
        self.head = zeroed(nn.Linear(width, out_dim or pos_dim))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        pos, real = graphs.padded(graphs.pos)
        mask = real if graphs.uniform is None else None
        # What all graphs share is computed once, as one row that is broadcast.
        if _all_equal(log_snr) and (label is None or _all_equal(label)):
            log_snr, label = log_snr[:1], None if label is None else label[:1]
        condition = self.condition(log_snr, label)
        inputs = [] if self.fourier is None else [self.fourier(graphs.pos)]
        if graphs.x is not None:
            inputs.append(graphs.x)
        h, _ = graphs.padded(self.lift(torch.cat(inputs, dim=-1)))
        if self.fourier is None:
            # Attention sees differences alone; about the mean they lose the fewest digits.
            pos = pos - pos.sum(1, keepdim=True) / graphs.sizes.to(pos)[:, None, None]
        encoding = self.places(pos[:1] if _all_equal(pos) else pos, condition)
        for block in self.blocks:
            h = block(h, condition, mask, encoding)
        out: Tensor = self.head(self.norm(h, condition))
        return out.flatten(0, 1) if mask is None else out[mask]

    def extra_repr(self) -> str:
        """Columns in and out."""
        return in_out(self)


def _all_equal(values: Tensor) -> bool:
    """Return whether all rows equal the first."""
    return len(values) > 0 and bool((values == values[:1]).all())
