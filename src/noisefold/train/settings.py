"""Settings of a training."""

from __future__ import annotations

from dataclasses import dataclass, field

from noisefold.configuration import configurable
from noisefold.noise.coupling import Coupling, Independent
from noisefold.train.device import PRECISIONS

__all__ = ["Training"]


@configurable
@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    steps
        Optimiser steps.
    batch
        Graphs per step, over all processes.
    nodes
        Nodes taken from each graph, anew every time it is seen; None takes all.
    lr, warmup
        Highest learning rate, and the steps it takes to reach it; then it falls to 0 along a cosine.
    weight_decay
        Of AdamW.
    clip
        Largest norm of the gradient; longer ones are scaled down to it.
    ema
        Decay of the moving average of the weights, which is what the trained model uses.
    label_drop
        Share of graphs whose class is hidden, for classifier-free guidance.
    coupling
        Which noise goes with which data.
    precision
        "float32" or "bfloat16".
    device
        "auto" or "cpu".
    seed
        Everything random in the training follows from it and the step.
    log_every, validate_every, checkpoint_every
        Steps between lines of the log, validations and checkpoints.
    keep
        How many of the newest checkpoints stay.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    steps: int = 5000
    batch: int = 64
    nodes: int | None = None
    lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    label_drop: float = 0.1
    coupling: Coupling = field(default_factory=Independent)
    precision: str = "float32"
    device: str = "auto"
    seed: int = 0
    log_every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "validate_every", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.nodes is not None and self.nodes < 1:
            raise ValueError(f"nodes must be at least 1 or None, got {self.nodes}.")
        for name in ("lr", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        for name in ("warmup", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("ema", "label_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}.")
        if self.device not in ("auto", "cpu"):
            raise ValueError(f'device must be "auto" or "cpu", got {self.device!r}.')
