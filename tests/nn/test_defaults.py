"""Which network is chosen: kriging first where an informed model has few fields to learn from."""

import pytest
import torch

import noisefold as nf
from noisefold.geometry import Graphs
from noisefold.nn import KrigingResidual, Latents, SetTransformer
from noisefold.nn.defaults import FEW, default_net, few_data
from noisefold.nn.denoiser import classes_of

SMALL = {"width": 16, "blocks": 1}


def fields(count: int, nodes: int = 12, features: int = 3, classes: int = 0) -> Graphs:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(count) % classes if classes else None
    return Graphs(
        torch.rand(count * nodes, 2, generator=generator),
        torch.randn(count * nodes, features, generator=generator),
        torch.arange(count + 1) * nodes,
        label=label,
        classes=tuple("ab"[:classes]),
    )


@pytest.mark.parametrize(
    ("count", "options", "kind"),
    [
        (FEW - 1, {"for_completion": True}, KrigingResidual),
        (FEW, {"for_completion": True}, SetTransformer),
        (200, {"for_completion": True, "independent_samples": 1}, KrigingResidual),
        (2, {"for_completion": True, "independent_samples": FEW}, SetTransformer),
        (2, {"for_completion": False, "independent_samples": 1}, SetTransformer),
    ],
)
def test_few_independent_fields_begin_with_kriging(count: int, options: dict, kind: type) -> None:
    assert type(default_net(fields(count), **options, **SMALL)) is kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (fields(2, nodes=2001), Latents),
        (fields(2, features=1001), SetTransformer),
        (fields(2).replace(x=None), Latents),
    ],
)
def test_what_kriging_cannot_do_is_left_to_others(data: Graphs, kind: type) -> None:
    assert not few_data(data, for_completion=True, independent_samples=1)
    assert type(default_net(data, for_completion=True, independent_samples=1)) is kind


def test_options_go_to_the_network_within_and_classes_are_found_there() -> None:
    model = nf.Model.for_data(fields(4, classes=2), for_completion=True, **SMALL)
    assert isinstance(model.net, KrigingResidual)
    assert model.net.net.arguments["width"] == 16
    assert (model.net.net.arguments["features"], model.net.net.arguments["out_dim"]) == (12, 3)
    assert model.conditional
    assert classes_of(model.net) == 2
    assert not nf.Model.for_data(fields(4), for_completion=True, **SMALL).conditional
