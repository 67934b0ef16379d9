"""Training settings and network sizes that several studies share."""

from __future__ import annotations

from typing import Any

from noisefold.train import Training
from noisefold.train.device import fast_precision

__all__ = ["LARGE_LATENTS", "SHORT", "SMALL_LATENTS", "TINY"]

TINY = Training(batch=4, warmup=1, ema=0.5, keep=1)
"""A training that only shows that a study runs."""

SHORT = Training(
    lr=1.5e-3,
    warmup=50,
    ema=0.99,
    precision=fast_precision(),
    validate_every=10**9,  # the losses of trials are measured afterwards, all in the same way
    checkpoint_every=100,
    keep=1,
)
"""A training on one core, for seconds to minutes."""

SMALL_LATENTS: dict[str, Any] = {
    "width": 16,
    "latents": 4,
    "latent_width": 16,
    "rounds": 1,
    "blocks": 1,
    "heads": 2,
}
LARGE_LATENTS: dict[str, Any] = {"width": 128, "latents": 128, "latent_width": 256, "rounds": 3}
"""Arguments of `noisefold.nn.Latents` at the smoke and the paper's scale."""
