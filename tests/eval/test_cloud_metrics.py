import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon

from noisefold.eval import (
    chamfer_matrix,
    cloud_metrics,
    coverage,
    jsd,
    mmd,
    occupancy,
    one_nna,
    paper_units,
    paper_w,
)
from noisefold.geometry import Graphs

MODELNET = Path(__file__).parents[3] / "shared" / "data" / "modelnet40"
needs_modelnet = pytest.mark.skipif(not MODELNET.is_dir(), reason="needs ../shared/data/modelnet40")


def sample(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(*sizes, seed=0, d=3):
    return Graphs.ragged([sample(n, d, seed=100 * seed + i) for i, n in enumerate(sizes)])


def modelnet(name, kind=None, points=400):
    with np.load(MODELNET / name) as file:
        pos, label, classes = file["points"], file["label"], list(file["classes"])
    pos = pos if kind is None else pos[label == classes.index(kind)]
    order = np.random.default_rng(0).random(pos.shape[:2]).argsort(1)[:, :points, None]
    return Graphs.dense(torch.from_numpy(np.take_along_axis(pos, order, 1) / 32767))


# -- Chamfer -----------------------------------------------------------------------------------------


def chamfer_by_loops(a, b):
    square = [[sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) for q in b.tolist()] for p in a.tolist()]
    return sum(map(min, square)) / len(a) + sum(map(min, zip(*square, strict=True))) / len(b)


@pytest.mark.parametrize("block", [None, 1, 7, 500])
def test_chamfer_is_the_double_loop(block):
    a, b = ragged(5, 1, 9, 4), ragged(3, 8, 1, seed=1)
    # |a|^2 + |b|^2 - 2 ab loses about the rounding of |a|^2, here at most 1e-14.
    truth = torch.tensor(
        [[chamfer_by_loops(p, q) for q in b.unpack()] for p in a.unpack()], dtype=torch.float64
    )
    torch.testing.assert_close(chamfer_matrix(a, b, block=block), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [None, 1, 60])
def test_chamfer_of_one_object_with_itself_is_the_full_matrix(block):
    a = ragged(5, 7, 2, 6, 3)
    full = chamfer_matrix(a, a.replace())
    torch.testing.assert_close(chamfer_matrix(a, a, block=block), full, rtol=0, atol=1e-12)
    assert bool((chamfer_matrix(a, a, block=block).diagonal() == 0).all())


def test_chamfer_of_large_clouds_is_that_of_small_ones(monkeypatch):
    a, b = ragged(9, 4, 6), Graphs.ragged([sample(7, 3, seed=5), torch.zeros(5, 3, dtype=torch.float64)])
    truth = chamfer_matrix(a, b), chamfer_matrix(a, a)
    monkeypatch.setattr(cloud_metrics, "_TREE_PAIRS", 1)
    monkeypatch.setattr(cloud_metrics, "_lifted", None)  # the matrix of squared distances is not made
    for found, expected in zip((chamfer_matrix(a, b), chamfer_matrix(a, a)), truth, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    low = [g.to(dtype=torch.float32) for g in (a, b)]
    assert chamfer_matrix(*low).dtype == torch.float32


def test_chamfer_of_two_points_counts_both_ways():
    a, b = Graphs(torch.tensor([[0.0, 0.0]])), Graphs(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    assert float(chamfer_matrix(a, b)) == pytest.approx(1 + (25 + 1) / 2, rel=1e-6)


def test_chamfer_in_float32_is_exact_to_six_digits():
    a, b = Graphs.dense(sample(6, 300, 3)), Graphs.dense(sample(6, 300, 3, seed=1))
    exact = chamfer_matrix(a, b)
    single = chamfer_matrix(a.to(dtype=torch.float32), b.to(dtype=torch.float32))
    assert single.dtype == torch.float32
    # Points reach |a|^2 = 15 at float32's 6e-8; a mean of 300 such errors, against a distance of .1.
    torch.testing.assert_close(single.double(), exact, rtol=5e-6, atol=0)


def test_chamfer_does_not_see_a_common_shift():
    a, b = ragged(20, 30).to(dtype=torch.float32), ragged(25, seed=1).to(dtype=torch.float32)
    moved = [c.replace(pos=c.pos + 64) for c in (a, b)]
    # Adding 64 itself rounds positions by 64 * 6e-8 = 4e-6; without centring the error would be 5e-4.
    torch.testing.assert_close(chamfer_matrix(*moved), chamfer_matrix(a, b), rtol=5e-5, atol=0)


# -- scores of sets ----------------------------------------------------------------------------------


def distances(a, b):
    return torch.cdist(a, a), torch.cdist(a, b), torch.cdist(b, b)


def test_one_nna_by_hand():
    a, b = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[1.4], [2.0], [9.9]])
    # a: 0 -> 1 own, 1 -> 1.4 other, 10 -> 9.9 other; b: 1.4 -> 1 other, 2 -> 1.4 own, 9.9 -> 10 other.
    assert one_nna(*distances(a, b)) == pytest.approx(2 / 6)


