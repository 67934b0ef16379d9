"""Effect sizes: of rows made from known effects."""

from itertools import product

import numpy as np
import pytest

from noisefold.studies.diffusion.effects import FACTORS, find, noise_effects, sampler_effects, shares
from noisefold.studies.diffusion.measures import MEASURES

_LEVELS = (
    ("noise", "data"),
    ("posterior", "ddim"),
    ("gaussian", "digits", "quasi"),
    ("linear", "cosine"),
    ("normal", "grid"),
)
_SEEDS = 6


def _rows(effect):
    """Every combination with the value of ``effect(row, seed)`` for all measures."""
    rows = []
    for levels in product(*_LEVELS):
        row = dict(zip(FACTORS, levels, strict=True))
        rows.append(row | {m: [effect(row, seed) for seed in range(_SEEDS)] for m in MEASURES})
    return rows


def test_a_pure_effect_explains_everything():
    told = shares(_rows(lambda row, seed: 0.1 + 0.5 * (row["sampler"] == "ddim")))
    for row in told:
        assert row["sampler"]["share"] == pytest.approx(1)
        assert row["seeds"]["share"] == pytest.approx(0, abs=1e-9)


def test_shares_add_up_and_interactions_are_found():
    rng = np.random.default_rng(0)

    def effect(row, seed):
        both = (row["target"] == "data") * (row["sampler"] == "ddim")
        return 0.5 + 0.3 * both + 0.01 * rng.standard_normal()

    for row in shares(_rows(effect)):
        parts = {k: v["share"] for k, v in row.items() if k != "measure"}
        assert sum(parts.values()) == pytest.approx(1, abs=0.01)
        # Of a product of two halves each factor explains a third, and so does their interaction.
        for name in ("target", "sampler", "target x sampler"):
            assert parts[name] == pytest.approx(1 / 3, abs=0.05)
        assert row["seeds"]["error"] < 0.05


def test_noise_effects_are_paired():
    """Seeds move every kind of noise alike: their difference has no error of its own."""

    def effect(gap):
        return lambda row, seed: 0.1 * seed + gap * (row["noise"] == "digits")

    for gap, equivalent in ((0.05, True), (0.5, False)):
        told = {(r["noise"], r["measure"]): r for r in noise_effects(_rows(effect(gap)))}
        digits, quasi = told["digits", "mass"], told["quasi", "mass"]
        assert digits["mean"] == pytest.approx(gap)
        assert digits["high"] - digits["low"] < 1e-6
        assert digits["margin"] == pytest.approx(np.std(0.1 * np.arange(_SEEDS), ddof=1), rel=1e-4)
        assert digits["equivalent"] == equivalent
        assert quasi["equivalent"]
        assert (quasi["mean"], quasi["low"]) == (0, 0)


def test_diverged_values_are_clipped():
    rows = _rows(lambda row, seed: 1e90 if row["noise"] == "quasi" else 1.0)
    for row in rows[:3]:
        row["det"] = [None] * _SEEDS
    told = {(r["noise"], r["measure"]): r for r in noise_effects(rows)}
    assert told["quasi", "log2 w2"]["mean"] == pytest.approx(10)


def test_sampler_effects_are_sorted_and_complete():
    told = sampler_effects(_rows(lambda row, seed: 1.0 + seed))
    assert len(told) == 2 * 2 * 2
    assert [r["start"] for r in told] == ["normal"] * 4 + ["grid"] * 4
    assert told[0]["mass"]["mean"] == pytest.approx(3.5)
    assert told[0]["det"]["mean"] == pytest.approx(720 ** (1 / 6), rel=1e-4)  # geometric


def test_find_refuses_a_missing_row():
    with pytest.raises(LookupError, match="no row has"):
        find([], target="noise")
