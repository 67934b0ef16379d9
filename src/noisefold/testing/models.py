"""Checks of models and of what is written to configurations."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from noisefold.configuration import decode, encode
from noisefold.geometry.graphs import Graphs
from noisefold.testing.require import close, require

__all__ = ["assert_roundtrip", "assert_seeds"]


class Sampler(Protocol):
    """What `assert_seeds` needs of a model."""

    def sample(self, count: int, *, seed: int, batch: int, **sampling: Any) -> Graphs:
        """Generate graphs."""


def assert_seeds(model: Sampler, *, count: int = 4, tolerance: float = 1e-4, **sampling: Any) -> None:
    """Sample i is a function of (seed, i): not of the batch size, nor of how many are drawn.

    Parameters
    ----------
    model
        A trained `noisefold.Model`, or what samples like one.
    count
        Samples, at least 2.
    tolerance
        Greatest error, relative to 1 + the size of a number.
    **sampling
        Passed to ``model.sample``.
    """
    whole = model.sample(count, seed=0, batch=count, **sampling)
    for name, part in (
        ("one by one", model.sample(count, seed=0, batch=1, **sampling)),
        ("of fewer", model.sample(count - 1, seed=0, batch=count, **sampling)),
    ):
        for i, (mine, other) in enumerate(zip(part, whole, strict=False)):
            require(mine.num_nodes == other.num_nodes, f"sample {i} {name} has another number of nodes.")
            close(f"sample {i} {name}", _values(mine), _values(other), tolerance)
    again = model.sample(count, seed=1, batch=count, **sampling)
    for i, (one, other) in enumerate([*zip(whole, again, strict=True), *pairwise(whole)]):
        same = one.num_nodes == other.num_nodes and bool((_values(one) == _values(other)).all())
        require(not same, f"pair {i} of samples of different seeds or numbers is one and the same.")


def assert_roundtrip(value: Any) -> None:
    """An object comes back from its configuration, through JSON, as an equal one; a network untrained."""
    written = json.loads(json.dumps(encode(value)))
    back = decode(written)
    require(type(back) is type(value), f"{value!r} comes back as {back!r}.")
    again = json.loads(json.dumps(encode(back)))
    require(again == written, f"{value!r} is written as {written} and, once back, as {again}.")
    if isinstance(value, nn.Module):
        shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (value, back)]
        require(shapes[0] == shapes[1], f"{type(value).__name__} comes back with other parameters.")
    else:
        require(back == value, f"{value!r} comes back as {back!r}.")
        require(hash(back) == hash(value), f"{value!r} comes back with another hash.")


def _values(graphs: Graphs) -> Tensor:
    return graphs.pos if graphs.x is None else torch.cat([graphs.pos, graphs.x], dim=1)
