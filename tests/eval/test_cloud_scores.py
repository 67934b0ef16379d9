import math

import pytest
import torch

from noisefold.eval import (
    CLOUD_METRICS,
    chamfer_matrix,
    coverage,
    emd_matrix,
    jsd,
    mmd,
    one_nna,
    paper_w,
    score_clouds,
)
from noisefold.geometry import Graphs


def ellipsoids(count, points=48, seed=0, spread=0.3):
    """Points on ellipsoids with random half-axes: clouds that differ from each other."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(torch.randn(count, points, 3, generator=generator), dim=-1)
    return Graphs.dense(direction * (1 + spread * torch.randn(count, 1, 3, generator=generator)))


def values(scores, row="model"):
    return {name: float(score) for name, score in scores[row].items()}


@pytest.fixture(scope="module")
def table():
    return score_clouds(ellipsoids(30), ellipsoids(60, seed=1), ellipsoids(50, seed=2), resamples=50)


def test_rows_metrics_and_intervals(table):
    assert table.rows == ("model", "real", "train", "noise", "collapsed")
    assert table.columns == CLOUD_METRICS
    for row in table.rows:
        for name, score in table[row].items():
            assert score.low <= score.value <= score.high, (row, name)
    assert "30 test clouds against 30 other" in table.about["real"]


def test_model_of_the_right_law_scores_like_real_data(table):
    for row in ("model", "real", "train"):
        # n = 30 has a standard error of .08: four of these about (n - 1) / (2 n - 1).
        assert float(table[row, "1-NNA-CD"]) == pytest.approx(0.49, abs=0.33)
        assert float(table[row, "COV-CD"]) > 0.35
    for name in ("MMD-CD", "MMD-EMD", "JSD"):
        assert float(table["model", name]) == pytest.approx(float(table["real", name]), rel=0.25)


def test_noise_is_found_out(table):
    assert table["noise", "1-NNA-CD"].low > 0.7
    assert table["noise", "1-NNA-EMD"].low > 0.7
    assert table["noise", "MMD-CD"].low > table["model", "MMD-CD"].high


def test_collapsed_row_has_its_closed_forms(table):
    assert float(table["collapsed", "1-NNA-CD"]) == float(table["collapsed", "1-NNA-EMD"]) == 1
    assert float(table["collapsed", "COV-CD"]) == pytest.approx(1 / 30)
    # Every point of a cloud goes to the centre at |x|^2, mean 3 sd^2, and back at the least |x|^2, below it.
    assert 3 < float(table["collapsed", "MMD-CD"]) < 6
    assert float(table["collapsed", "JSD"]) > 0.95
    assert table["collapsed", "paper-W"].high < table["real", "paper-W"].low


def test_model_row_is_the_plain_scores():
    # Equal numbers of clouds and points: nothing is cut, and no score but paper-W sees an order.
    made, test = ellipsoids(9, 20), ellipsoids(9, 20, seed=1)
    names = [n for n in CLOUD_METRICS if n != "paper-W"]
    found = values(score_clouds(made, test, metrics=names, resamples=0))
    centre = test.pos.mean(0)
    scale = (test.pos - centre).square().mean().sqrt()
    a, b = (Graphs((c.pos - centre) / scale, ptr=c.ptr) for c in (made, test))
    truth = {"JSD": jsd(a, b)}
    for kind, matrix in (("CD", chamfer_matrix), ("EMD", emd_matrix)):
        truth[f"1-NNA-{kind}"] = one_nna(matrix(a, a), matrix(a, b), matrix(b, b))
        truth[f"COV-{kind}"], truth[f"MMD-{kind}"] = coverage(matrix(a, b)), mmd(matrix(a, b))
    # float32 distances: their relative error is 1e-6.
    assert found == pytest.approx(truth, rel=1e-5)


def test_paper_w_of_a_collapsed_model_is_the_mean_norm():
    test = ellipsoids(8, 30)
    test = test.replace(
        pos=torch.cat([0.25 * p / p.abs().amax() for p in (q - q.mean(0) for q in test.unpack())])
    )
    found = score_clouds(test, test, metrics=["paper-W"], resamples=0)
    # Clouds are in the paper's unit already; the scale of score_clouds must cancel.
    assert float(found["collapsed", "paper-W"]) == pytest.approx(
        paper_w(test.replace(pos=0 * test.pos), test), rel=1e-5
    )


def test_copies_of_the_test_set_are_found_out():
    test = ellipsoids(10, 20)
    found = values(score_clouds(test, test, resamples=0))
    # Nearest neighbours are the copies, at a distance of float32's rounding.
    assert found["1-NNA-CD"] == found["1-NNA-EMD"] == 0
    assert found["COV-CD"] == 1
    assert found["MMD-CD"] == pytest.approx(0, abs=1e-6)
    assert found["JSD"] == 0


def test_scores_do_not_see_the_unit_or_the_place():
    sets = [ellipsoids(8, 25, seed=s).to(dtype=torch.float64) for s in range(3)]
    moved = [c.replace(pos=5 * c.pos + 3) for c in sets]
    first, second = score_clouds(*sets, resamples=5), score_clouds(*moved, resamples=5)
    for row in first.rows:
        assert values(second, row) == pytest.approx(values(first, row), rel=1e-9, abs=1e-12)


def test_seed_alone_decides():
    made, test = ellipsoids(8, 30), ellipsoids(12, 25, seed=1)
    first = score_clouds(made, test, metrics=["MMD-CD", "JSD"], seed=1)
    assert first == score_clouds(made, test, metrics=["MMD-CD", "JSD"], seed=1)
    assert first != score_clouds(made, test, metrics=["MMD-CD", "JSD"], seed=2)
    assert first.rows == ("model", "real", "noise", "collapsed")


def test_ragged_flat_clouds_and_progress():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(n, 2, generator=generator) for n in (9, 20, 14, 30, 11, 9, 12, 10, 13)]
    seen = []
    found = score_clouds(
        Graphs.ragged(parts[:4]),
        Graphs.ragged(parts[4:]),
        resamples=3,
        progress=lambda *step: seen.append(step),
    )
    assert "9 points a cloud, 9 of them for EMD" in found.note
    assert [step[2] for step in seen] == list(found.rows)
    assert all(math.isfinite(v) for row in found.rows for v in values(found, row).values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": ["MMD-CS"]}, "metrics has 'MMD-CS'; did you mean 'MMD-CD'"),
        ({"metrics": []}, "metrics must name one at least"),
        ({"generated": ellipsoids(3)}, "generated must hold at least 4 clouds, none empty"),
        ({"train": Graphs.dense(torch.rand(5, 3, 2))}, "train must have the 3 dimensions of test, got 2"),
        (
            {"generated": Graphs.dense(torch.rand(5, 3, 3) / 0)},
            "generated has positions that are not finite in 5",
        ),
        ({"test": Graphs.dense(torch.ones(5, 3, 3))}, "test has all its points at one place"),
    ],
)
def test_errors_name_the_argument(change, words):
    arguments = {"generated": ellipsoids(5), "test": ellipsoids(6), "train": None} | change
    with pytest.raises(ValueError, match=words):
        score_clouds(**arguments)
