"""What was understood of data, in words."""

from __future__ import annotations

from collections import Counter

import torch

from noisefold.data.earth.together import describe_earth, on_earth
from noisefold.data.images.canvas import shapes_of
from noisefold.data.images.modality import Pictures
from noisefold.data.structure import describe_structure
from noisefold.geometry.graphs import Graphs

__all__ = ["describe"]

_NAMED = 12


def describe(graphs: Graphs) -> dict[str, str]:
    """Return what a data set holds, in words, by subject."""
    if isinstance(graphs.modality, Pictures):
        return _describe_pictures(graphs)
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
    out |= _classes(graphs)
    if graphs.modality is not None:
        out["kind"] = repr(graphs.modality)
    if graphs.dim or graphs.features:
        generated = "features, given the positions" if graphs.features else "positions"
        out["generates"] = f"{generated}; standardised for training and given back in the data's units"
    else:
        out["generates"] = "edges" + (" and types" if graphs.node_type is not None else "")
    return out


def _describe_pictures(images: Graphs) -> dict[str, str]:
    """Return what a data set of images holds, in words, by subject."""
    modality = images.modality
    assert isinstance(modality, Pictures)
    counted = Counter(shapes_of(images)).most_common()
    sizes = ", ".join(f"{h} x {w} ({n})" for (h, w), n in counted[:_NAMED])
    more = f" and {len(counted) - _NAMED} more" if len(counted) > _NAMED else ""
    said = getattr(images, "held", None)
    held = {} if said is None else {"held out": f"{int(said.sum())} of them, by folders or names of arrays"}
    return {
        "images": str(len(images)),
        "pixels": sizes + more,
        "channels": f"{', '.join(modality.names)}, {modality.bits} bits, values in [0, 255]",
        **_classes(images),
        **held,
        "generates": "values of pixels; standardised for training and given back in [0, 255]",
    }


def _classes(graphs: Graphs) -> dict[str, str]:
    if graphs.label is None:
        return {}
    count = torch.bincount(graphs.label.clamp(min=0), minlength=len(graphs.classes)).tolist()
    named = graphs.classes or [str(i) for i in range(len(count))]
    return {"classes": ", ".join(f"{n} {c}" for n, c in zip(named, count, strict=True))}


def _list(values: torch.Tensor) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in values.tolist()) + ")"
