import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefold.configuration import decode, encode
from noisefold.nn import adaptive
from noisefold.nn.adaptive import Exponential, Fixed, Learned, Linear, Logarithmic, ReLU
from noisefold.noise.schedule import VE, VP, Cosine, Localization, signal_level
from noisefold.noise.schedule import Linear as Flow

GRADED = [
    Linear(),
    Exponential(),
    Exponential(curvature=3),
    Logarithmic(),
    ReLU(),
    ReLU(split=0.2),
    Linear(range=5),
    Learned(),
]
SIZES = st.integers(2, 5000)
SIGNALS = st.lists(st.floats(0, 1), min_size=2, max_size=30)


def cube_root(n):
    """Least integer whose cube reaches n, by counting."""
    r = 1
    while r**3 < n:
        r += 1
    return r


@pytest.mark.parametrize("schedule", GRADED, ids=repr)
@given(nodes=SIZES)
@settings(deadline=None, max_examples=60)
def test_exact_values_at_both_ends(schedule, nodes):
    r1 = min(schedule.range or cube_root(nodes), nodes)
    s0 = min(math.isqrt(r1 * nodes - 1) + 1, nodes)
    assert schedule(0.0, nodes) == (s0, s0)
    assert schedule(1.0, nodes) == (s0 if s0 == nodes else r1, nodes)


@pytest.mark.parametrize("nodes", [1, 8, 27, 64, 125, 1000, 1_000_000])
def test_cube_roots_of_cubes_are_exact(nodes):
    root = round(nodes ** (1 / 3))
    assert root**3 == nodes
    assert Linear()(1.0, nodes)[0] == root


@pytest.mark.parametrize("schedule", GRADED, ids=repr)
@given(nodes=SIZES, signals=SIGNALS)
@settings(deadline=None, max_examples=60)
def test_monotone_and_on_budget(schedule, nodes, signals):
    u = torch.tensor(sorted(signals), dtype=torch.float64)
    r, s = schedule(u, nodes)
    assert r.dtype == s.dtype == torch.int64
    assert (r.diff() <= 0).all()
    assert (s.diff() >= 0).all()
    assert (r <= s).all()
    assert (r >= 1).all()
    r0, s0 = schedule(0.0, nodes)
    assert r0 == s0
    r1 = min(schedule.range or cube_root(nodes), nodes)
    # One rounding of r moves r s by at most s / 2; where all see all, s0 is rounded up and r with it.
    slack = torch.where(s == s0, 2 * s0 - 2, s / 2)
    assert ((r * s - r1 * nodes).abs() <= slack).all()


@pytest.mark.parametrize(
    ("schedule", "u", "fraction"),
    [
        (Linear(), 0.25, 0.25),
        (Exponential(), 0.9, (math.exp(9) - 1) / (math.exp(10) - 1)),
        (Logarithmic(), 0.1, math.log(2) / math.log(11)),
        (ReLU(), 0.5, 0.0),
        (ReLU(), 0.8, 0.5),
        (Exponential(curvature=2, reverse=True), 0.25, (math.exp(1.5) - 1) / (math.exp(2) - 1)),
    ],
    ids=repr,
)
def test_shapes_equal_their_formulas(schedule, u, fraction):
    nodes, s0 = 4096, 256  # r1 = 16, s0 = 16 sqrt(256) = 256, both whole
    assert schedule(u, nodes)[1] == round(s0 + (nodes - s0) * fraction)


def test_setting_of_the_paper():
    # Published range 7 at N = 400: 53 clusters at pure noise and a budget of 2,800 edges.
    assert Exponential(range=7)(0.0, 400) == (53, 53)
    assert Exponential(range=7)(1.0, 400) == (7, 400)


def test_reverse_is_the_mirror_image():
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    for forward, back in ((Linear(), Linear(reverse=True)), (ReLU(), ReLU(reverse=True))):
        for a, b in zip(forward(u, 300), back(1 - u, 300), strict=True):
            assert torch.equal(a, b)
    assert Exponential(reverse=True)(0.0, 400) == (8, 400)


def test_coarsens_at_high_noise_on_every_path():
    t = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)
    for path in (Flow(), VP(), Cosine(), VE(), Localization()):
        for schedule in (*GRADED[:6], Learned()):
            r, s = schedule(signal_level(path.log_snr(t)), 400)
            assert (s.diff() <= 0).all()
            assert (r.diff() >= 0).all()
            assert s[0] > s[-1]
    # The same ratio of data to noise is the same structure, on every path.
    level = torch.linspace(-6, 6, 13, dtype=torch.float64)
    for path in (VP(), Cosine(), Localization()):
        s = Exponential()(signal_level(path.log_snr(path.time(level))), 400)[1]
        assert torch.equal(s, Exponential()(signal_level(level), 400)[1])


def test_sizes_may_differ_within_a_batch():
    nodes, u = torch.tensor([1, 2, 3, 50, 400]), torch.tensor([0.0, 0.3, 0.6, 0.9, 1.0])
    for schedule in (*GRADED, Fixed(), Fixed(range=4, resolution=20)):
        r, s = schedule(u, nodes)
        for i in range(5):
            assert schedule(float(u[i]), int(nodes[i])) == (int(r[i]), int(s[i]))