def test_one_nna_of_disjoint_collapsed_and_copied_sets():
    a, b = sample(30, 2), sample(30, 2, seed=1) + 100
    assert one_nna(*distances(a, b)) == 1
    assert one_nna(*distances(torch.zeros_like(a), a)) == 1
    assert one_nna(*distances(a, a.clone())) == 0


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_one_nna_by_rows_is_that_of_the_whole_matrix(rows, monkeypatch):
    a, b = (sample(5, 2, seed=s).mul(2).round() for s in range(2))  # with ties
    within_a, between, within_b = distances(a, b)
    full = torch.cat([torch.cat([within_a, between], 1), torch.cat([between.T, within_b], 1)])
    full.fill_diagonal_(torch.inf)
    nearest = full == full.amin(1, keepdim=True)
    own = torch.cat([nearest[:5, :5].sum(1), nearest[5:, 5:].sum(1)])
    monkeypatch.setattr(cloud_metrics, "_TILE_CPU", 5 * rows)
    assert one_nna(within_a, between, within_b) == float((own / nearest.sum(1)).mean())


def test_one_nna_shares_ties():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[-1.0], [7.0]])
    # 0 is as near to 1 (own) as to -1 (other): one half; 1 -> 0 own; -1 -> 0 other; 7 -> 1 other.
    assert one_nna(*distances(a, b)) == pytest.approx(1.5 / 4)


def test_one_nna_of_one_law_is_one_half():
    values = [
        one_nna(*distances(sample(50, 3, seed=2 * k), sample(50, 3, seed=2 * k + 1))) for k in range(60)
    ]
    # By exchangeability the mean is (n - 1) / (2 n - 1); one value has variance about 1.6 / 4 / 100.
    assert np.mean(values) == pytest.approx(49 / 99, abs=4 * math.sqrt(1.6 / 400 / 60))


def test_one_nna_refuses_unequal_sets():
    with pytest.raises(ValueError, match=r"must all be \[n, n\].*cut the larger"):
        one_nna(*distances(sample(3, 2), sample(4, 2)))


def test_coverage_and_mmd_by_hand():
    between = torch.tensor([[1.0, 2.0, 3.0, 9.0], [0.5, 4.0, 3.0, 9.0], [7.0, 6.0, 5.0, 9.0]])
    assert coverage(between) == pytest.approx(2 / 4)
    assert mmd(between) == pytest.approx((0.5 + 2 + 3 + 9) / 4)
    assert coverage(torch.ones(2, 3)) == 1


# -- Jensen-Shannon divergence -----------------------------------------------------------------------


def test_jsd_of_equal_and_disjoint_sets():
    a = ragged(50, 60, 70)
    assert jsd(a, a) == 0
    assert jsd(a.replace(pos=a.pos + 1000), a) == pytest.approx(1, abs=1e-12)
    shuffled = Graphs(a.pos[torch.randperm(180, generator=torch.Generator().manual_seed(0))])
    assert jsd(shuffled, a) == pytest.approx(0, abs=1e-12)


def test_jsd_by_hand():
    b = Graphs(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    a = Graphs(torch.tensor([[0.2, 0.1]] * 3))
    # Shares (1, 0) and (1/2, 1/2): H(3/4, 1/4) - 0 - 1/2.
    truth = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)) - 0.5
    assert jsd(a, b, cells=2) == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_jsd_against_histograms(d):
    a, b = ragged(300, 200, d=d, seed=1), ragged(400, 100, d=d)
    low, high = b.pos.amin(0), b.pos.amax(0)
    side, centre = float((high - low).max()), (low + high) / 2
    edges = [np.linspace(float(c) - side / 2, float(c) + side / 2, 7) for c in centre]
    counts = []
    for points in (a.pos.numpy(), b.pos.numpy()):
        # The faces of the cube touch the extreme points of b, so histogramdd must not lose them to rounding.
        inside = np.clip(points, [e[0] for e in edges], [e[-1] for e in edges])
        kept = np.abs(inside - points).max(1) < 1e-9
        table = np.histogramdd(inside[kept], edges)[0].ravel()
        counts.append(np.append(table, (~kept).sum()))
    assert jsd(a, b, cells=6) == pytest.approx(jensenshannon(*counts, base=2) ** 2, abs=1e-12)


