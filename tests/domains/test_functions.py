"""The domain of random functions: recipes, and scores beside Gaussian processes."""

import math

import pytest
import torch

import noisefold as nf
from noisefold.data import FunctionSamples
from noisefold.domains import Fields, Functions, Request, SphereFunctions, domain_of, recipe_for
from noisefold.eval import FUNCTION_METRICS, context_masks, score_functions
from noisefold.geometry import Graphs
from noisefold.noise import LogSNRUniform

SMALL = {"width": 16, "blocks": 1, "heads": 2}


def samples(
    outputs: str = "scalars", inputs: str = "euclidean", count: int = 12, dim: int = 1, nodes: int = 20
) -> Graphs:
    random = torch.Generator().manual_seed(0)
    pos = torch.rand(count, nodes, dim, generator=random) * 4 - 2
    phase = 6.28 * torch.rand(count, 1, 1, generator=random)
    x = torch.sin(pos.sum(2, keepdim=True) + phase) + 0.1 * torch.randn(count, nodes, 1, generator=random)
    columns = dim if outputs == "vector" else 1
    graphs = Graphs.dense(pos, 3 + 2 * x.expand(-1, -1, columns).clone())
    return graphs.replace(modality=FunctionSamples(inputs, outputs))


def test_which_data_are_functions():
    data = samples()
    assert isinstance(domain_of(data), Functions)
    assert isinstance(domain_of(data.replace(modality=None)), Fields)
    units = torch.nn.functional.normalize(torch.randn(5, 3), dim=1)
    track = Graphs(torch.rand(5, 1), units, modality=FunctionSamples(outputs="sphere"))
    assert isinstance(domain_of(track), SphereFunctions)


def test_scalars_have_a_network_of_relative_positions():
    recipe = recipe_for(samples(), Request())
    assert recipe.plan["net"]["kind"] == "nn.SetTransformer"
    assert recipe.plan["net"]["absolute"] is False
    assert recipe.plan["for_completion"] is True
    assert recipe.plan["target"]["weight"] == "noise"
    assert recipe.build()["training"].levels == LogSNRUniform()


def test_vectors_keep_their_direction():
    """A vector in space has an equivariant network, no centre and one scale; on the sphere places count."""
    data = samples("vector", dim=2)
    recipe = recipe_for(data, Request())
    assert recipe.plan["net"]["kind"] == "nn.EquivariantFieldNet"
    scaling = recipe.summary.scaling
    assert scaling.x_mean == (0.0, 0.0)
    assert scaling.x_scale[0] == scaling.x_scale[1] == pytest.approx(float(data.x.square().mean().sqrt()))
    on_sphere = recipe_for(samples("vector", "sphere", dim=3), Request())
    assert on_sphere.plan["net"]["kind"] == "nn.SetTransformer"
    assert on_sphere.plan["net"]["absolute"] is True


def test_large_functions_are_thinned_and_tiled():
    pos = torch.rand(1, 2500, 2)
    data = Graphs.dense(pos, pos[..., :1]).replace(modality=FunctionSamples())
    recipe = recipe_for(data, Request())
    assert recipe.tile == 2000
    assert recipe.build()["training"].nodes == 400


def test_moved_functions_are_as_likely():
    """Relative positions alone: translating the inputs changes nothing, up to float32."""
    data = samples()
    model = nf.Model.for_data(data, **SMALL).fit(data, steps=3, batch=4)
    known = context_masks(data, 5, 0)
    method = nf.sample.ProbabilityFlow(2)
    here, there = (
        model.log_prob(data.replace(pos=data.pos + move), known=known, method=method).value
        for move in (0, 10)
    )
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)


def test_evaluate():
    data = samples(nodes=6)
    model = nf.Model.for_data(data, **SMALL).fit(data, steps=3, batch=4)
    scores = model.evaluate(data[:2], train=data, draws=39, steps=2)
    assert [m.name for m in scores.metrics] == list(FUNCTION_METRICS)
    assert set(scores.table) == {"model", "GP", "nearest", "mean"}
    for metric in FUNCTION_METRICS:
        assert math.isfinite(scores["model", metric].value)
    assert "log-likelihood" in scores.table["GP"]
    assert "inconsistency" not in scores.table["GP"]
    # Three steps are no training: the fitted process is better by far.
    assert scores["GP", "log-likelihood"].value > scores["model", "log-likelihood"].value


def test_tangent_vectors_have_no_density():
    """They lie in a plane of space, where the density of any model grows with its resolution."""
    data = samples("vector", "sphere", dim=3, nodes=6)
    data = data.replace(pos=torch.nn.functional.normalize(data.pos, dim=1))
    model = nf.Model.for_data(data, **SMALL).fit(data, steps=2, batch=4)
    scores = model.evaluate(data[:2], draws=39, steps=2)
    assert not {"log-likelihood", "inconsistency"} & {m.name for m in scores.metrics}


def test_log_likelihood_is_that_of_the_units_of_the_data():
    """Ten times the values have a density of a tenth for each value."""
    data = samples()
    free = torch.full((12,), 20.0).double()
    known = torch.zeros(240, dtype=torch.bool)
    values = {"log-likelihood": -free}
    one = score_functions(data.x.expand(39, -1, -1), data, known, data, log_probs=values)
    assert one["model", "log-likelihood"].value == pytest.approx(-1.0)
    ten = data.replace(x=10 * data.x)
    other = score_functions(ten.x.expand(39, -1, -1), ten, known, ten)
    moved = one["GP", "log-likelihood"].value - other["GP", "log-likelihood"].value
    assert moved == pytest.approx(math.log(10), abs=1e-4)


def test_context_leaves_something_to_draw():
    data = samples(count=50)
    known = context_masks(data, 30, seed=0)
    counts = torch.zeros(50).index_add(0, data.batch, known.float())
    assert counts.max() == 19
    assert counts.min() == 0
    assert torch.equal(known, context_masks(data, 30, seed=0))


def test_unknown_metrics_are_refused():
    data = samples()
    known = context_masks(data, 5, 0)
    with pytest.raises(ValueError, match="metrics"):
        score_functions(data.x.expand(39, -1, -1), data, known, None, metrics=["MMD"])
