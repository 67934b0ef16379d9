"""Values that hang together: what others tell of one, against the normal equations."""

import pytest
import torch

from noisefold.nn.prior.joint_gaussian import JointGaussian


@pytest.mark.parametrize("signal", [1e-8, 0.01, 0.45, 0.5, 0.9, 0.9999])
def test_others_are_those_of_the_normal_equations(signal):
    torch.manual_seed(0)
    place = torch.rand(9, 2, dtype=torch.float64)
    cov = torch.exp(-torch.cdist(place, place) / 0.6) + 0.05 * torch.eye(9)
    values, vectors = torch.linalg.eigh(cov)
    scale = torch.tensor([0.4, 1.7], dtype=torch.float64)
    some = JointGaussian(torch.arange(9), torch.arange(2), vectors, values, scale)
    mean, state = torch.randn(2, 9, 2, dtype=torch.float64)
    a, b = (torch.tensor(v, dtype=torch.float64).sqrt() for v in (signal, 1 - signal))
    found, variance = some.others(mean, state, a, b)
    for g in range(2):
        full = scale[g] * cov
        for i in range(9):
            rest = [j for j in range(9) if j != i]
            noisy = a**2 * full[rest][:, rest] + b**2 * torch.eye(8)
            weight = torch.linalg.solve(noisy, a * full[rest, i])
            expected = mean[i, g] + weight @ (state[rest, g] - a * mean[rest, g])
            left = full[i, i] - a * full[i, rest] @ weight
            torch.testing.assert_close(found[i, g], expected, rtol=1e-7, atol=1e-9)
            torch.testing.assert_close(variance[i, g], left, rtol=1e-7, atol=1e-9)


def test_in_single_precision_too_at_every_level():
    torch.manual_seed(1)
    place = torch.rand(120, 2, dtype=torch.float64) * 5
    cov = 0.997 * torch.exp(-torch.cdist(place, place)) + 0.003 * torch.eye(120)
    values, vectors = torch.linalg.eigh(cov)
    one, rows = torch.ones(1, dtype=torch.float64), torch.arange(120)
    exact = JointGaussian(rows, rows[:1], vectors, values, one)
    rough = JointGaussian(rows, rows[:1], vectors.float(), values.float(), one.float())
    x = torch.linalg.cholesky(cov) @ torch.randn(120, 1, dtype=torch.float64)
    noise = torch.randn(120, 1, dtype=torch.float64)
    for signal in (1e-8, 1e-4, 0.1, 0.48, 0.5, 0.9, 0.999, 0.999999):
        a, b = (torch.tensor(v, dtype=torch.float64).sqrt() for v in (signal, 1 - signal))
        state, mean = a * x + b * noise, torch.zeros_like(x)
        right = exact.others(mean, state, a, b)
        found = rough.others(mean.float(), state.float(), a.float(), b.float())
        # Seven digits, of which condition numbers to 10^4 leave three.
        for f, r in zip(found, right, strict=True):
            torch.testing.assert_close(f.double(), r, rtol=2e-3, atol=2e-3)
