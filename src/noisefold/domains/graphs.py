"""Discrete graphs: types of nodes and edges are generated, "no edge" among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from noisefold.data.molecules import is_molecular
from noisefold.data.notice import notify
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.graph_scores import score_graphs
from noisefold.eval.score_table import Scores
from noisefold.geometry.directed import has_directions, one_way
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import numbered
from noisefold.geometry.pairs import edges_to_pairs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.nn.defaults import default_graph_net
from noisefold.noise.categories import Categories
from noisefold.noise.classes import Classes
from noisefold.noise.discrete import Discrete
from noisefold.noise.levels import LevelDistribution
from noisefold.noise.variable import Types, Variable
from noisefold.train.masks import Masks
from noisefold.train.settings import Training

__all__ = ["DiscreteGraphs", "bare", "noted"]

_PAIRS = 16_000  # of a batch: a step of more costs more and teaches hardly more
# Nodes from which structure is decided where little is noise, which is then trained more; of molecules, whose
# valences allow no mistake, always (``noisefold study molecules --scale short``).
_LARGE = 40
_KEPT = {
    "tree": "trees",
    "connected": "connected",
    "planar": "planar",
    "valence": "to keep valences",
    "molecule": "to be of one piece, and to keep valences",
}
_LATE = LevelDistribution((0.0, 0.25, 0.5, 0.75, 1.0), (1, 2, 3, 4))


@dataclass(frozen=True)
class DiscreteGraphs(Domain):
    """Simple undirected graphs, by `noisefold.nn.GraphTransformer` on a discrete path.

    Positions, features and attributes of the edges are left out. Self-loops are dropped, multi-edges merged.
    """

    name: ClassVar[str] = "graphs"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether types are generated: asked for, or graphs have edges and no positions."""
        if variable is not None:
            return isinstance(variable, Types)
        return data.dim == 0 and data.edge_index is not None

    def prepared(self, data: Graphs) -> Graphs:
        """Return simple undirected graphs without positions and features.

        Raises
        ------
        ValueError
            If some edges, but not all, are listed in one direction only: the graphs are directed.
        """
        return _simple(data)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for graphs of any sizes."""
        graphs = self.prepared(data)
        summary = DataSummary.of(graphs, Scaling.fit(graphs))
        path = Discrete.fit(graphs)
        largest = int(graphs.sizes.max())
        pairs = max(1, int((graphs.sizes * (graphs.sizes - 1) // 2).double().mean()))
        training = Training(
            batch=max(1, min(128, len(graphs), _PAIRS // pairs)),
            lr=2e-3,
            weight_decay=1e-2,
            levels=_LATE if largest >= _LARGE or is_molecular(graphs) else None,
            masks=Masks(("nothing", "nodes")) if request.for_completion else None,
            seed=request.seed,
        )
        net = default_graph_net(graphs, path, request.for_completion, **request.net)
        return planned(net, path, Classes(), Types(), training, summary, request)

    def score(
        self,
        model: ScoredModel,
        test: Graphs,
        train: Graphs | None,
        *,
        draws: int | None,
        metrics: Sequence[str] | None,
        seed: int,
        **sampling: Any,
    ) -> Scores:
        """Compare as many samples as there are test graphs, unless `draws` says otherwise."""
        generated = model.sample_for(test, draws, seed=seed, **sampling)
        return noted(score_graphs(generated, test, train, metrics=metrics, seed=seed), sampling)


def noted(scores: Scores, sampling: Mapping[str, Any]) -> Scores:
    """Return scores that say by which constraint the samples were drawn, if there was one."""
    constraint = sampling.get("constraint")
    if constraint is None:
        return scores
    note = f"Samples of the model were made {_KEPT[constraint]} by a constraint, whatever it has learned."
    return replace(scores, note=f"{note} {scores.note}".strip())


def _simple(data: Graphs) -> Graphs:
    edges = torch.zeros(2, 0, dtype=torch.int64) if data.edge_index is None else data.edge_index.cpu()
    if has_directions(edges, data.num_nodes):
        alone = one_way(edges, data.num_nodes)
        raise ValueError(
            f"{int(alone.sum())} of {len(alone)} edges go one way, and graphs are generated without "
            "directions; give each edge in both directions (networkx: graph.to_undirected()), or use "
            'variable="directed".'
        )
    plain, nodes = bare(data, edges)
    pairs = edges_to_pairs(edges, data.edge_type, data.ptr, simplify=True)
    return Types().write(plain, Categories(nodes, pairs))


def bare(data: Graphs, edges: Tensor) -> tuple[Graphs, Tensor]:
    """Return graphs with names of types and without positions and features, and their types of nodes.

    What becomes of self-loops and repeated edges ``[2, e]`` is said.
    """
    loops = int((edges[0] == edges[1]).sum())
    repeated = edges.shape[1] - len((edges[0] * data.num_nodes + edges[1]).unique())
    if loops or repeated:
        notify(f"{loops} self-loops were dropped and {repeated} repeated edges merged.")
    plain = data.replace(
        pos=data.pos.new_zeros(data.num_nodes, 0),
        x=None,
        edge_attr=None,
        origin=(),
        modality=None,
        node_types=data.node_types or numbered(data.node_type),
        edge_types=data.edge_types or numbered(data.edge_type),
    )
    nodes = torch.zeros(data.num_nodes, dtype=torch.int64) if data.node_type is None else data.node_type
    return plain, nodes
