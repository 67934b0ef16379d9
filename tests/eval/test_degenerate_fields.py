"""Fields that make covariances singular: every method predicts finite values, or says what is missing."""

import warnings

import pytest
import torch
from torch import nn

import noisefold as nf
from crossed import crossed
from noisefold.eval import GaussianField, Kriging, Regression
from noisefold.geometry import Graphs
from noisefold.geometry.correlation_fit import fit_correlation
from noisefold.geometry.variogram import variogram
from noisefold.nn import KrigingResidual

G, N, F = 3, 24, 4


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tissue(pos=None, x=None):
    """Three fields on the same positions ``[n, 2]``, features ``[3, n, f]``."""
    pos = random(N, 2) if pos is None else pos
    return Graphs.dense(pos.expand(G, -1, -1), random(G, len(pos), F) if x is None else x)


def changed(**columns):
    x = random(G, N, F)
    for name, value in columns.items():
        x[..., int(name[1:])] = value
    return x


def duplicates():
    pos = random(N, 2)
    pos[::2] = pos[1::2]
    return pos


def clusters():
    """Two dense clusters far from each other: their distances are lost in float32's matrix products."""
    return 1e-5 * random(N, 2) + torch.tensor([1.0, -1.0])[torch.arange(N) % 2][:, None]


SMOOTH = torch.sin(torch.linspace(0, 3, N))[None, :, None] * torch.tensor([1.0, 2.0, -1.0, 0.5])
TISSUES = {
    "sound": tissue(),
    "constant gene": tissue(x=changed(_0=0.0)),
    "constant gene, not 0": tissue(x=changed(_1=1e4)),
    "all constant but one": tissue(x=changed(_0=1.0, _1=2.0, _2=3.0)),
    "one cell expresses": tissue(x=changed(_0=torch.eye(N)[0])),
    "correlated genes": tissue(x=random(G, N, 1).expand(-1, -1, F)),
    "one smooth field": tissue(x=SMOOTH.expand(G, -1, -1)),
    "duplicate cells": tissue(pos=duplicates(), x=random(G, N, F).repeat_interleave(2, 1)[:, :N]),
    "duplicate positions": tissue(pos=duplicates()),
    "two positions": tissue(pos=(torch.arange(N) % 2)[:, None].expand(-1, 2).float()),
    "collinear": tissue(pos=torch.linspace(0, 1, N)[:, None] * torch.tensor([1.0, 2.0])),
    "collinear on an axis": tissue(pos=torch.linspace(0, 1, N)[:, None] * torch.tensor([1.0, 0.0])),
    "clusters": tissue(pos=clusters()),
    "far from 0": tissue(pos=random(N, 2) + 1e4),
    "huge": tissue(pos=1e12 * random(N, 2), x=1e12 * random(G, N, F)),
    "tiny": tissue(pos=1e-12 * random(N, 2), x=1e-12 * random(G, N, F)),
    "scales apart": tissue(x=random(G, N, F) * torch.tensor([1e-15, 1.0, 1e6, 1e15])),
    "more genes than cells": tissue(pos=random(6, 2), x=random(G, 6, 30)),
    "three cells": tissue(pos=random(3, 2)),
    "two cells": tissue(pos=random(2, 2)),
    "one cell": tissue(pos=random(1, 2)),
    "one position": tissue(pos=torch.zeros(N, 2)),
}


