"""Tracks and points on the sphere from data to a trained model's answers, by the interface a user has."""

import pytest
import torch

import noisefold as nf
from noisefold.data.functions import FunctionSamples
from noisefold.domains import Request, SphereFunctions, domain_of
from noisefold.geometry import Graphs, Sphere
from noisefold.nn import TrackTransformer
from noisefold.noise import Riemannian, TangentScore, variable_of

SPHERE = Sphere()


def tracks(count=12, steps=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    start = SPHERE.project(torch.randn(count, 3, generator=g))
    v = SPHERE.tangent(start, 0.05 * torch.randn(count, 3, generator=g))
    x = torch.stack([SPHERE.exp(start, k * v) for k in range(steps)], 1)
    x = SPHERE.project((x + 1e-3 * torch.randn(x.shape, generator=g)).reshape(-1, 3)).reshape(x.shape)
    times = 6 * torch.arange(steps, dtype=torch.float32)[None, :, None].expand(count, -1, -1)
    return Graphs.dense(times, x).replace(modality=FunctionSamples(outputs="sphere"))


def points(count=30):
    x = SPHERE.project(torch.randn(count, 3, generator=torch.Generator().manual_seed(1)))
    return Graphs(x, ptr=torch.arange(count + 1)).replace(modality=FunctionSamples(inputs="sphere"))


def test_data_are_of_this_domain_by_their_modality():
    assert domain_of(tracks()) == SphereFunctions()
    assert domain_of(points()) == SphereFunctions()
    assert domain_of(points(), variable_of("pos")) == SphereFunctions()
    assert domain_of(tracks(), variable_of("pos")) != SphereFunctions()
    assert domain_of(tracks().replace(modality=None)) != SphereFunctions()


def test_unit_vectors_are_not_scaled_and_others_are_refused():
    recipe = SphereFunctions().recipe(tracks(), Request())
    scaling = recipe.summary.scaling
    assert scaling.x_mean == (0.0, 0.0, 0.0)
    assert scaling.x_scale == (1.0, 1.0, 1.0)
    assert scaling.pos_scale == pytest.approx(12)
    data = tracks()
    with pytest.raises(ValueError, match="x"):
        SphereFunctions().recipe(data.replace(x=2 * data.x), Request())
    with pytest.raises(ValueError, match="pos"):
        SphereFunctions().recipe(points().replace(pos=2 * points().pos), Request())


def test_a_model_of_tracks_samples_completes_and_has_likelihoods(tmp_path):
    data = tracks()
    small = {"width": 8, "blocks": 1, "heads": 2}
    model = nf.Model.for_data(data, for_completion=True, **small)
    assert isinstance(model.net, TrackTransformer)
    assert (model.path, model.target) == (Riemannian(), TangentScore())
    model.fit(data, steps=2, batch=4, warmup=1)
    made = model.sample(3, like=data, steps=3)
    SPHERE.check(made.x, "made")
    known = torch.zeros(14, dtype=torch.bool)
    known[[0, 1, 7, 8]] = True
    done = model.complete(data[:2], known, draws=3, steps=15)
    SPHERE.check(done.values.reshape(-1, 3), "draws")
    assert torch.equal(done.values[:, known], data[:2].x[known].expand(3, -1, -1))
    # The Gaussian process alone puts the next place within a few steps of the last one.
    nearest = SPHERE.distance(done.values[:, 2], data.x[1].expand(3, -1))
    assert nearest.max() < 1
    page = model.report(tmp_path / "report.html", test=data[:4], draws=2, steps=2)
    assert "globe" in page.read_text(encoding="utf-8")
    scores = model.evaluate(data[:4], train=data, draws=3, steps=2)
    assert scores.rows == ("model", "Gaussian", "Gaussian process", "persistence")
    model.save_pretrained(tmp_path / "tracks")
    again = nf.Model.from_pretrained(tmp_path / "tracks")
    how = nf.sample.GeodesicFlow(steps=2)
    first, second = (m.log_prob(data[:2], method=how) for m in (model, again))
    assert torch.equal(first.value, second.value)
    assert first.value.isfinite().all()


def test_a_model_of_points_samples_and_completes():
    data = points()
    model = nf.Model.for_data(data, width=8, blocks=1, heads=2)
    assert model.variable.name == "pos"
    model.fit(data, steps=2, batch=4, warmup=1)
    SPHERE.check(model.sample(4, steps=3).pos, "made")
    pair = Graphs(data.pos[:2])
    done = model.complete(pair.replace(modality=data.modality), torch.tensor([True, False]), draws=2, steps=2)
    SPHERE.check(done.values[:, 1], "drawn")
