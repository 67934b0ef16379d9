"""Exceptions and warnings of the library's own, beside the built-in ones."""

from __future__ import annotations

__all__ = ["PrecisionWarning", "TrainingError"]


class PrecisionWarning(UserWarning):
    """The precision that was asked for is slower on this machine than float32."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what is left to continue from."""
