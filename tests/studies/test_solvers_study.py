"""The study of solvers: that its measures are what they say, and that it finds what is known."""

import json
import math
from pathlib import Path

import pytest
import torch

from noisefold.sample import DDIM, DPMSolver, Euler, Heun, Langevin
from noisefold.studies.sampling import solvers


@pytest.fixture(scope="module")
def result():
    return solvers.measure(solvers.STUDY.begin(Path(), "smoke"))


@pytest.mark.slow
def test_every_solver_grid_and_schedule_has_its_rows(result):
    keys = {(r["schedule"], r["grid"], r["solver"], r["budget"]) for r in result["rows"]}
    assert len(keys) == len(result["rows"]) == 5 * 3 * 7 * 2
    for row in result["rows"]:
        assert 1 <= row["evaluations"] <= row["budget"]
        assert row["budget"] - row["evaluations"] < 3  # one more step would not fit
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))


@pytest.mark.slow
def test_result_is_plain(result):
    assert json.loads(json.dumps(result)) == result


@pytest.mark.slow
def test_more_evaluations_err_less_and_none_beats_the_floor(result):
    """Deterministic solvers on the cells above; 5 spreads of the floor's mean of three."""
    floor = result["floor"]["error"] - 5 * max(result["floor"]["error_spread"], 0.01)
    by_cell = {(r["schedule"], r["grid"], r["solver"], r["budget"]): r["error"] for r in result["rows"]}
    for (schedule, grid, solver, budget), error in by_cell.items():
        assert error > floor
        if budget == 32 and solver in ("DDIM", "DPMSolver", "Ancestral"):
            assert error < by_cell[schedule, grid, solver, 8]


@pytest.mark.slow
def test_dpm_solver_is_best_with_32_evaluations(result):
    """Order 2 against 1, one evaluation a step against Heun's two: within the floor's spread of the least."""
    best = solvers.best_grids(result)
    for name, chosen in solvers.recommended(result).items():
        assert best[name, "DPMSolver", 32]["error"] < chosen[32][2] + result["floor"]["error_spread"]


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.5, 1.0), (0.0, 1.5), (0.3, 0.5)])
def test_error_is_the_distance_of_gaussians(shift, stretch):
    """Both components moved and stretched in their own units: W2^2 = (shift.theta)^2 + (stretch - 1)^2."""
    n = 40_000
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, 2, generator=generator, dtype=torch.float64) * stretch
    z[:, 0] += shift
    which = torch.arange(n) % 2
    means, covariances = (
        torch.tensor(v).double() for v in (solvers.MIXTURE.means, solvers.MIXTURE.covariances)
    )
    x = means[which] + torch.einsum("nde,ne->nd", torch.linalg.cholesky(covariances)[which], z)
    measures = solvers.errors(x)
    truth = math.sqrt(shift**2 / 2 + (stretch - 1) ** 2)
    # Of exact draws the distance is some 1 / sqrt(n / 2); it moves any other by less than twice that.
    assert measures["error"] == pytest.approx(truth, abs=2 / math.sqrt(n / 2))
    assert measures["determinant"] == pytest.approx(stretch**4, rel=5 * math.sqrt(4 / (n / 2)))
    assert measures["mass"] == 0


def test_a_lost_component_is_a_large_error():
    x = solvers.MIXTURE.sample(2000, torch.Generator().manual_seed(0))
    measures = solvers.errors(-x.abs())
    assert measures["mass"] == 0.5
    assert measures["error"] > 5


@pytest.mark.parametrize(
    ("solver", "steps"),
    [(Euler(), 9), (Heun(), 5), (DPMSolver(), 9), (Langevin(DDIM(), steps=2), 3)],
    ids=repr,
)
def test_steps_within_a_budget(solver, steps):
    """Heun needs 2 n - 1 evaluations for n steps, two Langevin steps 3 n - 2: the last step needs but one."""
    assert solvers._steps(solver, 9) == steps
    assert solvers._steps(solver, 1) == 1


@pytest.mark.slow
def test_table_and_figure_show_every_schedule(result):
    text = solvers.table(result)
    picture = solvers.figure(result)
    panels = [a for a in picture.axes if a.get_title()]
    assert [a.get_title() for a in panels] == ["Linear", "VP", "Cosine", "VE", "Localization"]
    assert picture.get_supxlabel() == "evaluations of the denoiser"
    for panel in panels:
        assert f"### {panel.get_title()}" in text
        assert len(panel.containers) == 7
    assert all(text.count(f"\n| {solver} |") == 5 for solver in ("Euler", "Langevin"))
