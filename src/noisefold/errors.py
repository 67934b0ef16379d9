"""Exceptions of the library's own, beside the built-in ones."""

from __future__ import annotations

__all__ = ["TrainingError"]


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what is left to continue from."""
