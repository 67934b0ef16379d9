"""Checks of plain arguments: numbers of Python, NumPy and torch alike, and words in any case."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch

from noisefold.geometry.names import nearest_name

__all__ = ["device_name", "one_of", "real", "seed_of", "whole"]


def whole(name: str, value: Any, least: int | None = None, below: int | None = None) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    name
        Name of the argument, for the message.
    value
        An integer of Python, NumPy or torch, or a floating number without fraction; no bool.
    least, below
        Smallest number allowed, and the first that is too large; None for no limit.

    Raises
    ------
    ValueError
        If it is something else, or out of range.
    """
    number = _integer(value)
    if number is None:
        raise ValueError(f"{name} must be a whole number, got {value!r}; give one.")
    if (least is not None and number < least) or (below is not None and number >= below):
        raise ValueError(f"{name} must {_range(least, below, ')')}, got {value!r}.")
    return number


def real(name: str, value: Any, least: float | None = None, most: float | None = None) -> float:
    """Return a finite real number as a float.

    Parameters
    ----------
    name
        Name of the argument, for the message.
    value
        A number of Python, NumPy or torch; no bool.
    least, most
        Smallest and largest number allowed; None for no limit.

    Raises
    ------
    ValueError
        If it is something else, or out of range.
    """
    number = _float(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value!r}; give one.")
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name} must {_range(least, most, ']')}, got {value!r}.")
    return number


def seed_of(value: Any) -> int:
    """Return a seed, a whole number in [0, 2**63)."""
    return whole("seed", value, least=0, below=2**63)


def one_of(name: str, value: Any, known: Sequence[str]) -> str:
    """Return the known word that a value names, whatever its case.

    Raises
    ------
    ValueError
        If there is none; the message gives the nearest ones.
    """
    if isinstance(value, str):
        if value in known:
            return value
        same = [word for word in known if word.casefold() == value.strip().casefold()]
        if len(same) == 1:
            return same[0]
    raise ValueError(f"{name} is {value!r}{nearest_name(str(value), known)}")


def device_name(value: Any) -> str:
    """Return the name of a device, such as "cuda:1", in lower case; "auto" stays.

    The device need not be here.

    Raises
    ------
    ValueError
        If it is neither "auto" nor a device of PyTorch.
    """
    name = str(value).strip().lower()
    try:
        known = name == "auto" or bool(torch.device(name))
    except RuntimeError:
        known = False
    if not known:
        raise ValueError(
            f'device must be "auto" or a device of PyTorch such as "cuda:1", got {str(value)!r}.'
        )
    return name


def _integer(value: Any) -> int | None:
    if _flag(value):
        return None
    try:
        return operator.index(value)
    except (TypeError, RuntimeError):
        number = _float(value)
        return int(number) if number is not None and number.is_integer() else None


def _float(value: Any) -> float | None:
    if _flag(value) or isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    if getattr(value, "ndim", 0) != 0:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _flag(value: Any) -> bool:
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def _range(least: float | None, end: float | None, bracket: str) -> str:
    if least is not None and end is not None:
        return f"lie in [{least}, {'2**63' if end == 2**63 else end}{bracket}"
    if least is not None:
        return f"be at least {least}"
    return f"be {'below' if bracket == ')' else 'at most'} {end}"
