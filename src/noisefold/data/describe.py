"""What was understood of data, in words."""

from __future__ import annotations

import torch

from noisefold.data.earth.together import describe_earth, on_earth
from noisefold.data.structure import describe_structure
from noisefold.geometry.graphs import Graphs

__all__ = ["describe"]

_NAMED = 12


def describe(graphs: Graphs) -> dict[str, str]:
    """Return what a data set holds, in words, by subject."""
    sizes = graphs.sizes
    out = {
        "graphs": str(len(graphs)),
        "nodes": str(
            graphs.uniform or f"{int(sizes.min())} to {int(sizes.max())}, median {int(sizes.median())}"
        ),
    }
    if on_earth(graphs):
        out |= describe_earth(graphs)
    elif graphs.dim:
        where = graphs.coordinates
        centre = where.mean(0)
        spread = float((where - centre).square().mean().sqrt())
        out["positions"] = (
            f"{graphs.dim}-D, from {_list(where.amin(0))} to {_list(where.amax(0))}, "
            f"mean {_list(centre)}, standard deviation {spread:.4g}"
        )
    out |= describe_structure(graphs)
    names = ", ".join(graphs.feature_names[:_NAMED]) + (", ..." if graphs.features > _NAMED else "")
    out["features"] = f"{graphs.features}{f': {names}' if graphs.feature_names else ''}" or "none"
    if not graphs.features:
        out["features"] = "none"
    if graphs.label is not None:
        count = torch.bincount(graphs.label.clamp(min=0), minlength=len(graphs.classes)).tolist()
        named = graphs.classes or [str(i) for i in range(len(count))]
        out["classes"] = ", ".join(f"{n} {c}" for n, c in zip(named, count, strict=True))
    if graphs.modality is not None:
        out["kind"] = repr(graphs.modality)
    if graphs.dim or graphs.features:
        generated = "features, given the positions" if graphs.features else "positions"
        out["generates"] = f"{generated}; standardised for training and given back in the data's units"
    else:
        out["generates"] = "edges" + (" and types" if graphs.node_type is not None else "")
    return out


def _list(values: torch.Tensor) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in values.tolist()) + ")"
