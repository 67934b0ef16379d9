"""Directed graphs: types of nodes and of directed edges are generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.graphs import bare, noted
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.directed_scores import score_directed_graphs
from noisefold.eval.score_table import Scores
from noisefold.geometry.directed import directed_pairs, has_directions, reversed_class
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.nn.defaults import default_directed_net
from noisefold.noise.categories import Categories
from noisefold.noise.classes import Classes
from noisefold.noise.directed_types import DirectedTypes
from noisefold.noise.discrete import Discrete
from noisefold.noise.variable import Variable
from noisefold.train.settings import Training

__all__ = ["DirectedGraphs"]

_PAIRS = 8_000  # of a batch: a step of more costs more and teaches hardly more


@dataclass(frozen=True)
class DirectedGraphs(Domain):
    """Simple directed graphs, by `noisefold.nn.DirectedGraphTransformer` on a discrete path.

    Positions, features and attributes of the edges are left out. Self-loops are dropped, repeated edges
    merged.
    """

    name: ClassVar[str] = "directed graphs"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether directed edges are asked for, or graphs without positions have edges one way alone.

        Edges that are all listed from the earlier to the later node alone are undirected ones.
        """
        if variable is not None:
            return isinstance(variable, DirectedTypes)
        if data.dim > 0 or data.edge_index is None:
            return False
        return has_directions(data.edge_index.cpu(), data.num_nodes)

    def prepared(self, data: Graphs) -> Graphs:
        """Return simple directed graphs without positions and features."""
        return _simple(data)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for graphs of any sizes.

        Raises
        ------
        ValueError
            If a model for completion is asked for.
        """
        if request.for_completion:
            raise ValueError(
                'for_completion=True is not for directed graphs; use variable="types" on undirected ones.'
            )
        graphs = self.prepared(data)
        path = _path(graphs)
        pairs = max(1, int((graphs.sizes * (graphs.sizes - 1) // 2).double().mean()))
        training = Training(
            batch=max(1, min(128, len(graphs), _PAIRS // pairs)),
            lr=2e-3,
            weight_decay=1e-2,
            seed=request.seed,
        )
        net = default_directed_net(graphs, path, **request.net)
        summary = DataSummary.of(graphs, Scaling.fit(graphs))
        return planned(net, path, Classes(), DirectedTypes(), training, summary, request)

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
        scores = score_directed_graphs({"model": generated}, test, train, metrics=metrics, seed=seed)
        return noted(scores, sampling)


def _path(graphs: Graphs) -> Discrete:
    """A path of the data's shares, which do not depend on which node of a pair comes first."""
    state, types = DirectedTypes().read(graphs), max(1, len(graphs.edge_types))
    turned = reversed_class(types)
    counts = torch.bincount(state.pairs, minlength=len(turned)).double()
    counts = (counts + counts[turned]) / 2
    nodes = torch.bincount(state.nodes, minlength=max(1, len(graphs.node_types))).double()
    # What is named but does not occur counts half a time, as in `Discrete.fit`.
    pairs, nodes = (torch.where(c > 0, c, 0.5) for c in (counts, nodes))
    return Discrete(tuple((nodes / nodes.sum()).tolist()), tuple((pairs / pairs.sum()).tolist()))


def _simple(data: Graphs) -> Graphs:
    edges = torch.zeros(2, 0, dtype=torch.int64) if data.edge_index is None else data.edge_index.cpu()
    plain, nodes = bare(data, edges)
    types = max(1, len(plain.edge_types))
    pairs = directed_pairs(edges, data.edge_type, data.ptr, types, simplify=True)
    return DirectedTypes().write(plain, Categories(nodes, pairs))
