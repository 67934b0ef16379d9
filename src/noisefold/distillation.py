"""Distillation: a model of few steps from a trained one.

A student of the same architecture begins with the teacher's weights and learns its flow map
(`noisefold.noise.FlowMap`). Data are noised to the student's times; from there the teacher's own solver goes
on to the next time in smaller steps, and the student is taught to arrive there in one. So a seed has nearly
the same sample from both.

The student knows its own times alone: it samples, and completes if it conditions on observed values directly;
it has no likelihood. A model of few steps can be a teacher again, of a divisor of its steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisefold.arguments import whole
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.few_steps import FewSteps
from noisefold.noise.flow_map import FlowMap
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams
from noisefold.noise.target import Target
from noisefold.noise.variable import Known
from noisefold.sample import Amortized, Bound, Guided
from noisefold.sample.defaults import default_solver
from noisefold.sample.draw import task_of
from noisefold.train.identity import weights_digest
from noisefold.train.settings import Training

__all__ = ["distill", "student_training"]


def distill(
    teacher: Model,
    train_data: Graphs,
    val: Graphs | None = None,
    *,
    steps: int = 4,
    substeps: int = 2,
    guidance: float = 1.0,
    out: str | Path | None = None,
    resume: bool = False,
    settings: Training | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Model:
    """Return a model that samples in a few steps, one evaluation of the network each.

    The teacher is left as it is.

    Parameters
    ----------
    teacher
        A trained model on a Gaussian path, or one of few steps.
    train_data, val
        Data in their own units, as of `Model.fit`.
    steps
        Steps of the new model, and evaluations of its network.
    substeps
        Steps that the teacher's solver (Heun on Gaussian paths) divides each of them into; a teacher of few
        steps takes its own.
    guidance
        Weight of the classes in the teacher (`noisefold.sample.Guided`); the student is then guided by
        itself, at no cost.
    out, resume, on_step
        As of `Model.fit`.
    settings
        How to train; default as the teacher was, with a fifth of its steps and half of its learning rate.

    Raises
    ------
    ValueError
        If the teacher was not trained, its path has no probability flow to follow, or an argument is out of
        its range.
    noisefold.train.TrainingError
        If the loss stops being finite.

    Examples
    --------
    >>> import noisefold as nf
    >>> data = nf.data.shapes(40, points=64)
    >>> teacher = nf.Model.for_data(data, width=16, latents=8).fit(data, steps=4)
    >>> fast = nf.distill(teacher, data, steps=2, settings=nf.Training(steps=2, nodes=64))
    >>> fast.sample(3, seed=0)
    Graphs(3 graphs, 64 nodes each, 3-D, 10 classes)
    """
    steps, substeps = whole("steps", steps, 1), whole("substeps", substeps, 1)
    summary = teacher.data
    path, target = _student_of(teacher.path, teacher.target, steps)
    if guidance != 1 and not teacher.conditional:
        raise ValueError(f"guidance={guidance} needs a teacher of classes; leave it at 1.")
    flow = _Flow(teacher.denoiser, path, substeps, guidance)
    student = Model(
        copy.deepcopy(teacher.net),
        path,
        replace(target, digest=weights_digest(teacher.net)).taught_by(flow),
        teacher.variable,
        summary=summary,
        for_completion=teacher.for_completion,
        transform=teacher.transform,
        tile=teacher.tile,
        training=settings or student_training(teacher.training),
    )
    return student.fit(train_data, val, out=out, resume=resume, on_step=on_step)


@singledispatch
def _student_of(path: Any, target: Any, steps: int) -> tuple[FewSteps, FlowMap]:
    """Return path and prediction of a student of a teacher's."""
    raise ValueError(f"a model can be distilled on a Gaussian path, and this one has {path.about}.")


@_student_of.register
def _(path: Gaussian, target: Target, steps: int) -> tuple[FewSteps, FlowMap]:
    return FewSteps(steps, path), FlowMap(target)


@_student_of.register
def _(path: FewSteps, target: FlowMap, steps: int) -> tuple[FewSteps, FlowMap]:
    if path.steps % steps or steps == path.steps:
        raise ValueError(
            f"steps must divide the {path.steps} of the teacher and be fewer, got {steps}; or distil the "
            "model that it was distilled from."
        )
    return replace(path, steps=steps), target


def student_training(training: Training) -> Training:
    """Return the default training of a student."""
    fewer = max(1, training.steps // 5)
    return replace(training, steps=fewer, warmup=min(training.warmup, fewer // 10), lr=training.lr / 2)


@dataclass(frozen=True)
class _Flow:
    """The teacher's probability flow from each of the student's times to the next."""

    denoiser: Denoiser[Tensor, Tensor]
    path: FewSteps
    substeps: int
    guidance: float

    @torch.no_grad()
    def __call__(self, state: Tensor, t: Tensor, graphs: Graphs, known: Known[Tensor] | None) -> Tensor:
        """Return the data from which one deterministic step reaches the end of the flow, ``[n, d]``."""
        self.denoiser.to(state.device).eval()
        reached = torch.empty_like(state)
        times = self.path.times.to(state)
        place = (times[:-1] - t[:, None]).abs().argmin(1)
        for i in place.unique().tolist():
            chosen = place == i
            nodes = chosen[graphs.batch]
            part = known and Known(known.value[nodes], known.mask[nodes])
            reached[nodes] = self._data(state[nodes], times[i], times[i + 1], graphs[chosen], part)
        return reached

    def _data(self, x: Tensor, t: Tensor, s: Tensor, graphs: Graphs, known: Known[Tensor] | None) -> Tensor:
        denoiser = self.denoiser
        solver = default_solver(denoiser.path)
        bound: Any = Bound(denoiser, graphs, graphs.label)
        if self.guidance != 1:
            bound = Guided(bound, self.guidance)
        random = Streams(0, range(len(graphs)))
        task = task_of(denoiser.path, bound, self._between(t, s), graphs, random, denoiser.variable)
        if known is not None:
            task, solver = Amortized()(task, solver, known)
        there: Tensor = solver(task, x)
        step = self.path.path.transition(t, s, eta=0.0)
        return (there - step.state * x) / step.data

    def _between(self, t: Tensor, s: Tensor) -> Tensor:
        """Return the times from t to s at which the teacher is asked, and s."""
        own = self.denoiser.path
        if isinstance(own, FewSteps):
            times: Sequence[float] = own.times.to(t).tolist()
            return t.new_tensor([v for v in times if float(s) <= v <= float(t)])
        return torch.lerp(t, s, torch.linspace(0, 1, self.substeps + 1, device=t.device, dtype=t.dtype))
