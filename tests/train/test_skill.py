"""Profiles: against networks whose share is known, and what follows from a profile."""

import pytest
import torch
from torch import nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn import ComputeBudget, Denoiser
from noisefold.noise import VP, Gaussian, LevelDistribution, Linear, Target
from noisefold.train import SkillByLevel, measure_skill

SHAPE = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class _Knowing(nn.Module):
    """Knows the one shape of the data, and answers a part of what the linear estimate leaves of it."""

    def __init__(self, part):
        super().__init__()
        self.part = nn.Parameter(torch.tensor(part, dtype=torch.float64))

    def forward(self, graphs, log_snr, label=None):
        ratio = torch.exp(log_snr / 2)[graphs.batch, None]
        alpha, sigma = ratio / (1 + ratio**2) ** 0.5, 1 / (1 + ratio**2) ** 0.5
        shape = SHAPE.repeat(len(graphs), 1)
        return self.part * (shape - alpha * graphs.pos) / sigma


def measured(part, path=None, target=None):
    graphs = Graphs.dense(SHAPE.repeat(6, 1, 1))
    denoiser = Denoiser(_Knowing(part), path or Gaussian(), target or Target())
    return measure_skill(denoiser, graphs, levels=5, batch=4)


@pytest.mark.parametrize("path", [Gaussian(Linear()), Gaussian(VP())], ids=repr)
@pytest.mark.parametrize("target", ["velocity", "noise"])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0, -1.0])
def test_the_share_is_known_where_the_answer_is(path, target, part):
    """The answer's part p leaves (1 - p) of the linear estimate's error of every node, and its square."""
    found = measured(part, path, Target(target))
    # Cancellation near clean data: 1e-15 of values of order 1 over errors of order .1.
    assert found.explained == pytest.approx([1 - (1 - part) ** 2] * 5, abs=1e-11)
    assert found.error == pytest.approx([0] * 5, abs=1e-11)


def test_does_not_depend_on_the_batch():
    graphs = Graphs.dense(torch.randn(7, 30, 3, dtype=torch.float64))
    one, two = (
        measure_skill(Denoiser(_Knowing(0.3), Gaussian(), Target()), graphs, levels=3, batch=b)
        for b in (2, 7)
    )
    assert one.explained == pytest.approx(two.explained, abs=1e-12)
    assert min(one.error) > 0


def test_compute_budget_and_levels_follow_from_it():
    found = SkillByLevel((-0.01, 0.002, 0.02, 0.11, 0.3), (0.001,) * 5)
    assert found.quiet() == pytest.approx(0.4)
    assert found.compute_budget() == ComputeBudget((0.4, 0.6), depth=(0, 0.5, 1), width=(0, 0.5, 1))
    assert found.compute_budget(idle=0.01, half=0.01) == ComputeBudget((0.4,), depth=(0, 1), width=(0, 1))
    law = found.levels(floor=0.5)
    assert isinstance(law, LevelDistribution)
    assert sum(law.weights) == pytest.approx(1)
    assert law.weights[0] == pytest.approx(0.1)
    assert law.weights[4] == pytest.approx(0.1 + 0.5 * 0.3 / 0.432)


def test_a_network_that_works_everywhere_works_everywhere():
    assert SkillByLevel((0.1, 0.2), (0.0, 0.0)).compute_budget() == ComputeBudget((), depth=(1,), width=(1,))


def test_refuses_what_says_nothing():
    with pytest.raises(ValueError, match="explains nothing at any level"):
        SkillByLevel((0.0, -0.1), (0.0, 0.0)).levels()
    with pytest.raises(ValueError, match="idle and half must satisfy"):
        SkillByLevel((0.1,), (0.0,)).compute_budget(0.2, 0.1)
    with pytest.raises(ValueError, match="needs 2 graphs"):
        measure_skill(Denoiser(_Knowing(0.0), Gaussian(), Target()), Graphs.dense(SHAPE[None]))
