"""The ablation of limiting noise and prediction: parametrisations and measures are what they say."""

import json
import math

import pytest
import torch

from noisefold.geometry import CurlFree, Graphs, IndependentOutputs, Matern
from noisefold.noise import VP, Gaussian, GPNoise, Nugget, White
from noisefold.studies.functions import ablation
from noisefold.studies.functions.parametrizations import PARAMETRIZATIONS, Published
from noisefold.theory import GaussianProcess

SOURCES = {
    "white": White(),
    "scalar": GPNoise(0.8 * Matern(0.5) + Nugget(0.2)),
    "vectors": GPNoise(0.8 * CurlFree(0.7) + IndependentOutputs(Nugget(0.2), 2)),
}
DATA = 0.9 * CurlFree(0.6) + IndependentOutputs(Nugget(0.1), 2)


def scene(source, copies=1):
    pos = torch.rand(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = Graphs(pos, x=torch.zeros(4, 2).double())
    path = Gaussian(VP(), source)
    return frame, path, GaussianProcess(DATA).on(frame[[0] * copies], path)


@pytest.mark.parametrize("name", SOURCES)
def test_all_four_map_to_one_k_score(name):
    """From the exact score, over two graphs at their own times: relative difference below 1e-9."""
    frame, path, field = scene(SOURCES[name], 2)
    t = torch.tensor([0.2, 0.7], dtype=torch.float64)
    graphs = frame[[0, 0]]
    at = t[graphs.batch, None]
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigma, score = path.schedule.sigma(at), field.score(x, t)
    k = torch.eye(8).double() if path.source.white else path.source.covariance(frame.pos)
    k = k if len(k) == 8 else torch.kron(k, torch.eye(2).double())
    lower = torch.linalg.cholesky(k)
    flat = score.reshape(2, 8)
    k_score = (flat @ k).reshape(8, 2)
    answers = {
        "score": sigma * score,
        "K-score": sigma * k_score,
        "S-score": sigma * (flat @ lower).reshape(8, 2),
        "data": field.denoise(x, t),
    }
    for prediction in PARAMETRIZATIONS:
        estimate = Published(prediction).estimate(answers[prediction], x, t, path, graphs)
        found = (path.schedule.alpha(at) * estimate - x) / sigma**2
        assert float((found - k_score).norm() / k_score.norm()) < 1e-9


@pytest.mark.parametrize("prediction", PARAMETRIZATIONS)
def test_the_minimiser_of_the_loss_is_the_score(prediction):
    """The best linear answer on 100,000 draws stands for -V^{-1}, within 3 % in Frobenius' norm."""
    frame, path, field = scene(SOURCES["vectors"])
    t = torch.tensor(0.5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    k = path.source.covariance(frame.pos)
    z = torch.randn(2, 100_000, 8, generator=generator, dtype=torch.float64)
    clean = z[0] @ torch.linalg.cholesky(field.covariance).T
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    eps = z[1] @ torch.linalg.cholesky(k).T
    state = alpha * clean + sigma * eps
    lower = torch.linalg.cholesky(k)
    target = {
        "score": -torch.cholesky_solve(eps.T, lower).T,
        "K-score": -eps,
        "S-score": -z[1],
        "data": clean,
    }[prediction]
    # The loss of a target that is the answer is zero, for the target above and for it alone.
    graphs = frame[[0] * 3]
    loss = Published(prediction).loss(
        *(v[:3].reshape(-1, 2) for v in (target, clean, state)), t.expand(3), path, graphs, None
    )
    assert float(loss.max()) < 1e-18
    linear = torch.linalg.lstsq(state, target).solution
    basis = torch.eye(8, dtype=torch.float64)
    eight = frame[[0] * 8]
    estimate = Published(prediction).estimate(
        linear.reshape(-1, 2), basis.reshape(-1, 2), t.expand(8), path, eight
    )
    k_score = (alpha * estimate.reshape(8, 8) - basis) / sigma**2
    found = torch.linalg.solve(k, k_score.T)
    v = alpha**2 * field.covariance + sigma**2 * k
    exact = -torch.linalg.inv(v)
    assert float((found - exact).norm() / exact.norm()) < 0.03


@pytest.mark.parametrize("limit", [("white", None), ("SE", 0.4)])
def test_the_gap_of_no_answer_is_a_divergence(limit):
    """Over all levels it is KL(N(0, C) || N(0, K)); between -7 and 13 within 2 % of that."""
    case = ablation.Case(ablation._line(), *limit)
    m, k, c = len(case.data), case.noise, case.data
    ratio = torch.linalg.solve(k, c)
    divergence = 0.5 * (float(ratio.trace()) - m + float(torch.logdet(k) - torch.logdet(c))) / m
    assert ablation._zero(case) == pytest.approx(divergence, rel=0.02)


def test_amplification_is_that_of_the_answers():
    """Of 100 answers with errors, through the parametrisation's own map to noise, at every level."""
    case = ablation.Case(ablation._line(), "SE", 0.4)
    levels, width = ablation._grid(40)
    generator = torch.Generator().manual_seed(0)
    graphs = case.scene.frame[[0] * 100]
    root = torch.linalg.cholesky(case.noise)
    total = 0.0
    published = Published("score")
    for level in levels:
        a2, b2 = (float(torch.sigmoid(torch.tensor(s * level))) for s in (1, -1))
        v = a2 * case.data + b2 * case.noise
        mean = torch.linalg.solve(case.noise, case.noise_map(level))
        size = float((mean @ v @ mean.T).trace()) / len(v)
        error = 0.01 * math.sqrt(size) * torch.randn(100 * 30, 1, generator=generator, dtype=torch.float64)
        noise = published.noise(error, case.path, graphs).reshape(100, 30)
        white = torch.linalg.solve_triangular(root, noise.T, upper=False)
        total += 0.5 * width * float(white.square().sum(0).mean()) / 30
    found = ablation.exact_errors(case, "score")["amplification"]
    assert found == pytest.approx(total, rel=0.03)


@pytest.mark.slow
def test_every_case_has_its_row(tmp_path):
    run = ablation.STUDY.begin(tmp_path, "smoke")
    result = ablation.measure(run)
    rows = {(r["scene"], r["limit"], r["ratio"], r["prediction"]): r for r in result["rows"]}
    assert len(rows) == len(result["rows"]) == (4 + 3) * 5
    assert json.loads(json.dumps(result)) == result
    for row in rows.values():
        assert 0 < row["sampler"] < 0.1
        if row["prediction"] == "residual":
            others = [rows[(*key[:3], "data")] for key in rows if rows[key] is row]
            assert row["amplification"] < others[0]["amplification"]
    text = ablation.table(result)
    assert text.count("| white |") == 6
    assert len(ablation.figure(result).axes) == 10
