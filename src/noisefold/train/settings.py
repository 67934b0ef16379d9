"""Settings of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TypedDict

from noisefold.arguments import device_name, one_of, real, whole
from noisefold.configuration import configurable
from noisefold.noise.coupling import Coupling, Independent
from noisefold.noise.levels import Levels
from noisefold.train.device import PRECISIONS
from noisefold.train.masks import Masks
from noisefold.train.optimizers import OPTIMIZERS

__all__ = ["Training", "TrainingOptions"]

_LEAST = {
    "steps": 1,
    "batch": 1,
    "nodes": 1,
    "warmup": 0,
    "log_every": 1,
    "validate_every": 1,
    "checkpoint_every": 1,
    "keep": 1,
}
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "lr": ("above 0", lambda v: v > 0),
    "clip": ("above 0", lambda v: v > 0),
    "weight_decay": ("of at least 0", lambda v: v >= 0),
    "ema": ("in [0, 1)", lambda v: 0 <= v < 1),
    "label_drop": ("in [0, 1)", lambda v: 0 <= v < 1),
}
_NAMES = {"precision": tuple(PRECISIONS), "optimizer": OPTIMIZERS}


class TrainingOptions(TypedDict, total=False):
    """The fields of `Training` as keywords."""

    steps: int
    batch: int
    nodes: int | None
    optimizer: str
    lr: float
    warmup: int
    weight_decay: float
    clip: float
    ema: float
    label_drop: float
    coupling: Coupling
    levels: Levels | None
    masks: Masks | None
    precision: str
    device: str
    seed: int
    log_every: int
    validate_every: int
    checkpoint_every: int
    keep: int
    tensorboard: bool


@configurable
@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    steps
        Optimiser steps. May be changed when a run is resumed; the learning rate then follows the new length.
    batch
        Graphs per step, over all processes.
    nodes
        Nodes taken from each graph, anew every time it is seen; None takes all.
    optimizer
        "adamw", or "muon": `noisefold.train.Muon` for the weight matrices.
    lr, warmup
        Highest learning rate, and the steps it takes to reach it; then it falls to 0 along a cosine.
    weight_decay
        Decoupled from the gradient, as in AdamW.
    clip
        Largest norm of the gradient; longer ones are scaled down to it.
    ema
        Decay of the moving average of the weights, which is what the trained model uses.
    label_drop
        Share of graphs whose class is hidden, for classifier-free guidance.
    coupling
        Which noise goes with which data.
    levels
        Distribution of the noise levels trained at; None is uniform in t. The loss is not weighted to make up
        for it.
    masks
        Masks of observed values for a model for completion; None is `Masks` as it comes. Other models have
        none.
    precision
        "float32" or "bfloat16".
    device
        "auto", the accelerator if there is one, or any device of PyTorch such as "cpu" or "cuda:1".
    seed
        Everything random in the training follows from it and the step.
    log_every, validate_every, checkpoint_every
        Steps between lines of the log, validations and checkpoints.
    keep
        How many of the newest checkpoints stay.
    tensorboard
        Whether to mirror the log to TensorBoard, in the run folder.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    steps: int = 5000
    batch: int = 64
    nodes: int | None = None
    optimizer: str = "adamw"
    lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    label_drop: float = 0.1
    coupling: Coupling = field(default_factory=Independent)
    levels: Levels | None = None
    masks: Masks | None = None
    precision: str = "float32"
    device: str = "auto"
    seed: int = 0
    log_every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 500
    keep: int = 2
    tensorboard: bool = False

    def changed(self, options: TrainingOptions) -> Training:
        """Return the same with some fields changed.

        Raises
        ------
        ValueError
            If a name is none of the fields, or a number is out of its range.
        """
        known = {f.name for f in fields(self)}
        for name in options:
            if name not in known:
                raise ValueError(f"training has no option {name!r}; it has {', '.join(known)}.")
        return replace(self, **options)

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not (name == "nodes" and value is None):
                self._set(name, whole(name, value, least=least))
        for name, (range_, fits) in _RANGES.items():
            value = real(name, getattr(self, name))
            if not fits(value):
                raise ValueError(f"{name} must be a number {range_}, got {value!r}.")
            if type(getattr(self, name)) not in (int, float):
                self._set(name, value)
        for name, known in _NAMES.items():
            self._set(name, one_of(name, getattr(self, name), tuple(known)))
        self._set("device", device_name(self.device))
        self._set("seed", whole("seed", self.seed))
        if not callable(self.coupling):
            raise ValueError(f"coupling must be Independent(), MiniBatch() or alike, got {self.coupling!r}.")

    def _set(self, name: str, value: object) -> None:
        """Put a plain value in the place of one of NumPy or torch, so that it can be written down."""
        object.__setattr__(self, name, value)
