r"""Dynamic message passing: a graph network whose graph follows the noise.

A schedule turns the signal level of every graph into a range r and a resolution s. The nodes are gathered in
s cells, and each layer sends messages from the nodes to their cells, among the cells along edges of range r,
and back: with much noise few cells that all see each other, on clean data a cell a node and near neighbours.

.. math::

    \hat h &\leftarrow \operatorname{mean}_{j \in \text{cell}} m(\hat h, h_j), \qquad
    \hat h \leftarrow \mathrm{conv}(\hat h, E_r), \qquad
    z_j = m(h_j, \hat h_{\text{cell}(j)}), \\
    h &\leftarrow \lambda h + (1 - \lambda) z, \quad \lambda = \mathrm{sigmoid}(\mathrm{linear}[h, z]), \qquad
    h \leftarrow h + \mathrm{MLP}(\mathrm{GELU}(\mathrm{norm}(h))).

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks (arXiv 2507.09391), section 4 and
appendix B.1.
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
from noisefold.geometry.neighbors import Radius
from noisefold.nn.adaptive import Adaptive, Exponential, Fixed, Learned
from noisefold.nn.dmp.layers import Gate, Layer, Lift, Scene, embedding_of
from noisefold.nn.dmp.message import Coarsen, Convolution, Uncoarsen, convolution
from noisefold.nn.dmp.structure import RULES, Coarsening, Neighbors, Structure, with_length
from noisefold.nn.norms import MLP, Norm, Rows
from noisefold.nn.rowwise import rowwise
from noisefold.noise.schedule import signal_level

__all__ = ["DMP", "Details"]


@configurable
@dataclass(frozen=True)
class Details:
    """Smaller choices in a `DMP`, each of them a point where the paper, its code and we differ.

    Parameters
    ----------
    activation
        Inside the perceptrons: "gelu", "relu" or "silu".
    inner_norm
        A norm after every inner linear map of every perceptron.
    shared_norm
        One norm with one set of statistics for all places inside a perceptron, as in the published code.
    shared_gate
        One gate for all layers, as in the published code.
    residual
        Add each layer's last perceptron to its input.
    unit_start
        Begin with linear maps that keep the variance of what they map, U(-a, a) with a^2 = 3 / inputs, not
        PyTorch's, which keep a third. (ModelNet's airplanes, 350 steps of 32 x 256 points, one seed:
        loss 1.294 with it, 1.310 without, 1.297 without it but with `inner_norm`.)
    zero_head
        Begin with a prediction of zero.
    keep
        Share of a node's own state that every gate keeps at the beginning, in (0, 1); None leaves it to the
        first weights, near one half. Through K gates a share keep^K of a node's own state is left, so that
        deep networks begin oversmoothed; 1 - 1/K leaves about a third at any depth.

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
    r"""Dynamic message passing.

    Permutation-equivariant (but for random edges); a graph's result does not depend on the batch it stands in
    (but for batch norm in training). A batch may mix noise levels and sizes freely. Nearly all of the cost is
    spent in perceptrons, linear in the number N of nodes. Edges number r N, with r the schedule's range on
    clean data: by default the paper's cube root of N, which is felt from N = 10^5 on (100 edges a node at
    10^6). ``adaptive=Exponential(range=10)`` has ten a node at every size.

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    features
        Features f of every node, 0 for none.
    out_dim
        Columns of the prediction; default d.
    width
        Columns of nodes, cells and messages.
    layers
        Number of rounds of messages.
    conv
        Message passing among the cells: "gcn", "gat", "edge" (the paper's message along every edge, which
        sees offsets), the name of any convolution of `torch_geometric.nn`, or a function of the width that
        makes a module called as ``conv(x [m, width], edge_index [2, e])``. A function cannot be saved.
    adaptive
        Schedule of range and resolution, of `noisefold.nn.adaptive`.
    coarsening
        How cells are found, of `noisefold.geometry`.
    neighbors
        "knn", "long-short", "random" (all three with the schedule's range) or "full"; or a rule of
        `noisefold.geometry`, which then takes no notice of the range.
    norm
        "layer", "batch" or "none".
    embedding
        How the noise level enters: "film" gives the nodes an embedding of the log signal-to-noise ratio and
        modulates every layer's norm by it; "time" gives the nodes the raw signal level u.
    aggregate
        Messages from members to their cell: "mean" or "sum".
    heads
        Heads of "gat".
    classes
        Number of classes of graphs, 0 for none.
    details
        Smaller choices.

    Raises
    ------
    ValueError
        If an option is not one of those named, or graphs do not have the dimension or features announced.

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
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    @classmethod
    def paper(cls, variable: str = "pos", **options: Any) -> Self:
        """The paper's network, by its text, for shapes (``"pos"``) or transcriptomics (``"x"``).

        Batch norm of its own at every place, a sigmoid gate for each layer, sums over the members of voxels,
        the raw signal level as an input, the exponential schedule; width 64 or 32. Where the text contradicts
        itself or its figures (a gate without sigmoid, no residual), it is the evident intent.

        Parameters
        ----------
        noised
            "pos" (three dimensions, no features) or "x" (time and place, three genes).
        options
            Arguments of the class that shall differ.

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
        """The network of the paper's published code, with all that it does otherwise than the text.

        One norm shared by all places of a perceptron, one gate for all layers, ReLU, averaged messages, and
        for positions range 7 and the schedule reversed: finest at pure noise. Parameters as in `paper`.
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
        """The same network at full resolution with a graph that takes no notice of the noise.

        Parameters
        ----------
        name
            "knn", "long-short" (half the nearest, half at random), "random" (what the published code calls
            long-short), each with the cube root of N as neighbours; "full" or "radius".
        radius
            Radius of the graph "radius", in units of the positions.
        paper
            "pos" or "x" for the network of `paper`, None for the defaults.
        options
            Arguments of the class that shall differ.

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
        """Prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
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

    def plan(self, graphs: Graphs, log_snr: Tensor) -> Structure:
        """Cells and edges the network uses for these graphs at ``log_snr [g]``."""
        levels = self.adaptive(signal_level(log_snr.double()), graphs.sizes)
        return Structure.plan(graphs.pos, graphs.ptr, levels, self.coarsening, self.neighbors)

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
        structure = Structure.plan(pos, graphs.ptr, levels, self.coarsening, self.neighbors)
        means = structure.members.mean(values)
        centre = means[:, self.features :]
        scene = Scene(
            rows=Rows(graphs.batch, graphs.uniform),
            context=self.condition(log_snr.to(pos.dtype), label),
            structure=structure,
            offset=with_length(structure.members.spread(centre) - pos),
            edges=structure.edges(centre, self.sees_offsets),
        )
        h = self.lift_nodes(values, scene.context, scene.rows)
        cells = self.lift_cells(means, scene.context, Rows(structure.graph))
        for i, layer in enumerate(self.layers):
            h, cells = layer(h, cells, scene, self.gates[i % len(self.gates)])

        def predicted(part: slice) -> Tensor:
            own = h[part]
            if self.norm is not None:
                own = self.norm(own, scene.context, scene.rows.part(part))
            out: Tensor = self.project(own)
            return out

        return rowwise(predicted, h, self.training)


def _unit(module: nn.Module) -> None:
    # Modulations keep their zeros: they begin as plain norms.
    if isinstance(module, nn.Linear) and module.weight.any():
        bound = (3 / module.in_features) ** 0.5
        nn.init.uniform_(module.weight, -bound, bound)


def _sizes(variable: str) -> dict[str, int]:
    if variable == "pos":
        return {"pos_dim": 3, "features": 0, "width": 64}
    if variable == "x":
        return {"pos_dim": 2, "features": 3, "out_dim": 3, "width": 32}
    raise ValueError(f'variable must be "pos" or "x", got {variable!r}.')
