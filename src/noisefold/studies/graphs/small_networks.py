"""Small networks on the pairs of a graph, from the closed form alone to a graph transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn.blocks import perceptron
from noisefold.nn.graph_transformer.network import GraphTransformer
from noisefold.nn.graph_transformer.pair_layout import PairLayout
from noisefold.nn.graph_transformer.structure import Structure
from noisefold.noise import Types
from noisefold.noise.categories import Categories
from noisefold.noise.schedule import signal_level

__all__ = ["NETWORKS", "PairPerceptron"]


class PairPerceptron(nn.Module):
    r"""A perceptron on each pair of nodes alone: no messages are passed.

    .. math:: \ell_{ij} = \mathrm{MLP}[x_{ij}, f_i + f_j, (f_i - f_j)^2, f_{ij}, f_G, \lambda]

    Shapes:
        - **graphs**, **log_snr** ``[g]``, **label** as of `noisefold.nn.GraphTransformer`
        - **output** `Categories` of logits

    Parameters
    ----------
    states
        Number of classes of pairs.
    walks
        Steps of the random walks among the features f; 0 for the degrees alone.
    width
        Hidden width.
    mask_state
        Whether the last class of pairs says that a pair is masked.
    """

    def __init__(self, states: int, walks: int, width: int = 64, mask_state: bool = False) -> None:
        super().__init__()
        self.states, self.mask_state, self.degrees_only = states, mask_state, walks == 0
        self.structure = Structure(walks, 0)
        nodes, pairs, graphs = (1, 0, 2) if self.degrees_only else self.structure.columns
        self.net = perceptron(states + 2 * nodes + pairs + graphs + 1, width, width)
        self.head = nn.Linear(width, states)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def extra_repr(self) -> str:
        """Classes in and out."""
        return f"1, {self.states} -> 1, {self.states}"

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Categories:
        """Return the logits for noisy graphs at ``log_snr [g]``."""
        layout, like = PairLayout(graphs.ptr), self.head.weight
        state = Types().read(graphs).pairs
        edges = (state > 0) & ((state < self.states - 1) | (not self.mask_state))
        nodes, pairs, of_graphs = self.structure(layout, edges, like)
        if self.degrees_only:
            nodes, pairs, of_graphs = nodes[:, :1], pairs[:, :0], of_graphs[:, :2]
        first, second = (nodes[rows] for rows in layout.pairs.T)
        owner = graphs.batch[layout.pairs[:, 0]]
        level = signal_level(log_snr).to(like)[:, None]
        parts = [
            nn.functional.one_hot(state, self.states).to(like),
            first + second,
            (first - second).square(),
            pairs,
            of_graphs[owner],
            level[owner],
        ]
        logits = self.head(nn.functional.silu(self.net(torch.cat(parts, dim=1))))
        return Categories(like.new_zeros(graphs.num_nodes, 1), logits)


def _transformer(states: int, mask_state: bool) -> nn.Module:
    sizes = {"width": 32, "pair_width": 16, "layers": 2, "walks": 6}
    return GraphTransformer(1, states, mask_state=mask_state, **sizes)


NETWORKS: dict[str, Callable[[int, bool], nn.Module] | None] = {
    "graph transformer": _transformer,
    "features": lambda states, mask: PairPerceptron(states, 6, mask_state=mask),
    "degrees": lambda states, mask: PairPerceptron(states, 0, mask_state=mask),
    "independent edges": None,
}
"""Networks by name; None is the closed form alone."""
