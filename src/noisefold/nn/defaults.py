"""The network that fits a data set, where none is named."""

from __future__ import annotations

from typing import Any

from torch import nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn.latents import Latents
from noisefold.nn.prior.kriging_residual import KrigingResidual
from noisefold.nn.set_transformer import SetTransformer

__all__ = ["FEW", "default_net", "few_data"]

FEW = 20
"""Independent fields below which a model of features for completion begins with kriging."""
_ATTENDED = 2000  # nodes of a graph that may all attend to each other
_RELATED = 1000  # features whose covariance is inverted at every node of a graph


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
