"""Nearest sources of points, against a loop over graphs."""

import pytest
import torch

from noisefold.geometry.nearest import nearest


def ragged(sizes, dim=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    return torch.randn(int(ptr[-1]), dim, generator=generator), ptr


@pytest.mark.parametrize("k", [1, 3, 9])
def test_against_a_loop(k, monkeypatch):
    pos, ptr = ragged((4, 1, 30, 7))
    sources, source_ptr = ragged((3, 1, 8, 5), seed=1)
    table = nearest(pos, ptr, sources, source_ptr, k)
    assert table.shape == (42, min(k, 8))
    for i in range(4):
        around = sources[source_ptr[i] : source_ptr[i + 1]]
        away = torch.cdist(pos[ptr[i] : ptr[i + 1]], around)
        truth = away.argsort(1)[:, :k] + source_ptr[i]
        found = table[ptr[i] : ptr[i + 1]]
        assert torch.equal(found[:, : truth.shape[1]], truth)
        assert (found[:, truth.shape[1] :] == -1).all()
    monkeypatch.setattr("noisefold.geometry.nearest.BLOCK", 1)  # graph by graph
    assert torch.equal(nearest(pos, ptr, sources, source_ptr, k), table)


def test_refused():
    pos, ptr = ragged((4,))
    with pytest.raises(ValueError, match="k must"):
        nearest(pos, ptr, pos, ptr, 0)
    with pytest.raises(ValueError, match="finite"):
        nearest(pos * torch.inf, ptr, pos, ptr, 1)
