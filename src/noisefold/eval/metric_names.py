"""Names of metrics as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from noisefold.arguments import one_of

__all__ = ["chosen_metrics"]


def chosen_metrics(metrics: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the known metrics that are named, in any case; all of them if none are.

    Raises
    ------
    ValueError
        If a name is unknown, or there is none.
    """
    if metrics is None:
        return tuple(known)
    named = [metrics] if isinstance(metrics, str) else list(metrics)
    if not named:
        raise ValueError("metrics must name one at least, or be None for all that apply.")
    return tuple(one_of("metrics", name, known) for name in named)
