"""Tropical cyclones: tracks on the sphere completed from a part of them, beside Gaussian baselines."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from noisefold.data.functions import Tracks, read_tracks
from noisefold.domains import Request
from noisefold.domains.sphere_functions import SphereFunctions
from noisefold.model import Model
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Run
from noisefold.studies.kit.presets import TINY
from noisefold.train import Training

__all__ = ["SCALES", "tracks", "trained"]

_FILES = ("ibtracs_6hourly.npz", "hurdat2_na_ep.npz")
_FIRST_OF_BOTH = 1980  # the season in which the first file begins
_TEST_FROM = 2013
_ROUNDED = 4e-4


@dataclass(frozen=True)
class Scale:
    """Training, test tracks, draws and steps."""

    training: Training
    tests: int
    likelihoods: int
    draws: int
    steps: int
    flow_steps: int
    net: dict[str, Any]


_SHORT = Training(steps=6000, batch=64, lr=2e-3, ema=0.998, validate_every=1000, checkpoint_every=500, keep=1)
SCALES = {
    "smoke": Scale(replace(TINY, steps=4), 6, 2, 8, 3, 2, {"width": 16, "blocks": 1, "heads": 2}),
    "short": Scale(_SHORT, 256, 100, 64, 30, 40, {}),
    "paper": Scale(replace(_SHORT, steps=60_000, ema=0.9995), 475, 475, 128, 50, 50, {"width": 128}),
}


def tracks() -> tuple[Tracks, Tracks]:
    """Return tracks of 25 six-hourly places of seasons before 2013, and those from it on, dequantised.

    Training has IBTrACS from 1980 and HURDAT2 from 1950 to 1979, so that no storm occurs twice; test has
    IBTrACS alone.

    Raises
    ------
    ValueError
        If the files are not in the data folder.
    """
    folder = data_folder() / "cyclones"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"this study needs {missing[0]} in {folder}; set NOISEFOLD_DATA to the data folder.")
    recent, old = (read_tracks(folder / name) for name in _FILES)
    old = old[(old.season >= 1950) & (old.season < _FIRST_OF_BOTH)]
    train, test = recent.resampled().before(_TEST_FROM)
    return train.joined(old.resampled()).dequantised(_ROUNDED), test.dequantised(_ROUNDED, seed=1)


def trained(run: Run[Scale], train: Tracks) -> tuple[Model, float]:
    """Return a model trained for completion, and the CPU seconds that it took."""
    request = Request(for_completion=True, seed=run.seed, net=run.size.net)
    model = Model.of_recipe(SphereFunctions().recipe(train.graphs, request))
    masks = model.training.masks
    begun = time.process_time()
    settings = replace(run.size.training, masks=masks, seed=run.seed)
    model.fit(train.graphs, out=run.folder / "model", resume=True, settings=settings)
    spent = run.cached("training", lambda: time.process_time() - begun)
    return model, float(spent)
