"""The Gaussian-process core: brute force, closed forms, refitting, torch.distributions and gpytorch."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from noisefold.geometry import (
    Exponential,
    Kernel,
    Matern,
    Nugget,
    SquaredExponential,
    Stationary,
    condition,
    evidence,
    factor,
    leave_one_out,
)
from noisefold.geometry.gp import cholesky, eigh, square_root

KERNELS = [
    Stationary(Matern(0.6, 1.5), 0.9) + Nugget(0.1),
    2.0 * Matern(0.6, 2.5) + Nugget(0.3),
    Exponential(0.4) + Nugget(0.01),
]
EVERY = pytest.mark.parametrize("kernel", KERNELS, ids=repr)
# Condition numbers up to 1e3 at an accuracy of 1e-16.
CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def places(n=20, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def values(n=20, c=3, seed=5):
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- truths --------------------------------------------------------------------------------------------------


@EVERY
def test_factor(kernel):
    k = kernel.matrix(places())
    found = factor(k)
    assert torch.equal(found.covariance, k)
    assert torch.equal(found.lower, found.lower.tril())
    torch.testing.assert_close(found.lower @ found.lower.T, k, rtol=0, atol=1e-14)
    inverse, y = torch.linalg.inv(k), values()
    torch.testing.assert_close(found.inverse, inverse, **CLOSE)
    torch.testing.assert_close(found.solve(y), inverse @ y, **CLOSE)
    torch.testing.assert_close(found.lower @ found.whiten(y), y, **CLOSE)
    torch.testing.assert_close(found.lower.T @ found.whiten_transposed(y), y, **CLOSE)
    torch.testing.assert_close(found.log_det, torch.linalg.slogdet(k)[1], **CLOSE)


@EVERY
def test_conditional_is_that_of_the_joint_gaussian(kernel):
    """Blocks of the joint covariance, by its full inverse: the precision of the unobserved part."""
    k = kernel.matrix(places())
    precision = torch.linalg.inv(k)
    o, u = slice(0, 13), slice(13, 20)
    covariance = torch.linalg.inv(precision[u, u])
    mean = -covariance @ precision[u, o] @ values(13)
    found = condition(factor(k[o, o]), k[o, u])
    torch.testing.assert_close(found.mean(values(13)), mean, **CLOSE)
    torch.testing.assert_close(found.covariance(k[u, u]), covariance, **CLOSE)
    torch.testing.assert_close(found.variance(k[u, u].diagonal()), covariance.diagonal(), **CLOSE)
    given = condition(factor(k[o, o]), k[o, u], values(13))
    torch.testing.assert_close(given.mean(), mean, **CLOSE)
    torch.testing.assert_close(given.covariance(k[u, u]), covariance, **CLOSE)
    with pytest.raises(ValueError, match="values"):
        found.mean()


@EVERY
def test_leave_one_out_is_refitting_without_the_node(kernel):
    k, y = kernel.matrix(places()), values()
    found = leave_one_out(factor(k), y)
    for i in range(20):
        rest = [j for j in range(20) if j != i]
        refitted = condition(factor(k[rest][:, rest]), k[rest, i][:, None])
        torch.testing.assert_close(found.mean[i], refitted.mean(y[rest])[0], **CLOSE)
        torch.testing.assert_close(found.residual[i], y[i] - refitted.mean(y[rest])[0], **CLOSE)
        torch.testing.assert_close(found.variance[i], refitted.variance(k[i, i]), **CLOSE)


@EVERY
def test_evidence_is_the_log_density(kernel):
    k, y = kernel.matrix(places()), values()
    truth = MultivariateNormal(torch.zeros(20, dtype=torch.float64), k).log_prob(y.T)
    torch.testing.assert_close(evidence(factor(k), y), truth, **CLOSE)


def test_against_gpytorch():
    gpytorch = pytest.importorskip("gpytorch")

    class Model(gpytorch.models.ExactGP):
        def __init__(self, x, y, likelihood):
            super().__init__(x, y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.MaternKernel(nu=1.5))

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    pos, at, y = places(25), places(7, seed=1), values(25, 1)
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    likelihood.noise = torch.tensor(0.1, dtype=torch.float64)
    model = Model(pos, y[:, 0], likelihood).double()
    model.covar_module.outputscale = torch.tensor(0.9, dtype=torch.float64)
    model.covar_module.base_kernel.lengthscale = torch.tensor(0.6, dtype=torch.float64)
    marginal = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    nats = float(marginal(model(pos), y[:, 0]).detach()) * 25
    model.eval()
    posterior = model(at)

    kernel = KERNELS[0]
    observed = factor(kernel.matrix(pos))
    found = condition(observed, kernel.between(pos, at))
    field = Stationary(Matern(0.6, 1.5), 0.9)
    # gpytorch's distances err by 1e-8, see test_kernels.
    assert float(evidence(observed, y)) == pytest.approx(nats, abs=1e-6)
    torch.testing.assert_close(found.mean(y)[:, 0], posterior.mean.detach(), rtol=0, atol=1e-7)
    torch.testing.assert_close(
        found.covariance(field.matrix(at)), posterior.covariance_matrix.detach(), rtol=0, atol=1e-6
    )


@EVERY
def test_batched_is_looped(kernel):
    k = kernel.matrix(torch.stack([places(seed=s) for s in range(3)]))
    y = torch.stack([values(seed=s) for s in range(3)])
    found = factor(k)
    conditional = condition(factor(k[:, :13, :13]), k[:, :13, 13:], y[:, :13])
    loo, nats = leave_one_out(found, y), evidence(found, y)
    for i in range(3):
        one = factor(k[i])
        assert torch.equal(found[i].lower, one.lower)
        alone = condition(factor(k[i, :13, :13]), k[i, :13, 13:], y[i, :13])
        torch.testing.assert_close(conditional.mean()[i], alone.mean(), **CLOSE)
        torch.testing.assert_close(conditional[i].mean(y[i, :13]), alone.mean(), **CLOSE)
        own = k[i, 13:, 13:]
        torch.testing.assert_close(conditional.covariance(k[:, 13:, 13:])[i], alone.covariance(own), **CLOSE)
        torch.testing.assert_close(loo.mean[i], leave_one_out(one, y[i]).mean, **CLOSE)
        torch.testing.assert_close(loo.variance[i], leave_one_out(one, y[i]).variance, **CLOSE)
        torch.testing.assert_close(nats[i], evidence(one, y[i]), **CLOSE)


def test_one_node_and_none():
    one = factor(torch.tensor([[4.0]], dtype=torch.float64))
    y = torch.tensor([[3.0]], dtype=torch.float64)
    assert float(one.lower) == 2
    loo = leave_one_out(one, y)
    assert (float(loo.mean), float(loo.variance)) == (0, 4)
    assert float(evidence(one, y)) == pytest.approx(-0.5 * (9 / 4 + math.log(4) + math.log(2 * math.pi)))
    none = factor(torch.zeros(0, 0, dtype=torch.float64), 1e-10, scale=1.0)
    prior = torch.eye(3, dtype=torch.float64)
    found = condition(none, torch.zeros(0, 3, dtype=torch.float64))
    assert torch.equal(found.covariance(prior), prior)
    assert torch.equal(found.mean(torch.zeros(0, 2, dtype=torch.float64)), torch.zeros(3, 2).double())


# -- the ladder ----------------------------------------------------------------------------------------------


def test_cholesky_returns_what_it_factorised():
    kernel = Stationary(SquaredExponential(0.5), 0.95)
    covariance, lower = cholesky(kernel, places(50))
    torch.testing.assert_close(lower @ lower.T, covariance, rtol=0, atol=1e-14)
    extra = (covariance - kernel.matrix(places(50))).diagonal() / 0.95
    # Very smooth on 50 close nodes: singular to rounding, and mended by the least jitter.
    torch.testing.assert_close(extra, torch.full((50,), 1e-10, dtype=extra.dtype), rtol=1e-4, atol=0)


def test_the_ladder_is_climbed_to_the_first_rung_that_holds():
    """A matrix of known smallest eigenvalue -e: the rung is the first above e."""
    turn = torch.linalg.qr(places(8, 8))[0]
    for lowest, rung in ((1e-3, 0.0), (-3e-11, 1e-10), (-3e-9, 1e-8), (-3e-7, 1e-6), (-3e-5, 1e-4)):
        spectrum = torch.tensor([lowest, *[1.0] * 7], dtype=torch.float64)
        matrix = (turn * spectrum) @ turn.T
        matrix = 5 * (matrix + matrix.T) / 2
        found = factor(matrix, scale=5.0)
        added = (found.covariance - matrix).diagonal()
        torch.testing.assert_close(added, torch.full_like(added, 5 * rung), rtol=1e-5, atol=0)
        assert torch.equal(found.covariance.triu(1), matrix.triu(1))
    with pytest.raises(ValueError, match=r"eigenvalues from -0\.015 to 5 "):
        factor(5 * (turn * torch.tensor([-3e-3, *[1.0] * 7], dtype=torch.float64)) @ turn.T)


def test_each_matrix_of_a_batch_climbs_alone():
    sound = Matern(0.5).matrix(places(6)) + 0.1 * torch.eye(6)
    twice = torch.ones(6, 6, dtype=torch.float64)
    found = factor(torch.stack([sound, twice, 1e4 * twice, sound]))
    assert torch.equal(found.covariance[0], sound)
    assert torch.equal(found.lower[3], factor(sound).lower)
    torch.testing.assert_close(found.covariance[2], 1e4 * found.covariance[1], rtol=1e-14, atol=0)
    assert torch.equal(found.lower[1], factor(twice).lower)


def test_without_climbing_a_singular_matrix_is_refused():
    with pytest.raises(ValueError, match="the covariance of the known nodes"):
        factor(-torch.eye(2).double(), climb=False, name="the covariance of the known nodes")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "kernel",
    [SquaredExponential(100.0), SquaredExponential(1.0), Matern(50.0, 4.5), Exponential(1e6)],
    ids=repr,
)
@pytest.mark.parametrize("case", ["line", "duplicates", "one place", "far", "tiny", "huge"])
def test_ill_conditioned_covariances_have_a_factor(kernel, case, dtype):
    """Conditioning on smooth fields at awkward nodes stays finite, and reproduces what was observed."""
    pos = places(60)
    if case == "line":
        pos = torch.linspace(0, 1, 60, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0])
    elif case == "duplicates":
        pos[30:] = pos[:30]
    elif case == "one place":
        pos = torch.zeros_like(pos)
    elif case in ("far", "tiny", "huge"):
        pos = {"far": pos + 1e7, "tiny": pos * 1e-9, "huge": pos * 1e9}[case]
    k = kernel.matrix(pos).to(dtype)
    found = factor(k)
    assert bool(found.lower.isfinite().all())
    # The ladder ends at 1e-4 (float64) and 1e-2 (float32).
    assert float((found.covariance - k).diagonal().max()) <= (1.1e-4 if dtype == torch.float64 else 1.1e-2)
    y = found.lower @ torch.ones(60, 1, dtype=dtype)
    posterior = condition(found, k)
    assert bool(posterior.mean(y).isfinite().all())
    assert bool(leave_one_out(found, y).mean.isfinite().all())
    assert bool(evidence(found, y).isfinite().all())


class Wrong(Kernel):
    variance = 1.0

    def between(self, a, b):
        raise NotImplementedError

    def matrix(self, pos):
        return torch.tensor([[1.0, 2.0], [2.0, 1.0]]).double()


def test_what_has_no_factor_is_refused_with_its_eigenvalues():
    near = places(100, 1)
    smooth = SquaredExponential(3.0)
    covariance, _ = cholesky(smooth, near, jitter=1e-17)
    assert 1e-16 < float((covariance - smooth.matrix(near))[0, 0]) < 2e-11
    with pytest.raises(ValueError, match=r"Wrong.* on 2 nodes has eigenvalues from -1 to 3 \(condition 3\)"):
        cholesky(Wrong(), torch.zeros(2, 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(bad):
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[1, 1] = bad
    for call in (factor, eigh, square_root):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call(matrix)
    with pytest.raises(ValueError, match="NaN or infinite"):
        factor(torch.stack([torch.eye(3, dtype=torch.float64), matrix]))


# -- other decompositions ------------------------------------------------------------------------------------


def test_square_root_of_full_and_of_low_rank():
    full = Matern(0.5).matrix(places(10))
    low = places(10, 3) @ places(10, 3).T
    for cov in (full, low, torch.zeros(4, 4, dtype=torch.float64), low - 1e-9 * torch.eye(10)):
        root = square_root(cov)
        # 1e-10 of the variance is added; eigenvalues of -1e-9 are set to 0.
        torch.testing.assert_close(root @ root.T, cov, rtol=0, atol=2e-9)


def test_square_root_of_variables_of_any_scale():
    """A constant among them, and scales of which the smaller would drown in the jitter of the larger."""
    scale = torch.tensor([1e-12, 0.0, 1.0, 1e12], dtype=torch.float64)
    unit = Matern(0.5).matrix(places(4))
    for correlation in (unit, torch.ones(4, 4, dtype=torch.float64)):
        root = square_root(correlation * scale[:, None] * scale)
        assert torch.equal(root[1], torch.zeros(4, dtype=torch.float64))
        kept = [0, 2, 3]
        found = (root @ root.T)[kept][:, kept] / scale[kept, None] / scale[kept]
        # 1e-10 is added to correlations.
        torch.testing.assert_close(found, correlation[kept][:, kept], rtol=0, atol=2e-10)


def test_eigh_that_does_not_converge_is_tried_in_double(monkeypatch):
    original = torch.linalg.eigh

    def fails(matrix):
        if (
            matrix.dtype == torch.float32
            or not math.isfinite(float(matrix[0, 0]))
            or float(matrix[0, 0]) > 1e3
        ):
            raise torch.linalg.LinAlgError
        return original(matrix)

    matrix = Matern(0.5).matrix(places(5))
    expected = eigh(matrix)
    monkeypatch.setattr(torch.linalg, "eigh", fails)
    found = eigh(matrix.float())
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="5 x 5"):
        eigh(1e4 * matrix)
