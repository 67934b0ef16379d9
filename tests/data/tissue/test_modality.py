"""Held-out blocks and patches of tissues, against the definition in the coordinates that the file gives."""

import numpy as np
import pytest
import torch
from made_tissues import tissue

from noisefold.data import Expression, SpatialTranscriptomics, Tissue, load
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import blocks, cut

GROUPED = {"group": "obs/stage", "time": "obs/day"}


@pytest.mark.parametrize("arguments", [{}, GROUPED, {"group": "obs/word"}])
@pytest.mark.parametrize("seed", [0, 3])
def test_a_split_draws_the_blocks_of_the_source(arguments, seed):
    """As rows of the file: blocks in float64, drawn by Philox, the first part in the file's order."""
    source = Tissue.read(tissue(n=400), **arguments)
    group = np.unique(source.group, return_inverse=True)[1]
    every = [rows for each in blocks(source.pos, group, 30) for rows in each]
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(every))
    held = sorted(order[round(0.8 * len(every)) :])
    kept = np.setdiff1d(np.arange(400), np.concatenate([every[i] for i in held]))

    graphs = source.graphs()
    graphs = graphs.replace(modality=SpatialTranscriptomics("counts", "time" in arguments, patch=30))
    train, val = graphs.split(0.8, seed)
    for got, parts in (
        (train, [kept[group[kept] == i] for i in range(group.max() + 1)]),
        (val, [every[i] for i in held]),
    ):
        expected = source.take(parts)
        for name in ("pos", "x", "ptr"):
            assert torch.equal(getattr(got, name), getattr(expected, name)), name
        assert (got.label is None) == (expected.label is None)
        assert got.label is None or torch.equal(got.label, expected.label)
        for name in ("feature_names", "classes", "origin", "modality"):
            assert getattr(got, name) == getattr(graphs, name)
    patches = train.modality.patches(train, 0.6)
    expected = source.take([kept[rows] for rows in cut(source.pos[kept], group[kept], 30, 0.6)[0]])
    assert torch.equal(patches.pos, expected.pos)
    assert torch.equal(patches.x, expected.x)
    assert torch.equal(patches.ptr, expected.ptr)
    assert patches.feature_names == graphs.feature_names


def test_graphs_of_a_file_know_that_they_are_a_tissue(written):
    data = tissue()
    graphs = load(written(data), group="obs/stage")
    assert graphs.modality == SpatialTranscriptomics("counts")
    assert graphs.feature_names == tuple(data.var_names)
    assert graphs.classes == ("E9", "E10", "E11")
    assert load(data, time="obs/day").modality.time
    assert load(data, x="layers/log1p").modality.values == "log"


@pytest.mark.parametrize("size", ["none", "feature"])
def test_expression_is_measured_on_graphs_as_on_the_tissue(size):
    """Without groups the cells have one order, so that sums agree in every bit."""
    source = Tissue.read(tissue(n=2500))
    assert Expression.fit(source.graphs(), size=size) == Expression.fit(source, size=size)


@pytest.mark.parametrize("arguments", [{"values": "words"}, {"patch": 1}])
def test_refuses_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SpatialTranscriptomics(**{"values": "counts", **arguments})


def test_refuses_what_cannot_be_split():
    graphs = Graphs(torch.rand(20, 2), torch.rand(20, 1), modality=SpatialTranscriptomics("log"))
    with pytest.raises(ValueError, match="patch=200"):
        graphs.split(0.9)
    with pytest.raises(ValueError, match="fraction"):
        SpatialTranscriptomics("log").split(graphs, 1.0)
    with pytest.raises(ValueError, match="overlap"):
        SpatialTranscriptomics("log").patches(graphs, 1.0)
