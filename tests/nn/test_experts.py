"""Experts by noise level: each graph gets what its own network gives it alone."""

import json

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn import DMP, ExpertDenoisers, Latents
from noisefold.nn.adaptive import Fixed
from noisefold.noise.schedule import signal_level
from noisefold.testing import (
    assert_batch_independent,
    assert_permutation_equivariant,
    example_batch,
    perturbed,
)
from noisefold.train.settings import Training

SPLITS = (0.3, 0.8)


def nets(**options):
    common = {"width": 8, "classes": 0} | options
    return [
        perturbed(DMP(layers=0, adaptive=Fixed(1, 1), **common), 1),
        perturbed(DMP(layers=2, **common), 2),
        perturbed(DMP(layers=1, conv="gcn", **common), 3),
    ]


def levels(graphs, seed=0):
    return torch.randn(len(graphs), generator=torch.Generator().manual_seed(seed)) * 3


def test_equals_each_network_alone():
    """float64; blocks of other sizes sum in another order, 1e-12 is some thousand roundings."""
    experts = [net.double() for net in nets(features=2)]
    graphs, _, _ = example_batch(features=2)
    graphs = graphs.to(dtype=torch.float64)
    log_snr = torch.tensor([-8.0, 5.0, 0.0, -2.0, 9.0, 0.5], dtype=torch.float64)
    routed = ExpertDenoisers(experts, SPLITS)
    out = graphs.unpack(routed(graphs, log_snr))
    u = signal_level(log_snr)
    seen = set()
    for i, answer in enumerate(out):
        which = int(u[i] >= SPLITS[0]) + int(u[i] >= SPLITS[1])
        seen.add(which)
        alone = experts[which](graphs[i], log_snr[i : i + 1])
        torch.testing.assert_close(answer, alone, rtol=1e-12, atol=1e-12)
    assert seen == {0, 1, 2}


def test_a_level_at_a_split_belongs_above():
    routed = ExpertDenoisers(nets(), (0.5, 0.75))
    # logits of .5 and .75 are 0 and log 3, doubled for log-SNR; the second is not a binary number
    log_snr = torch.tensor([-1e-6, 0.0, 2.19, 2.2], dtype=torch.float64)
    assert routed.route(log_snr).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("check", [assert_batch_independent, assert_permutation_equivariant])
@pytest.mark.parametrize("classes", [0, 3])
def test_battery(check, classes):
    graphs, log_snr, label = example_batch(classes=classes)
    routed = ExpertDenoisers(nets(classes=classes), SPLITS, classes=classes).eval()
    check(routed, graphs, log_snr, label)


def test_none_predicts_zero_without_gradient():
    graphs, log_snr, _ = example_batch()
    expert = nets()[1]
    routed = ExpertDenoisers((None, expert), (0.5,))
    out = graphs.unpack(routed(graphs, log_snr))
    for i, answer in enumerate(out):
        if log_snr[i] < 0:
            assert not answer.any()
        else:
            torch.testing.assert_close(answer, expert(graphs[i], log_snr[i : i + 1]), rtol=1e-5, atol=1e-5)
    noisy = routed(graphs, torch.full_like(log_snr, -5.0))
    noisy.square().mean().backward()
    assert all(p.grad is None for p in routed.parameters())
    assert (
        ExpertDenoisers((None, DMP(pos_dim=3, out_dim=5)), (0.5,), out_dim=5)(graphs, log_snr - 50).shape[1]
        == 5
    )


def test_only_used_networks_have_gradients():
    experts = nets()
    graphs, _, _ = example_batch()
    log_snr = torch.full((len(graphs),), 0.0)  # u = .5: the second network
    ExpertDenoisers(experts, SPLITS)(graphs, log_snr).square().mean().backward()
    assert all(p.grad is None for net in (experts[0], experts[2]) for p in net.parameters())
    assert any(p.grad is not None and p.grad.any() for p in experts[1].parameters())