def test_a_stray_point_does_not_coarsen_the_grid():
    b = ragged(500)
    stray = Graphs(torch.cat([b.pos, torch.full((1, 3), 1e6)]))
    assert occupancy(stray, b)[1].shape[1] == occupancy(b, b)[1].shape[1] + 1
    assert 0 < jsd(stray, b) < 0.01


def test_occupancy_counts_every_point_once():
    a, b = ragged(5, 9), ragged(40, 3, seed=1)
    for clouds, count in zip((a, b), occupancy(a, b, cells=4), strict=True):
        assert count.sum(1).tolist() == clouds.sizes.tolist()


# -- the paper's number ------------------------------------------------------------------------------


def test_paper_w_is_the_matching_of_flattened_clouds():
    a, b = Graphs.dense(sample(8, 5, 3)), Graphs.dense(sample(8, 5, 3, seed=1))
    cost = torch.cdist(a.pos.view(8, 15), b.pos.view(8, 15)).numpy()
    truth = cost[linear_sum_assignment(cost)].mean() / 5
    assert paper_w(a, b) == pytest.approx(truth, abs=1e-12)
    assert paper_w(a, b, unit=0.25) == pytest.approx(truth / 4, abs=1e-12)
    assert paper_w(a[[3, 1, 0, 2, 7, 6, 5, 4]], b) == pytest.approx(truth, abs=1e-12)


def test_paper_units_fill_their_box():
    clouds = paper_units(ragged(7, 3, 20))
    for points in clouds.unpack():
        assert float(points.abs().amax()) == pytest.approx(0.25, abs=1e-15)
        # Means of at most 20 numbers below .25, each rounded at 3e-17.
        assert float(points.mean(0).abs().amax()) < 1e-15


@needs_modelnet
def test_paper_w_has_the_numbers_of_modelnet10():
    real = paper_units(modelnet("modelnet10_test_half.npz"))
    noise = Graphs.dense(sample(len(real), 400, 3))
    # A normal cloud's length varies by 1/sqrt(2 * 1200) = 2 %, the mean of 454 by .1 % = .008: four of these.
    assert paper_w(noise, real) * 100 == pytest.approx(8.64, abs=0.035)
    # The others are known to three digits; another subset of 400 points moves the last one by one.
    assert paper_w(real[::2], real[1::2]) * 100 == pytest.approx(1.27, abs=0.01)
    assert paper_w(real.replace(pos=0 * real.pos), real) * 100 == pytest.approx(0.94, abs=0.01)


@pytest.mark.slow
@needs_modelnet
def test_scores_of_real_chairs_against_real_chairs():
    chairs = modelnet("modelnet10_train.npz", "chair").to(dtype=torch.float32)
    chairs = chairs.replace(pos=chairs.pos / chairs.pos.square().mean().sqrt())
    order = torch.randperm(len(chairs), generator=torch.Generator().manual_seed(0))
    a, b = chairs[order[:100]], chairs[order[100:200]]
    between = chamfer_matrix(a, b)
    # Known: .155 and .515 for one draw of 100 against 100; between draws they vary by .008 and .04.
    assert mmd(between) == pytest.approx(0.155, abs=0.03)
    assert one_nna(chamfer_matrix(a, a), between, chamfer_matrix(b, b)) == pytest.approx(0.5, abs=0.12)


# -- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: chamfer_matrix(ragged(3), ragged(3, d=2)), "same dimension, got 3 and 2"),
        (
            lambda: chamfer_matrix(ragged(3), ragged(3, 0)),
            "b must hold at least one cloud, each with a point",
        ),
        (lambda: jsd(ragged(3), ragged(3), cells=0), "cells must be at least 1, got 0"),
        (lambda: paper_w(ragged(3), ragged(4)), "one number of points in all clouds"),
        (lambda: paper_units(Graphs(torch.ones(4, 3))), "cloud 0 has no extent"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
