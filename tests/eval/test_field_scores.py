"""The table of scores of fields: each row against what must hold of it."""

import math

import pytest
import torch

from noisefold.eval import (
    FIELD_METRICS,
    energy_distance,
    marginal_wasserstein,
    score_fields,
    sliced_wasserstein,
)
from noisefold.geometry import Graphs

PLACES = torch.cartesian_prod(torch.linspace(0, 1, 5), torch.linspace(0, 2, 4))


def waves(count, seed=0, places=PLACES, shift=0.0):
    """Smooth fields of random phase with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    phase = torch.randn(count, 1, 2, generator=generator)
    noise = torch.randn(count, len(places), 2, generator=generator)
    return Graphs.dense(
        places.expand(count, -1, -1), torch.sin(3 * places[:, :1] + phase) + 0.2 * noise + shift
    )


def scattered(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.rand(10 + i % 3, 2, generator=generator) for i in range(count)]
    return Graphs.ragged(
        parts, [torch.sin(3 * p[:, :1] + torch.randn(1, 2, generator=generator)) for p in parts]
    )


@pytest.fixture(scope="module")
def table():
    return score_fields(waves(40), waves(80, 1), waves(60, 2), resamples=30)


def test_rows_metrics_and_intervals(table):
    assert table.rows == ("model", "real", "train", "noise", "collapsed", "mean")
    assert table.columns == FIELD_METRICS
    for row in table.rows:
        for name, score in table[row].items():
            assert score.low <= score.value <= score.high, (row, name)
    assert "40 fields in every row" in table.note


def test_model_of_the_right_law_scores_like_real_fields(table):
    assert table["model", "energy"].low < 0 < table["model", "energy"].high
    for name in ("energy-V", "SW2", "spectrum", "paper-W"):
        assert float(table["model", name]) == pytest.approx(float(table["real", name]), rel=0.5)


def test_bad_generators_are_found_out(table):
    for row in ("noise", "collapsed", "mean"):
        assert table[row, "energy"].low > 0
        assert table[row, "spectrum"].low > table["model", "spectrum"].high
    # Independent values have the I of chance, smooth ones a large one.
    assert table["noise", "Moran-W1"].low > table["model", "Moran-W1"].high


def test_model_row_is_the_plain_scores():
    made, test = waves(8, shift=0.5), waves(16, 1)
    names = ["energy", "SW2", "marginal-W1"]
    scores = score_fields({"net": made}, test, metrics=names, resamples=0, seed=3)
    # The same random half of the test set as score_fields takes.
    generator = torch.Generator().manual_seed(3)
    half = test[torch.randperm(16, generator=generator)[:8]]
    centre, spread = test.x.double().mean(0), test.x.double().std(0, correction=0)
    a, b = (g.replace(x=(g.x - centre) / spread) for g in (made, half))
    truth = {
        "energy": energy_distance(a, b),
        "SW2": sliced_wasserstein(a, b, seed=3),
        "marginal-W1": float(marginal_wasserstein(a, b).mean()),
    }
    assert {k: float(v) for k, v in scores["net"].items()} == pytest.approx(truth, abs=1e-6)


def test_constant_fields_have_their_closed_forms():
    scores = score_fields(waves(20), waves(40, 1), resamples=0, metrics=["variogram", "marginal-W1"])
    # A field that does not vary has no variogram: what remains is that of the test fields, about 1 far away.
    assert 0.5 < float(scores["mean", "variogram"]) < 1.5
    # Standard normal values beside those of a unit-variance law: not far, and not equal.
    assert 0 < float(scores["noise", "marginal-W1"]) < 0.5


def test_training_fields_on_another_grid_are_left_out_with_the_reason():
    other = torch.cartesian_prod(torch.linspace(0, 1, 3), torch.linspace(0, 2, 4))
    scores = score_fields(waves(8), waves(16, 1), waves(20, 2, other), resamples=0)
    assert "train" not in scores.rows
    assert "other positions" in scores.note
    few = score_fields(waves(8), waves(16, 1), waves(5, 2), resamples=0, metrics=["SW2"])
    assert "5 training fields only" in few.note


def test_fields_each_on_their_own_positions():
    scores = score_fields(scattered(10), scattered(20, 1), scattered(12, 2), resamples=10)
    assert scores.rows == ("model", "real", "train", "noise", "mean")
    assert scores.columns == ("marginal-W1", "Moran-W1", "variogram")
    assert "differ in their positions" in scores.note
    with pytest.raises(ValueError, match="'energy', which needs the same positions"):
        score_fields(scattered(10), scattered(20, 1), metrics=["energy"])


def test_the_seed_decides_everything():
    first, again, other = (
        {k: float(v) for k, v in score_fields(waves(8), waves(20, 1), resamples=0, seed=s)["model"].items()}
        for s in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"made": waves(3)}, r"made \(model\) must hold at least 4"),
        ({"made": {"real": waves(8)}}, "rows other than"),
        ({"made": waves(8, places=PLACES + 0.1)}, "like=test"),
        ({"test": waves(7)}, "test must hold at least 8"),
        ({"metrics": ["enrgy"]}, "did you mean 'energy'"),
        ({"metrics": []}, "name one at least"),
        ({"train": Graphs.dense(PLACES.expand(9, -1, -1))}, "train must have features"),
        ({"made": waves(8, shift=math.nan)}, "NaN"),
    ],
)
def test_misuse_is_named(change, message):
    arguments = {"made": waves(8), "test": waves(16, 1), "resamples": 0, **change}
    with pytest.raises(ValueError, match=message):
        score_fields(**arguments)
