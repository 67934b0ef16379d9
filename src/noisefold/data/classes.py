"""Classes of graphs by name: labels of any kind become codes and names.

Whole numbers are names like words: the labels 3 and 7 are the classes ``"3"`` and ``"7"``, in this order. So
every class has a sample, whatever numbers a data set uses, and parts of it are joined by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import nearest_name

__all__ = ["coded", "named_classes", "select"]


def coded(values: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Return codes ``[g]`` of labels, and the names of the classes, sorted.

    Parameters
    ----------
    values
        A label for each graph: words, whole numbers, or words that are whole numbers.

    Raises
    ------
    ValueError
        If a label is missing, negative, or a number with a fraction.
    """
    words = [_word(v) for v in values]
    numbers = [_number(w) for w in words]
    for i, (word, number) in enumerate(zip(words, numbers, strict=True)):
        if not word or (number is not None and number != number):
            raise ValueError(f"the label of graph {i} is missing; give every graph a class.")
    for word, number in zip(words, numbers, strict=True):
        if number is not None and number < 0:
            raise ValueError(f"a label is {word}; classes are numbered from 0, or given names.")
    if all(n is not None for n in numbers):
        for word, number in zip(words, numbers, strict=True):
            if number is None or not float(number).is_integer():
                raise ValueError(f"a label is {word}, which is no class; give whole numbers or names.")
        words = [w if w.isdecimal() else str(int(float(w))) for w in words]
        names = tuple(sorted(set(words), key=int))
    else:
        names = tuple(sorted(set(words)))
    place = {name: i for i, name in enumerate(names)}
    return torch.tensor([place[w] for w in words], dtype=torch.int64), names


def named_classes(graphs: Graphs) -> Graphs:
    """Return graphs whose labels have names; those of numbered ones are the numbers that occur.

    Raises
    ------
    ValueError
        If a label is negative, or beyond the names.
    """
    if graphs.label is None or len(graphs) == 0:
        return graphs
    if graphs.classes:
        low, high = int(graphs.label.min()), int(graphs.label.max())
        if low < 0 or high >= len(graphs.classes):
            bad = low if low < 0 else high
            raise ValueError(f"`label` must lie in [0, {len(graphs.classes)}), as the classes, got {bad}.")
        return graphs
    label, classes = coded(graphs.label.tolist())
    return graphs.replace(label=label.to(graphs.device), classes=classes)


def select(graphs: Graphs, classes: Sequence[str]) -> Graphs:
    """Return the graphs of some classes alone, numbered in the order given.

    Names are matched exactly, or else whatever their case.

    Raises
    ------
    ValueError
        If there are no classes, or one is unknown or twice; the message gives the nearest ones.
    """
    if isinstance(classes, str) or not len(classes):
        raise ValueError(f"classes must be a list of names, got {classes!r}.")
    if graphs.label is None:
        raise ValueError(f"classes must name classes of the data, got {list(classes)!r}; there are none.")
    wanted = tuple(_known(_word(name), graphs.classes) for name in classes)
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"classes must be a list of different names, got {list(classes)!r}.")
    number = torch.full((len(graphs.classes),), -1)
    number[[graphs.classes.index(name) for name in wanted]] = torch.arange(len(wanted))
    label = number.to(graphs.device)[graphs.label]
    kept = graphs[label >= 0]
    if len(kept) == 0:
        raise ValueError(f"there is no graph of the classes {', '.join(wanted)}; name others.")
    return kept.replace(label=label[label >= 0], classes=wanted)


def _known(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    same = [k for k in known if k.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    raise ValueError(f"classes must name classes of the data, got {name!r}{nearest_name(name, known)}")


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()


def _number(word: str) -> float | int | None:
    if word.lstrip("+-").isdecimal() and word.isascii():
        return int(word) if len(word) < 40 else None
    try:
        return float(word) if not any(c.isalpha() for c in word) or word.lower() == "nan" else None
    except ValueError:
        return None