def masks(graphs):
    """A gene, a region, scattered entries, and everything missing."""
    nodes, features = graphs.x.shape
    gene = torch.ones(nodes, features, dtype=torch.bool)
    gene[:, 0] = False
    region = (torch.arange(nodes) % (nodes // G) >= nodes // 9)[:, None].expand(-1, features)
    scattered = torch.rand(nodes, features, generator=torch.Generator().manual_seed(1)) < 0.5
    return {"gene": gene, "region": region, "scattered": scattered, "all": torch.zeros_like(gene)}


def finite(draws, graphs, known, floor=0.0):
    """Finite, given where known, and in proportion to the data; constant features within the floor."""
    assert bool(draws.isfinite().all())
    assert torch.equal(draws[:, known], graphs.x.expand_as(draws)[:, known])
    centre = graphs.x.double().mean(0)
    spread, size = (graphs.x.double() - centre).abs().amax(0), graphs.x.double().abs().amax(0)
    allowed = torch.where(spread > 1e-6 * size, 50 * spread, floor + 1e-6 * size)
    assert bool(((draws.double() - centre).abs() <= allowed).all())


FEW = {"sample": 12, "ratios": False}
BASELINES = [
    Kriging(**FEW),
    Kriging("squared", **FEW),
    Kriging(limit=8, neighbours=6, sample=12),
    Regression(),
    Regression(place=True),
    Regression(penalty=0.0),
    GaussianField(),
]


@pytest.mark.parametrize(("name", "baseline"), crossed(list(TISSUES), BASELINES), ids=str)
def test_baselines(name, baseline):
    graphs = TISSUES[name]
    if isinstance(baseline, Kriging) and name in ("one cell", "one position"):
        with pytest.raises(ValueError, match="known"):
            baseline.fit(graphs)
        return
    fitted = baseline.fit(graphs)
    for known in masks(graphs).values():
        finite(fitted.draw(graphs, known, 3), graphs, known)


@pytest.mark.parametrize("name", ["correlated genes", "constant gene", "more genes than cells"])
@pytest.mark.parametrize("baseline", [Kriging(**FEW), Regression(), Regression(penalty=0.0)], ids=repr)
def test_baselines_with_missing_training_values(name, baseline):
    graphs = TISSUES[name]
    there = masks(graphs)["scattered"]
    finite(baseline.fit(graphs, there).draw(graphs, there, 3), graphs, there)


class Zero(nn.Module):
    """A network that adds nothing."""

    def forward(self, graphs, log_snr, label=None):
        return graphs.x.new_zeros(graphs.num_nodes, graphs.features // 4)


QUICK = ("constant gene", "clusters", "more genes than cells", "two cells", "one position")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in TISSUES]
)
def test_kriging_residual(name):
    """In standard units, as a model gives them."""
    graphs = TISSUES[name]
    scaling = nf.geometry.Scaling.fit(graphs)
    net = KrigingResidual(Zero(), graphs.features, 2, kernels=2)
    if name in ("one cell", "two cells", "one position"):
        with pytest.raises(ValueError, match="three nodes"):
            net.learn(scaling.apply(graphs))
        return
    net.learn(scaling.apply(graphs))
    assert all(bool(v.isfinite().all()) for v in net.state_dict().values())
    summary = nf.geometry.DataSummary.of(graphs, scaling)
    model = nf.Model(net, variable="x", for_completion=True, summary=summary)
    for known in masks(graphs).values():
        done = model.complete(graphs, known, draws=2, steps=2, seed=0)
        # A standard deviation is at least 0.01, of which three and the two steps of the solver.
        finite(done.values, graphs, known, floor=0.1)


@pytest.mark.parametrize(("name", "variable"), crossed(list(TISSUES), ["x", "pos"]), ids=str)
def test_variogram_and_correlation_fit(name, variable):
    graphs = TISSUES[name]
    too_few = (
        "more genes than cells",
        "three cells",
        "two cells",
        "one cell",
        "one position",
        "two positions",
    )
    if name in too_few:
        with pytest.raises(ValueError, match=r"bins|two nodes|constant"):
            variogram(graphs, variable)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = variogram(graphs, variable)
        fit = fit_correlation(measured)
    assert bool(measured.value.isfinite().all())
    assert bool((measured.low <= measured.high).all())
    assert 0 < fit.length < float("inf")
    assert 0 <= fit.low <= fit.high
    assert 0 <= fit.correlation.share + fit.correlation.floor <= 1 + 1e-9
