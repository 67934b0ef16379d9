r"""The default network for shapes: learned latents that read from the points and write back to them.

A fixed number of latent vectors gathers from all n points by cross-attention, works among itself, and answers
every point: "coarse and fully connected" with a coarsening that is learned. Its cost is linear in n.

Source: Jaegle et al., Perceiver IO (2022); Jabri et al., Scalable Adaptive Computation for Iterative
Generation (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.nn.attention import Attention, Transformer
from noisefold.nn.blocks import Condition, Fourier, Modulation, perceptron

__all__ = ["Latents"]


class _Round(nn.Module):
    """Read from the points, work on the latents, write to the points."""

    def __init__(self, width: int, latent_width: int, condition: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.norm_read = Modulation(latent_width, condition)
        self.norm_points = nn.LayerNorm(width)
        self.read = Attention(latent_width, width, heads, inner=latent_width)
        self.blocks = nn.ModuleList(Transformer(latent_width, condition, heads) for _ in range(blocks))
        self.norm_latents = nn.LayerNorm(latent_width)
        self.norm_write = Modulation(width, condition)
        self.write = Attention(width, latent_width, heads)
        self.norm_mlp = Modulation(width, condition)
        self.mlp = perceptron(width, 4 * width, width)

    def forward(self, h: Tensor, z: Tensor, condition: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        z = z + self.read(self.norm_read(z, condition), self.norm_points(h), mask)
        for block in self.blocks:
            z = block(z, condition)
        h = h + self.write(self.norm_write(h, condition), self.norm_latents(z))
        h = h + self.mlp(self.norm_mlp(h, condition))
        return h, z


@register_module
class Latents(nn.Module):
    """Learned latents reading from and writing to the points.

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
        Columns at the points.
    latents, latent_width
        Number and columns of the latents.
    rounds
        How often the latents read and write.
    blocks
        Transformer blocks among the latents in every round.
    heads
        Attention heads.
    classes
        Number of classes of graphs, 0 for none.
    frequencies
        Fourier features per coordinate of the positions, from wavelength 8 down to 1/4 of a standard
        deviation of the data.

    Notes
    -----
    ``forward(graphs, log_snr [g], label [g] or None) -> [n, out_dim]``.
    """

    def __init__(
        self,
        pos_dim: int = 3,
        features: int = 0,
        out_dim: int | None = None,
        width: int = 64,
        latents: int = 64,
        latent_width: int = 128,
        rounds: int = 2,
        blocks: int = 2,
        heads: int = 4,
        classes: int = 0,
        frequencies: int = 6,
    ) -> None:
        super().__init__()
        self.fourier = Fourier(pos_dim, frequencies, 2 * torch.pi / 8, 2 * torch.pi * 4)
        self.condition = Condition(latent_width, classes)
        self.lift = perceptron(self.fourier.width + features, width, width)
        self.latents = nn.Parameter(torch.randn(latents, latent_width) * latent_width**-0.5)
        self.rounds = nn.ModuleList(
            _Round(width, latent_width, latent_width, blocks, heads) for _ in range(rounds)
        )
        self.norm = Modulation(width, latent_width)
        self.head = nn.Linear(width, out_dim or pos_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        inputs = self.fourier(graphs.pos)
        if graphs.x is not None:
            inputs = torch.cat([inputs, graphs.x], dim=-1)
        condition = self.condition(log_snr, label)
        h, real = graphs.padded(self.lift(inputs))
        mask = real if graphs.uniform is None else None
        z = self.latents.expand(len(graphs), -1, -1)
        for step in self.rounds:
            h, z = step(h, z, condition, mask)
        out: Tensor = self.head(self.norm(h, condition))
        return out.flatten(0, 1) if mask is None else out[mask]
