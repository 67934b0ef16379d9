"""Large graphs by an autoencoder: one latent vector for each node is generated, and pairs are decoded.

The encoder is inference from the edges of a graph alone, the decoder a distance model with a few numbers,
fitted to the training graphs (`noisefold.geometry.LatentPositions`). A model of point clouds learns the
vectors; its time is linear in the number of nodes. Given the vectors, edges are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.graphs import bare
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.graph_scores import score_graphs
from noisefold.eval.score_table import Scores
from noisefold.geometry.directed import has_directions
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.latent_positions import LatentPositions
from noisefold.geometry.pair_strata import simple_edges
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.nn.latents import Latents
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.target import Target
from noisefold.noise.variable import Positions, Variable
from noisefold.train.settings import Training

__all__ = ["LatentGraphs"]

_NET = {"latents": 32, "latent_width": 64, "blocks": 1}
_NODES = 256  # of each graph that a step of training sees
_LARGE = 500  # nodes of the largest graph from which this is the default: pairs are too many for the others


@dataclass(frozen=True)
class LatentGraphs(Domain):
    """Simple undirected graphs without types, by `noisefold.nn.Latents` on latent vectors of nodes."""

    name: ClassVar[str] = "graphs by latent vectors"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether positions of graphs without any are asked for, or plain graphs are large."""
        if data.dim > 0 or data.edge_index is None:
            return False
        if variable is None:
            return len(data) > 0 and int(data.sizes.max()) > _LARGE and _reason(data) is None
        return isinstance(variable, Positions)

    def prepared(self, data: Graphs) -> Graphs:
        """Return simple undirected graphs without positions and features.

        Raises
        ------
        ValueError
            If the graphs have types, features or directions, which latent vectors do not generate.
        """
        reason = _reason(data)
        if reason is not None:
            raise ValueError(f'{reason}; use variable="types", which generates any graph.')
        edges = data.edge_index
        plain, _ = bare(data, torch.empty(2, 0, dtype=torch.int64) if edges is None else edges.cpu())
        ends = simple_edges(data)
        both = torch.stack([ends, ends.flip(0)], 2).reshape(2, -1).to(data.device)
        return plain.replace(edge_index=both)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for graphs of any sizes.

        Raises
        ------
        ValueError
            If the graphs have types, features or directions, or no edges; or a model for completion is asked
            for.
        """
        graphs = self.prepared(data)
        if request.for_completion:
            raise ValueError(
                "for_completion=True is not for latent vectors, which are inferred of whole graphs; use "
                'variable="types".'
            )
        transform = request.transform or LatentPositions.fit(graphs)
        request = replace(request, transform=transform)
        columns = transform.decoder.columns if isinstance(transform, LatentPositions) else graphs.dim
        # Latent vectors are of about unit variance: there is nothing to measure.
        summary = DataSummary.of(graphs, Scaling((0.0,) * columns, 1.0))
        classes = len(data.classes) if data.label is not None else 0
        net = Latents(**{"pos_dim": columns, "classes": classes, **_NET, **request.net})
        training = Training(
            steps=2000,
            batch=min(16, len(data)),
            nodes=_NODES if int(graphs.sizes.max()) > _NODES else None,
            lr=2e-3,
            weight_decay=1e-2,
            ema=0.99,
            coupling=WithinCloud("order"),
            seed=request.seed,
        )
        return planned(net, Gaussian(), Target("velocity"), Positions(), training, summary, request)

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
        """Compare as many samples as there are test graphs, unless `draws` says otherwise, by edges alone."""
        generated = model.sample_for(test, draws, seed=seed, **sampling)
        return score_graphs(generated, test, train, metrics=metrics, seed=seed)


def _reason(data: Graphs) -> str | None:
    """Return why latent vectors do not stand for these graphs, or None if they do."""
    for field, noun in (("x", "features"), ("node_type", "types of nodes"), ("edge_type", "types of edges")):
        if getattr(data, field) is not None:
            return f"the graphs have {noun}, which latent vectors do not generate"
    if data.edge_index is None or not data.edge_index.numel():
        return "the graphs have no edges"
    if has_directions(data.edge_index.cpu(), data.num_nodes):
        return "the graphs have edges that go one way"
    return None
