"""The network that fits a data set, where none is named."""

from __future__ import annotations

from typing import Any

from torch import nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn.graph_transformer.directed import DirectedGraphTransformer
from noisefold.nn.graph_transformer.geometric import GeometricTransformer
from noisefold.nn.graph_transformer.network import GraphTransformer
from noisefold.nn.latents import Latents
from noisefold.nn.prior.kriging_residual import KrigingResidual
from noisefold.nn.set_transformer import SetTransformer
from noisefold.noise.discrete import Discrete

__all__ = [
    "FEW",
    "default_directed_net",
    "default_geometric_net",
    "default_graph_net",
    "default_net",
    "few_data",
]

FEW = 20
"""Independent fields below which a model of features for completion begins with kriging."""
_ATTENDED = 2000  # nodes of a graph that may all attend to each other
_RELATED = 1000  # features whose covariance is inverted at every node of a graph
# Sizes of graph transformers by the nodes of the largest graph: its pairs are the cost of a step, and walks
# are long enough to cross it.
_MOLECULES, _SMALL_GRAPHS = 12, 32
_OF_MOLECULES = {"width": 96, "pair_width": 32, "layers": 5, "walks": 6}
_OF_SMALL_GRAPHS = {"width": 64, "pair_width": 32, "layers": 4, "walks": 12}
_OF_LARGE_GRAPHS = {"width": 48, "pair_width": 16, "layers": 4, "walks": 12}


def few_data(data: Graphs, for_completion: bool, independent_samples: int | None = None) -> bool:
    """Return whether a model of these data should begin with `noisefold.nn.KrigingResidual`.

    It should if it is for completion and its features, 1,000 at most, were measured in fewer than `FEW`
    independent fields, the patches of one tissue being one, on graphs of 2,000 nodes at most.

    Parameters
    ----------
    data
        The data set.
    for_completion
        Whether the network conditions on observed values directly.
    independent_samples
        Independent samples that the graphs were cut from; None: as many as there are graphs.
    """
    small = 0 < data.features <= _RELATED and int(data.sizes.max()) <= _ATTENDED
    return (
        for_completion and small and (len(data) if independent_samples is None else independent_samples) < FEW
    )


def default_net(
    data: Graphs, for_completion: bool = False, independent_samples: int | None = None, **net: Any
) -> nn.Module:
    """Return an untrained network for a data set: `KrigingResidual`, `SetTransformer` or `Latents`.

    Parameters
    ----------
    data, for_completion, independent_samples
        As of `few_data`.
    **net
        Arguments of the network, or of the `SetTransformer` in `KrigingResidual`, that win over what is read
        off the data.
    """
    of_features = data.features > 0
    out = data.features if of_features else data.dim
    arguments: dict[str, Any] = {
        "pos_dim": data.dim,
        "features": data.features + (out if for_completion else 0),
        "out_dim": out,
        "classes": len(data.classes) if data.label is not None else 0,
    }
    if few_data(data, for_completion, independent_samples):
        small = {"features": 4 * out, "width": 96, "blocks": 2}
        return KrigingResidual(SetTransformer(**{**arguments, **small, **net}), out, data.dim)
    attended = of_features and int(data.sizes.max()) <= _ATTENDED
    return (SetTransformer if attended else Latents)(**{**arguments, **net})


def default_graph_net(
    data: Graphs, path: Discrete, for_completion: bool = False, **net: Any
) -> GraphTransformer:
    """Return an untrained network for discrete graphs, of a size that trains on a CPU.

    Parameters
    ----------
    data
        The data set.
    path
        How its classes become noise; it has the states.
    for_completion
        Whether the network conditions on observed values directly.
    **net
        Arguments of `GraphTransformer` that win over what is read off the data.
    """
    largest = int(data.sizes.max()) if len(data) else 0
    sizes = _OF_SMALL_GRAPHS if largest <= _SMALL_GRAPHS else _OF_LARGE_GRAPHS
    states = path.shares
    arguments: dict[str, Any] = {
        **(_OF_MOLECULES if largest <= _MOLECULES else sizes),
        "node_states": len(states.nodes),
        "pair_states": len(states.pairs),
        "features": int(for_completion),
        "classes": len(data.classes) if data.label is not None else 0,
        "properties": 0 if data.properties is None else data.properties.shape[1],
        "mask_state": len(states.pairs) > len(path.pairs),
    }
    return GraphTransformer(**{**arguments, **net})


def default_geometric_net(data: Graphs, path: Discrete, **net: Any) -> GeometricTransformer:
    """Return an untrained network for types and positions at once, of a size that trains on a CPU.

    Parameters
    ----------
    data
        The data set.
    path
        How its classes become noise; it has the states.
    **net
        Arguments of `GeometricTransformer` that win over what is read off the data.
    """
    states = path.shares
    arguments: dict[str, Any] = {
        "node_states": len(states.nodes),
        "pair_states": len(states.pairs),
        "pos_dim": data.dim,
        "classes": len(data.classes) if data.label is not None else 0,
        "properties": 0 if data.properties is None else data.properties.shape[1],
        "mask_state": len(states.pairs) > len(path.pairs),
    }
    return GeometricTransformer(**{**arguments, **net})


def default_directed_net(data: Graphs, path: Discrete, **net: Any) -> DirectedGraphTransformer:
    """Return an untrained network for directed graphs, of a size that trains on a CPU.

    Parameters
    ----------
    data
        The data set.
    path
        How its classes become noise; it has the states of nodes.
    **net
        Arguments of `DirectedGraphTransformer` that win over what is read off the data.
    """
    largest = int(data.sizes.max()) if len(data) else 0
    arguments: dict[str, Any] = {
        **(_OF_SMALL_GRAPHS if largest <= _SMALL_GRAPHS else _OF_LARGE_GRAPHS),
        "node_states": len(path.nodes),
        "edge_states": 1 + max(1, len(data.edge_types)),
        "classes": len(data.classes) if data.label is not None else 0,
        "properties": 0 if data.properties is None else data.properties.shape[1],
        "walks": 6,
    }
    return DirectedGraphTransformer(**{**arguments, **net})
