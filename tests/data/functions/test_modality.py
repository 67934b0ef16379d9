"""Samples of a random function: what is held out."""

import pytest
import torch

from noisefold.data import FunctionSamples
from noisefold.geometry.graphs import Graphs


def samples(group=None):
    pos = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    graphs = Graphs.dense(pos.reshape(10, 4, 2), pos.reshape(10, 4, 2)).replace(modality=FunctionSamples())
    return graphs if group is None else graphs.replace(group=torch.tensor(group))


def test_the_last_groups_are_held_out_whatever_the_seed():
    years = [2003, 2001, 2001, 2002, 2004, 2004, 2001, 2003, 2002, 2001]
    for seed in (0, 1):
        train, test = samples(years).split(0.7, seed)
        assert train.group.tolist() == [2001, 2001, 2002, 2001, 2002, 2001]  # 6 of 10, 8 would be as near
        assert test.group.tolist() == [2003, 2004, 2004, 2003]
        assert train.modality == test.modality == FunctionSamples()


def test_samples_without_groups_are_divided_at_random():
    parts = [samples().split(0.7, seed) for seed in (0, 1)]
    assert [len(p) for p in parts[0]] == [7, 3]
    assert not torch.equal(parts[0][1].pos, parts[1][1].pos)
    free = samples([0] * 5 + list(range(1, 6))).replace(modality=None)
    assert {tuple(free.split(0.5, seed)[1].group.unique().tolist()) for seed in range(8)} != {(1, 2, 3, 4, 5)}


def test_one_group_cannot_be_divided():
    with pytest.raises(ValueError, match="group"):
        samples([3] * 10).split(0.5)
