"""Walks back along the chain: with exact oracles they show what each sampler does by itself."""

import pytest
import torch

from noisefold.sample import DDIM, Ancestral, GaussianTask
from noisefold.studies.diffusion.chains import chain
from noisefold.studies.diffusion.distributions import GRAPHS, MIXTURE
from noisefold.studies.diffusion.measures import Evaluator
from noisefold.studies.diffusion.perceptrons import Perceptrons, Recipe, Trial
from noisefold.studies.diffusion.samplers import SAMPLERS, Exact, Learned, root, sample_chain, starts

_SEEDS, _SAMPLES = range(3), 2000


def _walks(data, sampler, steps=100, start="normal", schedule="cosine"):
    walk, evaluate = chain(schedule, steps), Evaluator(data)
    begin, noise = starts(data, start, "gaussian", _SAMPLES, _SEEDS, 2 * steps)
    end, _ = sample_chain(Exact(data.oracle(), walk), walk, sampler, begin, noise, evaluate.most)
    found = [evaluate(a.T, b.T) for a, b in zip(begin, end, strict=True)]
    return {name: sum(f[name] for f in found) / len(found) for name in found[0]}


@pytest.mark.parametrize(
    ("sampler", "low", "high"),
    [("posterior", 0.7, 1.1), ("ddim", 0.85, 1.1), ("mean", 0.17, 0.27), ("draw", 0.8, 1.25)],
)
def test_spread_of_the_modes(sampler, low, high):
    """The dry run: renoising the mean shrinks det to 0.22, a draw restores it. Its error: 0.07 / sqrt(3)."""
    found = _walks(MIXTURE, sampler)
    assert low < found["det"] < high
    assert found["corridor"] == 0
    assert found["mass"] == pytest.approx(0.5 if sampler == "mean" else 0.495, abs=0.01)


def test_ancestral_spread_tends_to_the_truth_with_more_steps():
    assert abs(_walks(MIXTURE, "posterior", steps=400)["det"] - 1) < 0.1


@pytest.mark.parametrize(("sampler", "biased"), [("posterior", False), ("ddim", True), ("mean", False)])
def test_positional_bias(sampler, biased):
    """Walks without noise keep their side; 2,000 independent pairs show 4e-4 bits on average."""
    bits = _walks(MIXTURE, sampler)["bits"]
    assert bits > 0.9 if biased else bits < 0.01


def test_off_prior_starts_spread_the_deterministic_walk():
    assert _walks(MIXTURE, "ddim", start="grid")["det"] > 50
    assert _walks(MIXTURE, "posterior", start="grid")["det"] < 1.1


@pytest.mark.slow
def test_graphs_are_recovered_and_shrink_alike():
    """One posterior for each law of graphs: the same as in the plane, in three dimensions."""
    exact, shrunk = (_walks(GRAPHS, sampler) for sampler in ("draw", "mean"))
    assert 0.75 < exact["det"] < 1.25
    assert shrunk["det"] < 0.6 * exact["det"]
    assert exact["balance"] < 0.04  # three standard errors of a share of 2,000


@pytest.mark.parametrize(("sampler", "solver"), [("posterior", Ancestral()), ("ddim", DDIM())])
def test_walks_are_the_librarys_solvers(sampler, solver):
    """The same noise, in the same order: equal but for float32 noise, which both are given."""
    walk = chain("cosine", 20)
    begin, noise = starts(MIXTURE, "normal", "gaussian", 50, [0], 40)
    told, _ = sample_chain(Exact(MIXTURE.mixture, walk), walk, sampler, begin.double(), noise, 100.0)
    order = iter(range(19, -1, -1))

    def draw():
        return noise[2 * next(order) + 1, 0].T.double()

    task = GaussianTask.of(MIXTURE.mixture.bound(walk.path), walk.path, walk.times.flip(0), draw)
    truth = solver(task, begin[0].T.double())
    torch.testing.assert_close(told[0].T, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("d", [2, 3])
def test_root_squares_to_the_matrix_and_is_kept_within_bounds(d):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 9, d, d, generator=generator, dtype=torch.float64)
    cov = (x @ x.mT).permute(0, 2, 3, 1)
    half = root(cov, 1e9)
    torch.testing.assert_close(torch.einsum("cden,cefn->cdfn", half, half), cov, rtol=1e-9, atol=1e-9)
    values = torch.linalg.eigvalsh(root(cov - 1.0 * torch.eye(d)[..., None], 0.5).permute(0, 3, 1, 2))
    assert float(values.min()) > -1e-9
    assert float(values.max()) < 0.5**0.5 + 1e-9


def test_covariance_of_an_estimate_is_its_slope():
    """Linear, and right for normal data of unit variance: E = alpha x, Cov = sigma^2."""
    recipe, walk = Recipe(hidden=()), chain("cosine", 100)
    nets, k = Perceptrons(2, (), [0]), 40
    nets.flat.zero_()
    nets.views(nets.flat)[0][0, :, :2] = torch.eye(2) * float(walk.alpha[k])
    x = torch.randn(1, 2, 30, generator=torch.Generator().manual_seed(0))
    mean, cov = Learned(nets, [Trial(target="data")], recipe, walk).moments(x, k)
    torch.testing.assert_close(mean, float(walk.alpha[k]) * x)
    truth = float(walk.sigma[k] ** 2) * torch.eye(2)[None, :, :, None].expand_as(cov)
    torch.testing.assert_close(cov, truth)


def test_moments_of_the_oracle_keep_their_places():
    walk = chain("cosine", 100)
    x = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, cov = Exact(MIXTURE.mixture, walk).moments(x, 30)
    t = walk.times[30]
    torch.testing.assert_close(mean[1].T, MIXTURE.mixture.denoise(x[1].T, t, walk.path))
    truth = MIXTURE.mixture.posterior_covariance(x[1].T, t, walk.path)
    torch.testing.assert_close(cov[1].permute(2, 0, 1), truth)


@pytest.mark.parametrize("kind", ["gaussian", "digits", "quasi"])
def test_starts_are_paired_and_kept_states_are_on_the_way(kind):
    normal, noise = starts(MIXTURE, "normal", kind, 36, [0, 1], 20)
    lattice, again = starts(MIXTURE, "grid", kind, 36, [0, 1], 20)
    assert torch.equal(noise, again)
    assert noise.shape == (20, 2, 2, 36)
    assert float(lattice.abs().max()) == 7
    walk = chain("cosine", 10)
    end, kept = sample_chain(
        Exact(MIXTURE.mixture, walk), walk, SAMPLERS[0], normal, noise, 100.0, [10, 5, 0]
    )
    assert torch.equal(kept[0], normal)
    alone, own = starts(MIXTURE, "normal", kind, 36, [1], 20)
    assert torch.equal(alone[0], normal[1])
    assert torch.equal(own[:, 0], noise[:, 1])
    assert torch.equal(kept[2], end)
