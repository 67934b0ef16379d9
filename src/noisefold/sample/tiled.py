"""Sampling of graphs that are larger than those a network was trained on.

The state of a sample is the whole graph, and only the network works tile by tile (`noisefold.nn.Tiled`). So
samples have no seams, and observed values act across tiles.

What is to be drawn may be larger than a tile, and in the middle of it a tile would see nothing that is
observed. Such a tile is shown, beside its own nodes, the nearest ones at which what it lacks is observed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.geometry.patches import cut
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.tiled import Tiled

__all__ = ["TILED_NODES", "tiled"]

TILED_NODES = 16_384
"""Nodes of all samples of a tiled graph that are drawn together."""
_OVERLAP = 0.25
_SHOWN = 1e-3  # weight of nodes that are only shown: their answers count where no other tile has one


def tiled(
    denoiser: Denoiser[Any, Any], pos: Tensor, unknown: Tensor, tile: int
) -> tuple[Denoiser[Any, Any], Tensor]:
    """Return the denoiser on the tiles of a graph in which anything is to be drawn, and the nodes of these.

    Parameters
    ----------
    denoiser
        Trained on graphs of about the size of a tile.
    pos
        Positions of one graph, ``[n, d]``.
    unknown
        What is to be drawn, ``[n, c]``, bool.
    tile
        Nodes of a tile.

    Returns
    -------
    tuple
        A denoiser for copies of the graph of some of the nodes, and the numbers of these nodes, ``[k]``.
    """
    place, hidden = pos.double().cpu().numpy(), unknown.cpu().numpy()
    wanted: NDArray[np.bool_] = np.any(hidden, axis=1)
    cuts = zip(*cut(place, np.zeros(len(place), dtype=np.int64), tile, _OVERLAP), strict=True)
    chosen = [_shown(place, hidden, *each, tile) for each in cuts if wanted[each[0]].any()]
    inside, rows = np.unique(np.concatenate([r for r, _ in chosen]), return_inverse=True)
    total = np.bincount(rows, np.concatenate([weights for _, weights in chosen]))
    each_rows = np.split(rows, np.cumsum([len(r) for r, _ in chosen])[:-1])
    net = Tiled(
        denoiser.net,
        [torch.from_numpy(r) for r in each_rows],
        [torch.from_numpy(w / total[r]) for r, (_, w) in zip(each_rows, chosen, strict=True)],
    )
    return denoiser.with_net(net), torch.from_numpy(inside)


def _shown(
    pos: NDArray[np.float64],
    unknown: NDArray[np.bool_],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
    least: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a tile with enough nodes, if there are, at which what its other nodes lack is observed."""
    from scipy.spatial import KDTree

    lacking = unknown[rows]
    observed: NDArray[np.bool_] = ~np.any(unknown[:, lacking.any(0)], axis=1)
    more = least - int(observed[rows].sum())
    if more <= 0:
        return rows, weights
    observed[rows] = False
    others = np.flatnonzero(observed)
    away = KDTree(pos[rows[lacking.any(1)]]).query(pos[others])[0] if len(others) else np.empty(0)
    beside = others[np.argsort(away, kind="stable")[:more]]
    return np.concatenate([rows, beside]), np.concatenate([weights, np.full(len(beside), _SHOWN)])
