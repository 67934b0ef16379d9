"""Uniform random labelled trees up to isomorphism: the probability of every shape, exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx

__all__ = ["TreeShapes", "shape_of", "symmetries"]


@dataclass(frozen=True)
class TreeShapes:
    """Shapes of trees on n nodes, and their probabilities under uniform labelled trees.

    Parameters
    ----------
    size
        The n, from 2 to about 12: there are 23 shapes of 8 nodes, and 551 of 12.
    """

    size: int

    @cached_property
    def probabilities(self) -> dict[str, float]:
        """Probability of each shape: n! / symmetries of it, over the n^(n - 2) labelled trees."""
        every = self.size ** (self.size - 2)
        trees = nx.nonisomorphic_trees(self.size)
        return {shape_of(t): math.factorial(self.size) / symmetries(t) / every for t in trees}

    def distance(self, graphs: Sequence[Any]) -> float:
        """Return the total variation distance of graphs to the trees by shape; no tree is one more shape."""
        counts = Counter(shape_of(g) if nx.is_tree(g) else "" for g in graphs)
        shapes = {*self.probabilities, *counts}
        gaps = (abs(counts[s] / len(graphs) - self.probabilities.get(s, 0.0)) for s in shapes)
        return sum(gaps) / 2

    def floor(self, count: int) -> float:
        """Return about what so many true trees score: half the mean absolute error of their frequencies."""
        spread = (math.sqrt(2 * p * (1 - p) / (math.pi * count)) for p in self.probabilities.values())
        return sum(spread) / 2


def shape_of(tree: Any) -> str:
    """Return a name that two trees share if and only if they are isomorphic."""
    return min(_rooted(tree, root, None)[0] for root in nx.center(tree))


def symmetries(tree: Any) -> int:
    """Return the number of automorphisms of a tree."""
    centre = nx.center(tree)
    if len(centre) == 1:
        return _rooted(tree, centre[0], None)[1]
    (left, a), (right, b) = (_rooted(tree, x, y) for x, y in (centre, centre[::-1]))
    return a * b * (2 if left == right else 1)


def _rooted(tree: Any, node: Any, parent: Any) -> tuple[str, int]:
    """Return the name of what hangs below a node, and the number of its automorphisms."""
    below = [_rooted(tree, child, node) for child in tree[node] if child != parent]
    names = sorted(name for name, _ in below)
    count = math.prod(c for _, c in below) * math.prod(math.factorial(m) for m in Counter(names).values())
    return f"({''.join(names)})", count
