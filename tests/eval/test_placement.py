"""Where to observe next, against the closed form of a Gaussian process."""

import pytest
import torch

from noisefold.eval.placement import next_places
from noisefold.geometry.vector_kernels import DivergenceFree


def greedy(covariance, count, f, noise):
    """The greedy choice by conditional covariances, one block after another."""
    nodes, shares, total = [], [], covariance.trace()
    for _ in range(count):
        best = None
        for j in range(len(covariance) // f):
            if j in nodes:
                continue
            at = slice(j * f, j * f + f)
            gain = torch.linalg.pinv(covariance[at, at] + noise**2 * torch.eye(f, dtype=torch.float64))
            rest = covariance - covariance[:, at] @ gain @ covariance[at]
            if best is None or rest.trace() < best[1].trace():
                best = j, rest
        nodes.append(best[0])
        covariance = best[1]
        shares.append(float(covariance.trace() / total))
    return nodes, shares


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("f", [1, 2])
def test_the_choice_is_that_of_the_closed_form(noise, f):
    generator = torch.Generator().manual_seed(1)
    pos = 3 * torch.rand(12, 2, generator=generator, dtype=torch.float64)
    covariance = DivergenceFree(0.8).matrix(pos)
    covariance = covariance if f == 2 else covariance[::2, ::2]
    # Draws whose sample covariance is this one exactly.
    m = 64
    white = torch.randn(m, len(covariance), generator=generator, dtype=torch.float64)
    white = torch.linalg.qr(white - white.mean(0))[0] * (m - 1) ** 0.5
    root = torch.linalg.cholesky(covariance + 1e-12 * torch.eye(len(covariance)))
    draws = (5 + white @ root.mT).view(m, -1, f)
    found = next_places(draws, 4, noise=noise)
    nodes, shares = greedy(covariance, 4, f, noise)
    assert found.nodes.tolist() == nodes
    torch.testing.assert_close(
        found.remaining, torch.tensor(shares, dtype=torch.float64), rtol=1e-6, atol=1e-9
    )


def test_candidates_and_too_few_draws():
    draws = torch.randn(20, 6, 1, generator=torch.Generator().manual_seed(0))
    allowed = torch.tensor([False, True, False, True, False, False])
    assert sorted(next_places(draws, 2, candidates=allowed).nodes.tolist()) == [1, 3]
    with pytest.raises(ValueError, match="count"):
        next_places(draws, 3, candidates=allowed)
    with pytest.raises(ValueError, match="draws"):
        next_places(draws[:3], 2)
