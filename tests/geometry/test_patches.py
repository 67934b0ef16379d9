"""Patches against their definition."""

import numpy as np
import pytest
import torch

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import cut, take


@pytest.mark.parametrize(("cells", "overlap"), [(50, 0.25), (64, 0.5), (50, 0.0), (7, 0.9), (1000, 0.25)])
@pytest.mark.parametrize("dimension", [2, 3])
def test_patches_cover_every_cell(cells, overlap, dimension):
    rng = np.random.default_rng(0)
    pos, group = rng.normal(size=(700, dimension)), rng.integers(0, 2, 700)
    rows, weights = cut(pos, group, cells, overlap)
    sizes = np.bincount(group)
    total = np.zeros(700)
    for patch, weight in zip(rows, weights, strict=True):
        assert len(np.unique(group[patch])) == 1
        assert len(np.unique(patch)) == len(patch) == min(cells, sizes[group[patch[0]]])
        assert (weight > 0).all()
        total[patch] += weight
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-14)
    if cells < sizes.min():
        own = max(int(cells * (1 - overlap)), 1)
        assert len(rows) == sum(-(-n // own) for n in sizes)
    else:
        assert len(rows) == 2


def test_a_patch_is_the_core_and_its_nearest_cells():
    """On a line: a core in the middle grows evenly to both sides."""
    pos = np.stack([np.arange(120.0), np.zeros(120)], 1)
    rows, weights = cut(pos, np.zeros(120, dtype=np.int64), 20, 0.5)
    assert len(rows) == 12
    inner = np.sort(rows[5])
    assert inner.tolist() == list(range(inner[0], inner[0] + 20))
    assert sorted(rows[5][:10]) == list(range(inner[0] + 5, inner[0] + 15))
    # Five steps of a fifth, each cell in the margin of one neighbour, whose own weight there is 1.
    fall = 1 - 0.99 * np.arange(1, 6) / 5
    expected = np.sort(np.concatenate([fall / (1 + fall)] * 2))
    np.testing.assert_allclose(np.sort(weights[5][10:]), expected, rtol=1e-12)


def test_cells_at_one_place():
    rows, weights = cut(np.zeros((100, 2)), np.zeros(100, dtype=np.int64), 30, 0.25)
    assert {len(r) for r in rows} == {30}
    assert sorted(set(np.concatenate(rows).tolist())) == list(range(100))
    assert all(np.isfinite(w).all() for w in weights)


def test_nodes_are_taken_with_the_class_of_their_graph():
    graphs = Graphs(
        torch.arange(12.0).view(6, 2),
        torch.arange(6.0)[:, None],
        torch.tensor([0, 2, 6]),
        mask=torch.arange(6) > 2,
        label=torch.tensor([1, 0]),
        classes=("a", "b"),
        feature_names=("f",),
        origin=(5.0, 6.0),
    )
    taken = take(graphs, [np.array([4, 2]), np.array([1]), np.array([5, 3, 2])])
    assert taken.x[:, 0].tolist() == [4, 2, 1, 5, 3, 2]
    assert taken.mask.tolist() == [True, False, False, True, True, False]
    assert taken.label.tolist() == [0, 1, 0]
    assert taken.sizes.tolist() == [2, 1, 3]
    assert (taken.classes, taken.feature_names, taken.origin) == (("a", "b"), ("f",), (5.0, 6.0))


@pytest.mark.parametrize(("cells", "overlap", "name"), [(1, 0.2, "cells"), (10, 1.0, "overlap")])
def test_refuses(cells, overlap, name):
    with pytest.raises(ValueError, match=name):
        cut(np.zeros((20, 2)), np.zeros(20, dtype=np.int64), cells, overlap)
