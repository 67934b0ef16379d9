"""Studies of random functions: the path gap against closed forms, tasks, and whole small runs."""

import json
import math

import pytest
import torch
from torch import nn

from noisefold.data.functions import REGRESSION_TASKS, UniformInputs
from noisefold.geometry import Graphs
from noisefold.nn import Denoiser
from noisefold.noise import Gaussian, Target
from noisefold.studies.functions import dimension, fields, regression
from noisefold.studies.functions.path_gap import exact_posteriors, path_gap
from noisefold.studies.functions.tasks import (
    first_known,
    judged_tasks,
    only,
    scaled_covariance,
    scaling_of,
    training_tasks,
)
from noisefold.studies.functions.training import LEVELS, denoiser_of

INPUTS = UniformInputs((1, 12))
SE = REGRESSION_TASKS["se"]


class Zero(nn.Module):
    def forward(self, graphs, log_snr, label=None):
        return torch.zeros(graphs.num_nodes, 1)


class Conditional(nn.Module):
    """The exact residual answer given what is known, of a Gaussian process."""

    def __init__(self, covariance):
        super().__init__()
        self.covariance = covariance

    def forward(self, graphs, log_snr, label=None):
        out = []
        for graph, level in zip(graphs, log_snr.double(), strict=True):
            y, known = graph.x.double()[:, :1], graph.x[:, 1] > 0
            a, b = level.sigmoid().sqrt(), (-level).sigmoid().sqrt()
            whole = self.covariance(graph.pos.double())
            noisy = a**2 * whole + torch.diag(torch.where(known, 0.0, b**2))
            scaled = torch.where(known[:, None], a * y, y)
            answer = a * whole @ torch.linalg.solve(noisy, scaled)
            out.append((answer - a * y) / b)
        return torch.cat(out).float()


def covariance_of(process):
    scaling = scaling_of(process, INPUTS)
    return scaling, scaled_covariance(process, scaling)


@pytest.mark.parametrize("given", [False, True], ids=["whole", "given"])
def test_path_gap_of_the_exact_answer_is_zero(given):
    scaling, covariance = covariance_of(SE)
    judged = judged_tasks(SE, scaling, UniformInputs(), 4, 3, 5, 0)
    known = judged.known if given else None
    denoiser = denoiser_of(Conditional(covariance))
    gap, parts = path_gap(
        denoiser, judged.graphs, known, exact_posteriors(judged.graphs, known, covariance), 12
    )
    assert gap.abs().max() < 1e-4
    torch.testing.assert_close(parts.sum(0), gap)


def test_path_gap_of_no_answer():
    """Without an answer the noise's estimate is b y, and the gap an integral over eigenvalues."""
    scaling, covariance = covariance_of(SE)
    pos = torch.linspace(-1, 1, 6)[:, None] / scaling.pos_scale
    matrix = covariance(pos.double())
    # Values whose mean square is the covariance exactly.
    white, _ = torch.linalg.qr(torch.randn(48, 6, generator=torch.Generator().manual_seed(0)).double())
    x = (48**0.5 * white @ torch.linalg.cholesky(matrix).mT).float()
    graphs = Graphs.dense(pos.expand(48, -1, -1), x[..., None])
    denoiser = Denoiser(Zero(), Gaussian(), Target("velocity", weight="noise"), "x")
    gap, _ = path_gap(denoiser, graphs, None, exact_posteriors(graphs, None, covariance), 20, batch=48)
    log_snr = LEVELS.low + (LEVELS.high - LEVELS.low) * (torch.arange(20, dtype=torch.float64) + 0.5) / 20
    a2 = log_snr.sigmoid()[:, None]
    spread = a2 * torch.linalg.eigvalsh(matrix) + 1 - a2
    truth = 0.5 * ((1 - a2) * (spread - 1) ** 2 / spread).sum()
    assert abs(float(gap.mean() / truth) - 1) < 0.05


def test_tasks():
    scaling, _ = covariance_of(SE)
    draw = training_tasks(SE, scaling, INPUTS, 10, seed=0, functions=40)
    sizes, shares = set(), []
    for step in range(30):
        graphs, known = draw(step)
        sizes.add(graphs.uniform)
        counts = known.view(len(graphs), -1).sum(1)
        assert int(counts.max()) < graphs.uniform or graphs.uniform == 1
        shares.append(float((counts == 0).double().mean()))
        again, mask = draw(step)
        assert torch.equal(again.x, graphs.x)
        assert torch.equal(mask, known)
    assert sizes <= set(range(1, 13))
    assert len(sizes) > 8
    judged = judged_tasks(SE, scaling, UniformInputs(), 22, 10, 5, 0)
    assert judged.contexts.tolist() == [*range(11)] * 2
    assert only(judged.graphs, judged.known).sizes.tolist() == [*range(1, 11)] * 2
    assert only(judged.graphs, ~judged.known).uniform == 5
    assert first_known(torch.tensor([2, 3]), torch.tensor([1, 0])).tolist() == [True, *[False] * 4]


def test_exact_values_of_tasks():
    """Given nothing, targets alone have the density of single values; together they have more."""
    scaling, covariance = covariance_of(SE)
    judged = judged_tasks(SE, scaling, UniformInputs(), 4, 0, 5, 0)
    together, alone = regression._exact(judged, covariance)
    x, variance = judged.graphs.x.double().view(4, 5), 1.0025 / scaling.x_scale[0] ** 2
    truth = -0.5 * (x.square() / variance + math.log(2 * math.pi * variance)).sum(1)
    torch.testing.assert_close(alone, truth)
    assert not torch.allclose(together, alone)


@pytest.mark.slow
@pytest.mark.parametrize("study", [regression, fields, dimension])
def test_small_run(study, tmp_path):
    run = study.STUDY.begin(tmp_path, "smoke")
    result = study.measure(run)
    assert json.loads(json.dumps(result)) == result
    again = study.measure(run)
    assert again == result  # what was trained and measured is kept
    text = study.table(result)
    assert all(str(row["steps"]) in text for row in result["rows"])
    assert len(study.figure(result).axes) == 2


@pytest.mark.parametrize("study", [regression, fields, dimension])
def test_scales_are_known(study, tmp_path):
    assert study.STUDY.begin(tmp_path, "short").size.seconds > 1
