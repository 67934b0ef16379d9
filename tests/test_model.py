from __future__ import annotations

import json
import socket

import pytest
import torch

from noisefold.data import shapes
from noisefold.geometry import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.model import PACKAGED, Model
from noisefold.nn import Latents, SetTransformer
from noisefold.noise import VP, Gaussian, Target
from noisefold.sample import DDIM, Ancestral, DPMSolver, StochasticHeun
from noisefold.train import Training, TrainingError

TINY = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
FEW = Training(steps=3, batch=4, warmup=1, log_every=1, validate_every=3, checkpoint_every=2)


def awake(model: Model) -> Model:
    """Give the zero-initialised head weights, so that what is tested is not zero everywhere."""
    torch.manual_seed(0)
    torch.nn.init.normal_(model.net.head.weight, std=0.2)
    return model


@pytest.fixture
def data() -> Graphs:
    return shapes(12, points=24)


@pytest.fixture
def model(data: Graphs) -> Model:
    return awake(Model.for_data(data, **TINY))


@pytest.mark.parametrize("solver", [None, Ancestral(), StochasticHeun(), DPMSolver(), DDIM()])
def test_sample_i_depends_on_seed_and_i_alone(model: Model, solver) -> None:
    options = {"steps": 4, "seed": 5, "solver": solver}
    whole = model.sample(7, **options)
    ones = model.sample(7, batch=1, **options)
    more = model.sample(9, batch=4, **options)
    # Rounding differs with the shape of matrix products, no more.
    torch.testing.assert_close(whole.pos, ones.pos, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.pos, more[:7].pos, atol=1e-5, rtol=1e-5)
    assert torch.equal(whole.label, more.label[:7])
    assert not torch.allclose(whole[0].pos, whole[1].pos)
    assert not torch.allclose(whole.pos, model.sample(7, **{**options, "seed": 6}).pos)


def test_precision_on_request(model: Model) -> None:
    full = model.sample(3, steps=3)
    low = model.sample(3, steps=3, precision="bfloat16")
    assert low.pos.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.sample(3, steps=3).pos, low.pos)
    # bfloat16 keeps eight bits, through a dozen products in each of five evaluations.
    assert 0 < (low.pos - full.pos).square().mean().sqrt() < 0.1 * full.pos.std()
    known = torch.arange(full.num_nodes) % 2 == 0
    done = model.complete(full, known, draws=1, steps=2, precision="bfloat16")
    assert torch.equal(done.values[0][known], full.pos[known])
    assert not torch.equal(done.values, model.complete(full, known, draws=1, steps=2).values)


def test_ragged_sizes_and_labels(model: Model, data: Graphs) -> None:
    made = model.sample(4, nodes=[3, 7], labels=["chair", "mug"], steps=2)
    assert made.sizes.tolist() == [3, 7, 3, 7]
    assert [data.classes[i] for i in made.label] == ["chair", "mug", "chair", "mug"]
    alone = model.sample(2, nodes=[3, 7], labels=["chair", "mug"], steps=2, batch=1)
    torch.testing.assert_close(made[:2].pos, alone.pos, atol=1e-5, rtol=1e-5)


def test_labels_and_guidance_matter(model: Model) -> None:
    torch.nn.init.normal_(model.net.condition.label.weight, std=1.0)
    for layer in (model.net.norm, model.net.rounds[0].norm_write):
        torch.nn.init.normal_(layer.to_scale_shift.weight, std=0.1)
    chair, mug = (model.sample(2, labels=n, steps=3).pos for n in ("chair", "mug"))
    assert not torch.allclose(chair, mug)
    assert not torch.allclose(chair, model.sample(2, labels="chair", steps=3, guidance=3.0).pos)
    # Weight 0 is the unconditional model, whatever the class.
    free = [model.sample(2, labels=n, steps=3, guidance=0.0).pos for n in ("chair", "mug")]
    torch.testing.assert_close(free[0], free[1], atol=1e-5, rtol=1e-5)
    # A doubled batch rounds differently, which three steps of a random network enlarge.
    torch.testing.assert_close(free[0], model.sample(2, labels=-1, steps=3).pos, atol=1e-3, rtol=1e-3)


