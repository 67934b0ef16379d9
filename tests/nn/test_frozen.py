"""Weights taken as constants: derivatives by inputs stay, those by weights are left out, and come back."""

import contextlib

import torch
from torch import nn

from noisefold.nn.frozen import frozen


def test_weights_are_constants_within_and_as_they_were_afterwards():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net[0].bias.requires_grad_(False)
    x = torch.ones(1, 2, requires_grad=True)
    with frozen(net):
        net(x).sum().backward()
    assert x.grad is not None
    assert all(weight.grad is None for weight in net.parameters())
    assert [weight.requires_grad for weight in net.parameters()] == [True, False, True, True]
    with contextlib.suppress(KeyError), frozen(net):
        raise KeyError
    assert net[0].weight.requires_grad
