"""What a patch within a large tear is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisefold import Graphs
from noisefold.data import SpatialTranscriptomics, Tissue
from noisefold.data.tissue.values import recognise
from noisefold.geometry.summary import DataSummary
from noisefold.model import Model
from noisefold.nn import KrigingResidual, SetTransformer
from noisefold.sample.tiled import tiled

N, PATCH = 900, 40


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    """30 x 30 cells; two genes that are waves, and one that is noise."""
    rng = np.random.default_rng(0)
    pos = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), -1).reshape(-1, 2)
    pos += rng.uniform(-0.2, 0.2, pos.shape)
    waves = [np.sin(pos[:, 0] / 4), np.cos(pos[:, 1] / 5), rng.normal(size=N)]
    values = np.stack(waves, 1).astype(np.float32)
    names = tuple(f"c{i}" for i in range(N))
    return Tissue(pos, values, ("a", "b", "c"), names, np.zeros(N, np.int64), (), recognise(values))


@pytest.fixture(scope="module")
def model(tissue: Tissue) -> Model:
    torch.manual_seed(0)
    graphs = SpatialTranscriptomics(tissue.kind, patch=PATCH).patches(tissue.graphs())
    net = KrigingResidual(SetTransformer(2, 12, 3, width=16, blocks=1), 3, 2, kernels=2)
    model = Model(net, variable="x", for_completion=True, summary=DataSummary.fit(graphs), tile=PATCH)
    net.learn(model.units.apply(graphs[::3]))
    net.eval()
    return model


def hole(tissue: Tissue, radius: float) -> torch.Tensor:
    away = np.linalg.norm(tissue.pos - 14.5, axis=1)
    return torch.from_numpy(away < radius)[:, None].expand(-1, 3)


@pytest.mark.slow
def test_patches_of_a_tear_are_joined_by_the_nearest_cells_that_know(tissue: Tissue, model: Model) -> None:
    hidden = hole(tissue, 9)
    on, inside = tiled(model.denoiser, torch.from_numpy(tissue.pos), hidden, PATCH)
    unknown = hidden[inside].any(1).numpy()
    total = torch.zeros(len(inside), dtype=torch.float64)
    deep = 0
    for nodes, weights in zip(on.net.rows, on.net.weights, strict=True):
        total.index_add_(0, nodes, weights)
        rows = nodes.numpy()
        knows = ~unknown[rows]
        assert len(rows[knows]) == len(set(rows[knows].tolist())) == PATCH
        beside = rows[PATCH:]
        deep += bool(unknown[rows[:PATCH]].all())
        assert not unknown[beside].any()
        # Nearest by brute force, to the cells of the patch that are not known.
        place = tissue.pos[inside]
        core = rows[:PATCH]
        torn = place[core[unknown[core]]]
        others = np.setdiff1d(np.flatnonzero(~hidden.any(1)), inside[core])
        away = np.sort(np.linalg.norm(tissue.pos[others, None] - torn, axis=2).min(1))
        found = np.sort(np.linalg.norm(place[beside, None] - torn, axis=2).min(1))
        np.testing.assert_allclose(found, away[: len(beside)])
    assert deep > 0  # patches that would see nothing
    torch.testing.assert_close(total, torch.ones_like(total))


def test_a_gene_that_nobody_knows_brings_nobody(tissue: Tissue, model: Model) -> None:
    hidden = torch.zeros(N, 3, dtype=torch.bool)
    hidden[:, 0] = True
    on, inside = tiled(model.denoiser, torch.from_numpy(tissue.pos), hidden, PATCH)
    assert len(inside) == N
    assert all(len(rows) == PATCH for rows in on.net.rows)


def test_the_middle_of_a_tear_is_told_by_its_rim(tissue: Tissue, model: Model) -> None:
    """The waves are smooth over the tear (a quarter of one is 6 to 8 cells), so they can be known there."""
    hidden = hole(tissue, 6)
    truth = torch.from_numpy(tissue.values)
    done = model.complete(tissue.graphs(), ~hidden, draws=4, keep=False, steps=4)
    middle = hole(tissue, 3)[:, 0]
    left = (done.mean - truth)[middle].square().mean(0).sqrt()
    assert (left[:2] < 0.35).all()  # the waves have a spread of .7


def test_draws_of_a_tiled_graph_are_functions_of_seed_and_number(tissue: Tissue, model: Model) -> None:
    graphs, hidden = tissue.graphs(), hole(tissue, 6)
    few, many = (model.complete(graphs, ~hidden, draws=k, steps=2, seed=3) for k in (2, 5))
    assert torch.equal(few.values, many.values[:2])
    both = Graphs.collate([graphs, graphs])
    pair = model.complete(both, torch.cat([~hidden, ~hidden]), draws=2, steps=2, seed=3)
    # The first graph is graph 0 in both calls; products of matrices differ in the last digits.
    torch.testing.assert_close(pair.values[:, :N], few.values, rtol=1e-4, atol=1e-4)


def test_moments_without_draws_are_those_of_the_draws(tissue: Tissue, model: Model) -> None:
    graphs, hidden = tissue.graphs(), hole(tissue, 6)
    model.tile, before = PATCH, model.tile
    kept = model.complete(graphs, ~hidden, draws=40, steps=1, seed=1)  # 40 draws of 900 nodes: three parts
    bare = model.complete(graphs, ~hidden, draws=40, steps=1, seed=1, keep=False)
    model.tile = before
    assert bare.kept is None
    assert len(bare) == 40
    # Sums of 40 float32 numbers of order 1 in another order.
    torch.testing.assert_close(bare.mean, kept.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bare.std, kept.std, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="keep"):
        bare.interval(0.5)


def test_a_whole_tissue_is_sampled_in_tiles(tissue: Tissue, model: Model) -> None:
    graphs = tissue.graphs()
    two, three = (model.sample(k, like=graphs, steps=2, seed=5) for k in (2, 3))
    assert two.sizes.tolist() == [N, N]
    assert torch.equal(two.x, three[:2].x)
    later = model.sample(range(1, 3), like=graphs, steps=2, seed=5)
    assert torch.equal(later.x, three[1:].x)
