"""The moving average against closed forms."""

from __future__ import annotations

import pytest
import torch
from tiny_training import Moody
from torch import nn

from noisefold.train.ema import EMA


def _number(value: float) -> nn.Module:
    net = nn.Module()
    net.weight = nn.Parameter(torch.tensor([value], dtype=torch.float64))
    return net


def _set(net: nn.Module, value: float) -> None:
    net.load_state_dict({"weight": torch.tensor([value])})


def test_constant_weights_are_their_own_average() -> None:
    net = _number(0.3)
    average = EMA(net, 0.99)
    for step in range(50):
        average.update(net, step)
    assert float(average.state["weight"]) == 0.3


def test_linear_weights_with_constant_decay() -> None:
    # From a_n = d a_(n-1) + (1 - d) n with a_0 = 0: a_n = n - d (1 - d^n) / (1 - d).
    decay, net = 0.1, _number(0.0)
    average = EMA(net, decay)
    for step in range(30):
        _set(net, step)
        average.update(net, step)
        exact = step - decay * (1 - decay**step) / (1 - decay)
        # A few roundings of float64 at magnitude 30.
        assert abs(float(average.state["weight"]) - exact) < 1e-13


def test_the_decay_warms_up() -> None:
    net, decay = _number(5.0), 0.9
    average = EMA(net, decay)
    decays = [min(decay, (1 + k) / (10 + k)) for k in range(200)]
    assert decays[0] == 0.1
    assert decays[-1] == decay
    exact = 5.0
    for step, d in enumerate(decays):
        value = float(torch.tensor(float(step)).sin())
        _set(net, value)
        average.update(net, step)
        exact = d * exact + (1 - d) * value
    assert abs(float(average.state["weight"]) - exact) < 1e-13


def test_buffers_are_averaged_or_copied() -> None:
    net = Moody(dropout=0.0).double()
    average = EMA(net, 0.5)
    means = [net.norm.running_mean.clone()]
    for step in range(20, 23):  # past the warm-up, where the decay is 0.5
        net.norm(torch.randn(6, 8, dtype=torch.float64))
        average.update(net, step)
        means.append(net.norm.running_mean.clone())
    assert int(average.state["norm.num_batches_tracked"]) == 3
    exact = means[0] / 8 + means[1] / 8 + means[2] / 4 + means[3] / 2
    torch.testing.assert_close(average.state["norm.running_mean"], exact, rtol=0, atol=1e-15)


def test_the_average_does_not_share_memory_with_the_network() -> None:
    net = _number(1.0)
    average = EMA(net, 0.9)
    _set(net, 2.0)
    assert float(average.state["weight"]) == 1.0


def test_within_lends_the_average_and_gives_the_weights_back() -> None:
    net = _number(1.0)
    average = EMA(net, 0.9)
    _set(net, 2.0)
    seen = []

    def fail() -> None:
        with average.within(net):
            seen.append(net.weight.tolist())
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail()
    assert seen == [[1.0]]
    assert net.weight.tolist() == [2.0]
    assert float(average.state["weight"]) == 1.0


def test_load_continues_from_a_saved_average() -> None:
    average = EMA(_number(1.0), 0.9)
    average.load({"weight": torch.tensor([4.0])})
    assert float(average.state["weight"]) == 4.0


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decay_is_checked(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"ema must lie in \[0, 1\), got {decay}"):
        EMA(_number(0.0), decay)
