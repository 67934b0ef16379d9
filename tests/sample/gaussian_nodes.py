"""Ten correlated Gaussian nodes, three of them known: the exact posterior, and the law of what is drawn."""

from collections.abc import Callable

import torch
from torch import Tensor

from noisefold.noise import Gaussian, Known
from noisefold.sample import Conditioning, GaussianTask, Solver, Uniform
from noisefold.theory import GaussianMixture

D = 10
PLACE = torch.linspace(0, 1, D, dtype=torch.float64)
CORRELATED = torch.exp(-((PLACE[:, None] - PLACE) ** 2) / 2 / 0.25**2) + 0.02 * torch.eye(D)
GIVEN = torch.tensor([1, 2, 7])
OTHERS = torch.tensor([0, 3, 4, 5, 6, 8, 9])
VALUES = torch.tensor([1.2, 1.0, -0.8], dtype=torch.float64)


def conditional(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the other nodes given the known ones."""
    cross = covariance[OTHERS][:, GIVEN]
    gain = cross @ torch.linalg.inv(covariance[GIVEN][:, GIVEN])
    return gain @ VALUES, covariance[OTHERS][:, OTHERS] - gain @ cross.T


def run(
    conditioning: Conditioning,
    solver: Solver,
    steps: int,
    covariance: Tensor,
    path: Gaussian,
    noise: Callable[[], Tensor],
) -> Tensor:
    """Rows of nodes ``[n, D]``, each a graph of its own, from what `noise` draws."""
    law = GaussianMixture.gaussian(torch.zeros(D), covariance)
    times = Uniform()(path, steps)
    x = path.scale(times[0]) * noise()
    mask = torch.zeros(x.shape, dtype=torch.bool)
    mask[:, GIVEN] = True
    value = torch.zeros_like(x)
    value[:, GIVEN] = VALUES
    known = Known(value, mask, torch.arange(len(x)))
    task, solver = conditioning(GaussianTask.of(law.bound(path), path, times, noise), solver, known)
    return solver(task, x)


def law(
    conditioning: Conditioning,
    solver: Solver,
    steps: int,
    covariance: Tensor = CORRELATED,
    path: Gaussian | None = None,
) -> tuple[Tensor, Tensor]:
    """Exact mean and covariance of the nodes that are sampled.

    For Gaussian data a sample is an affine function of all noise drawn. Its constant is the mean; its
    response to every single number drawn, one in each row, gives the covariance.
    """
    path = path or Gaussian()
    drawn = 0

    def zero() -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros(1, D, dtype=torch.float64)

    def single() -> Tensor:
        nonlocal drawn
        drawn += 1
        out = torch.zeros(total, D, dtype=torch.float64)
        columns = torch.arange(D)
        out[(drawn - 1) * D + columns, columns] = 1
        return out

    mean = run(conditioning, solver, steps, covariance, path, zero)
    total, drawn = drawn * D, 0
    response = run(conditioning, solver, steps, covariance, path, single) - mean
    return mean[0, OTHERS], (response.T @ response)[OTHERS][:, OTHERS]


def size_of_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())
