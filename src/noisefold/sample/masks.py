"""Masks of observed values for the usual questions about a field over space and time (`Model.complete`).

============================ ==========================================================================
question                     mask
============================ ==========================================================================
what comes next              `forecast`: the first times are known
what lay between             `interpolation`: the first and the last time are known
a gene that was not measured `features`: all the others are known
a torn part of the tissue    `region`: all but the nodes within it are known
nodes that were not measured `nodes`: all but a share of the nodes, at random
what happens without a gene  `knockout`: that gene is known, and zero
============================ ==========================================================================

Times and places are read from ``pos``; time is its last coordinate unless said otherwise, as in
`noisefold.data.limb_bud`. Masks by node combine with ``&`` (known by both) and ``|`` (known by either).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.noise.source import Streams

__all__ = ["features", "forecast", "interpolation", "knockout", "nodes", "region"]


def forecast(graphs: Graphs, first: int = 1, axis: int = -1) -> Tensor:
    """Return the mask for forecasting: nodes at each graph's first times are known.

    Parameters
    ----------
    graphs
        Graphs with a time among their coordinates.
    first
        How many of the times that occur in a graph are known.
    axis
        The coordinate that is time.

    Returns
    -------
    Tensor
        Known nodes, ``[n]``, bool.

    Raises
    ------
    ValueError
        If there is no such coordinate, or a graph has no later times to be drawn.
    """
    if first < 1:
        raise ValueError(f"first must be at least 1, got {first}.")
    masks = [along <= _times(along, first + 1, i)[first - 1] for i, along in _along(graphs, axis)]
    return _joined(masks)


def interpolation(graphs: Graphs, axis: int = -1) -> Tensor:
    """Return the mask for interpolation, ``[n]``, bool: nodes at the first and last time are known.

    Raises
    ------
    ValueError
        If there is no such coordinate, or a graph has fewer than three times.
    """
    masks = []
    for i, along in _along(graphs, axis):
        times = _times(along, 3, i)
        masks.append((along == times[0]) | (along == times[-1]))
    return _joined(masks)


def features(graphs: Graphs, hidden: int | Sequence[int]) -> Tensor:
    """Return the mask for imputation: all features but the hidden ones, given by number, are known.

    Returns
    -------
    Tensor
        Known entries of x, ``[n, f]``, bool.

    Raises
    ------
    ValueError
        If a number is none of the features, or all of them are hidden.
    """
    columns = _columns(graphs, [hidden] if isinstance(hidden, int) else hidden)
    if len(set(columns)) == graphs.features:
        raise ValueError(f"hidden names all {graphs.features} features; leave one that is known.")
    known = torch.ones(graphs.num_nodes, graphs.features, dtype=torch.bool, device=graphs.device)
    known[:, columns] = False
    return known


def region(
    graphs: Graphs, centre: Sequence[float], radius: float, axes: Sequence[int] | None = None
) -> Tensor:
    """Return the mask for inpainting: all nodes but those within a ball are known.

    Parameters
    ----------
    graphs
        The graphs.
    centre, radius
        Of the ball, in the units of ``pos``; nodes at the very radius are within.
    axes
        The coordinates that count; None: all. A tear through all times leaves time out.

    Returns
    -------
    Tensor
        Known nodes, ``[n]``, bool.

    Raises
    ------
    ValueError
        If centre and axes do not fit the positions, or no node lies within.
    """
    chosen = list(range(graphs.dim)) if axes is None else [_axis(graphs, a) for a in axes]
    if len(centre) != len(chosen):
        raise ValueError(
            f"centre must have {len(chosen)} coordinates, one for each axis, got {list(centre)}."
        )
    away: Tensor = torch.linalg.vector_norm(graphs.pos[:, chosen] - graphs.pos.new_tensor(centre), dim=1)
    known: Tensor = away > radius
    if not radius >= 0 or bool(known.all()):
        raise ValueError(
            f"no node lies within radius {radius} of {list(centre)}; "
            f"the nearest is {float(away.min()):.4g} away."
        )
    return known


def nodes(graphs: Graphs, hidden: float, seed: int = 0) -> Tensor:
    """Return a random mask of nodes, of which a share of each graph's is hidden; graph i's by (seed, i).

    Parameters
    ----------
    graphs
        The graphs.
    hidden
        The share, in (0, 1); at least one node and never all.
    seed
        The seed.

    Returns
    -------
    Tensor
        Known nodes, ``[n]``, bool.

    Raises
    ------
    ValueError
        If the share is out of its range, or a graph has a single node.
    """
    if not 0 < hidden < 1:
        raise ValueError(f"hidden must lie in (0, 1), got {hidden}.")
    if len(graphs) and int(graphs.sizes.min()) < 2:
        raise ValueError("a graph with fewer than 2 nodes cannot be known in part; leave it out.")
    streams = Streams(seed, range(len(graphs)))
    keys = streams.uniform(graphs.sizes, 1, torch.empty(0, dtype=torch.float64))[:, 0].to(graphs.device)
    masks = []
    for part in graphs.unpack(keys):
        count = min(max(1, round(hidden * len(part))), len(part) - 1)
        masks.append(part > part.sort().values[count - 1])
    return _joined(masks)


def knockout(graphs: Graphs, gene: int) -> tuple[Graphs, Tensor]:
    """Return graphs with one feature held at zero, in the data's units, and a mask that knows it alone.

    Returns
    -------
    tuple
        The graphs, and the known entries of x, ``[n, f]``, bool.

    Raises
    ------
    ValueError
        If the number is none of the features.
    """
    (column,) = _columns(graphs, [gene])
    assert graphs.x is not None
    known = torch.zeros(graphs.x.shape, dtype=torch.bool, device=graphs.device)
    known[:, column] = True
    return graphs.replace(x=graphs.x.masked_fill(known, 0.0)), known


def _along(graphs: Graphs, axis: int) -> list[tuple[int, Tensor]]:
    return list(enumerate(graphs.unpack(graphs.pos[:, _axis(graphs, axis)])))


def _times(along: Tensor, least: int, graph: int) -> Tensor:
    times: Tensor = along.unique()
    if len(times) < least:
        raise ValueError(f"graph {graph} has {len(times)} times, and at least {least} are needed.")
    return times


def _joined(masks: list[Tensor]) -> Tensor:
    if not masks:
        raise ValueError("graphs must hold at least one graph, got none.")
    return torch.cat(masks)


def _axis(graphs: Graphs, axis: int) -> int:
    if not -graphs.dim <= axis < graphs.dim:
        raise ValueError(f"axis must be a coordinate of {graphs.dim}-D positions, got {axis}.")
    return axis % graphs.dim


def _columns(graphs: Graphs, chosen: Sequence[int]) -> list[int]:
    if graphs.x is None:
        raise ValueError("the graphs have no features; this question is one about features.")
    for column in chosen:
        if not 0 <= column < graphs.features:
            raise ValueError(f"feature {column} is not among the {graphs.features} features; count from 0.")
    return list(chosen)
