"""Samples of random functions: distribution, seeds, inputs, and the exact values of the published tasks."""

import math

import numpy as np
import pytest
import torch

from noisefold.data import UniformInputs, gaussian_process, mixture, sawtooth
from noisefold.data.functions import REGRESSION_TASKS, VECTOR_FIELDS, GaussianProcess, disc, draw_functions
from noisefold.geometry import DivergenceFree, Matern, Nugget, SquaredExponential
from noisefold.testing import assert_roundtrip

SE = SquaredExponential(0.25)
# Entropy a target given U{0..10} values, of some 16,000 sets of inputs.
ENTROPIES = {"se": 0.7064, "matern": 0.3122, "weakly periodic": -0.3418}
FIELD_ENTROPIES = {"se": 0.5613, "curl-free": 0.6650, "div-free": 0.6649}


@pytest.mark.parametrize("process", REGRESSION_TASKS.values(), ids=list(REGRESSION_TASKS))
def test_sample_is_a_function_of_seed_and_number(process):
    inputs = UniformInputs((1, 20))
    many, few = draw_functions(process, 12, inputs, 3), draw_functions(process, 5, inputs, 3)
    for a, b in zip(few, many, strict=False):
        assert torch.equal(a.pos, b.pos)
        assert torch.equal(a.x, b.x)
    other = draw_functions(process, 5, inputs, 4)
    assert not torch.equal(other.x[:1], few.x[:1])
    assert_roundtrip(process)


def test_covariance_of_samples():
    pos = torch.tensor([[0.0], [0.1], [0.3], [1.0]])
    process = GaussianProcess(SE, 0.3)
    x = gaussian_process(SE, 500, pos, 0.3).x.view(500, 4).double()
    white = process.factor(pos).whiten(x.mT)
    torch.testing.assert_close(white @ white.mT / 500, torch.eye(4, dtype=torch.float64), rtol=0, atol=0.25)
    truth = torch.exp(-0.5 * ((pos - pos.mT) / 0.25) ** 2) + 0.09 * torch.eye(4)
    torch.testing.assert_close(process.covariance(pos).float(), truth)


def test_common_inputs_are_drawn_as_separate_ones():
    """The factor of common inputs is found once; what is drawn is the same."""
    pos = torch.rand(7, 2, generator=torch.Generator().manual_seed(0))
    process = GaussianProcess(DivergenceFree(0.5), 0.1)
    common = draw_functions(process, 3, pos)
    nudged = [pos.double(), pos.double() + 1e-12, pos.double()]
    rngs = [np.random.Generator(np.random.Philox(key=[0, i])) for i in range(3)]
    for a, b in zip(common.unpack(common.x), process.values(nudged, rngs), strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-4, atol=1e-5)
    assert common.modality.outputs == "vector"
    assert gaussian_process(SE, 2).modality.outputs == "scalars"


def test_inputs():
    graphs = sawtooth(200, UniformInputs((3, 9), low=2.0, high=6.0))
    assert set(graphs.sizes.tolist()) == set(range(3, 10))
    assert 2 <= float(graphs.pos.min()) < 2.1
    assert 5.9 < float(graphs.pos.max()) <= 6
    assert UniformInputs(5, dim=3).draw(np.random.default_rng(0)).shape == (5, 3)


def test_sawtooth_is_a_sawtooth():
    """Slope -f times the sum of harmonics between jumps up: values fall nearly evenly through one period."""
    waves = sawtooth(500, torch.linspace(-2, 2, 400)[:, None]).x.view(500, 400)
    assert abs(float(waves.var()) - 0.0797) < 0.002
    assert abs(float(waves.mean())) < 0.005
    steps = waves.diff(dim=1)
    jumps = (steps.abs() > 0.2).sum(1).double()  # two or three large steps at each of 12 to 20 jumps
    assert 12 < float(jumps.mean()) < 80
    assert float((steps > 0).double().mean() - 0.5) ** 2 > 0.01  # rises and falls differ in length


def test_mixture_takes_each_kind_as_often():
    parts = [GaussianProcess(Nugget(1e-6)), GaussianProcess(Nugget(1e6))]
    graphs = mixture(parts, 300, UniformInputs(5))
    large = torch.stack([x.abs().max() > 1 for x in graphs.unpack(graphs.x)])
    assert 110 < int(large.sum()) < 190


def entropy(process, pos, known):
    """Differential entropy of the values that are not known given the others, less that of the mean."""
    whole = process.factor(pos).log_det
    first = process.factor(pos[..., :known, :]).log_det if known else 0.0
    count = (pos.shape[-2] - known) * process.kernel.outputs
    return -0.5 * (whole - first) - 0.5 * count * (1 + math.log(2 * math.pi))


def tasks(process, count):
    generator = torch.Generator().manual_seed(0)
    found = []
    for known in range(11):
        pos = 4 * torch.rand(count, 50 + known, 1, generator=generator, dtype=torch.float64) - 2
        found.append(entropy(process, pos, known) / 50)
    return torch.cat(found)


@pytest.mark.parametrize(("name", "truth"), ENTROPIES.items())
def test_oracles_on_the_line(name, truth):
    found = tasks(REGRESSION_TASKS[name], 40)
    assert abs(float(found.mean()) - truth) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("name", "truth"), ENTROPIES.items())
def test_oracles_on_the_line_to_two_thousandths(name, truth):
    found = tasks(REGRESSION_TASKS[name], 1500)
    assert abs(float(found.mean()) - truth) < 0.002 + 2 * float(found.std()) / len(found) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "truth"), FIELD_ENTROPIES.items())
def test_oracles_of_vector_fields(name, truth):
    pos = disc().double()
    order = torch.randperm(len(pos), generator=torch.Generator().manual_seed(0))
    found = float(entropy(VECTOR_FIELDS[name], pos[order], 25)) / 623
    assert abs(found - truth) < 0.01


def test_disc_has_the_published_number_of_points():
    assert disc().shape == (648, 2)
    assert disc().norm(dim=1).max() < 10


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: gaussian_process(SE, 0), "count"),
        (lambda: gaussian_process(SE, 1, noise=-1.0), "noise"),
        (lambda: gaussian_process(SE, 1, torch.zeros(3)), "inputs"),
        (lambda: gaussian_process(SE, 1, seed=-1), "seed"),
        (lambda: UniformInputs(0), "points"),
        (lambda: UniformInputs((5, 4)), "points"),
        (lambda: UniformInputs(low=1.0, high=0.0), "high"),
        (lambda: sawtooth(1, torch.zeros(3, 2)), "inputs"),
        (lambda: mixture([], 1), "parts"),
        (
            lambda: mixture(
                [GaussianProcess(SE), GaussianProcess(DivergenceFree(1.0))], 1, UniformInputs(3, dim=2)
            ),
            "parts",
        ),
        (lambda: disc(1), "side"),
        (lambda: disc(5, -1.0), "radius"),
    ],
)
def test_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_kernels_compose():
    graphs = gaussian_process(Matern(0.5) + Nugget(0.01), 3, UniformInputs(4, dim=2))
    assert graphs.dim == 2
    assert graphs.features == 1
