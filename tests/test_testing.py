"""Every public check passes on what is right, and fails on a broken twin of it, naming the number."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from noisefold import noise, testing
from noisefold.configuration import _CLASSES, configurable, register_module
from noisefold.geometry import Graphs
from noisefold.noise import Linear, Streams
from noisefold.sample import Ancestral, Euler, Heun

BATCH = testing.example_batch((1, 2, 5, 9))


class Vectors(nn.Module):
    """An equivariant network: nodes move along the vector to the middle of their graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))

    def moved(self, graphs: Graphs, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        sums = torch.zeros(len(graphs), graphs.dim).to(graphs.pos).index_add(0, graphs.batch, graphs.pos)
        middle = (sums / graphs.sizes[:, None])[graphs.batch]
        away = graphs.pos - middle
        return away, self.weight * (away.square().sum(1, keepdim=True) + log_snr[graphs.batch, None] / 10)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        away, length = self.moved(graphs, log_snr)
        return away * length.tanh()


class Lengths(Vectors):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return self.moved(graphs, log_snr)[1].tanh()


class SeesTheBatch(Vectors):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(graphs, log_snr) + graphs.pos.mean(0)


class SeesNumbers(Vectors):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        place = torch.arange(graphs.num_nodes) - graphs.ptr[graphs.batch]
        return super().forward(graphs, log_snr) * place[:, None]


class SeesAxes(Vectors):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(graphs, log_snr) * torch.tensor([1.0, 1.0, 1.01])


class Handed(Vectors):
    """Equivariant under rotations, not under reflections: it turns by a cross product."""

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        away, _ = self.moved(graphs, log_snr)
        first = away[graphs.ptr[:-1]][graphs.batch]
        return self.weight * torch.linalg.cross(away, first)


class Absolute(Vectors):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return self.weight * graphs.pos


class Infinite(Vectors):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return (super().forward(graphs, log_snr) * 0).sqrt()


class Deaf(Vectors):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(1))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(graphs, log_snr) + 0 * self.idle


class Unused(Vectors):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(1))


class Cut(Vectors):
    """Half of what it does has no gradient."""

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(graphs, log_snr) + graphs.pos.detach()


def fails(check, *args, says: str = "must be", **how) -> None:
    with pytest.raises(AssertionError, match=says):
        check(*args, **how)


def test_checks_of_networks_pass():
    for check in (
        testing.assert_batch_independent,
        testing.assert_permutation_equivariant,
        testing.assert_rotation_equivariant,
        testing.assert_finite_gradients,
        testing.assert_input_gradients,
    ):
        check(Vectors(), *BATCH)
    testing.assert_rotation_equivariant(Vectors(), *BATCH, groups=testing.networks.GROUPS)
    testing.assert_rotation_invariant(Lengths(), *BATCH, groups=testing.networks.GROUPS)
    testing.assert_finite_gradients(Deaf(), *BATCH, idle=("idle",))
    testing.assert_rotation_equivariant(Handed(), *BATCH, groups=("rotations",))


@pytest.mark.parametrize(
    ("check", "net", "how"),
    [
        (testing.assert_batch_independent, SeesTheBatch, {}),
        (testing.assert_permutation_equivariant, SeesNumbers, {}),
        (testing.assert_rotation_equivariant, SeesAxes, {}),
        (testing.assert_rotation_equivariant, Handed, {}),
        (testing.assert_rotation_equivariant, Absolute, {"groups": ("translations",)}),
        (testing.assert_rotation_invariant, Vectors, {}),
        (testing.assert_finite_gradients, Infinite, {}),
        (testing.assert_input_gradients, Cut, {}),
    ],
)
def test_checks_of_networks_fail(check, net, how):
    fails(check, net(), *BATCH, **how)


def test_gradients_that_are_missing_or_zero():
    fails(testing.assert_finite_gradients, Unused(), *BATCH, says="unused")
    fails(testing.assert_finite_gradients, Deaf(), *BATCH, says="idle")
    fails(testing.assert_finite_gradients, Vectors(), *BATCH, idle=("weight",), says="weight")


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"groups .*'shears'"):
        testing.assert_rotation_equivariant(Vectors(), *BATCH, groups=("shears",))
    with pytest.raises(ValueError, match="variable"):
        testing.assert_input_gradients(Vectors(), *BATCH, variable="x")


