"""What a user should know about data that were read, though nothing is wrong with them."""

from __future__ import annotations

import warnings

__all__ = ["DataNotice", "notify"]


class DataNotice(UserWarning):
    """Something was left out, named or chosen while data were read."""


def notify(sentence: str) -> None:
    """Issue a `DataNotice`."""
    warnings.warn(sentence, DataNotice, stacklevel=2)
