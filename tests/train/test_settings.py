"""Settings refuse what cannot be meant, in one sentence that names the argument and the value."""

from __future__ import annotations

import re
from typing import Any

import pytest

from noisefold.configuration import decode, encode
from noisefold.noise.coupling import MiniBatch
from noisefold.train import Training

BAD = [
    ("steps", 0, "steps must be a whole number of at least 1, got 0."),
    ("steps", 1e4, "steps must be a whole number of at least 1, got 10000.0."),
    ("steps", "100", "steps must be a whole number of at least 1, got '100'."),
    ("steps", True, "steps must be a whole number of at least 1, got True."),
    ("batch", -1, "batch must be a whole number of at least 1, got -1."),
    ("nodes", 0, "nodes must be a whole number of at least 1, got 0."),
    ("warmup", -1, "warmup must be a whole number of at least 0, got -1."),
    ("log_every", 0, "log_every must be a whole number of at least 1, got 0."),
    ("validate_every", 0, "validate_every must be a whole number of at least 1, got 0."),
    ("checkpoint_every", 0, "checkpoint_every must be a whole number of at least 1, got 0."),
    ("keep", 0, "keep must be a whole number of at least 1, got 0."),
    ("lr", 0.0, "lr must be a number above 0, got 0.0."),
    ("lr", float("nan"), "lr must be a number above 0, got nan."),
    ("lr", float("inf"), "lr must be a number above 0, got inf."),
    ("lr", "1e-3", "lr must be a number above 0, got '1e-3'."),
    ("clip", -1, "clip must be a number above 0, got -1."),
    ("weight_decay", -0.1, "weight_decay must be a number of at least 0, got -0.1."),
    ("ema", 1.0, "ema must be a number in [0, 1), got 1.0."),
    ("label_drop", 1, "label_drop must be a number in [0, 1), got 1."),
    ("precision", "float16", "precision must be one of float32, bfloat16, got 'float16'."),
    ("device", "gpu", 'device must be "auto" or a device of PyTorch such as "cuda:1", got \'gpu\'.'),
    ("device", 0, 'device must be "auto" or a device of PyTorch such as "cuda:1", got 0.'),
    ("seed", 1.5, "seed must be a whole number, got 1.5."),
    ("coupling", "optimal", "coupling must be Independent(), MiniBatch() or alike, got 'optimal'."),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_what_cannot_be_meant_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Training(**{name: value})


def test_limits_themselves_are_allowed() -> None:
    Training(steps=1, batch=1, nodes=None, warmup=0, weight_decay=0, ema=0, label_drop=0, seed=-1, lr=1)


def test_settings_are_their_own_configuration() -> None:
    settings = Training(steps=7, nodes=9, coupling=MiniBatch(), precision="bfloat16")
    assert decode(encode(settings)) == settings
