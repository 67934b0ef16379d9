"""How a check fails: with the number measured and its bound."""

from __future__ import annotations

from torch import Tensor

__all__ = ["close", "require"]


def require(holds: bool, message: str) -> None:
    """Raise an `AssertionError` where something does not hold, also where Python leaves out assertions."""
    if not holds:
        raise AssertionError(message)


def close(what: str, found: Tensor, truth: Tensor, tolerance: float) -> None:
    """Require equal shapes and an error, relative to 1 + the size of a number, of at most `tolerance`."""
    require(found.shape == truth.shape, f"{what}: shape {list(found.shape)}, must be {list(truth.shape)}.")
    error = (found - truth).abs() / (1 + truth.abs())
    largest = float(error.max()) if error.numel() else 0.0
    require(largest <= tolerance, f"{what}: relative error {largest:.3g}, must be at most {tolerance:g}.")
