r"""Latent-vector network (Perceiver IO, recurrent interface network): the default for shapes.

A fixed number of learned latent vectors z reads from all n points h by cross-attention, passes through
transformer blocks, and writes back to every point. In each round

.. math::

    z \leftarrow z + \mathrm{Attention}(z, h), \qquad z \leftarrow \mathrm{Transformer}(z), \qquad
    h \leftarrow h + \mathrm{Attention}(h, z), \qquad h \leftarrow h + \mathrm{MLP}(h),

all modulated by the noise level. This is a coarse, fully connected graph whose coarsening is learned. The
cost is linear in n.

Source: Jaegle et al., Perceiver IO (2022), https://arxiv.org/abs/2107.14795; Jabri et al., Scalable Adaptive
Computation for Iterative Generation (2023), https://arxiv.org/abs/2212.11972.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.coarsen import Balanced, FarthestPoint, KMeans
from noisefold.geometry.graphs import Graphs
from noisefold.nn.attention import Attention, Transformer
from noisefold.nn.blocks import Condition, Fourier, Modulation, in_out, perceptron, thinned, zeroed
from noisefold.nn.compute_budget import ComputeBudget
from noisefold.noise.schedule import signal_level

__all__ = ["Latents"]

_FULL = ComputeBudget()


class _Round(nn.Module):
    """One round: the latents read from the points, pass through their blocks and write to the points.

    Shapes:
        - **h** ``[g, m, width]``, **z** ``[g, latents, latent_width]``, **condition** ``[g, condition]``
        - **mask** ``[g, m]``, True where a point is real, or None
        - **output** h and z, of the same shapes
    """

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
        self, h: Tensor, z: Tensor, condition: Tensor, mask: Tensor | None, fraction: float
    ) -> tuple[Tensor, Tensor]:
        z = z + self.read(self.norm_read(z, condition), self.norm_points(h), mask)
        for block in self.blocks:
            z = block(z, condition)
        h = h + self.write(self.norm_write(h, condition), self.norm_latents(z))
        h = h + thinned(self.mlp, fraction)(self.norm_mlp(h, condition))
        return h, z


@register_module
class Latents(nn.Module):
    """Learned latents that read from the points and write to them; see the module for the formula.

    Permutation-equivariant. A graph's result does not depend on its batch.

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
        Columns of the points.
    latents, latent_width
        Number and columns of the latents.
    rounds
        Number of rounds of reading and writing.
    blocks
        Transformer blocks on the latents in every round.
    heads
        Attention heads.
    classes
        Number of classes of graphs, 0 for none.
    frequencies
        Fourier features per coordinate of the positions, with wavelengths from 8 down to 1/4 standard
        deviations of the data.
    coarsening
        Initial latents: None for learned vectors, the same for every graph; or a coarsening of
        `noisefold.geometry`, which adds to each the mean of the points of one supernode.
    compute_budget
        Fraction of the network that is used at each noise level.
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
        compute_budget: ComputeBudget = _FULL,
    ) -> None:
        super().__init__()
        self.fourier = Fourier(pos_dim, frequencies, 2 * torch.pi / 8, 2 * torch.pi * 4)
        self.condition = Condition(latent_width, classes)
        self.lift = perceptron(self.fourier.width + features, width, width)
        self.latents = nn.Parameter(torch.randn(latents, latent_width) * latent_width**-0.5)
        self.rounds = nn.ModuleList(
            _Round(width, latent_width, latent_width, blocks, heads) for _ in range(rounds)
        )
        self.coarsening, self.compute_budget = coarsening, compute_budget
        # Saved models hold these weights under this name: supernodes were called cells.
        self.from_cells = None if coarsening is None else nn.Linear(width, latent_width)
        self.norm = Modulation(width, latent_width)
        self.head = zeroed(nn.Linear(width, out_dim or pos_dim))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        tiers = self.compute_budget.tier(signal_level(log_snr.double()))
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

    def extra_repr(self) -> str:
        """Columns in and out, and the latents."""
        count, width = self.latents.shape
        return f"{in_out(self)}, latents={count}x{width}"

    def _tier(self, graphs: Graphs, condition: Tensor, tier: int) -> Tensor:
        budget = self.compute_budget
        if budget.skips(tier):
            # A batch that skips the network still has a loss, whose gradient is zero.
            zeros = graphs.pos.new_zeros(graphs.num_nodes, self.head.out_features)
            return zeros.requires_grad_(torch.is_grad_enabled())
        inputs = self.fourier(graphs.pos)
        if graphs.x is not None:
            inputs = torch.cat([inputs, graphs.x], dim=-1)
        lifted = self.lift(inputs)
        z = self._start(graphs, lifted, budget.part(budget.latents[tier], self.latents.shape[0]))
        h, real = graphs.padded(lifted)
        mask = real if graphs.uniform is None else None
        for step in list(self.rounds)[: budget.part(budget.depth[tier], len(self.rounds))]:
            h, z = step(h, z, condition, mask, budget.width[tier])
        out: Tensor = self.head(self.norm(h, condition))
        return out.flatten(0, 1) if mask is None else out[mask]

    def _start(self, graphs: Graphs, lifted: Tensor, count: int) -> Tensor:
        """Return the initial latents ``[g, count, latent_width]``."""
        z: Tensor = self.latents[:count].expand(len(graphs), -1, -1)
        if self.coarsening is None or self.from_cells is None:
            return z
        supernodes = self.coarsening(graphs.pos, graphs.ptr, graphs.sizes.clamp(max=count))
        means = self.from_cells(supernodes.mean(lifted.to(graphs.pos.dtype)))
        # In graphs with fewer points than latents, the last latents remain the learned vectors.
        index = torch.arange(len(supernodes), device=means.device)
        graph = torch.repeat_interleave(supernodes.ptr.diff(), output_size=len(supernodes))
        rows = graph * count + index - supernodes.ptr[graph]
        added: Tensor = means.new_zeros(len(graphs) * count, means.shape[1]).index_copy(0, rows, means)
        return z + added.view_as(z)
