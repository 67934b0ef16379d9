"""Moran's I, variogram and spectrum against their formulas, and against fields of which they are known."""

import math

import pytest
import torch

from noisefold.eval import morans_i, power_spectrum, roughness, spectral_distance
from noisefold.eval.spatial_statistics import grid_shape, lags
from noisefold.geometry import KNN, Graphs


def scattered(sizes, features=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = [
        (torch.rand(n, 2, generator=generator), torch.randn(n, features, generator=generator)) for n in sizes
    ]
    return Graphs.ragged([p for p, _ in draw], [x.double() for _, x in draw])


def lattice(*sizes, order=None):
    places = torch.cartesian_prod(*(torch.linspace(0, s / 3, s) for s in sizes))
    return places if order is None else places[order]


def test_morans_i_by_its_formula():
    graphs = scattered((12, 7))
    found = morans_i(graphs, 3)
    for i, graph in enumerate(graphs):
        edges = KNN(3)(graph.pos, graph.ptr).T.tolist()
        for k in range(2):
            z = graph.x[:, k] - graph.x[:, k].mean()
            top = sum(float(z[s] * z[t]) for s, t in edges)
            truth = len(z) / len(edges) * top / float(z.square().sum())
            assert float(found[i, k]) == pytest.approx(truth, abs=1e-12)


def test_morans_i_of_values_in_random_places():
    n, trials = 15, 4000
    graph = scattered((n,), features=1)
    generator = torch.Generator().manual_seed(1)
    x = torch.stack([graph.x[torch.randperm(n, generator=generator), 0] for _ in range(trials)], 1)
    found = morans_i(graph.replace(x=x), 4)[0]
    # The mean over permutations is exactly -1 / (n - 1), whatever the weights: 4 standard errors.
    assert abs(float(found.mean()) + 1 / (n - 1)) < 4 * float(found.std()) / math.sqrt(trials)


def test_morans_i_of_smooth_alternating_and_constant_fields():
    places = lattice(8, 8)
    index = torch.cartesian_prod(torch.arange(8), torch.arange(8)).sum(1)
    x = torch.stack([places.sum(1), (-1.0) ** index, torch.full((64,), 0.1)], 1).double()
    smooth, alternating, constant = morans_i(Graphs(places, x), 4)[0].tolist()
    assert smooth > 0.8
    assert alternating < -0.7
    assert constant == pytest.approx(-1 / 63, abs=1e-15)


def test_variogram_by_brute_force():
    graphs = scattered((20, 30))
    edges = torch.tensor([0.1, 0.3, 0.8], dtype=torch.float64)
    found = roughness(graphs, edges)
    for i, graph in enumerate(graphs):
        sums, counts = [0.0] * 3, [0] * 3
        for a in range(graph.num_nodes):
            for b in range(a):
                gap = math.dist(graph.pos[a].tolist(), graph.pos[b].tolist())
                class_ = next((c for c, e in enumerate(edges.tolist()) if gap <= e), None)
                if class_ is not None:
                    sums[class_] += float((graph.x[a, 0] - graph.x[b, 0]) ** 2) / 2
                    counts[class_] += 1
        truth = [s / c for s, c in zip(sums, counts, strict=True)]
        assert found[i, :, 0].tolist() == pytest.approx(truth, abs=1e-12)


def test_variogram_of_a_slope_and_of_many_nodes():
    # Of x = p, half the mean squared difference along a line lies between the class's own distances.
    line = torch.linspace(0, 1, 1000, dtype=torch.float64)[:, None]
    graph = Graphs(torch.cat([line, torch.zeros_like(line)], 1), line)
    edges = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    found = roughness(graph, edges)[0, :, 0]
    low = torch.tensor([0.0, 0.1, 0.2])
    assert bool(((low.square() / 2 < found) & (found < edges.square() / 2)).all())
    # Uniform distances in (h, H): the mean of their squares is (h^2 + h H + H^2) / 3; 1,024 pairs, 5 %.
    assert float(found[2]) == pytest.approx((0.04 + 0.08 + 0.16) / 6, rel=0.05)


def test_classes_of_a_grid_begin_with_neighbours():
    graphs = Graphs.dense(lattice(6, 5).expand(3, -1, -1))
    edges = lags(graphs)
    step = 1 / 3 * 6 / 5
    assert len(edges) == 8
    assert float(edges[0]) == pytest.approx(
        torch.cdist(lattice(6, 5), lattice(6, 5)).fill_diagonal_(9).amin(1).median().item(), rel=1e-3
    )
    assert float(edges[-1]) > step
    assert bool((edges.diff() > 0).all())


@pytest.mark.parametrize("sizes", [(5,), (4, 6), (3, 4, 2)])
def test_power_of_cosine_modes(sizes):
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(math.prod(sizes), generator=generator)
    places = lattice(*sizes).view(-1, len(sizes))[order]
    index = torch.cartesian_prod(*(torch.arange(s) for s in sizes)).view(-1, len(sizes))[order]
    mode = [s - 2 if s > 2 else 1 for s in sizes]
    wave = torch.ones(len(order), dtype=torch.float64)
    for axis, (k, s) in enumerate(zip(mode, sizes, strict=True)):
        wave *= torch.cos(math.pi * k * (index[:, axis] + 0.5) / s)
    graphs = Graphs(places, wave[:, None])
    assert grid_shape(graphs) == sizes
    power = power_spectrum(graphs)[0, ..., 0]
    assert float(power[tuple(mode)]) == pytest.approx(float(wave.square().sum()), rel=1e-12)
    assert float(power.sum()) == pytest.approx(float(wave.square().sum()), rel=1e-12)


def test_no_grid_no_spectrum():
    assert grid_shape(scattered((20,))) is None
    assert grid_shape(Graphs(lattice(4, 4)[:-1])) is None
    stretched = lattice(4, 4)
    stretched[:, 0] = stretched[:, 0] ** 2
    assert grid_shape(Graphs(stretched)) is None
    with pytest.raises(ValueError, match="regular grid"):
        power_spectrum(scattered((20,)))


def test_twice_the_power_is_three_decibel():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 12, 2, generator=generator, dtype=torch.float64)
    grid = lattice(3, 4).expand(50, -1, -1)
    a, b = (power_spectrum(Graphs.dense(grid, v)) for v in (x * math.sqrt(2), x))
    assert spectral_distance(a, b) == pytest.approx(10 * math.log10(2), rel=1e-12)
    assert spectral_distance(b, b) == 0


def test_a_single_node_has_no_neighbours():
    with pytest.raises(ValueError, match="2 nodes"):
        morans_i(Graphs(torch.zeros(1, 2), torch.ones(1, 1)))
    with pytest.raises(ValueError, match="pairs"):
        lags(Graphs(torch.zeros(4, 2)))
