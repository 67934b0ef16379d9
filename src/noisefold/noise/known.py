"""Observed values of what is noised, and the masks that say where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

__all__ = ["Known", "observed_entries"]

S = TypeVar("S")


@dataclass(frozen=True)
class Known(Generic[S]):
    """Observed values of the noised variable, in standard units.

    Parameters
    ----------
    value
        A state; what stands where nothing is observed is not used, but must be finite.
    mask
        Where it is observed, of the same structure, bool.
    graph
        Graph of each row, ``[n]``, int64; None takes all rows for one graph.
    """

    value: S
    mask: S
    graph: Tensor | None = None


def observed_entries(known: Any, value: Tensor) -> Tensor:
    """Return a mask of nodes ``[n]`` or entries as one of entries, ``[n, d]``, of a state of numbers.

    Raises
    ------
    ValueError
        If it fits neither, or an observed value is not finite.
    """
    n, d = value.shape
    try:
        mask = torch.as_tensor(known)
    except (TypeError, ValueError, RuntimeError):  # neither a tensor nor an array nor a list of truths
        raise ValueError(f"known must be a mask of bool, got {known!r}.") from None
    if mask.dtype != torch.bool or tuple(mask.shape) not in ((n,), (n, d)):
        raise ValueError(
            f"known must be bool [{n}] or [{n}, {d}], got {mask.dtype} {list(mask.shape)}; "
            "True is known, False is to be drawn."
        )
    mask = mask.to(value.device)
    mask = mask if mask.ndim == 2 else mask[:, None].expand(n, d)
    if not bool(value[mask].isfinite().all()):
        raise ValueError("a value that is marked as known is NaN or infinite; mark it as unknown.")
    return mask
