"""The schedule that follows from the data's correlation."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefold import adaptive
from noisefold.configuration import decode, encode
from noisefold.data.shapes import shapes
from noisefold.geometry import Graphs
from noisefold.geometry.correlation import Exponential, Nested, SquaredExponential
from noisefold.nn import DMP
from noisefold.nn.adaptive import Information, clean_range
from noisefold.noise.schedule import signal_level
from noisefold.theory import best_radius

U = torch.linspace(0, 1, 101, dtype=torch.float64)
STEEP = Information((-2.0, 3.0, 9.0), (1.0, 0.3, 0.0))
EACH = [
    STEEP,
    Information((0.0,), (0.05,)),
    Information((0.0, 1.0), (1.0, 1.0)),
    Information((5.0,), (0.2,), range=5),
]


def lattice(side):
    axis = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return Graphs(torch.cartesian_prod(axis, axis))


def test_public_name():
    assert adaptive.Information is Information
    assert encode(STEEP)["kind"] == "adaptive.Information"


@pytest.mark.parametrize("schedule", EACH, ids=repr)
@given(nodes=st.integers(2, 5000), signals=st.lists(st.floats(0, 1), min_size=2, max_size=20))
@settings(deadline=None, max_examples=40)
def test_monotone_and_on_budget(schedule, nodes, signals):
    r, s = schedule(torch.tensor(sorted(signals), dtype=torch.float64), nodes)
    assert r.dtype == s.dtype == torch.int64
    assert (r.diff() <= 0).all()
    assert (s.diff() >= 0).all()
    assert (r <= s).all()
    assert (r >= 1).all()
    r1 = min(schedule.range or int(clean_range(torch.tensor(nodes))), nodes)
    s0 = min(math.isqrt(r1 * nodes - 1) + 1, nodes)
    assert (s >= s0).all()
    # As for the other schedules: one rounding of r moves r s by at most s / 2, and s0 is rounded up.
    slack = torch.where(s == s0, 2 * s0 - 2, s / 2)
    assert ((r * s - r1 * nodes).abs() <= slack).all()


def test_reach_equals_the_share_of_the_table():
    """At 4,096 nodes r1 is 16, so that a reach of K nodes is s = 4096 sqrt(16 / K)."""
    nodes = 4096
    for log_snr, share in ((-2.0, 1.0), (0.5, 0.65), (3.0, 0.3), (6.0, 0.15)):
        u = float(signal_level(torch.tensor(log_snr - math.log(nodes), dtype=torch.float64)))
        r, s = STEEP(u, nodes)
        assert s == round(nodes * math.sqrt(16 / (share * nodes)))
        assert r * nodes / s == pytest.approx(share * nodes, rel=1 / r)
    assert STEEP(0.0, nodes) == (256, 256)
    assert STEEP(1.0, nodes) == (16, 4096)


def test_sizes_may_differ_within_a_batch():
    nodes, u = torch.tensor([1, 2, 3, 50, 400]), torch.tensor([0.0, 0.3, 0.6, 0.9, 1.0])
    r, s = STEEP(u, nodes)
    for i in range(5):
        assert STEEP(float(u[i]), int(nodes[i])) == (int(r[i]), int(s[i]))


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: Information((), ()), "log_snr"),
        (lambda: Information((0.0, 1.0), (0.5,)), "log_snr"),
        (lambda: Information((1.0, 0.0), (0.5, 0.4)), "log_snr"),
        (lambda: Information((0.0, math.inf), (0.5, 0.4)), "log_snr"),
        (lambda: Information((0.0, 1.0), (0.4, 0.5)), "share"),
        (lambda: Information((0.0,), (1.5,)), "share"),
        (lambda: Information((0.0,), (0.5,), range=0), "range"),
        (lambda: Information.from_correlation(Exponential(), Graphs(torch.zeros(1, 2))), "data"),
        (lambda: Information.from_data(lattice(5), "x"), "no features"),
    ],
)
def test_bad_tables_and_data_are_refused(build, word):
    with pytest.raises(ValueError, match=word):
        build()


def test_is_saved_with_a_network():
    schedule = Information.from_correlation(SquaredExponential(0.2), lattice(15), range=6)
    net = DMP(pos_dim=2, width=8, layers=1, adaptive=schedule)
    again = decode(encode(net))
    assert again.adaptive == schedule
    assert again.adaptive.range == 6
    graphs = Graphs.dense(torch.randn(2, 30, 2))
    net(graphs, torch.tensor([-3.0, 3.0]), None)


@pytest.mark.slow
def test_reach_increases_with_length_and_noise():
    found = [
        Information.from_correlation(SquaredExponential(length), lattice(20)) for length in (0.1, 0.2, 0.4)
    ]
    levels = [schedule(U, 400) for schedule in found]
    for (r, s), (wider, coarser) in pairwise(levels):
        assert (wider >= r).all()
        assert (coarser <= s).all()
    r, s = levels[1]
    assert int(r[0]) > 2 * int(r[-1])
    assert (int(r[-1]), int(s[-1])) == (8, 400)


def test_reach_equals_the_best_radius_of_the_theory():
    """In the middle of a dense lattice the best share is the area of the best disc."""
    field, nodes = SquaredExponential(0.06), 3600
    schedule = Information.from_correlation(field, lattice(60))
    for snr in (0.01, 0.1):
        radius = best_radius(field, snr * nodes, 2)
        u = float(signal_level(torch.tensor(math.log(snr), dtype=torch.float64)))
        r, s = schedule(u, nodes)
        # Nodes near the border see less than a disc: the share is a little more than the disc's.
        assert r * nodes / s == pytest.approx(math.pi * radius**2 * nodes, rel=0.25)


@pytest.mark.slow
def test_scaling_with_the_number_of_nodes_without_a_nugget():
    coarse = Information.from_correlation(SquaredExponential(0.3), lattice(15))
    fine = Information.from_correlation(SquaredExponential(0.3), lattice(40))
    for log_snr in (-6.0, -4.0, -2.0):
        u = signal_level(torch.tensor(log_snr, dtype=torch.float64))
        a, b = (schedule(float(u), 1600) for schedule in (coarse, fine))
        assert a[1] == pytest.approx(b[1], rel=0.12)  # a step of the ladder is 14 %, of s half of that


def test_white_noise_gives_the_clean_range():
    schedule = Information.from_correlation(Nested(Exponential(0.2), 0.0), lattice(15))
    assert (schedule(U, 225)[1] == 225).all()


@pytest.mark.slow
def test_from_data_recovers_the_correlation_length():
    generator = torch.Generator().manual_seed(0)
    found = []
    for length in (0.08, 0.3):
        pos = torch.rand(60, 100, 2, generator=generator, dtype=torch.float64)
        covariance = SquaredExponential(length)(torch.cdist(pos, pos)) + 1e-8 * torch.eye(100)
        x = torch.linalg.cholesky(covariance) @ torch.randn(
            60, 100, 2, generator=generator, dtype=torch.float64
        )
        data = Graphs.dense(pos, 5 + 3 * x)
        schedule = Information.from_data(data)
        if length == 0.3:  # the same once more
            assert Information.from_data(data) == schedule
        known = Information.from_correlation(SquaredExponential(length), data)
        s, truth = schedule(U, 100)[1], known(U, 100)[1]
        assert ((s - truth).abs() <= 0.2 * truth).all()
        found.append(s)
    assert (found[1] <= found[0]).all()
    assert int(found[1][0]) < int(found[0][0])


def test_positions_as_features():
    schedule = Information.from_data(shapes(20, points=100))
    r, s = schedule(U, 400)
    assert int(r[0]) > 2 * int(r[-1])
    assert (int(r[-1]), int(s[-1])) == (8, 400)


@pytest.mark.slow
def test_real_tissue(shared: Path):
    """Drosophila blastoderm: smooth along the embryo, so that noise calls for range."""
    anndata = pytest.importorskip("anndata")
    embryo = anndata.read_h5ad(shared / "spatial_omics" / "fly_embryo_bdtnp.h5ad")
    data = Graphs(
        torch.as_tensor(embryo.obsm["spatial_3d"], dtype=torch.float32),
        torch.as_tensor(embryo.X[:, :30]).float(),
    )
    data = data.thin(800, torch.rand(data.num_nodes, generator=torch.Generator().manual_seed(0)))
    r, s = Information.from_data(data)(U, 800)
    assert int(r[0]) > 2 * int(r[-1])
    assert int(s[-1]) == 800
    # The same expression at shuffled places says nothing of a neighbour.
    shuffled = data.replace(pos=data.pos[torch.randperm(800, generator=torch.Generator().manual_seed(0))])
    assert int(Information.from_data(shuffled)(U, 800)[0][0]) == int(r[-1])