def test_fixed():
    assert Fixed()(0.3, 400) == (8, 400)
    assert Fixed(range=12, resolution=100)(0.3, 400) == (12, 100)
    assert Fixed(range=12, resolution=100)(0.3, 7) == (7, 7)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_signals_out_of_range_are_refused(bad):
    for schedule in (Exponential(), Fixed(), Learned()):
        with pytest.raises(ValueError, match="signal must"):
            schedule(bad, 10)
        with pytest.raises(ValueError, match="signal must"):
            schedule(torch.tensor([0.5, bad]), 10)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Exponential(curvature=0), "curvature"),
        (lambda: Logarithmic(curvature=-1), "curvature"),
        (lambda: ReLU(split=1.0), "split"),
        (lambda: Linear(range=0), "range"),
        (lambda: Fixed(range=0), "range"),
        (lambda: Fixed(resolution=0), "resolution"),
        (lambda: Learned(rungs=1), "rungs"),
        (lambda: Learned(hidden=0), "hidden"),
        (lambda: Linear()(0.5, 0), "nodes"),
    ],
)
def test_bad_arguments_are_refused(make, word):
    with pytest.raises(ValueError, match=word):
        make()


@pytest.mark.parametrize("name", sorted({"Linear", "Exponential", "Logarithmic", "ReLU", "Fixed", "Learned"}))
def test_configuration_round_trip(name):
    schedule = getattr(adaptive, name)()
    written = encode(schedule)
    assert written["kind"] == f"adaptive.{name}"
    again = decode(written)
    assert encode(again) == written
    assert again(0.7, 400) == schedule(0.7, 400)


class TestLearned:
    def test_begins_near_the_exponential(self):
        u = torch.linspace(0, 1, 200)
        s = Learned(rungs=200)(u, 400)[1].double()
        # The logistic it begins as misses the exponential by at most .1 of the ladder's log range.
        gap = (s / Exponential()(u, 400)[1]).log().abs() / math.log(400 / 57)
        assert gap.max() < 0.1

    @given(seed=st.integers(0, 10_000), scale=st.floats(0, 4))
    @settings(deadline=None, max_examples=50)
    def test_is_monotone_whatever_it_learns(self, seed, scale):
        schedule = Learned()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in schedule.parameters():
                p.add_(torch.randn(p.shape, generator=generator) * scale)
        u = torch.linspace(0, 1, 501, dtype=torch.float64)
        f = schedule.fraction(u).detach()
        assert (f.diff() >= 0).all()
        assert f[0] == 0
        assert f[-1] == 1
        r, s = schedule(u, 300)
        assert (s.diff() >= 0).all()
        assert (r.diff() <= 0).all()
        assert schedule(0.0, 300) == Linear()(0.0, 300)
        assert schedule(1.0, 300) == Linear()(1.0, 300)

    def test_rungs_stand_in_equal_ratios(self):
        schedule = Learned(rungs=5)
        s = torch.unique(schedule(torch.linspace(0, 1, 2001), 4096)[1])
        assert s.tolist() == [256, 512, 1024, 2048, 4096]

    def test_neighbour_is_across_the_place_and_its_step_is_the_derivative(self):
        schedule = Learned(rungs=5)
        u, nodes = torch.linspace(0, 1, 101), torch.full((101,), 4096)
        place = 4 * schedule.fraction(u).detach()
        s = schedule(u, nodes)[1]
        r, other, step = schedule.neighbour(u, nodes)
        rung, next_rung = torch.log2(s / 256), torch.log2(other / 256)
        low, high = torch.minimum(rung, next_rung), torch.maximum(rung, next_rung)
        assert torch.equal(high - low, torch.ones(101))
        assert (place >= low).all()
        assert (place <= high).all()
        assert torch.equal(r * other, torch.full((101,), 16 * 4096))
        assert not step.any()
        # With outputs that are a function of the rung, the surrogate's slope is their difference.
        value = rung**2 + step * (next_rung**2 - rung**2).detach()
        (slope,) = torch.autograd.grad(value.sum(), schedule.centre, retain_graph=True)
        (expected,) = torch.autograd.grad(
            (4 * schedule.fraction(u) * (high**2 - low**2)).sum(), schedule.centre
        )
        assert torch.allclose(slope, expected, rtol=1e-5)
        assert slope.abs().max() > 0

    def test_gradient_is_finite_at_the_ends(self):
        schedule = Learned()
        schedule.neighbour(torch.tensor([0.0, 1.0, 0.5]), torch.tensor([9, 9, 9]))[2].sum().backward()
        for p in schedule.parameters():
            assert torch.isfinite(p.grad).all()

    def test_gradient_is_exact(self):
        schedule = Learned(hidden=3).double()
        u = torch.tensor([0.2, 0.7, 0.95], dtype=torch.float64)
        parameters = dict(schedule.named_parameters())

        def fraction(*values):
            named = dict(zip(parameters, values, strict=True))
            return torch.func.functional_call(
                _Fraction(schedule), {f"s.{k}": v for k, v in named.items()}, (u,)
            )

        assert torch.autograd.gradcheck(fraction, tuple(parameters.values()))


class _Fraction(torch.nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s

    def forward(self, u):
        return self.s.fraction(u)


def test_integer_arithmetic_of_the_range():
    """Range against exact rational arithmetic, ties upwards."""
    for nodes in (7, 100, 400, 2345):
        u = torch.linspace(0, 1, 300, dtype=torch.float64)
        r, s = Linear()(u, nodes)
        s0 = int(s[0])
        for a, b in zip(r.tolist(), s.tolist(), strict=True):
            exact = Fraction(cube_root(nodes) * nodes, b)
            assert a == (s0 if b == s0 else min(b, math.floor(exact + Fraction(1, 2))))
