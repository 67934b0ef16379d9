import pytest
import torch
from network_battery import ALL, CLOSE

from noisefold.configuration import decode, encode
from noisefold.geometry import Balanced
from noisefold.nn import ComputeBudget, Latents
from noisefold.testing import example_batch, perturbed

SMALL = {"width": 16, "latents": 8, "latent_width": 16, "heads": 2}


@pytest.mark.parametrize("check", ALL, ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, {}),
        ({}, {"sizes": (40, 40, 40)}),
        ({"coarsening": Balanced()}, {}),
        ({"compute_budget": ComputeBudget((0.3,), depth=(0.5, 1), latents=(0.4, 1), width=(0.3, 1))}, {}),
        ({"pos_dim": 2, "features": 3, "out_dim": 3, "classes": 4}, {"dim": 2, "features": 3, "classes": 4}),
    ],
    ids=["ragged", "uniform", "supernodes", "compute budget", "features and classes"],
)
def test_battery(check, options, data):
    torch.manual_seed(0)
    net = perturbed(Latents(**SMALL, **options))
    check(net, *example_batch(**data))


def test_initial_prediction_is_zero():
    graphs, log_snr, _ = example_batch()
    assert not Latents(**SMALL)(graphs, log_snr).any()


def smaller(net, depth, latents, inner):
    """A network of its own that holds nothing but the first parts of another."""
    small = Latents(**{**SMALL, "latents": latents}, rounds=depth)
    state = {k: v for k, v in net.state_dict().items() if k in small.state_dict()}
    state["latents"] = state["latents"][:latents]
    small.load_state_dict(state)
    for step in small.rounds:
        first, _, last = step.mlp
        first.weight.data, first.bias.data = first.weight[:inner], first.bias[:inner]
        last.weight.data = last.weight[:, :inner]
    return small


def test_a_tier_is_the_network_of_its_first_parts():
    budget = ComputeBudget((0.2, 0.6), depth=(0, 0.5, 1), latents=(0, 0.5, 1), width=(0, 0.25, 1))
    net = perturbed(Latents(**SMALL, compute_budget=budget))
    graphs, _, _ = example_batch()
    level = torch.tensor([0.7, 0.1, 0.5, 0.21, 0.61, 0.19], dtype=torch.float64)
    log_snr = 2 * torch.logit(level).float()
    with torch.no_grad():
        out = graphs.unpack(net(graphs, log_snr))
        full = graphs.unpack(smaller(net, 2, 8, 64)(graphs, log_snr))
        half = graphs.unpack(smaller(net, 1, 4, 16)(graphs, log_snr))
    assert not out[1].any()
    assert not out[5].any()
    for i, twin in ((0, full), (2, half), (3, half), (4, full)):
        torch.testing.assert_close(out[i], twin[i], **CLOSE)


def test_a_batch_that_skips_the_network_has_no_gradient():
    net = Latents(**SMALL, compute_budget=ComputeBudget((0.5,), depth=(0, 1)))
    graphs, _, _ = example_batch()
    net(graphs, torch.full((len(graphs),), -4.0)).square().sum().backward()
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"splits": (0.5, 0.2)}, "splits"),
        ({"splits": (0.0,)}, "splits"),
        ({"splits": (0.5,), "depth": (1.0,)}, "depth"),
        ({"latents": (1.5,)}, "latents"),
    ],
)
def test_budgets_that_do_not_fit_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        ComputeBudget(**arguments)


def test_configuration_round_trip():
    net = Latents(
        **SMALL, classes=3, compute_budget=ComputeBudget((0.4,), depth=(0.0, 1.0)), coarsening=Balanced()
    )
    again = decode(encode(net))
    again.load_state_dict(net.state_dict())
    graphs, log_snr, label = example_batch(classes=3)
    torch.testing.assert_close(again(graphs, log_snr, label), net(graphs, log_snr, label), rtol=0, atol=0)


def test_mixed_tiers_in_double_precision():
    """Twice as precise as float32 could be: each graph in the batch as alone."""
    budget = ComputeBudget((0.4,), depth=(0.5, 1), width=(0.5, 1))
    net = perturbed(Latents(**SMALL, compute_budget=budget, coarsening=Balanced())).double()
    graphs, log_snr, _ = example_batch()
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()
    together = graphs.unpack(net(graphs, log_snr))
    for i, out in enumerate(together):
        assert out.dtype is torch.float64
        torch.testing.assert_close(out, net(graphs[i], log_snr[i : i + 1]), rtol=1e-12, atol=1e-12)