def test_gradient_is_that_of_each_network():
    """The sum over a mixed batch has, in each network, the gradient of its own graphs' sum; float64."""
    experts = [net.double() for net in nets()]
    graphs, log_snr, _ = example_batch()
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()
    routed = ExpertDenoisers(experts, SPLITS)
    weight = torch.randn(graphs.num_nodes, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (routed(graphs, log_snr) * weight).sum().backward()
    mixed = [p.grad for p in experts[1].parameters()]
    routed.zero_grad()
    mine = routed.route(log_snr) == 1
    part = graphs[mine]
    (experts[1](part, log_snr[mine]) * weight[mine[graphs.batch]]).sum().backward()
    assert any(g is not None and g.any() for g in mixed)
    for p, found in zip(experts[1].parameters(), mixed, strict=True):
        torch.testing.assert_close(p.grad, found, rtol=1e-10, atol=1e-10)


def test_configuration_round_trip():
    routed = ExpertDenoisers(
        (None, DMP(width=8, layers=1), Latents(width=8, latents=4, latent_width=8)), SPLITS
    )
    plain = json.loads(json.dumps(encode(routed)))
    assert plain["kind"] == "nn.ExpertDenoisers"
    assert [n and n["kind"] for n in plain["nets"]] == [None, "nn.DMP", "nn.Latents"]
    again = decode(plain)
    again.load_state_dict(routed.state_dict())
    graphs, log_snr, _ = example_batch()
    assert torch.equal(again(graphs, log_snr), routed(graphs, log_snr))
    assert encode(again) == encode(routed)


def test_trains_is_saved_and_loaded(tmp_path):
    generator = torch.Generator().manual_seed(0)
    data = Graphs.dense(
        torch.randn(8, 20, 3, generator=generator), label=torch.arange(8) % 2, classes=("a", "b")
    )
    model = Model(ExpertDenoisers(nets(classes=2), SPLITS, classes=2))
    assert model.conditional
    start = [p.clone() for p in model.net.parameters()]
    model.fit(data, settings=Training(steps=4, batch=8, warmup=0, ema=0.1), out=tmp_path)
    assert all(
        any(
            not torch.equal(a, b)
            for (n, a), b in zip(model.net.named_parameters(), start, strict=True)
            if n.startswith(f"nets.{i}.")
        )
        for i in range(3)
    )
    again = Model.from_pretrained(tmp_path / "model")
    one, two = (m.sample(2, nodes=20, labels=["a", "b"], steps=3, seed=1) for m in (model, again))
    assert torch.equal(one.pos, two.pos)


def test_a_batch_without_a_network_can_be_trained_on():
    data = Graphs.dense(torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(0)))
    expert = DMP(width=8, layers=1)
    before = [p.clone() for p in expert.parameters()]
    model = Model(ExpertDenoisers((None, expert), (0.999999,)))
    model.fit(data, settings=Training(steps=2, batch=1, warmup=0))
    assert all(torch.equal(a, b) for a, b in zip(expert.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), ()), "nets must"),
        (((None, None), (0.5,)), "nets must"),
        (((None, DMP(width=8)), ()), "splits must"),
        (((None, DMP(width=8)), (0.0,)), "splits must"),
        (((None, DMP(width=8)), (1.0,)), "splits must"),
        (((None, DMP(width=8)), (float("nan"),)), "splits must"),
        (((None, None, DMP(width=8)), (0.6, 0.6)), "splits must"),
        (((None, DMP(width=8, classes=2)), (0.5,)), r"nets\[1\] has classes=2"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExpertDenoisers(*arguments)


def test_refuses_columns_that_differ():
    graphs, log_snr, _ = example_batch()
    with pytest.raises(ValueError, match=r"nets\[1\]"):
        ExpertDenoisers((None, DMP(width=8, layers=1, out_dim=5)), (0.5,))(graphs, log_snr)
