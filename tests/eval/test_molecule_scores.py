"""Scores of molecules: shares by hand, and Fréchet's distance against its closed form."""

import numpy as np
import pytest

Chem = pytest.importorskip("rdkit.Chem")

from noisefold.eval import MOLECULE_METRICS, score_molecules  # noqa: E402
from noisefold.eval.molecule_scores import frechet_distance  # noqa: E402


def molecules(*smiles):
    return [None if s is None else Chem.MolFromSmiles(s) for s in smiles]


TEST = molecules("CCO", "CCN", "c1ccccc1", "CC(=O)O")
TRAIN = molecules("CCO", "CO", "CCC", "C#N")


def test_shares_are_those_counted_by_hand():
    made = molecules("CCO", "OCC", "C.C", None, "CCF")
    scores = score_molecules({"model": made}, TEST, TRAIN, resamples=0).table["model"]
    found = {name: scores[name].value for name in ("valid", "connected", "unique", "novel")}
    # CCO and OCC are one molecule, which was in training; of the three different ones two are new.
    assert found == pytest.approx({"valid": 0.8, "connected": 0.6, "unique": 0.75, "novel": 2 / 3})


def test_real_molecules_are_near_and_the_floor_stands_beside_them():
    scores = score_molecules({"model": TEST}, TEST, TRAIN, resamples=0).table
    assert set(scores) == {"model", "train"}
    assert scores["model"]["weight"].value == pytest.approx(0, abs=1e-12)
    assert scores["train"]["weight"].value > 0
    assert scores["train"]["novel"].value == 0


def test_no_valid_molecule_is_infinitely_far_and_not_a_crash():
    row = score_molecules({"model": [None] * 5}, TEST, TRAIN, resamples=0).table["model"]
    assert row["valid"].value == 0
    assert row["logP"].value == float("inf")


def test_frechet_distance_of_gaussians():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 3))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T  # exactly standard
    shifted = 2 * z + np.array([1.0, 0, 0])
    # |mu|^2 + sum (1 - 2)^2 over three directions
    assert frechet_distance(z, shifted) == pytest.approx(1 + 3, abs=1e-8)
    assert frechet_distance(z, z) == pytest.approx(0, abs=1e-8)


def test_metrics_and_sets_are_checked():
    with pytest.raises(ValueError, match="nonsense"):
        score_molecules({"model": TEST}, TEST, metrics=["nonsense"])
    with pytest.raises(ValueError, match="test"):
        score_molecules({"model": TEST}, [])
    assert "FCD" in MOLECULE_METRICS


@pytest.mark.slow
def test_fcd_of_real_against_real_is_small():
    pytest.importorskip("fcd")
    chains = ["C" * k + end for k in range(1, 40) for end in ("O", "N", "F", "Cl")]
    made = molecules(*chains)
    value = score_molecules({"model": made[::2]}, made[1::2], resamples=0, metrics=["FCD"])
    assert 0 <= value.table["model"]["FCD"].value < 20
