import pytest
import torch
from network_battery import ALL, awake, batch

from noisefold.configuration import decode, encode
from noisefold.nn import Latents

SMALL = {"width": 16, "latents": 8, "latent_width": 16, "heads": 2}


@pytest.mark.parametrize("check", ALL, ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, {}),
        ({}, {"sizes": (40, 40, 40)}),
        ({"pos_dim": 2, "features": 3, "out_dim": 3, "classes": 4}, {"dim": 2, "features": 3, "classes": 4}),
    ],
    ids=["ragged", "uniform", "features and classes"],
)
def test_battery(check, options, data):
    torch.manual_seed(0)
    net = awake(Latents(**SMALL, **options))
    check(net, *batch(**data))


def test_begins_at_zero():
    graphs, log_snr, _ = batch()
    assert not Latents(**SMALL)(graphs, log_snr).any()


def test_configuration_round_trip():
    net = Latents(**SMALL, classes=3)
    again = decode(encode(net))
    again.load_state_dict(net.state_dict())
    graphs, log_snr, label = batch(classes=3)
    torch.testing.assert_close(again(graphs, log_snr, label), net(graphs, log_snr, label), rtol=0, atol=0)
