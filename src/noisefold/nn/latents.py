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
from noisefold.geometry.coarsen import Balanced, FarthestPoint, KMeans
from noisefold.geometry.graphs import Graphs
from noisefold.nn.attention import Attention, Transformer
from noisefold.nn.blocks import Condition, Fourier, Modulation, perceptron, thinned
from noisefold.nn.compute_budget import ComputeBudget
from noisefold.noise.schedule import signal_level

__all__ = ["Latents"]

_ALL = ComputeBudget()


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

    def forward(
        self, h: Tensor, z: Tensor, condition: Tensor, mask: Tensor | None, share: float
    ) -> tuple[Tensor, Tensor]:
        z = z + self.read(self.norm_read(z, condition), self.norm_points(h), mask)
        for block in self.blocks:
            z = block(z, condition)
        h = h + self.write(self.norm_write(h, condition), self.norm_latents(z))
        h = h + thinned(self.mlp, share)(self.norm_mlp(h, condition))
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
    coarsening
        Where the latents begin: None for learned vectors alone, the same for every graph; or a coarsening of
        `noisefold.geometry`, which adds to each the mean of the points of one cell.
    effort
        How much of the network works at each noise level.

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
        coarsening: Balanced | KMeans | FarthestPoint | None = None,
        effort: ComputeBudget = _ALL,
    ) -> None:
        super().__init__()
        self.fourier = Fourier(pos_dim, frequencies, 2 * torch.pi / 8, 2 * torch.pi * 4)
        self.condition = Condition(latent_width, classes)
        self.lift = perceptron(self.fourier.width + features, width, width)
        self.latents = nn.Parameter(torch.randn(latents, latent_width) * latent_width**-0.5)
        self.rounds = nn.ModuleList(
            _Round(width, latent_width, latent_width, blocks, heads) for _ in range(rounds)
        )
        self.coarsening, self.effort = coarsening, effort
        self.from_cells = None if coarsening is None else nn.Linear(width, latent_width)
        self.norm = Modulation(width, latent_width)
        self.head = nn.Linear(width, out_dim or pos_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        tiers = self.effort.tier(signal_level(log_snr.double()))
        condition = self.condition(log_snr, label)
        parts, rows = [], []
        for tier in tiers.unique().tolist():
            chosen = tiers == tier
            if bool(chosen.all()):
                return self._tier(graphs, condition, tier)
            parts.append(self._tier(graphs[chosen], condition[chosen], tier).to(graphs.pos.dtype))
            rows.append(chosen[graphs.batch].nonzero()[:, 0])
        together = torch.cat(parts)
        return together.new_zeros(together.shape).index_copy(0, torch.cat(rows), together)

    def _tier(self, graphs: Graphs, condition: Tensor, tier: int) -> Tensor:
        effort = self.effort
        if effort.idle(tier):
            # A batch on which nothing works has a loss as well, whose gradient is nothing.
            nothing = graphs.pos.new_zeros(graphs.num_nodes, self.head.out_features)
            return nothing.requires_grad_(torch.is_grad_enabled())
        inputs = self.fourier(graphs.pos)
        if graphs.x is not None:
            inputs = torch.cat([inputs, graphs.x], dim=-1)
        lifted = self.lift(inputs)
        z = self._start(graphs, lifted, effort.part(effort.latents[tier], self.latents.shape[0]))
        h, real = graphs.padded(lifted)
        mask = real if graphs.uniform is None else None
        for step in list(self.rounds)[: effort.part(effort.depth[tier], len(self.rounds))]:
            h, z = step(h, z, condition, mask, effort.width[tier])
        out: Tensor = self.head(self.norm(h, condition))
        return out.flatten(0, 1) if mask is None else out[mask]

    def _start(self, graphs: Graphs, lifted: Tensor, count: int) -> Tensor:
        """Latents ``[g, count, latent_width]``."""
        z: Tensor = self.latents[:count].expand(len(graphs), -1, -1)
        if self.coarsening is None or self.from_cells is None:
            return z
        cells = self.coarsening(graphs.pos, graphs.ptr, graphs.sizes.clamp(max=count))
        means = self.from_cells(cells.mean(lifted.to(graphs.pos.dtype)))
        # Graphs with fewer points than latents leave the last latents as they are.
        place = torch.arange(cells.size, device=means.device)
        graph = torch.repeat_interleave(cells.ptr.diff(), output_size=cells.size)
        rows = graph * count + place - cells.ptr[graph]
        added: Tensor = means.new_zeros(len(graphs) * count, means.shape[1]).index_copy(0, rows, means)
        return z + added.view_as(z)
