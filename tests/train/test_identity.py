"""What makes two trainings the same run."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import SMALL, Moody, data, denoiser, settings

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.latents import Latents
from noisefold.noise.coupling import MiniBatch
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.schedule import VP
from noisefold.noise.target import Target
from noisefold.train.identity import check_same_run, run_identity

RUN = Path("runs/a")


def _identity(**changes: Any) -> dict[str, Any]:
    parts = {"denoiser": denoiser(), "data": data(), "settings": settings(), **changes}
    return run_identity(**parts)


def _other_path() -> Denoiser:
    return Denoiser(denoiser().net, Gaussian(VP()), Target())


def _other_heads() -> Denoiser:
    return denoiser(Latents(classes=10, **{**SMALL, "heads": 4}))


def _same_pos_other_edges() -> Graphs:
    return data().replace(edge_index=torch.tensor([[0], [1]]))


DIFFERENCES: list[tuple[Callable[[], dict[str, Any]], str]] = [
    (lambda: {"settings": settings(batch=8)}, "holds a run with settings.batch = 4, and this one has 8;"),
    (lambda: {"settings": settings(lr=0.5)}, "holds a run with settings.lr = 0.01, and this one has 0.5;"),
    (lambda: {"settings": settings(seed=1)}, "holds a run with settings.seed = 0, and this one has 1;"),
    (
        lambda: {"settings": settings(nodes=None)},
        "holds a run with settings.nodes = 8, and this one has null;",
    ),
    (
        lambda: {"settings": settings(coupling=MiniBatch())},
        'with settings.coupling.kind = "noise.Independent", and this one has "noise.MiniBatch";',
    ),
    (
        lambda: {"denoiser": _other_path()},
        'path.schedule.kind = "noise.Linear", and this one has "noise.VP";',
    ),
    (
        lambda: {"denoiser": Denoiser(denoiser().net, Gaussian(), Target("noise"))},
        'with target.name = "velocity", and this one has "noise";',
    ),
    (lambda: {"denoiser": _other_heads()}, "holds a run with net.heads = 2, and this one has 4;"),
    (lambda: {"data": data(1)}, "holds a run on other data;"),
    (lambda: {"data": data().replace(label=None)}, "holds a run on other data;"),
    (lambda: {"data": _same_pos_other_edges()}, "holds a run on other data;"),
]


@pytest.mark.parametrize(
    ("changes", "message"), DIFFERENCES, ids=lambda v: v[-30:] if isinstance(v, str) else ""
)
def test_another_run_is_refused(changes: Callable[[], dict[str, Any]], message: str) -> None:
    saved = json.loads(json.dumps(_identity()))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        check_same_run(saved, _identity(**changes()), RUN)
    assert str(caught.value).startswith("runs/a holds a run ")
    assert str(caught.value).endswith("; go on as it began, or choose another folder.")
    assert str(caught.value).count(". ") == 0


def test_another_network_is_refused_even_without_a_configuration() -> None:
    saved = _identity(denoiser=denoiser(Moody()))
    check_same_run(saved, _identity(denoiser=denoiser(Moody())), RUN)
    with pytest.raises(ValueError, match="holds a run of a network with other weights;"):
        check_same_run(saved, _identity(denoiser=denoiser(Moody(norm=False))), RUN)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 99},
        {"device": "cpu"},
        {"keep": 5},
        {"log_every": 1},
        {"validate_every": 1},
        {"checkpoint_every": 1},
        {"tensorboard": True},
    ],
    ids=str,
)
def test_length_device_and_bookkeeping_may_change(change: dict[str, Any]) -> None:
    check_same_run(_identity(), _identity(settings=replace(settings(), **change)), RUN)


def test_entries_of_another_version_are_not_compared() -> None:
    now = _identity()
    older, newer = copy.deepcopy(now), copy.deepcopy(now)
    del older["net"], older["settings"]["label_drop"]
    newer["settings"]["later"] = 1
    check_same_run(older, now, RUN)
    check_same_run(newer, now, RUN)


def test_any_kind_of_data_has_an_identity() -> None:
    low = Graphs(torch.randn(4, 2).bfloat16(), x=torch.zeros(4, 0), mask=torch.ones(4, dtype=torch.bool))
    assert run_identity(denoiser(), low, settings()) != run_identity(
        denoiser(), low.replace(mask=torch.zeros(4, dtype=torch.bool)), settings()
    )
