"""The training loop.

A training is a function of (settings, data, seed): every random number follows from the seed and the step, so
a run that was killed and resumed ends with the same bits as one that was not.

On an accelerator that holds as far as its kernels add in a fixed order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.errors import TrainingError
from noisefold.files import check_out
from noisefold.geometry.chunks import node_chunks
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform
from noisefold.interrupt import deferred_interrupts
from noisefold.nn.denoiser import Denoiser, classes_of
from noisefold.nn.fittable import Fittable
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.source import derive_seed
from noisefold.progress import progress
from noisefold.train.batches import Batches
from noisefold.train.checkpoint import Checkpoint, Checkpoints
from noisefold.train.device import Runner, is_main
from noisefold.train.ema import EMA
from noisefold.train.identity import check_same_run, run_identity
from noisefold.train.lock import run_lock
from noisefold.train.log import Log
from noisefold.train.objective import batch_loss, hide_labels
from noisefold.train.optimizers import optimizer_of
from noisefold.train.settings import Training
from noisefold.train.validation import validate

__all__ = ["TrainingError", "train"]

_CHORES = ("log", "validate", "checkpoint")
_MEASURED = 64


def train(
    denoiser: Denoiser[Any, Any],
    data: Graphs,
    settings: Training,
    *,
    val: Graphs | None = None,
    out: Path | None = None,
    resume: bool = False,
    on_step: Callable[[int], None] | None = None,
    transform: Transform | None = None,
) -> list[dict[str, Any]]:
    """Train a denoiser's network in place; it ends with the averaged weights.

    A network of the kind `noisefold.nn.Fittable` first measures what it has not measured yet.

    Parameters
    ----------
    denoiser
        Network, path and target.
    data, val
        Graphs to train on and, optionally, to measure the loss on: in standard units, or brought to them by
        `transform`.
    settings
        How to train.
    out
        Run folder for checkpoints and ``metrics.jsonl``; None keeps nothing.
    resume
        Continue from the newest sound checkpoint in `out`, if there is one. The number of steps, of processes
        and the bookkeeping may differ from those so far; a run that has all its steps already is only read.
    on_step
        Called after every step with the number of steps done.
    transform
        Applied to each batch, so that data larger than memory need no standardised copy.

    Returns
    -------
    list of dict
        The log: the entries of ``metrics.jsonl``.

    Raises
    ------
    ValueError
        If the data are empty or not finite, or if `out` holds a run and `resume` was not asked for, it is
        another training, or another process trains there.
    OSError
        If a checkpoint or the log cannot be written or the disk has too little room; older checkpoints are
        kept.
    TrainingError
        If the loss or the weights stop being finite; the network has the averaged weights of the last
        checkpoint then, or, if there was none, the weights that it came with.
    KeyboardInterrupt
        On SIGINT or SIGTERM, after the step under way was finished and saved; a second signal does not wait.
    """
    _check_data(denoiser, data, "data", transform)
    if val is not None:
        _check_data(denoiser, val, "val", transform)
    _check_masks(denoiser, settings)
    if settings.tensorboard and out is None:
        raise ValueError("tensorboard=True needs a run folder; give out.")
    with run_lock(out, wanted=is_main()):
        run = _Run(denoiser, data, settings, val, out, transform)
        return _trained(run, resume, on_step)


def _trained(run: _Run, resume: bool, on_step: Callable[[int], None] | None) -> list[dict[str, Any]]:
    """Take all the steps of a training that are left; return its log."""
    settings = run.settings
    with closing(run.log):
        run.begin(resume)
        bar = progress("training", settings.steps, run.step, show=run.runner.main)
        try:
            with bar as tick, deferred_interrupts() as stop:
                while run.step < settings.steps:
                    run.advance()
                    tick(1, run.note)
                    if on_step is not None:
                        on_step(run.step)
                    if run.runner.any(bool(stop)):
                        run.finish()
                        raise KeyboardInterrupt
            run.finish()
        except TrainingError:
            run.retreat()
            raise
    return run.log.entries


class _Run:
    """State of a training under way."""

    def __init__(
        self,
        denoiser: Denoiser[Any, Any],
        data: Graphs,
        settings: Training,
        val: Graphs | None,
        out: Path | None,
        transform: Transform | None,
    ) -> None:
        self.settings, self.val, self.out, self.transform = settings, val, out, transform
        self.runner = Runner(settings.precision, settings.device)
        self.denoiser, self.net = denoiser, denoiser.net.to(self.runner.device)
        self.checkpoints = None if out is None else Checkpoints(out / "checkpoints", settings.keep)
        if self.checkpoints is None or not self.checkpoints.steps():
            _measure(self.net, data, settings, transform)
        # Also gives every process the weights and buffers of the first; the average must begin with these.
        wrapped = self.runner.prepare(self.net)
        self.learner = denoiser.with_net(wrapped)
        self.batches = Batches(
            data,
            settings.batch,
            settings.seed,
            settings.nodes,
            self.runner.rank,
            self.runner.world,
            transform,
        )
        self.optimizer = optimizer_of(self.net, settings.optimizer, settings.lr, settings.weight_decay)
        self.average = EMA(self.net, settings.ema)
        self.log = Log(None if out is None else out / "metrics.jsonl", self.runner.main)
        self.identity = run_identity(denoiser, data, settings, transform)
        self.step, self.note = 0, ""
        self.saved: int | None = None
        self.good = _kept(self.average.state)
        self.recent: list[Tensor] = []
        self.seconds, self.clock = 0.0, time.perf_counter()

    # -- beginning and end -------------------------------------------------------------------------------

    def begin(self, resume: bool) -> None:
        """Take up the newest checkpoint, or start anew."""
        if self.checkpoints is not None:
            if not resume and (steps := self.checkpoints.steps()):
                raise ValueError(
                    f"{self.out} holds a run of {steps[-1]} steps; resume it, or take another folder."
                )
            if self.runner.main:
                self.checkpoints.tidy()
                check_out(self.checkpoints.folder, folder=True, room=self._room(self.checkpoints))
            if (checkpoint := self.checkpoints.latest()) is not None:
                self._restore(checkpoint)
        here = torch.tensor(float(self.step), device=self.runner.device)
        if self.runner.any(bool(self.runner.mean(here) != here)):
            raise ValueError(f"the processes see different checkpoints in {self.out}; they must share it.")
        self.log.begin(self.step, self.settings.tensorboard)
        self.clock = time.perf_counter()

    def _room(self, checkpoints: Checkpoints) -> int:
        """Bytes that the checkpoints to come take at least, while the newest is written beside the others."""
        weights = sum(p.numel() * p.element_size() for p in self.net.parameters() if p.requires_grad)
        more = max(1, checkpoints.keep + 1 - len(checkpoints.steps()))
        return more * 4 * weights  # the weights, their average and two moments of Adam

    def _restore(self, checkpoint: Checkpoint) -> None:
        assert self.out is not None
        check_same_run(checkpoint.plain["identity"], self.identity, self.out)
        self.net.load_state_dict(checkpoint.tensors["net"])
        self.average.load(checkpoint.tensors["average"])
        state = self.optimizer.state_dict()
        state["state"] = _nested(checkpoint.tensors.get("optimizer", {}))
        self.optimizer.load_state_dict(state)
        if "recent" in checkpoint.tensors:
            self.recent = list(checkpoint.tensors["recent"]["losses"].to(self.runner.device))
        self.step = self.saved = checkpoint.step
        self.good = _kept(self.average.state)
        self.seconds = checkpoint.plain["seconds"]

    def save(self) -> None:
        """Write a checkpoint of the steps done so far, unless there is one."""
        if self.saved == self.step:
            return
        tensors = {
            "net": self.net.state_dict(),
            "average": self.average.state,
            "optimizer": _flat(self.optimizer.state_dict()["state"]),
        }
        if self.recent:
            tensors["recent"] = {"losses": self.runner.mean(torch.stack(self.recent))}
        checkpoint = Checkpoint(self.step, tensors, {"identity": self.identity, "seconds": self._elapsed()})
        if not checkpoint.finite:
            raise self._failure("the weights stopped being finite")
        if not math.isfinite(loss := self._averaged_loss()):
            raise self._failure(f"the loss of the averaged weights became {loss}")
        if self.checkpoints is not None and self.runner.main:
            self.log.sync()
            self.checkpoints.save(checkpoint)
        self.saved, self.good = self.step, _kept(self.average.state)

    def finish(self) -> None:
        """Save, and leave the averaged weights in the network."""
        self.save()
        self.runner.wait()
        self._leave(self.average.state)

    def retreat(self) -> None:
        """Leave the last weights known to be finite in the network."""
        self._leave(self.good)

    def _leave(self, weights: dict[str, Tensor]) -> None:
        self.net.load_state_dict(weights)
        self.net.eval()

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.clock

    # -- one step ----------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Take one step, and do whatever is due after it."""
        self.recent.append(self._learn())
        self.step += 1
        last = self.step == self.settings.steps
        due = {n: last or self.step % getattr(self.settings, f"{n}_every") == 0 for n in _CHORES}
        if any(due.values()):
            self._record()
        if due["validate"] and self.val is not None:
            self._validate(self.val)
        if due["checkpoint"]:
            self.save()

    def _learn(self) -> Tensor:
        settings = self.settings
        torch.manual_seed(derive_seed(settings.seed, self.step, self.runner.rank))
        self.net.train()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * _rate(self.step, settings)
        with self.runner.autocast():
            loss = self._loss(self.learner, self.step)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), settings.clip)
        self.optimizer.step()
        self.average.update(self.net, self.step)
        return torch.stack([loss.detach().float(), norm.detach().float()])

    def _loss(self, denoiser: Denoiser[Any, Any], step: int) -> Tensor:
        """Return the mean loss of a denoiser on the batch of a step."""
        settings, batch = self.settings, self.batches(step)
        graphs = hide_labels(batch.graphs, batch.streams, settings.label_drop).to(self.runner.device)
        how = (settings.coupling, settings.levels, settings.masks)
        return batch_loss(denoiser, graphs, batch.streams, batch.quantiles, *how)[0].mean()

    @torch.no_grad()
    def _averaged_loss(self) -> float:
        """Return the loss of the averaged weights on the last batch; finite weights can answer with NaN."""
        self.net.eval()  # so that no buffer changes
        with self.average.within(self.net):
            loss = self._loss(self.denoiser, self.step - 1).float()
        return float(self.runner.mean(loss))

    def _record(self) -> None:
        loss, norm = self.runner.mean(torch.stack(self.recent).mean(0)).tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._failure(f"the loss became {loss}, its gradient {norm}")
        self.recent = []
        self.note = f"loss {loss:.4f}"
        lr = self.optimizer.param_groups[0]["lr"]
        entry = {"step": self.step, "loss": loss, "grad_norm": norm, "lr": lr, "seconds": self._elapsed()}
        self.log.add(entry)

    def _failure(self, what: str) -> TrainingError:
        left = "there is no checkpoint to return to, so that the model keeps the weights it had"
        if self.saved is not None:
            left = f"the model keeps the averaged weights of step {self.saved}"
            if self.checkpoints is not None:
                left = f"checkpoint {self.saved} is the last good one, whose averaged weights the model keeps"
        lr = self.settings.lr
        return TrainingError(f"{what} by step {self.step}; {left}; try a smaller lr than {lr:g}.")

    def _validate(self, val: Graphs) -> None:
        with self.average.within(self.net):
            scores = validate(self.denoiser, val, self.settings, self.runner.device, self.transform)
        if not math.isfinite(scores["val_loss"]):
            raise self._failure(f"the validation loss became {scores['val_loss']}")
        self.log.add({"step": self.step, **scores})