def test_example_batches():
    graphs, log_snr, label = testing.example_batch((3, 4), dim=2, features=5, classes=7, seed=1)
    assert (graphs.sizes.tolist(), graphs.dim, graphs.features) == ([3, 4], 2, 5)
    assert log_snr.shape == (2,)
    assert label is not None
    assert bool(((label >= -1) & (label < 7)).all())
    net = testing.perturbed(Vectors())
    assert net.weight.item() != 0.7


# -- schedules and solvers -----------------------------------------------------------------------------------


class WrongSlope(Linear):
    def dalpha(self, t):
        return -1.001 * torch.ones_like(t)


class WrongRatio(Linear):
    def log_snr(self, t):
        return super().log_snr(t) * 1.001


class WrongTime(Linear):
    def time(self, log_snr):
        return super().time(log_snr) + 1e-6


class Backwards(Linear):
    def alpha(self, t):
        return t

    def sigma(self, t):
        return 1 - t

    def dalpha(self, t):
        return torch.ones_like(t)

    def dsigma(self, t):
        return -torch.ones_like(t)

    def log_snr(self, t):
        return 2 * torch.logit(t)

    def time(self, log_snr):
        return torch.sigmoid(log_snr / 2)


class Wide(Linear):
    def dsigma(self, t):
        return torch.ones_like(t).double()


@pytest.mark.parametrize(
    "schedule", [WrongSlope(), WrongRatio(), WrongTime()], ids=lambda s: type(s).__name__
)
def test_wrong_schedules_fail(schedule):
    testing.assert_schedule(Linear())
    fails(testing.assert_schedule, schedule)


def test_schedules_that_run_wrongly_fail():
    fails(testing.assert_schedule, Backwards(), says="must fall")
    fails(testing.assert_schedule, Wide(), says="dsigma")
    fails(testing.assert_schedule, noise.VE(0.5, 50.0), says="t = 0")
    fails(testing.assert_schedule, noise.VP(0.1, 2.0), says="t = 1")


def test_wrong_orders_fail():
    testing.assert_solver_order(Heun(), 2)
    testing.assert_solver_order(Ancestral(), 1, weak=True)
    for order in (1, 3):
        fails(testing.assert_solver_order, Heun(), order)
    fails(testing.assert_solver_order, Euler(), 2, weak=True)
    fails(testing.assert_solver_order, Ancestral(), 1, says="noise")


# -- models and configurations -------------------------------------------------------------------------------


class Sampler:
    """Clouds of noise from the streams of samples, or from what is wrong."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def sample(self, count: int, *, seed: int, batch: int) -> Graphs:
        if self.wrong == "seed":
            seed = 0
        indices = range(count)
        if self.wrong == "same":
            indices = [0] * count
        elif self.wrong == "batch":
            indices = [i % batch + 100 * (i // batch) for i in range(count)]
        elif self.wrong == "count":
            indices = [i + count for i in range(count)]
        like = torch.empty(0)
        return Graphs.dense(Streams(seed, list(indices)).normal([5] * count, 3, like).reshape(count, 5, 3))


def test_seeds():
    testing.assert_seeds(Sampler())
    for wrong in ("batch", "count"):
        fails(testing.assert_seeds, Sampler(wrong))
    for wrong in ("seed", "same"):
        fails(testing.assert_seeds, Sampler(wrong), says="one and the same")


@dataclass(frozen=True)
class Forgetful:
    """A value that is not what it was given."""

    size: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.size / 2)


class Growing(nn.Module):
    """A network that is wider each time."""

    made = 0

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        Growing.made += 1
        self.layer = nn.Linear(width, Growing.made)


def test_roundtrips(monkeypatch):
    monkeypatch.setattr("noisefold.configuration._CLASSES", dict(_CLASSES))
    for cls, register in ((Forgetful, configurable), (Growing, register_module)):
        cls.__module__ = "noisefold.noise.none"
        register(cls)
    testing.assert_roundtrip(noise.Gaussian(noise.VP(), noise.White()))
    testing.assert_roundtrip(noise.LevelDistribution((0.0, 0.5, 1.0), (1, 2)))
    fails(testing.assert_roundtrip, Forgetful(), says="once back")
    fails(testing.assert_roundtrip, Growing(), says="parameters")
