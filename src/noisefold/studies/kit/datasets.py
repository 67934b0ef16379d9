"""Where studies find real data, and which of it they train on and score against."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from noisefold.data import modelnet40, shapes
from noisefold.geometry import Graphs

__all__ = ["Sets", "all_classes", "chairs", "data_folder", "modelnet", "needed", "procedural"]

_FOLDER = "modelnet40"
_HELD_OUT = 100
T = TypeVar("T")


@dataclass(frozen=True)
class Sets:
    """Graphs to train on and held-out graphs, with a sentence on where they are from."""

    train: Graphs
    test: Graphs
    about: str


def data_folder() -> Path:
    """Return ``$NOISEFOLD_DATA``, or ``shared/data`` beside the checkout; it need not exist."""
    given = os.environ.get("NOISEFOLD_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[5] / "shared" / "data"


def modelnet(split: str, classes: Sequence[str] | None = None, points: int = 1024) -> Graphs | None:
    """Return the ModelNet clouds of ``modelnet40/`` in the data folder, z up; None if they are not there.

    Parameters
    ----------
    split
        "train" or "test".
    classes
        These alone; None means all.
    points
        Points of each cloud.

    Raises
    ------
    ValueError
        If what is there cannot be used.
    """
    try:
        return modelnet40(data_folder() / _FOLDER, points=points, split=split, classes=classes)
    except FileNotFoundError:
        return None


def needed(found: T | None) -> T:
    """Return what was found of ModelNet.

    Raises
    ------
    ValueError
        If it is None.
    """
    if found is None:
        raise ValueError(
            f"this study needs ModelNet ({_FOLDER}/ in $NOISEFOLD_DATA, or in ../shared/data beside the "
            f"checkout), which is not there; noisefold.data.modelnet40(root, download=True) fetches it."
        )
    return found


def chairs(stand_in: tuple[int, int] | None = None) -> Sets:
    """Return ModelNet10's chairs.

    Of the 889 training chairs 100, always the same, are held out and join the 50 test chairs, which alone are
    few to score against.

    Parameters
    ----------
    stand_in
        Numbers of procedural chairs, to train on and held out, in the place of chairs that are not there.

    Raises
    ------
    ValueError
        If the chairs are not in the data folder and `stand_in` is None.
    """
    train, test = (modelnet(split, ("chair",)) for split in ("train", "test"))
    if stand_in is not None and (train is None or test is None):
        return procedural(*stand_in)
    train, test = needed(train), needed(test)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    held, rest = order[:_HELD_OUT].sort().values, order[_HELD_OUT:].sort().values
    about = (
        f"{len(rest)} training chairs of ModelNet; held out {len(test)} test chairs and {len(held)} training "
        f"chairs that no training sees."
    )
    return Sets(train[rest], Graphs.collate([test, train[held]]), about)


def all_classes() -> Sets:
    """Return the whole of ModelNet, its training clouds against its test clouds; raises as `needed` does."""
    train, test = needed(modelnet("train")), needed(modelnet("test"))
    classes = len(train.classes)
    about = f"ModelNet, {classes} classes: {len(train)} training clouds and {len(test)} test clouds."
    return Sets(train, test, about)


def procedural(train: int, test: int) -> Sets:
    """Return procedural chairs, which need no file: a stand-in that only shows that a study runs."""
    about = (
        f"ModelNet was not found in {data_folder()}: {train} procedural chairs in its place, {test} others "
        f"held out; the numbers mean nothing."
    )
    return Sets(shapes(train, families=("chair",), seed=0), shapes(test, families=("chair",), seed=1), about)
