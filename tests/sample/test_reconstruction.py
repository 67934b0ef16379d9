"""Reconstruction against the exact conditional mean of Gaussian nodes, and dense formulas."""

import pytest
import torch
from gaussian_nodes import CORRELATED, GIVEN, OTHERS, VALUES, D, conditional, law, size_of_error
from torch import Tensor

from noisefold.noise import VE, VP, Cosine, Gaussian, Known, Linear, Localization
from noisefold.sample import DDIM, GaussianTask, Heun, Reconstructed, Reconstruction
from noisefold.theory import GaussianMixture

ORACLE = GaussianMixture.gaussian(torch.zeros(D), CORRELATED)
PATHS = [Gaussian(s) for s in (Linear(), VP(), Cosine(), VE(), Localization())]
X = torch.randn(4, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RIDGE = 1e-6


def given(count: int = 4) -> Known:
    mask = torch.zeros(count, D, dtype=torch.bool)
    mask[:, GIVEN] = True
    value = torch.zeros(count, D, dtype=torch.float64)
    # A known value for each row of its own.
    value[:, GIVEN] = VALUES * torch.arange(1, count + 1)[:, None]
    return Known(value, mask, torch.arange(count))


def white(path: Gaussian, t: Tensor) -> float:
    return float((path.schedule.sigma(t) / path.scale(t)) ** 2)


def dense(path: Gaussian, t: Tensor, known: Known, error: Tensor) -> Tensor:
    """The formula with the oracle's own covariance, and errors ``[3, 3]`` of the known values."""
    mean = ORACLE.denoise(X, t, path)
    spread = ORACLE.posterior_covariance(X[:1], t, path)[0]
    gap = (known.value - mean)[:, GIVEN]
    change = torch.linalg.solve(spread[GIVEN][:, GIVEN] + error, gap.T).T @ spread[GIVEN]
    return torch.where(known.mask, known.value, mean + change)


@pytest.mark.parametrize("path", PATHS, ids=repr)
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_it_is_the_conditional_mean_of_gaussian_data(path, t, noise):
    """Three known nodes: three iterations solve the system."""
    t, known = torch.tensor(t, dtype=torch.float64), given()
    found = Reconstructed(ORACLE.bound(path), known, path, Reconstruction(iterations=3, noise=noise))(X, t)
    error = (noise**2 + RIDGE * white(path, t)) * torch.eye(3)
    # Conjugate gradients lose digits to the condition number, 1e3 at most here.
    torch.testing.assert_close(found, dense(path, t, known, error), rtol=1e-8, atol=1e-8)


def test_without_the_ridge_it_is_bayes_rule():
    """E[x_0 | x_t, y] from the joint law of data and state, not from Tweedie's formula."""
    path, t, known = Gaussian(), torch.tensor(0.6, dtype=torch.float64), given(1)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    seen = torch.cat([X[0], known.value[0, GIVEN]])
    cross = torch.cat([alpha * CORRELATED, CORRELATED[:, GIVEN]], dim=1)
    own = torch.zeros(D + 3, D + 3, dtype=torch.float64)
    own[:D, :D] = alpha**2 * CORRELATED + sigma**2 * torch.eye(D)
    own[:D, D:] = alpha * CORRELATED[:, GIVEN]
    own[D:, :D] = own[:D, D:].T
    own[D:, D:] = CORRELATED[GIVEN][:, GIVEN]
    found = Reconstructed(ORACLE.bound(path), known, path, Reconstruction(iterations=3))(X[:1], t)
    # The ridge is 1e-6 of variances that are 1e-2 and more.
    torch.testing.assert_close(found[0], cross @ torch.linalg.solve(own, seen), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["rows", "scalar"])
def test_the_cheap_covariances_are_their_formulas(kind):
    path, t, known = Gaussian(VP()), torch.tensor(0.4, dtype=torch.float64), given()
    spread = ORACLE.posterior_covariance(X[:1], t, path)[0]
    rows = spread[GIVEN][:, GIVEN].sum(1).diag() if kind == "rows" else white(path, t) * torch.eye(3).double()
    found = Reconstructed(ORACLE.bound(path), known, path, Reconstruction(kind))(X, t)
    error = rows.to(spread) - spread[GIVEN][:, GIVEN]
    torch.testing.assert_close(found, dense(path, t, known, error), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("iterations", [1, 2])
def test_a_graph_does_not_depend_on_those_beside_it(iterations):
    path, t, known = Gaussian(), torch.tensor(0.5, dtype=torch.float64), given()
    options = Reconstruction(iterations=iterations)
    whole = Reconstructed(ORACLE.bound(path), known, path, options)(X, t)
    for i in range(4):
        alone = Known(known.value[i : i + 1], known.mask[i : i + 1])
        one = Reconstructed(ORACLE.bound(path), alone, path, options)(X[i : i + 1], t)
        torch.testing.assert_close(one, whole[i : i + 1], rtol=1e-12, atol=1e-12)


def test_nothing_known_changes_nothing_and_everything_known_is_returned():
    path, t, known = Gaussian(), torch.tensor(0.5, dtype=torch.float64), given()
    for mask, expected in (
        (torch.zeros_like(known.mask), ORACLE.denoise(X, t, path)),
        (torch.ones_like(known.mask), known.value),
    ):
        told = Known(known.value, mask, known.graph)
        found = Reconstructed(ORACLE.bound(path), told, path, Reconstruction())(X, t)
        assert torch.equal(found, expected)


def test_a_covariance_that_is_none_is_not_followed():
    """A learned derivative may be negative, which would send the estimate away from what is known."""
    path, t, known = Gaussian(), torch.tensor(0.5, dtype=torch.float64), given()
    for kind in ("full", "rows"):
        found = Reconstructed(lambda x, t: -x, known, path, Reconstruction(kind))(X, t)
        assert bool(found.isfinite().all())
    found = Reconstructed(lambda x, t: -x, known, path, Reconstruction())(X, t)
    assert torch.equal(found[:, OTHERS], -X[:, OTHERS])


@pytest.mark.parametrize(("path", "steps"), [(Gaussian(), 10), (Gaussian(VP()), 60)], ids=repr)
def test_the_posterior_is_within_what_is_asked(path, steps):
    """Within 2 % of the mean and 5 % of the covariance; what is left is the solver's error."""
    with torch.no_grad():
        mean, covariance = law(Reconstruction(iterations=3), Heun(), steps, path=path)
    exact = conditional(CORRELATED)
    assert size_of_error(mean, exact[0]) < 0.02
    assert size_of_error(covariance, exact[1]) < 0.05


def test_the_solver_is_left_alone_and_gradients_are_not():
    known, path = given(), Gaussian()
    solver = DDIM()
    task = GaussianTask.of(ORACLE.bound(path), path, torch.tensor([0.5, 0.0]))
    task, same = Reconstruction()(task, solver, known)
    assert same is solver
    with torch.no_grad():
        assert not task.denoise(X, torch.tensor(0.5)).requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance": "half"}, "covariance must be one of full, rows, scalar, got 'half'"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"noise": -1.0}, r"noise must not be negative, got -1\.0"),
    ],
)
def test_misuse_is_said_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        Reconstruction(**options)
