r"""Dynamic message passing (DMP): a noise-conditioned graph network, whose graph adapts to the noise level.

An adaptive schedule maps the signal level of every graph to a range r and a resolution s. The nodes are
coarsened to s supernodes. Each layer sends messages from the nodes to their supernodes, among the supernodes
along edges to the r nearest, and back. At high noise there are few supernodes in a complete graph; on clean
data every node is a supernode and edges are short.

.. math::

    \hat h_i &\leftarrow \operatorname{mean}_{j \in i} m(\hat h_i, h_j), \qquad
    \hat h \leftarrow \mathrm{conv}(\hat h, E_r), \qquad
    z_j = m(h_j, \hat h_{i(j)}), \\
    h &\leftarrow \lambda h + (1 - \lambda) z, \quad \lambda = \mathrm{sigmoid}(\mathrm{linear}[h, z]), \qquad
    h \leftarrow h + \mathrm{MLP}(\mathrm{GELU}(\mathrm{norm}(h))).

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks,
https://arxiv.org/abs/2507.09391, section 4 and appendix B.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from noisefold.configuration import configurable, register_module
from noisefold.geometry.coarsen import Balanced, Voxel
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.neighbor_rules import Radius
from noisefold.nn.adaptive import Adaptive, Exponential, Fixed, Learned
from noisefold.nn.blocks import in_out, zeroed
from noisefold.nn.dmp.coarse_graph import RULES, CoarseGraph, Coarsening, Neighbors, with_length
from noisefold.nn.dmp.convolution import Convolution, convolution
from noisefold.nn.dmp.layers import Gate, Layer, LayerInputs, Lift, embedding_of
from noisefold.nn.dmp.message import Coarsen, Uncoarsen
from noisefold.nn.norms import MLP, Norm, Rows
from noisefold.nn.row_blocks import map_row_blocks
from noisefold.noise.schedule import signal_level

__all__ = ["DMP", "Details"]


@configurable
@dataclass(frozen=True)
class Details:
    """Minor options of a `DMP`, in which the paper, its published code and our default differ.

    Parameters
    ----------
    activation
        Activation inside the perceptrons: "gelu", "relu" or "silu".
    inner_norm
        Whether a norm follows every inner linear map of every perceptron.
    shared_norm
        Whether the norms inside a perceptron are one, with one set of statistics, as in the published code.
    shared_gate
        Whether all layers share one gate, as in the published code.
    residual
        Whether each layer's last perceptron is added to its input.
    unit_start
        Whether linear maps are initialised to preserve variance, U(-a, a) with a^2 = 3 / inputs (LeCun);
        PyTorch's initialisation keeps a third of it.
    zero_head
        Whether the initial prediction is zero.
    keep
        Initial weight of a node's own state in every gate, in (0, 1); None: given by the random weights, near
        one half. After K gates a fraction keep^K of a node's own state is left, so deep networks start
        oversmoothed; 1 - 1/K leaves about a third at any depth.

    Raises
    ------
    ValueError
        If keep does not lie in (0, 1).
    """

    activation: str = "gelu"
    inner_norm: bool = False
    shared_norm: bool = False
    shared_gate: bool = False
    residual: bool = True
    unit_start: bool = True
    zero_head: bool = True
    keep: float | None = None

    def __post_init__(self) -> None:
        if self.keep is not None and not 0 < self.keep < 1:
            raise ValueError(f"keep must lie in (0, 1), got {self.keep}.")


_EXPONENTIAL, _BALANCED, _DETAILS = Exponential(), Balanced(), Details()


@register_module
class DMP(nn.Module):
    r"""Dynamic message passing; see the module for the formula.

    Permutation-equivariant, except with random edges. A graph's result does not depend on its batch, except
    with batch norm in training. A batch may mix noise levels and sizes. Nearly all of the cost is in
    perceptrons, linear in the number N of nodes. There are r N edges, with r the schedule's range on clean
    data, by default the paper's cube root of N: 10 edges a node at N = 10^3 and 100 at 10^6.
    ``adaptive=Exponential(range=10)`` has 10 a node at every size.

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
        Columns of nodes, supernodes and messages.
    layers
        Number of layers.
    conv
        Convolution among the supernodes: "gcn", "gat", "edge" (the paper's message along every edge, which
        sees offsets), the name of a convolution of `torch_geometric.nn`, or a function of the width that
        returns a module called as ``conv(x [m, width], edge_index [2, e])``. A function cannot be saved.
    adaptive
        Schedule of range and resolution, from `noisefold.nn.adaptive`.
    coarsening
        Rule for the supernodes, from `noisefold.geometry`.
    neighbors
        "knn", "long-short", "random" (all three with the schedule's range) or "full"; or a neighbour rule of
        `noisefold.geometry`, which ignores the range.
    norm
        "layer", "batch" or "none".
    embedding
        How the noise level enters: "film" gives the nodes an embedding of the log signal-to-noise ratio and
        modulates every layer's norm by it; "time" gives the nodes the signal level u.
    aggregate
        Aggregation of the messages from nodes to their supernode: "mean" or "sum".
    heads
        Attention heads of "gat".
    classes
        Number of classes of graphs, 0 for none.
    details
        Minor options.

    Raises
    ------
    ValueError
        If an option is unknown, or on a call if the graphs' dimension or features do not match.
    """

    def __init__(
        self,
        pos_dim: int = 3,
        features: int = 0,
        out_dim: int | None = None,
        width: int = 64,
        layers: int = 3,
        conv: Convolution = "gat",
        adaptive: Adaptive = _EXPONENTIAL,
        coarsening: Coarsening = _BALANCED,
        neighbors: str | Neighbors = "knn",
        norm: str = "layer",
        embedding: str = "film",
        aggregate: str = "mean",
        heads: int = 1,
        classes: int = 0,
        details: Details = _DETAILS,
    ) -> None:
        super().__init__()
        if embedding not in ("film", "time"):
            raise ValueError(f'embedding must be "film" or "time", got {embedding!r}.')
        if isinstance(neighbors, str) and neighbors not in RULES:
            raise ValueError(f"neighbors must be one of {', '.join(RULES)} or a rule, got {neighbors!r}.")
        self.pos_dim, self.features, self.adaptive = pos_dim, features, adaptive
        self.coarsening, self.neighbors, self.sees_offsets = coarsening, neighbors, conv == "edge"
        inner = norm if details.inner_norm else "none"

        def mlp(*widths: int) -> MLP:
            return MLP(widths, details.activation, inner, details.shared_norm)

        self.condition, context = embedding_of(embedding, width, classes)
        modulated = context if embedding == "film" else 0
        inputs = features + pos_dim
        # Saved models hold the lift of the supernodes under the name lift_cells.
        self.lift_nodes, self.lift_cells = (
            Lift(inputs, context, mlp(inputs + context, width, width, width)) for _ in range(2)
        )
        self.layers = nn.ModuleList(
            Layer(
                Coarsen(width, pos_dim, details.activation, inner, aggregate),
                convolution(conv, width, pos_dim, heads, details.activation, inner),
                Uncoarsen(width, pos_dim, details.activation, inner),
                Norm(norm, width, modulated),
                mlp(width, width, width),
                details.residual,
            )
            for _ in range(layers)
        )
        self.gates = nn.ModuleList(Gate(width) for _ in range(1 if details.shared_gate else layers))
        self.norm = Norm(norm, width, modulated) if modulated else None
        self.project = mlp(width, width, width, out_dim or pos_dim)
        if details.unit_start:
            for part in (self.lift_nodes, self.lift_cells, self.layers, self.gates, self.project):
                part.apply(_unit)
        if details.keep is not None:
            for gate in self.gates:
                assert isinstance(gate, Gate)
                nn.init.constant_(gate.linear.bias, math.log(details.keep / (1 - details.keep)))
        if details.zero_head:
            head = self.project.linears[-1]
            assert isinstance(head, nn.Linear)
            zeroed(head)

    @classmethod
    def paper(cls, variable: str = "pos", **options: Any) -> Self:
        """Return the network of the paper's text, for shapes (``"pos"``) or transcriptomics (``"x"``).

        Separate batch norms, a sigmoid gate for each layer, sums over the members of voxels, the signal level
        as an input, the exponential schedule; width 64 or 32. Where the text contradicts itself or its
        figures (a gate without sigmoid, no residual), this follows the evident intent.

        Parameters
        ----------
        variable
            "pos" (three dimensions, no features) or "x" (time and position, three genes).
        options
            Arguments of the class to override.

        Raises
        ------
        ValueError
            If `variable` is neither "pos" nor "x".
        """
        chosen: dict[str, Any] = {
            "coarsening": Voxel(),
            "norm": "batch",
            "embedding": "time",
            "aggregate": "sum",
            "details": Details(inner_norm=True, unit_start=False, zero_head=False),
        }
        return cls(**(_sizes(variable) | chosen | options))

    @classmethod
    def published(cls, variable: str = "pos", **options: Any) -> Self:
        """Return the network of the paper's published code, where it differs from the text.

        One norm shared within a perceptron, one gate for all layers, ReLU, averaged messages, and for
        positions range 7 and the reversed schedule (finest at pure noise).

        Parameters
        ----------
        variable, options
            As in `paper`.
        """
        chosen: dict[str, Any] = {
            "aggregate": "mean",
            "adaptive": Exponential(range=7, reverse=True) if variable == "pos" else Exponential(),
            "details": Details(
                "relu",
                inner_norm=True,
                shared_norm=True,
                shared_gate=True,
                unit_start=False,
                zero_head=False,
            ),
        }
        return cls.paper(variable, **(chosen | options))

    @classmethod
    def baseline(
        cls, name: str, radius: float | None = None, paper: str | None = None, **options: Any
    ) -> Self:
        """Return the same network at full resolution on a graph that ignores the noise level.

        Parameters
        ----------
        name
            "knn", "long-short" (half nearest, half random) or "random" (what the published code calls
            long-short), each with the cube root of N as neighbours; "full" or "radius".
        radius
            Radius of "radius", in the unit of the positions.
        paper
            "pos" or "x" for the network of `paper`, None for the defaults.
        options
            Arguments of the class to override.

        Raises
        ------
        ValueError
            If the name is unknown, or the radius is missing.
        """
        if name not in (*RULES, "radius"):
            raise ValueError(f"name must be one of {', '.join(RULES)} or radius, got {name!r}.")
        if (name == "radius") != (radius is not None):
            raise ValueError(
                f'radius must be given for "radius" and for it alone, got {radius} with {name!r}.'
            )
        rule = name if radius is None else Radius(radius, loop=True)
        options = {"adaptive": Fixed(), "neighbors": rule} | options
        return cls(**options) if paper is None else cls.paper(paper, **options)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        self._check(graphs)
        signal = signal_level(log_snr.double())
        sizes = graphs.sizes
        out = self._predict(graphs, log_snr, label, self.adaptive(signal, sizes))
        if not (isinstance(self.adaptive, Learned) and self.training and torch.is_grad_enabled()):
            return out
        reach, resolution, step = self.adaptive.neighbour(signal, sizes)
        with torch.no_grad():
            change = self._predict(graphs, log_snr, label, (reach, resolution)) - out
        return out + step.to(out.dtype)[graphs.batch, None] * change

    def extra_repr(self) -> str:
        """Columns in and out."""
        return in_out(self)

    def coarse_graph(self, graphs: Graphs, log_snr: Tensor) -> CoarseGraph:
        """Return the supernodes and edges that the network uses for these graphs at ``log_snr [g]``."""
        levels = self.adaptive(signal_level(log_snr.double()), graphs.sizes)
        return CoarseGraph.build(graphs.pos, graphs.ptr, levels, self.coarsening, self.neighbors)

    def _check(self, graphs: Graphs) -> None:
        if graphs.dim != self.pos_dim:
            raise ValueError(f"graphs must have dimension pos_dim={self.pos_dim}, got {graphs.dim}.")
        if graphs.features != self.features:
            raise ValueError(
                f"graphs must have features={self.features} columns of x, got {graphs.features}; "
                "set features to the data's."
            )

    def _predict(
        self, graphs: Graphs, log_snr: Tensor, label: Tensor | None, levels: tuple[Tensor, Tensor]
    ) -> Tensor:
        pos, values = graphs.pos, graphs.pos
        if graphs.x is not None:
            values = torch.cat([graphs.x, pos], dim=-1)
        coarse = CoarseGraph.build(pos, graphs.ptr, levels, self.coarsening, self.neighbors)
        means = coarse.pooling.mean(values)
        centre = means[:, self.features :]
        inputs = LayerInputs(
            rows=Rows(graphs.batch, graphs.uniform),
            context=self.condition(log_snr.to(pos.dtype), label),
            coarse=coarse,
            offset=with_length(coarse.pooling.spread(centre) - pos),
            edges=coarse.edges(centre, self.sees_offsets),
        )
        h = self.lift_nodes(values, inputs.context, inputs.rows)
        supernodes = self.lift_cells(means, inputs.context, Rows(coarse.graph))
        for i, layer in enumerate(self.layers):
            h, supernodes = layer(h, supernodes, inputs, self.gates[i % len(self.gates)])

        def predicted(part: slice) -> Tensor:
            own = h[part]
            if self.norm is not None:
                own = self.norm(own, inputs.context, inputs.rows.part(part))
            out: Tensor = self.project(own)
            return out

        return map_row_blocks(predicted, h, self.training)


def _unit(module: nn.Module) -> None:
    # Modulations stay zero, so that they start as plain norms.
    if isinstance(module, nn.Linear) and module.weight.any():
        bound = (3 / module.in_features) ** 0.5
        nn.init.uniform_(module.weight, -bound, bound)


def _sizes(variable: str) -> dict[str, int]:
    if variable == "pos":
        return {"pos_dim": 3, "features": 0, "width": 64}
    if variable == "x":
        return {"pos_dim": 2, "features": 3, "out_dim": 3, "width": 32}
    raise ValueError(f'variable must be "pos" or "x", got {variable!r}.')
