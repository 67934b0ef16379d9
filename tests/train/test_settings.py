"""Settings refuse what cannot be meant, in one sentence that names the argument and the value."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from noisefold.configuration import decode, encode
from noisefold.noise.coupling import MiniBatch
from noisefold.train import Training

BAD = {
    "steps": [0, 1.5, "100", True],
    "batch": [-1],
    "nodes": [0],
    "warmup": [-1],
    "log_every": [0],
    "validate_every": [0],
    "checkpoint_every": [0],
    "keep": [0],
    "lr": [0.0, float("nan"), float("inf"), "1e-3"],
    "clip": [-1],
    "weight_decay": [-0.1],
    "ema": [1.0],
    "label_drop": [1],
    "precision": ["float16"],
    "device": ["gpu", 0],
    "seed": [1.5],
    "coupling": ["optimal"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_what_cannot_be_meant_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b.*{re.escape(str(value))}"):
        Training(**{name: value})


def test_numbers_of_numpy_and_words_in_any_case() -> None:
    """They become plain ones, so that a configuration can be written."""
    settings = Training(
        steps=np.int64(7), batch=3.0, nodes=np.uint8(9), seed=torch.tensor(4), lr=np.float32(0.5),
        precision="BFloat16", device="CUDA:1",
    )  # fmt: skip
    assert settings == Training(
        steps=7, batch=3, nodes=9, seed=4, lr=0.5, precision="bfloat16", device="cuda:1"
    )
    assert decode(yaml.safe_load(yaml.safe_dump(encode(settings)))) == settings
    assert Training(device=torch.device("cpu")).device == "cpu"  # type: ignore[arg-type]


def test_limits_themselves_are_allowed() -> None:
    Training(steps=1, batch=1, nodes=None, warmup=0, weight_decay=0, ema=0, label_drop=0, seed=-1, lr=1)


def test_settings_are_their_own_configuration() -> None:
    settings = Training(steps=7, nodes=9, coupling=MiniBatch(), precision="bfloat16")
    assert decode(encode(settings)) == settings
