"""Guidance: the formula, its special weights, and what the network is asked."""

import math

import pytest
import torch
from torch import Tensor

from noisefold.geometry import Graphs
from noisefold.noise import Gaussian, Positions, Target
from noisefold.sample import Bound, GaussianTask, Guided, Heun, Sampling, Uniform

GRAPHS = Graphs.ragged([torch.zeros(2, 2).double(), torch.zeros(3, 2).double()])
LABEL = torch.tensor([2, 0])
X = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
T = torch.tensor(0.4, dtype=torch.float64)


class Recorder:
    """A denoiser whose estimate depends on state, time, class and graph, and that keeps its inputs."""

    variable, target, path = Positions(), Target(), Gaussian()

    def __init__(self) -> None:
        self.seen: list[tuple[Graphs, Tensor, Tensor, Tensor | None]] = []

    def __call__(self, graphs: Graphs, x: Tensor, t: Tensor, label: Tensor | None, known=None) -> Tensor:
        self.seen.append((graphs, x, t, label))
        shift = torch.zeros(len(graphs)).to(x) if label is None else label.to(x)
        return torch.sin(x) * t[graphs.batch, None] + (shift[graphs.batch, None] + 1) ** 2


def test_bound_gives_every_graph_the_time_and_its_class():
    denoiser = Recorder()
    out = Bound(denoiser, GRAPHS, LABEL)(X, T)
    ((graphs, x, t, label),) = denoiser.seen
    assert graphs is GRAPHS
    assert torch.equal(x, X)
    assert t.tolist() == [0.4, 0.4]
    assert torch.equal(label, LABEL)
    assert torch.equal(out, Recorder()(GRAPHS, X, t, LABEL))


def test_bound_takes_the_type_of_the_graphs():
    denoiser = Recorder()
    assert Bound(denoiser, GRAPHS.to(dtype=torch.float32))(X.float(), T).dtype == torch.float32
    assert denoiser.seen[0][2].dtype == torch.float32
    assert denoiser.seen[0][3] is None


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.0, 7.5])
def test_guided_is_the_formula(weight):
    plain = Bound(Recorder(), GRAPHS, LABEL)(X, T)
    free = Bound(Recorder(), GRAPHS, torch.full_like(LABEL, -1))(X, T)
    guided = Guided(Bound(Recorder(), GRAPHS, LABEL), weight)(X, T)
    torch.testing.assert_close(guided, free + weight * (plain - free), rtol=1e-14, atol=0)
    assert not torch.allclose(plain, free)


@pytest.mark.parametrize(("weight", "label"), [(1.0, LABEL), (0.0, torch.full_like(LABEL, -1))])
def test_special_weights(weight, label):
    """1 is the conditional model and 0 the unconditional one, through a whole trajectory."""
    path = Gaussian()
    times = Uniform()(path, 10)

    def run(denoise):
        return Heun()(GaussianTask.of(denoise, path, times), X)

    guided = run(Guided(Bound(Recorder(), GRAPHS, LABEL), weight))
    # u + 1 (c - u) is c up to one rounding a call.
    torch.testing.assert_close(guided, run(Bound(Recorder(), GRAPHS, label)), rtol=1e-12, atol=1e-12)


def test_guided_asks_once_for_both():
    denoiser = Recorder()
    Guided(Bound(denoiser, GRAPHS, LABEL), 3.0)(X, T)
    ((graphs, x, t, label),) = denoiser.seen
    assert graphs.sizes.tolist() == [2, 3, 2, 3]
    assert torch.equal(x, torch.cat([X, X]))
    assert t.shape == (4,)
    assert label.tolist() == [2, 0, -1, -1]


@pytest.mark.parametrize(("interval", "inside"), [((-1.0, 2.0), True), ((1.0, 9.0), False), (None, True)])
def test_guidance_in_an_interval(interval, inside):
    """Outside, the estimate is the conditional one and the unconditional one is not computed."""
    assert Gaussian().log_snr(T) == pytest.approx(2 * math.log(0.6 / 0.4))
    denoiser = Recorder()
    bound = Bound(denoiser, GRAPHS, LABEL)
    expected = Guided(bound, 3.0)(X, T) if inside else bound(X, T)
    denoiser.seen.clear()
    assert torch.equal(Guided(bound, 3.0, interval)(X, T), expected)
    assert len(denoiser.seen[0][0]) == (4 if inside else 2)


def test_sampling_refuses_an_empty_interval():
    with pytest.raises(ValueError, match="guidance_interval"):
        Sampling(guidance_interval=(3.0, -1.0))


def test_guided_needs_classes():
    with pytest.raises(ValueError, match="guidance needs labels"):
        Guided(Bound(Recorder(), GRAPHS), 2.0)
