"""The study of conditioning: that its truth is true and its measures are what they say."""

import json
import math
from pathlib import Path

import pytest
import torch

from noisefold.noise import Gaussian
from noisefold.studies.sampling import conditioning as study
from noisefold.studies.sampling import correlated, posteriors


@pytest.fixture(scope="module")
def result():
    return study.measure(study.STUDY.begin(Path(), "smoke"))


@pytest.mark.slow
def test_every_distribution_and_method_has_its_row(result):
    keys = [(row["law"], row["method"]) for row in result["rows"]]
    assert len(set(keys)) == len(keys) == 3 * 4 + 4
    assert ("line, learned", "told") in keys
    assert json.loads(json.dumps(result)) == result
    assert all(math.isfinite(v) for row in result["rows"] for v in row.values() if not isinstance(v, str))


@pytest.mark.slow
def test_passes_are_counted(result):
    """Heun's last step needs one evaluation; four iterations are four passes backwards each."""
    cost = {row["method"]: (row["forwards"], row["backwards"]) for row in result["rows"]}
    assert cost == {
        "exact": (0, 0),
        "prior": (19, 0),
        "replacement": (50, 0),
        "full 4": (19, 76),
        "told": (19, 0),
    }


@pytest.mark.slow
def test_guidance_is_nearer_than_replacement_and_that_than_the_prior(result):
    """Of an oracle, with differences far beyond the chance of a few truths."""
    for law in ("line", "field"):
        found = {row["method"]: row["mean"] for row in result["rows"] if row["law"] == law}
        assert found["full 4"] < 0.3 * found["replacement"] < 0.3 * found["prior"]


@pytest.mark.slow
def test_samplers_of_functions(result):
    """Corrections are nearest under every noise, and the block of K diverges under all that are not white."""
    rows = {(row["limit"], row["way"]): row for row in result["functions"]}
    assert len(rows) == len(result["functions"]) == len(correlated.LIMITS) * len(correlated.WAYS)
    for limit in correlated.LIMITS:
        best = rows[limit, "kinetic Langevin, Schur"]["relative"]
        assert best < 0.1
        assert best < 0.5 * rows[limit, "replacement, noise drawn apart"]["relative"]
        diverged = rows[limit, "published: block of K"]["relative"] is None
        assert diverged == (limit != "white")


def test_the_posterior_is_that_of_the_law():
    """Against the posterior in the limit of little noise, and against weighted draws of the law."""
    mixture = posteriors.modes()
    truths = mixture.sample(2, torch.Generator().manual_seed(0))
    posterior = posteriors.posterior_of(mixture, posteriors.MODES_KNOWN, truths)
    means, covariances = posterior.means, posterior.covariances
    draws = mixture.sample(400_000, torch.Generator().manual_seed(1))
    others = [i for i in range(10) if i not in posteriors.MODES_KNOWN]
    given = list(posteriors.MODES_KNOWN)
    for i in range(2):
        gap = (draws[:, given] - truths[i, given]).square().sum(1)
        near = draws[gap < 0.15**2][:, others]
        # Some hundred draws within 0.15 of what is known, whose mean is off by less than 0.15 for that.
        assert len(near) > 100
        assert (
            float((near.mean(0) - means[i]).abs().max())
            < 0.15 + 4 * float(near.std(0).max()) / len(near) ** 0.5
        )
        assert torch.cov(near.T).trace() == pytest.approx(float(covariances[i].trace()), rel=0.35)


def test_exact_draws_have_no_error():
    """But for chance: 60 truths with 99 draws each."""
    mixture = posteriors.line()
    task = study.Task.of(mixture, posteriors.LINE_KNOWN, 60, 0)
    means = task.posterior.means
    draws = task.posterior.draws(study.DRAWS, torch.Generator().manual_seed(0))
    found = study.errors(task, draws)
    assert found["mean"] < 0.02
    assert found["covariance"] < 0.05
    assert found["variance"] == pytest.approx(1, abs=0.03)
    for level in (50, 90):
        assert abs(found[f"cover{level}"] - level / 100) < 4 * found[f"cover{level}_error"]
    shifted = study.errors(task, 2 * draws - means[:, None] + 0.5)
    size = float(means.square().sum(1).mean().sqrt())
    assert shifted["mean"] == pytest.approx(0.5 * math.sqrt(7) / size, rel=0.03)
    assert shifted["variance"] == pytest.approx(4, rel=0.03)
    assert shifted["covariance"] == pytest.approx(3, rel=0.05)


def test_draws_of_several_modes_have_the_posteriors_moments():
    task = study.Task.of(posteriors.modes(), posteriors.MODES_KNOWN, 3, 0)
    draws = task.posterior.draws(40_000, torch.Generator().manual_seed(0))
    spread = task.posterior.covariances.diagonal(dim1=1, dim2=2)
    gap = (draws.mean(1) - task.posterior.means).abs() / (spread / 40_000).sqrt()
    assert float(gap.max()) < 4.5  # standard errors, of 21 means
    for i in range(3):
        torch.testing.assert_close(torch.cov(draws[i].T), task.posterior.covariances[i], rtol=0, atol=0.02)


def test_the_field_of_the_task_is_that_of_the_law():
    task = study.Task.of(posteriors.field(), tuple(range(40)), 2, 0)
    x = torch.randn(2, 100, dtype=torch.float64)
    t = torch.tensor(0.5, dtype=torch.float64)
    expected = task.distribution.denoise(x, t, Gaussian())
    torch.testing.assert_close(task.oracle()(x.view(-1, 1), t).view(2, 100), expected)


@pytest.mark.slow
def test_study_leaves_its_files(tmp_path, result):
    run = study.STUDY.begin(tmp_path, "smoke")
    paths = run.write(result, study.table(result), study.figure(result))
    assert [p.name for p in paths] == ["smoke.json", "smoke.md", "smoke.png"]
    text = paths[1].read_text()
    for law in ("line", "field", "modes", "line, learned"):
        assert f"### {law}\n" in text
    assert text.count("| full 4 |") == 4