def _measure(net: nn.Module, data: Graphs, settings: Training, transform: Transform | None) -> None:
    """Let a network measure what it measures itself, once; a function of data, seed and nodes."""
    if not isinstance(net, Fittable) or bool(net.learned):
        return
    count = min(len(data), getattr(net, "measured_graphs", _MEASURED))
    batches = Batches(data, count, settings.seed, settings.nodes, transform=transform)
    net.learn(batches.part(0, range(count)).graphs)


def _check_data(denoiser: Denoiser[Any, Any], data: Graphs, name: str, transform: Transform | None) -> None:
    denoiser.variable.read(data)
    if len(data) == 0 or int(data.sizes.min()) == 0:
        raise ValueError(f"{name} must hold at least one graph, and no empty ones.")
    for chunk in node_chunks(data):
        part = chunk if transform is None else transform.apply(chunk)
        for field in ("pos", "x"):
            value = getattr(part, field)
            if value is not None and not bool(value.isfinite().all()):
                raise ValueError(f"{name}.{field} holds NaN or infinity; leave those graphs out.")
    classes = classes_of(denoiser.net)
    if classes and data.label is not None and not bool(((data.label >= -1) & (data.label < classes)).all()):
        found = f"{int(data.label.min())} to {int(data.label.max())}"
        raise ValueError(f"{name}.label must lie below the network's classes={classes}, got {found}.")


def _check_masks(denoiser: Denoiser[Any, Any], settings: Training) -> None:
    if settings.masks is not None and not denoiser.for_completion:
        raise ValueError(
            "masks are for a model for completion; make it with for_completion=True, or leave masks out."
        )
    if denoiser.for_completion and isinstance(settings.coupling, WithinCloud):
        raise ValueError(
            "coupling WithinCloud leaves the noise of what is unknown dependent on what is known, which a "
            "model for completion is told; use Independent() or MiniBatch()."
        )


def _rate(step: int, settings: Training) -> float:
    warm = min(1.0, (step + 1) / (settings.warmup + 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _kept(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of weights, off the accelerator."""
    return {k: v.to("cpu", copy=True) for k, v in state.items()}


def _flat(state: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{i}.{k}": torch.as_tensor(v) for i, entry in state.items() for k, v in entry.items()}


def _nested(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    out: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        out.setdefault(int(index), {})[key] = value
    return out
