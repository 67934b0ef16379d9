"""Completion of discrete graphs: draws of nodes and edges that are not observed, given those that are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from noisefold.arguments import whole
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.notebook import graphs_html, table_html
from noisefold.geometry.pairs import pair_ptr
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.categories import Categories
from noisefold.noise.directed_types import DirectedTypes
from noisefold.noise.joint_variable import JointVariable
from noisefold.noise.source import Streams, derive_seed
from noisefold.noise.variable import Known, Types, Variable
from noisefold.progress import progress
from noisefold.sample.completion import completed
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.draw import generate
from noisefold.sample.sampling import Sampling

__all__ = ["GraphCompletion", "extended"]

_STEPS = 50


@dataclass(frozen=True, eq=False)
class GraphCompletion:
    """Draws of graphs of which a part is observed.

    Parameters
    ----------
    graphs
        What was given.
    known
        Which nodes ``[n]`` and which pairs of nodes ``[p]`` (`noisefold.geometry.pairs`) were observed.
    draws
        The graphs filled in, once for each draw.
    """

    graphs: Graphs
    known: Categories
    draws: list[Graphs]

    def __len__(self) -> int:
        return len(self.draws)

    def __repr__(self) -> str:
        nodes, pairs = (float(v.double().mean()) if v.numel() else 1.0 for v in self._masks)
        return f"GraphCompletion({len(self)} draws, {nodes:.0%} of nodes and {pairs:.0%} of pairs known)"

    def _repr_html_(self) -> str:
        nodes, pairs = self._masks
        rows = [("nodes", f"{int(nodes.sum())}"), ("pairs", f"{int(pairs.sum())}")]
        return table_html(repr(self), ("", "known"), rows) + graphs_html(self.draws[0])

    @property
    def _masks(self) -> tuple[Tensor, Tensor]:
        return self.known.nodes, self.known.pairs

    @cached_property
    def probabilities(self) -> Categories:
        """Share of the draws in which a node ``[n, a]`` or a pair ``[p, b]`` is of a class; 0: no edge."""
        states = [Types().read(draw) for draw in self.draws]
        nodes, pairs = torch.stack([s.nodes for s in states]), torch.stack([s.pairs for s in states])
        first = self.draws[0]
        return Categories(
            _shares(nodes, max(1, len(first.node_types))), _shares(pairs, 1 + max(1, len(first.edge_types)))
        )

    @property
    def edge_probability(self) -> Tensor:
        """Share of the draws in which a pair is an edge of any type, ``[p]``."""
        return 1 - self.probabilities.pairs[:, 0]


@completed.register
def _(
    variable: Types,
    denoiser: Denoiser[Any, Any],
    units: Transform,
    graphs: Graphs,
    known: Tensor | Categories,
    method: Conditioning,
    sampling: Sampling,
    *,
    draws: int,
    keep: bool,
    tile: int | None,
) -> GraphCompletion:
    draws = whole("draws", draws, least=1)
    if not len(graphs):
        raise ValueError("graphs must hold at least one graph to complete, got none.")
    _check_types(graphs, denoiser.path)
    given, mask = variable.read(graphs), _mask(graphs, known)
    blank = given.map(lambda value, seen: value.masked_fill(~seen, 0), mask)
    unit = variable.write(graphs, blank)
    solver, times = sampling.resolved(denoiser.path, _STEPS, method)
    by_node, by_pair = (list(v.split(s.tolist())) for v, s in _parts(mask, graphs))
    items = [(i, j) for j in range(draws) for i in range(len(graphs))]
    made: list[Graphs] = []
    with progress("completing", len(items)) as advance:
        for start in range(0, len(items), sampling.batch):
            chosen = items[start : start + sampling.batch]
            numbers = [i for i, _ in chosen]
            part = unit[numbers].to(denoiser.device)
            seen = Categories(
                torch.cat([by_node[i] for i in numbers]), torch.cat([by_pair[i] for i in numbers])
            ).to(denoiser.device)
            streams = Streams(sampling.seed, [derive_seed(i, j) for i, j in chosen])
            fixed: Known[Categories] = Known(variable.read(part), seen, part.batch)
            done = generate(
                denoiser,
                part,
                times,
                solver,
                streams,
                guidance=sampling.guidance,
                guidance_interval=sampling.guidance_interval,
                given=(fixed, method),
            )
            done = variable.write(done, variable.over(fixed, variable.read(done)))
            made += list(done.to(graphs.device))
            advance(len(chosen), "")
    g = len(graphs)
    return GraphCompletion(graphs, mask, [Graphs.collate(made[j * g : (j + 1) * g]) for j in range(draws)])


@completed.register(JointVariable)
@completed.register(DirectedTypes)
def _(variable: Variable[Any], *asked: Any, **how: Any) -> Any:
    """Refuse to complete what has no masks: positions that count up to their place, directions."""
    raise ValueError(
        f"a model that generates {variable.noun} does not complete graphs; train one with "
        'variable="types" to complete nodes and undirected edges.'
    )


def extended(graphs: Graphs, nodes: int | list[int]) -> tuple[Graphs, Tensor]:
    """Return graphs with further nodes to be drawn, and which are known: for completing a scaffold.

    Parameters
    ----------
    graphs
        The parts that are known.
    nodes
        Nodes of each whole graph, or of all.

    Returns
    -------
    tuple
        The graphs, whose own nodes come first, and the known nodes ``[n]``, bool.

    Raises
    ------
    ValueError
        If a graph has more nodes than it is to have.
    """
    whole = torch.tensor([nodes] * len(graphs) if isinstance(nodes, int) else nodes)
    sizes = graphs.sizes.cpu()
    if len(whole) != len(graphs) or bool((whole < sizes).any()):
        raise ValueError(
            f"nodes must be at least the {int(sizes.max())} nodes that are known, for each of the "
            f"{len(graphs)} graphs, got {nodes}."
        )
    ptr = torch.cat([whole.new_zeros(1), whole.cumsum(0)])
    batch = graphs.batch.cpu()
    rows = torch.arange(graphs.num_nodes) - graphs.ptr.cpu()[batch] + ptr[batch]
    total = int(ptr[-1])

    def spread(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        out = values.new_zeros(total, *values.shape[1:])
        out[rows] = values
        return out

    known = torch.zeros(total, dtype=torch.bool)
    known[rows] = True
    return graphs.replace(
        pos=spread(graphs.pos),
        x=spread(graphs.x),
        node_type=spread(graphs.node_type),
        mask=None,
        ptr=ptr,
        edge_index=None if graphs.edge_index is None else rows[graphs.edge_index],
    ), known


def _mask(graphs: Graphs, known: Tensor | Categories) -> Categories:
    n, p = graphs.num_nodes, int(pair_ptr(graphs.ptr)[-1])
    if isinstance(known, Tensor) and known.dtype == torch.bool and known.shape == (n,):
        return Types().mask(graphs, known.to(graphs.device)[:, None])
    if isinstance(known, Categories) and known.nodes.shape == (n,) and known.pairs.shape == (p,):
        return known.to(graphs.device)
    raise ValueError(
        f"known must be bool [{n}], which nodes are observed with the edges between them, or Categories of "
        f"[{n}] and [{p}]; True is known, False is to be drawn."
    )


def _check_types(graphs: Graphs, path: Any) -> None:
    """Refuse graphs with other types of nodes or edges than a model has learned."""
    edges = 0 if graphs.edge_index is None else graphs.edge_index.shape[1]
    for name, count, classes in (
        ("node_type", graphs.num_nodes, len(path.nodes)),
        ("edge_type", edges, len(path.pairs) - 1),
    ):
        codes = getattr(graphs, name)
        if codes is None and classes > 1 and count:
            raise ValueError(f"graphs have no {name}, and the model knows {classes}; give types.")
        if codes is not None and count and int(codes.max()) >= classes:
            raise ValueError(
                f"graphs have a {name} of {int(codes.max())}, and the model knows {classes}, from 0; use the "
                "types of its training data."
            )


def _parts(values: Categories, graphs: Graphs) -> list[tuple[Tensor, Tensor]]:
    return [(values.nodes, graphs.sizes), (values.pairs, pair_ptr(graphs.ptr).diff())]


def _shares(classes: Tensor, least: int) -> Tensor:
    count = max(least, int(classes.max()) + 1 if classes.numel() else 0)
    return torch.nn.functional.one_hot(classes, count).double().mean(0)