def test_fit_save_load_sample(data: Graphs, tmp_path) -> None:
    model = Model.for_data(data, **TINY).fit(data, data, out=tmp_path, settings=FEW)
    for again in (Model.from_pretrained(tmp_path), Model.from_pretrained(tmp_path / "model")):
        assert torch.equal(again.sample(3, steps=2).pos, model.sample(3, steps=2).pos)
        assert again.config() == model.config()
    assert json.loads((tmp_path / "model" / "config.json").read_text())["format"] == 3
    assert (tmp_path / "config.yaml").is_file()
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in log if "loss" in e] == [1, 2, 3]
    assert sum("val_loss" in e for e in log) == 1


def test_samples_come_in_the_units_of_the_data(data: Graphs) -> None:
    far = data.replace(pos=data.pos * 100 + torch.tensor([1e3, 0.0, -50.0]))
    model = Model.for_data(far, **TINY)
    made = model.sample(20, steps=4)
    # An untrained velocity of zero leaves the noise: standard normal in units of the data's scale.
    assert model.data.scaling == Scaling.fit(far.rebased(model.data.origin))
    torch.testing.assert_close(made.pos.mean(0), far.pos.mean(0), atol=10.0, rtol=0.0)
    assert 0.7 < float(made.pos.std(0).mean() / model.data.scaling.pos_scale) < 1.4


def test_features_are_generated_on_given_positions() -> None:
    torch.manual_seed(0)
    field = Graphs.dense(torch.rand(6, 9, 2), torch.randn(6, 9, 3) * 7 + 2)
    model = awake(Model.for_data(field, width=16, blocks=1))
    assert model.variable.name == "x"
    assert isinstance(model.net, SetTransformer)
    made = model.sample(4, like=field[:2], steps=3)
    assert torch.allclose(made.pos, field[[0, 1, 0, 1]].pos, atol=1e-5)
    assert made.x.shape == (36, 3)
    with pytest.raises(ValueError, match="like=graphs"):
        model.sample(2)


def test_nodes_too_many_to_attend_to_each_other_have_latents() -> None:
    field = Graphs.dense(torch.rand(1, 2001, 2), torch.randn(1, 2001, 1))
    assert isinstance(Model.for_data(field, **TINY).net, Latents)


def test_other_paths_targets_and_networks(data: Graphs) -> None:
    plain = data.replace(label=None, classes=())
    for path, target in ((Gaussian(VP()), "noise"), (Gaussian(), Target("data", weight="velocity"))):
        model = Model(Latents(**TINY), path, target).fit(plain, settings=FEW)
        assert torch.isfinite(model.sample(2, steps=3).pos).all()


def test_a_training_that_fails_leaves_the_model_as_it_was(model: Model, data: Graphs) -> None:
    before = {k: v.clone() for k, v in model.net.state_dict().items()}
    sample = model.sample(2, steps=2)
    with pytest.raises(TrainingError):
        model.fit(data, settings=FEW.changed({"steps": 9, "lr": 1e30}))
    assert all(torch.equal(v, before[k]) for k, v in model.net.state_dict().items())
    assert torch.equal(model.sample(2, steps=2).pos, sample.pos)


def test_evaluate_has_the_reference_rows(model: Model, data: Graphs) -> None:
    scores = model.evaluate(data, train=data, steps=2)
    assert set(scores.rows) >= {"model", "real", "train", "noise", "collapsed"}


def test_fewer_samples_than_test_graphs_are_like_all_of_them() -> None:
    """Test sets are often sorted by size and class: those of some samples are spread over the whole."""
    sizes, labels = [2, 2, 3, 3, 8, 8, 9, 9], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    graphs = Graphs.ragged([torch.randn(n, 3) for n in sizes], label=labels, classes=("few", "many"))
    model = Model.for_data(graphs, width=8, latents=2, latent_width=8, heads=1, blocks=1)
    made = model.sample_for(graphs, 4, steps=1)
    assert made.sizes.tolist() == [2, 3, 8, 9]
    assert made.label.tolist() == [0, 0, 1, 1]


