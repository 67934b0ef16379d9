r"""A network on overlapping patches of a large graph: one state, one noise, one answer for every node.

A network trained on patches of some hundred nodes sees each patch of the graph alone, and its answers are
averaged over the patches that hold a node, :math:`y_i = \sum_p w_{pi}\, y_{pi}` with weights that sum to 1.
The answer is linear in the estimate of the data, so this averages estimates, not samples. A sample is one
state of the whole graph: it has no seams, and keeps its variance where patches overlap.

Source: Bar-Tal et al., MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation (2023),
https://arxiv.org/abs/2302.08113.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs

__all__ = ["Tiled"]


class Tiled(nn.Module):
    """A network that works on patches of one graph.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, c]``, trained on patches.
    rows
        Nodes of each patch; every node must be in at least one.
    weights
        Their weights; those of a node sum to 1 over the patches.
    batch
        Patches at a time; only speed and memory depend on it.

    Raises
    ------
    ValueError
        If rows and weights do not fit together, or a node is in no patch.

    Notes
    -----
    ``forward(graphs, log_snr [g], label [g] or None) -> [n, c]`` takes copies of that graph alone, each with
    positions, features and mask, but without edges.
    """

    def __init__(
        self, net: nn.Module, rows: Sequence[Tensor], weights: Sequence[Tensor], batch: int = 64
    ) -> None:
        super().__init__()
        self.net, self.batch = net, batch
        self.rows, self.weights = list(rows), list(weights)
        self.arguments = getattr(net, "arguments", {})
        if [len(r) for r in self.rows] != [len(w) for w in self.weights] or not self.rows:
            raise ValueError("rows and weights must be equally long lists of equally long tensors.")
        flat = torch.cat(self.rows)
        self.nodes = int(flat.max()) + 1
        total = torch.zeros(self.nodes, dtype=torch.float64).index_add_(
            0, flat, torch.cat(self.weights).double()
        )
        if not bool(((total - 1).abs() < 1e-6).all()):
            raise ValueError("the weights of each node must sum to 1 over the patches that hold it.")

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the weighted mean of the answers on patches, ``[n, c]``."""
        if graphs.uniform != self.nodes or graphs.edge_index is not None:
            raise ValueError(
                f"graphs must be copies of one of {self.nodes} nodes without edges, got {graphs}."
            )
        out: Tensor | None = None
        items = [(g, p) for g in range(len(graphs)) for p in range(len(self.rows))]
        for start in range(0, len(items), self.batch):
            some = items[start : start + self.batch]
            rows = torch.cat([self.rows[p] + g * self.nodes for g, p in some]).to(graphs.device)
            sizes = torch.tensor([0, *(len(self.rows[p]) for _, p in some)], device=graphs.device)
            of = torch.tensor([g for g, _ in some], device=graphs.device)
            part = Graphs(
                graphs.pos[rows],
                None if graphs.x is None else graphs.x[rows],
                sizes.cumsum(0),
                mask=None if graphs.mask is None else graphs.mask[rows],
            )
            answer = self.net(part, log_snr[of], None if label is None else label[of])
            weight = torch.cat([self.weights[p] for _, p in some]).to(answer)
            if out is None:
                out = answer.new_zeros(graphs.num_nodes, answer.shape[1])
            out = out.index_add(0, rows, weight[:, None] * answer)
        assert out is not None
        return out
