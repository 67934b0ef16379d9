"""The training loop.

A training is a function of (settings, data, seed): every random number follows from the seed and the step, so a
run that was killed and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.configuration import encode
from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.coupling import Independent
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams, mix
from noisefold.progress import progress
from noisefold.train.average import Average
from noisefold.train.batches import Batches
from noisefold.train.checkpoint import Checkpoint, Checkpoints
from noisefold.train.device import Runner
from noisefold.train.interrupt import deferred_interrupts
from noisefold.train.log import Log
from noisefold.train.objective import errors, hide_labels
from noisefold.train.settings import Training

__all__ = ["TrainingError", "train", "validate"]

_LEVELS = 10


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what is left to continue from."""


def train(
    denoiser: Denoiser,
    data: Graphs,
    settings: Training,
    *,
    val: Graphs | None = None,
    out: Path | None = None,
    resume: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Train a denoiser's network in place; it ends with the averaged weights.

    Parameters
    ----------
    denoiser
        Network, path and target.
    data, val
        Standardised graphs to train on and, optionally, to measure the loss on.
    settings
        How to train.
    out
        Run folder for checkpoints and ``metrics.jsonl``; None keeps nothing.
    resume
        Continue from the newest complete checkpoint in `out`, if there is one.
    on_step
        Called after every step with the number of steps done.

    Returns
    -------
    list of dict
        The log: the entries of ``metrics.jsonl``.

    Raises
    ------
    ValueError
        If the data are empty, `out` holds a run and `resume` was not asked for, or it is another training.
    TrainingError
        If the loss stops being finite.
    KeyboardInterrupt
        On SIGINT or SIGTERM, after the step under way was finished and saved.
    """
    run = _Run(denoiser, data, settings, val, out)
    run.begin(resume)
    with progress("training", settings.steps, run.step) as advance, deferred_interrupts() as stop:
        while run.step < settings.steps:
            run.advance()
            advance(1, run.note)
            if on_step is not None:
                on_step(run.step)
            if stop:
                run.save()
                raise KeyboardInterrupt
    return run.finish()


class _Run:
    """State of a training under way."""

    def __init__(
        self, denoiser: Denoiser, data: Graphs, settings: Training, val: Graphs | None, out: Path | None
    ) -> None:
        if len(data) == 0 or int(data.sizes.min()) == 0:
            raise ValueError("the training data must hold at least one graph, and no empty ones.")
        self.settings, self.val = settings, val
        self.runner = Runner(settings.precision, settings.device)
        self.denoiser, self.net = denoiser, denoiser.net.to(self.runner.device)
        wrapped = self.runner.prepare(self.net)
        self.learner = Denoiser(wrapped, denoiser.path, denoiser.target, denoiser.noised)
        self.batches = Batches(
            data, settings.batch, settings.seed, settings.nodes, self.runner.rank, self.runner.world
        )
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self.average = Average(self.net, settings.ema)
        self.checkpoints = None if out is None else Checkpoints(out / "checkpoints", settings.keep)
        self.log = Log(out / "metrics.jsonl" if out is not None and self.runner.main else None)
        self.identity = _identity(denoiser, data, settings)
        self.step, self.note = 0, ""
        self.recent: list[Tensor] = []
        self.seconds, self.clock = 0.0, time.perf_counter()

    # -- beginning and end -------------------------------------------------------------------------------

    def begin(self, resume: bool) -> None:
        """Take up the newest checkpoint, or start anew."""
        checkpoint = None if self.checkpoints is None else self.checkpoints.latest()
        if checkpoint is not None:
            assert self.checkpoints is not None
            folder = self.checkpoints.folder.parent
            if not resume:
                raise ValueError(
                    f"{folder} already holds a run of {checkpoint.step} steps; resume it, or choose another folder."
                )
            self._restore(checkpoint, folder)
        self.log.rewind(self.step)
        self.clock = time.perf_counter()

    def _restore(self, checkpoint: Checkpoint, folder: Path) -> None:
        saved = checkpoint.plain["identity"]
        for name, value in self.identity.items():
            if saved.get(name) != value:
                raise ValueError(
                    f"{folder} holds a run with another {name}; resume it with what it was started with "
                    f"({json.dumps(saved.get(name))[:200]}), or choose another folder."
                )
        self.net.load_state_dict(checkpoint.tensors["net"])
        self.average.load(checkpoint.tensors["average"])
        state = self.optimizer.state_dict()
        state["state"] = _nested(checkpoint.tensors.get("optimizer", {}))
        self.optimizer.load_state_dict(state)
        self.step, self.seconds = checkpoint.step, checkpoint.plain["seconds"]

    def save(self) -> None:
        """Write a checkpoint of the steps done so far."""
        if self.checkpoints is None or not self.runner.main or self.step in self.checkpoints.steps():
            return
        tensors = {
            "net": self.net.state_dict(),
            "average": self.average.state,
            "optimizer": _flat(self.optimizer.state_dict()["state"]),
        }
        plain = {"identity": self.identity, "seconds": self._elapsed()}
        self.checkpoints.save(Checkpoint(self.step, tensors, plain))

    def finish(self) -> list[dict[str, Any]]:
        """Leave the averaged weights in the network."""
        self.save()
        self.runner.wait()
        self.net.load_state_dict(self.average.state)
        self.net.eval()
        return self.log.entries

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.clock

    # -- one step ----------------------------------------------------------------------------------------

    def advance(self) -> None:
        """One step, and whatever is due after it."""
        self.recent.append(self._learn())
        self.step += 1
        last = self.step == self.settings.steps
        due = {n: last or self.step % getattr(self.settings, f"{n}_every") == 0 for n in _CHORES}
        if due["log"] or due["checkpoint"] or due["validate"]:
            self._record()
        if due["validate"] and self.val is not None:
            self._validate(self.val)
        if due["checkpoint"]:
            self.save()

    def _learn(self) -> Tensor:
        settings = self.settings
        torch.manual_seed(mix(settings.seed, self.step, self.runner.rank))
        batch = self.batches(self.step)
        graphs = hide_labels(batch.graphs, batch.streams, settings.label_drop).to(self.runner.device)
        self.net.train()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * _rate(self.step, settings)
        with self.runner.autocast():
            loss = errors(self.learner, graphs, batch.streams, batch.quantiles, settings.coupling)[0].mean()
        self.optimizer.zero_grad()
        self.runner.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), settings.clip)
        self.optimizer.step()
        self.average.update(self.net, self.step)
        return torch.stack([loss.detach().float(), norm.detach().float()])

    def _record(self) -> None:
        if not self.recent:
            return
        loss, norm = self.runner.mean(torch.stack(self.recent).mean(0)).tolist()
        count, self.recent = len(self.recent), []
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(self._farewell(loss, count))
        self.note = f"loss {loss:.4f}"
        lr = self.optimizer.param_groups[0]["lr"]
        entry = {"step": self.step, "loss": loss, "grad_norm": norm, "lr": lr, "seconds": self._elapsed()}
        self.log.add(entry)

    def _farewell(self, loss: float, count: int) -> str:
        steps = [] if self.checkpoints is None else self.checkpoints.steps()
        left = f"checkpoint {steps[-1]} is the last good one" if steps else "there is no checkpoint to return to"
        return (
            f"the loss became {loss} between steps {self.step - count} and {self.step}; {left}; "
            f"try a smaller lr than {self.settings.lr:g}."
        )

    def _validate(self, val: Graphs) -> None:
        state = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(self.average.state)
        scores = validate(self.denoiser, val, self.settings, self.runner.device)
        self.net.load_state_dict(state)
        self.log.add({"step": self.step, **scores})


_CHORES = ("log", "validate", "checkpoint")


@torch.no_grad()
def validate(denoiser: Denoiser, val: Graphs, settings: Training, device: torch.device) -> dict[str, Any]:
    """Loss on held-out graphs, in all and by signal level (ten equal parts of [0, 1]).

    At most 512 graphs, each at one noise level; the same levels and noise at every call.
    """
    denoiser.net.eval()
    count = min(len(val), 512)
    fixed = replace(settings, batch=min(settings.batch, count), seed=mix(settings.seed, 77))
    batches = Batches(val, fixed.batch, fixed.seed, fixed.nodes)
    losses, levels = [], []
    for step in range(-(-count // fixed.batch)):
        batch = batches(step)
        graphs = batch.graphs.to(device)
        loss, t = errors(denoiser, graphs, batch.streams, batch.quantiles, Independent())
        losses.append(loss.cpu())
        levels.append(denoiser.path.signal(t).cpu())
    loss, level = torch.cat(losses), torch.cat(levels)
    bins = (level * _LEVELS).long().clamp(max=_LEVELS - 1)
    by_level = [float(loss[bins == b].mean()) if bool((bins == b).any()) else None for b in range(_LEVELS)]
    return {"val_loss": float(loss.mean()), "val_loss_by_signal": by_level}


def _rate(step: int, settings: Training) -> float:
    warm = min(1.0, (step + 1) / (settings.warmup + 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _identity(denoiser: Denoiser, data: Graphs, settings: Training) -> dict[str, Any]:
    """What must not change between the parts of one run; lengths and bookkeeping may."""
    free = ("steps", "device", "keep", *(f"{n}_every" for n in _CHORES))
    path: Gaussian = denoiser.path
    digest = hashlib.sha256()
    for tensor in (data.pos, data.x, data.ptr, data.label):
        if tensor is not None:
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    shapes = {k: list(v.shape) for k, v in denoiser.net.state_dict().items()}
    return {
        "settings": {k: v for k, v in encode(settings).items() if k not in free},
        "path": encode(path),
        "target": encode(denoiser.target),
        "noised": denoiser.noised,
        "network": hashlib.sha256(json.dumps(shapes).encode()).hexdigest(),
        "data": digest.hexdigest(),
    }


def _flat(state: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{i}.{k}": torch.as_tensor(v) for i, entry in state.items() for k, v in entry.items()}


def _nested(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    out: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        out.setdefault(int(index), {})[key] = value
    return out