def test_evaluate_of_features_is_on_the_positions_of_the_test_set() -> None:
    torch.manual_seed(1)
    places = torch.cartesian_prod(torch.linspace(0, 1, 3), torch.linspace(0, 1, 4)).expand(16, -1, -1)
    field = Graphs.dense(places, torch.randn(16, 12, 2) * 7 + 2)
    model = awake(Model.for_data(field, width=16, blocks=1))
    scores = model.evaluate(field, train=field, steps=2, metrics=["energy", "SW2"])
    assert scores.rows == ("model", "real", "train", "noise", "collapsed", "mean")
    assert "8 fields in every row" in scores.note
    with pytest.raises(ValueError, match="did you mean 'energy'"):
        model.evaluate(field, steps=2, metrics=["enrgy"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.sample(0), "count must be .* got 0"),
        (lambda m: m.sample(1, nodes=0), "nodes must be at least 1, got 0"),
        (lambda m: m.sample(1, labels="sofa"), "class.*'sofa'"),
        (lambda m: m.sample(1, precision="half"), "precision.*'half'"),
        (lambda m: m.sample(1, steps=0), "steps must be .* got 0"),
        (lambda m: m.fit(shapes(2, points=8), stepz=3), "'stepz'"),
        (lambda m: m.fit(Graphs(torch.zeros(4, 2))), "3-D positions"),
        (lambda m: Model(m.net, variable="y"), "variable.*'y'"),
        (lambda m: Model(m.net, target="speed"), "target.*'speed'"),
        (lambda m: Model(Latents(**TINY)).sample(1), "call fit first"),
    ],
)
def test_misuse_is_said_in_one_sentence(model: Model, call, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")) as error:
        call(model)
    assert "\n" not in str(error.value)


def test_missing_and_broken_models(model: Model, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no model"):
        Model.from_pretrained(tmp_path / "nothing")
    model.save_pretrained(tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        Model.from_pretrained(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        Model.from_pretrained(tmp_path / "m")


def test_no_name_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(FileNotFoundError):
        Model.from_pretrained("someone/something")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_the_shipped_model_makes_shapes(name: str) -> None:
    model = Model.from_pretrained(name)
    size = sum(f.stat().st_size for f in PACKAGED[name].iterdir())
    assert size < 3_000_000
    real = shapes(60, points=256, seed=99)
    made = model.sample(30, nodes=256, labels=real.label[:30].tolist(), steps=20, solver=DPMSolver())
    from noisefold.eval import chamfer_matrix, mmd

    spread = real.pos.std()
    noise = Graphs.dense(torch.randn(30, 256, 3) * spread)
    ours, theirs, floor = (
        mmd(chamfer_matrix(made_by, real[30:])) for made_by in (made, noise, shapes(30, points=256, seed=7))
    )
    # Nobody mistakes its samples for noise: most of the way from noise to real shapes is gone.
    assert ours < floor + 0.25 * (theirs - floor)


def test_skill_does_not_see_the_units_of_the_data(model: Model, data: Graphs) -> None:
    found = model.skill(data, levels=4)
    assert len(found.explained) == 4
    moved = data.replace(pos=100 + 1000 * data.pos)
    model.summary = DataSummary.fit(moved)
    again = model.skill(moved, levels=4)
    # float32 positions around 100 with a spread of some 1000: seven digits, of errors of order 1.
    assert again.explained == pytest.approx(found.explained, abs=1e-4)
    assert model.skill(data, nodes=5, levels=2) == model.skill(data, nodes=5, levels=2)


def test_skill_needs_a_trained_model(data: Graphs) -> None:
    with pytest.raises(ValueError, match="has not seen data yet"):
        Model(Latents(width=16, latents=4, latent_width=16, heads=2)).skill(data)
