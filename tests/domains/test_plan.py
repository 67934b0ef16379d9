from __future__ import annotations

import pytest
import torch
import yaml

from noisefold.configuration import encode
from noisefold.data import shapes
from noisefold.domains import Request, domain_of, recipe_for
from noisefold.domains.plan import KRIGING, from_options, kind_in, override, read_plan, summarised
from noisefold.domains.recipe import Recipe
from noisefold.geometry import Graphs
from noisefold.model import Model


def suggest(data: Graphs, for_completion: bool = False, samples: int | None = None, *changes) -> dict:
    """The plan that fits a data set."""
    request = Request(for_completion, samples, changes=changes)
    return domain_of(data).recipe(data, request).plan


def build(plan: dict, data: Graphs):
    """The model and the training of a plan."""
    summary = domain_of(data).recipe(data, Request()).summary
    model = Model.of_recipe(Recipe(plan, summary))
    return model, model.training


@pytest.fixture
def data() -> Graphs:
    return shapes(12, points=24)


def test_what_is_suggested_builds_and_survives_yaml(data: Graphs, tmp_path) -> None:
    plan = suggest(data)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(plan))
    again = override(plan, read_plan(tmp_path / "c.yaml"))
    model, settings = build(again, data)
    assert encode(model.net) == plan["net"]
    assert encode(settings) == plan["training"]


def test_options_change_one_entry_and_leave_the_rest(data: Graphs) -> None:
    plan = suggest(data)
    changed = override(plan, from_options(["net.width=32", "training.lr=0.5"]))
    assert changed["net"] == {**plan["net"], "width": 32}
    assert changed["training"] == {**plan["training"], "lr": 0.5}
    assert plan == suggest(data)


def test_another_kind_starts_from_its_own_defaults(data: Graphs) -> None:
    plan = override(suggest(data), from_options(["path.schedule.kind=noise.VP"]))
    assert plan["path"]["schedule"] == {"kind": "noise.VP"}
    net = override(suggest(data), {"net": {"kind": "nn.DMP", "width": 8}})["net"]
    assert net == {"kind": "nn.DMP", "width": 8, "pos_dim": 3, "features": 0, "out_dim": 3, "classes": 10}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["net.width"], "must have the form"),
        (["=3"], "must have the form"),
        (["nets.width=3"], "did you mean 'net'"),
        (["net.widht=3"], "did you mean 'width'"),
        (["net.width=abc"], "net.*Latents.width is 'abc'"),
        (["net.heads=3"], "heads must divide"),
        (["path.schedule=vp"], "must be an object"),
        (["path.schedule.kind=noise.VPP"], "did you mean 'noise.VP'"),
        (["training.steps=0"], "steps.* 0"),
        (["target.name=speed"], "target.*'speed'"),
    ],
)
def test_mistakes_are_named(data: Graphs, options: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("net.*", "")) as error:
        build(suggest(data, False, None, from_options(options)), data)
    assert "\n" not in str(error.value)


def test_a_configuration_of_an_earlier_format_is_understood(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    net, training = "{kind: nn.Kriged}", "{kind: train.Training, times: null}"
    text = f"noised: x\ninformed: true\nnet: {net}\ntraining: {training}\n"
    path.write_text(text)
    plan = read_plan(path)
    assert plan["variable"] == "x"
    assert plan["for_completion"] is True
    assert plan["net"] == {"kind": "nn.KrigingResidual"}
    assert plan["training"] == {"kind": "train.Training", "levels": None}


@pytest.mark.parametrize("text", ["net: [", "- 1", "nett: {}", ""])
def test_files_that_are_no_plan(text: str, tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"c\.yaml"):
        read_plan(path)


# -- few data -----------------------------------------------------------------------------------------------


@pytest.fixture
def patches() -> Graphs:
    generator = torch.Generator().manual_seed(0)
    pos, x = torch.rand(360, 2, generator=generator), torch.randn(360, 3, generator=generator)
    return Graphs(pos, x, torch.arange(31) * 12)


def test_one_tissue_gets_kriging_and_a_short_training(patches: Graphs, tmp_path) -> None:
    plan = suggest(patches, for_completion=True, samples=1)
    assert (plan["net"]["kind"], plan["net"]["net"]["kind"]) == (KRIGING, "nn.SetTransformer")
    training = plan["training"]
    assert (training["steps"], training["batch"], training["weight_decay"]) == (300, 8, 0.05)
    assert suggest(patches[:5], for_completion=True, samples=1)["training"]["batch"] == 5
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(plan))
    model, settings = build(override(plan, read_plan(tmp_path / "c.yaml")), patches)
    assert (encode(model.net), encode(settings)) == (plan["net"], training)
    assert "begins with kriging" in summarised(plan)


def test_many_simulations_do_not(patches: Graphs) -> None:
    for plan in (suggest(patches, for_completion=True), suggest(patches, samples=1)):
        assert plan["net"]["kind"] == "nn.SetTransformer"
        assert plan["training"]["steps"] == 5000
        assert "kriging" not in summarised(plan)


def test_a_network_that_is_named_brings_its_training(patches: Graphs) -> None:
    wanted = [{}, from_options(["net.kind=nn.SetTransformer", "net.width=16"])]
    assert kind_in(wanted) == "nn.SetTransformer"
    model, settings = build(suggest(patches, True, 1, *wanted), patches)
    assert (model.net.arguments["width"], model.net.arguments["features"]) == (16, 6)
    assert settings.steps == 5000
    wanted = [{"net": {"kind": "nn.Latents"}}, from_options([f"net.kind={KRIGING}", "net.net.width=16"])]
    model, settings = build(suggest(patches, True, None, *wanted), patches)
    assert model.net.net.arguments["width"] == 16
    assert settings.steps == 300
    assert kind_in([{}, {"net": {"width": 3}}]) is None


@pytest.mark.parametrize("name", ["pos_dim", "features", "out_dim", "classes"])
def test_sizes_that_follow_from_the_data_cannot_be_others(name: str) -> None:
    """A wider answer would be compared with the data by broadcasting."""
    data = Graphs.dense(torch.rand(6, 5, 2), torch.rand(6, 5, 1))
    changes = from_options([f"net.{name}=4", "net.width=8"])
    with pytest.raises(ValueError, match=rf"net\.{name}.*4"):
        recipe_for(data, Request(changes=(changes,)))
