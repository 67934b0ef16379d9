r"""Graph transformer: a network on the classes of nodes and of pairs of nodes, for discrete graphs.

Nodes attend to all nodes of their graph under a bias of their pair, and pairs i < j are updated from their
two nodes. Values of pairs are stored once, as packed rows: they are symmetric by construction, and take half
the work of padded ``[n, n]`` matrices or less. Structural features of the noisy graph join the inputs.

Source: Vignac et al., DiGress: Discrete Denoising Diffusion for Graph Generation (2023),
https://arxiv.org/abs/2209.14734; Qin et al., DeFoG: Discrete Flow Matching for Graph Generation (2025),
https://arxiv.org/abs/2410.04263.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.arguments import real, whole
from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_ptr
from noisefold.nn.blocks import Condition, perceptron
from noisefold.nn.graph_transformer.layer import GraphLayer
from noisefold.nn.graph_transformer.pair_layout import PairLayout
from noisefold.nn.graph_transformer.structure import Structure
from noisefold.nn.linear import Linear
from noisefold.nn.norms import Norm
from noisefold.noise.categories import Categories
from noisefold.noise.schedule import signal_level
from noisefold.noise.variable import Types

__all__ = ["GraphTransformer", "one_hot"]


@register_module
class GraphTransformer(nn.Module):
    r"""Transformer on nodes and packed pairs of discrete graphs, modulated by the noise level.

    .. math::

        h, e, y = \mathrm{lift}(\text{classes}, x, \text{structure}, \lambda), \qquad
        (h, e, y) \leftarrow \mathrm{Layer}_k(h, e, y), \qquad
        \ell_{\text{nodes}} = W \,\mathrm{norm}(h; y), \quad \ell_{\text{pairs}} = W' \,\mathrm{norm}(e)

    The state is read from the graphs: node types, and edges with their types. The logits of an untrained
    network are zero, so that it adds nothing to those of a prior. Permutation-equivariant; symmetric in the
    nodes of a pair. A graph's result does not depend on its batch.

    Shapes:
        - **graphs** types of nodes ``[n]`` or None, edges, features ``[n, features]``
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** `Categories` of logits, nodes ``[n, node_states]`` and pairs ``[p, pair_states]``

    Parameters
    ----------
    node_states
        Number of classes of nodes; 1 if nodes have no types.
    pair_states
        Number of classes of pairs: 0 for no edge, 1 + the type of an edge. 2 if edges have no types.
    features
        Columns of `Graphs.x`. Those of a pair are the products of its nodes' columns: of flags that are 1
        where a node is observed, the flag that the pair is.
    classes
        Number of classes of graphs, 0 for none.
    properties
        Number of properties of graphs that condition it, columns of `Graphs.properties`; 0 for none.
    width, pair_width
        Columns of nodes and graphs, and of pairs.
    layers
        Number of layers.
    heads
        Attention heads.
    expansion
        Hidden width of the perceptrons, in multiples of their width.
    walks
        Greatest number of steps of the random walks among the structural features.
    triangle
        Rank of the triangle products of each layer; 0 for none.
    spectrum
        Number of eigenvalues of the Laplacian among the structural features.
    mask_state
        Whether the last class of pairs says that a pair is masked, as absorbing noise makes it. Such pairs
        count as no edges in the structural features.
    skip_below
        Signal level :math:`u = \alpha / (\alpha + \sigma)` below which graphs are not computed, and their
        logits are zero. Where the noise hides all but the marginals, the logits of a prior are all there is.

    Raises
    ------
    ValueError
        If a number is out of range, or the heads do not divide the width.

    Examples
    --------
    >>> from noisefold.geometry import Graphs
    >>> path = torch.tensor([[0, 1], [1, 2]])
    >>> logits = GraphTransformer(1, 2)(Graphs(torch.zeros(3, 0), edge_index=path), torch.zeros(1))
    >>> logits.nodes.shape, logits.pairs.shape
    (torch.Size([3, 1]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        node_states: int,
        pair_states: int,
        features: int = 0,
        classes: int = 0,
        width: int = 64,
        pair_width: int = 32,
        layers: int = 4,
        heads: int = 4,
        expansion: int = 2,
        walks: int = 12,
        triangle: int = 0,
        spectrum: int = 0,
        mask_state: bool = False,
        properties: int = 0,
        skip_below: float = 0.0,
    ) -> None:
        super().__init__()
        whole("node_states", node_states, least=1)
        whole("pair_states", pair_states, least=2 + mask_state)
        for name, value in (("walks", walks), ("triangle", triangle), ("spectrum", spectrum)):
            whole(name, value, least=0)
        self.skip_below = real("skip_below", skip_below, 0, 1)
        self.node_states, self.pair_states, self.mask_state = node_states, pair_states, mask_state
        self.structure = Structure(walks, spectrum)
        of_nodes, of_pairs, of_graphs = self.structure.columns
        self.condition = Condition(width, classes, properties)
        self.lift_nodes = perceptron(node_states + features + of_nodes, width, width)
        self.lift_pairs = Linear(pair_states + features + of_pairs, pair_width)
        self.lift_graphs = Linear(of_graphs, width)
        self.layers = nn.ModuleList(
            GraphLayer(width, pair_width, heads, expansion, triangle) for _ in range(layers)
        )
        self.norm = Norm("layer", width, width)
        self.norm_pairs = nn.LayerNorm(pair_width)
        self.head = nn.Linear(width, node_states)
        self.head_pairs = nn.Linear(pair_width, pair_states)
        for head in (self.head, self.head_pairs):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Categories:
        """Return the logits for noisy graphs at ``log_snr [g]``.

        Raises
        ------
        ValueError
            If classes of nodes or pairs or features are not those of the network.
        """
        if not self.skip_below:
            return self._logits(graphs, log_snr, label)
        seen = signal_level(log_snr.double()) >= self.skip_below
        if bool(seen.all()):
            return self._logits(graphs, log_snr, label)
        weight = self.head.weight
        pairs = torch.repeat_interleave(seen, pair_ptr(graphs.ptr).diff())
        out = Categories(
            weight.new_zeros(graphs.num_nodes, self.node_states),
            weight.new_zeros(len(pairs), self.pair_states),
        )
        if bool(seen.any()):
            part = self._logits(graphs[seen], log_snr[seen], None if label is None else label[seen])
            rows = Categories(seen[graphs.batch].nonzero()[:, 0], pairs.nonzero()[:, 0])
            return out.map(lambda zeros, at, values: zeros.index_copy(0, at, values), rows, part)
        # A batch that is skipped still has a loss, whose gradient is zero.
        return out.map(lambda zeros: zeros.requires_grad_(torch.is_grad_enabled()))

    def extra_repr(self) -> str:
        """Columns of nodes and pairs in and out."""
        features = vars(self)["arguments"]["features"]
        seen = f"{self.node_states} + {features}" if features else f"{self.node_states}"
        return f"{seen}, {self.pair_states} -> {self.node_states}, {self.pair_states}"

    def _logits(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None) -> Categories:
        layout, weight = PairLayout(graphs.ptr), self.head.weight
        h, e, y = self._lifted(graphs, layout)
        y = y + self.condition(log_snr.to(weight), label, graphs.properties)
        for layer in self.layers:
            h, e, y = layer(h, e, y, layout)
        h = self.norm(h, y, layout.nodes)
        # bfloat16 would round logits to 1 in 256.
        return Categories(self.head(h).to(weight), self.head_pairs(self.norm_pairs(e)).to(weight))

    def _lifted(self, graphs: Graphs, layout: PairLayout) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first nodes ``[n, width]``, pairs ``[p, pair_width]`` and graphs ``[g, width]``."""
        weight = self.head.weight
        state = Types().read(graphs)
        edges = state.pairs > 0
        if self.mask_state:
            edges &= state.pairs < self.pair_states - 1
        nodes, pairs, of_graphs = self.structure(layout, edges, weight)
        of_nodes = [one_hot("node_type", state.nodes, self.node_states, weight), nodes]
        of_pairs = [one_hot("1 + edge_type", state.pairs, self.pair_states, weight), pairs]
        features = vars(self)["arguments"]["features"]
        if graphs.features != features:
            raise ValueError(f"x must have {features} features, as the network, got {graphs.features}.")
        if graphs.x is not None and features:
            x = graphs.x.to(weight)
            of_nodes.append(x)
            of_pairs.append(x[layout.pairs].prod(1))
        return (
            self.lift_nodes(torch.cat(of_nodes, dim=1)),
            self.lift_pairs(torch.cat(of_pairs, dim=1)),
            self.lift_graphs(of_graphs),
        )


def one_hot(name: str, classes: Tensor, count: int, like: Tensor) -> Tensor:
    """Return classes ``[m]`` as columns ``[m, count]`` of the type of `like`; others are refused."""
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < count:
        raise ValueError(
            f"{name} must be one of the {count} states of the network, 0 to {count - 1}, "
            f"got {int(classes.min())} to {int(classes.max())}."
        )
    return functional.one_hot(classes, count).to(like)
