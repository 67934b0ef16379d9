import math

import pytest
import torch
from gaussian_fields import gaussian_fields

from noisefold.data.shapes import shapes
from noisefold.geometry import Graphs, Scaling
from noisefold.geometry.correlation import Matern, Nested
from noisefold.geometry.variogram import variogram


def brute(graphs, values, edges):
    """Every pair, one by one; variance of all values together."""
    values = values - values.mean(0)
    sums = torch.zeros(2, len(edges) - 1, dtype=torch.float64)
    batch = graphs.batch.tolist()
    for i in range(graphs.num_nodes):
        for j in range(graphs.num_nodes):
            h = float((graphs.pos[i] - graphs.pos[j]).norm())
            if i == j or batch[i] != batch[j] or h > edges[-1]:
                continue
            place = next(k for k in range(len(edges) - 1) if h <= edges[k + 1])
            sums[0, place] += 1
            sums[1, place] += float((values[i] - values[j]).square().mean())
    return sums[1] / sums[0] / (2 * values.var(0, correction=0).mean())


def test_every_pair_is_counted_once_from_each_end():
    graphs = gaussian_fields(Matern(0.3), 4, 24, seed=3)
    found = variogram(graphs, bins=5, reach=0.5, centres=1000)
    gaps = [(p[:, None] - p).norm(dim=2) for p in graphs.unpack()]
    nearest = torch.cat([(g + 9 * torch.eye(24)).min(1).values for g in gaps]).median()
    ends = float(nearest.log10()), math.log10(0.5)
    edges = [0.0, *torch.logspace(*ends, 5, dtype=torch.float64).tolist()]
    truth = brute(graphs, graphs.x, edges)
    assert int(found.pairs.sum()) == sum(int(((g <= 0.5) & (g > 0)).sum()) for g in gaps)
    assert torch.allclose(found.value, truth, rtol=1e-9)


def test_rises_with_the_distance_as_the_correlation_falls():
    """Bins hang together: all may be off at once, but seldom by twice what one is in 95 % of cases."""
    truth = Nested(Matern(0.15), 0.6, 0.2)
    found = variogram(gaussian_fields(truth, 600, 40, seed=0), centres=6000)
    gap = (1 - truth(found.distance) - found.value).abs()
    assert (gap < 2 * (found.high - found.value)).all()
    assert float(gap.mean()) < float((found.high - found.value).mean())
    assert float(found.low[0]) > 0.1  # the nugget of .2
    assert float(found.high[-1]) < 0.9  # the floor of .2


def test_noise_has_the_value_one_everywhere():
    generator = torch.Generator().manual_seed(1)
    graphs = Graphs.dense(
        torch.rand(60, 50, 2, generator=generator), torch.randn(60, 50, 3, generator=generator)
    )
    found = variogram(graphs)
    assert ((found.value - 1).abs() < 2 * (found.high - found.value)).all()


@pytest.mark.parametrize("count", [3, 40])
def test_positions_as_features_are_a_parabola_for_every_shape(count):
    data = shapes(count, points=120)
    found = variogram(data, "pos", bins=40, reach=0.5)
    centred = torch.cat([p.double() - p.double().mean(0) for p in data.unpack()])
    parabola = found.distance**2 / (2 * 3 * float(centred.square().mean()))
    # A bin's mean of squares is above its square of means by its width: ratio 1.16 of its edges, at most 1 %.
    assert torch.allclose(found.value[1:], parabola[1:], rtol=0.01)


def test_units_do_not_matter():
    graphs = gaussian_fields(Matern(0.2), 30, 40, seed=5, features=2)
    plain = variogram(graphs)
    scaled = variogram(graphs.replace(pos=graphs.pos * 1e3 + 7, x=graphs.x * torch.tensor([2.0, 100.0]) - 5))
    assert torch.allclose(scaled.distance, plain.distance * 1e3, rtol=1e-6)
    assert torch.allclose(scaled.value, plain.value, rtol=1e-6)
    standard = variogram(Scaling.fit(graphs).apply(graphs))
    assert torch.allclose(standard.value, plain.value, rtol=1e-6)


def test_features_pool_as_their_mean():
    graphs = gaussian_fields(Matern(0.2), 30, 40, seed=5, features=3)
    alone = [variogram(graphs, feature=i).value for i in range(3)]
    assert torch.allclose(variogram(graphs).value, torch.stack(alone).mean(0), rtol=1e-9)
    constant = graphs.replace(x=torch.cat([graphs.x, torch.ones(graphs.num_nodes, 1)], 1))
    assert torch.allclose(variogram(constant).value, variogram(graphs).value, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "options", "word"),
    [
        ({}, {"variable": "y"}, "variable"),
        ({"x": None}, {}, "no features"),
        ({}, {"feature": 1}, "feature"),
        ({}, {"bins": 3}, "bins"),
        ({}, {"reach": -1.0}, "reach"),
        ({"x": torch.ones(80, 1)}, {}, "constant"),
        ({"x": torch.full((80, 1), torch.nan)}, {}, "NaN|constant"),
        ({"pos": torch.zeros(80, 2)}, {}, "different places"),
        ({}, {"centres": 1}, "bins of distance"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, options, word):
    graphs = gaussian_fields(Matern(0.2), 4, 20, seed=0).replace(**change)
    with pytest.raises(ValueError, match=word):
        variogram(graphs, **options)
