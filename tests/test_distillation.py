"""A student's steps are the teacher's flow, learned or computed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli.app import app
from noisefold.distillation import _Flow
from noisefold.noise import VP, FewSteps, Gaussian, Linear, Streams, Target
from noisefold.sample import Bound, FlowMapSteps, Heun
from noisefold.sample.draw import task_of

VARIANCE = 0.25


class Exact(nn.Module):
    """The answer whose estimate is the posterior mean of normal data of this variance."""

    def __init__(self, schedule: Any) -> None:
        super().__init__()
        self.schedule, self.arguments = schedule, {}

    def forward(self, graphs: nf.Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        t = self.schedule.time(log_snr)[graphs.batch, None]
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        state = graphs.pos * (alpha**2 + sigma**2).sqrt()
        mean = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2) * state
        # Inverts the residual form of the target.
        return (mean - alpha / (alpha**2 + sigma**2) * state) * (alpha**2 + sigma**2).sqrt() / sigma


def spread(schedule: Any, t: Tensor) -> Tensor:
    return (schedule.alpha(t) ** 2 * VARIANCE + schedule.sigma(t) ** 2).sqrt()


@pytest.mark.parametrize("schedule", [Linear(), VP()], ids=repr)
def test_the_flow_of_normal_data_is_its_closed_form(schedule: Any) -> None:
    path = FewSteps(4, Gaussian(schedule))
    denoiser = nf.nn.Denoiser(Exact(schedule), path.path, Target())
    graphs = nf.Graphs.ragged([torch.randn(n, 2, dtype=torch.float64) for n in (3, 5, 4, 2)])
    t = path.times[:-1].flip(0)
    flow = _Flow(denoiser, path, 100, 1.0)
    reached = flow(graphs.pos, t, graphs, None)
    s = torch.cat([path.times[1:]]).flip(0)
    for i, part in enumerate(graphs.unpack()):
        # The flow of a normal distribution only rescales: x_s / std_s = x_t / std_t.
        there = part * spread(schedule, s[i]) / spread(schedule, t[i])
        step = path.path.transition(t[i], s[i], eta=0.0)
        found = reached[graphs.ptr[i] : graphs.ptr[i + 1]]
        # Heun's error with 100 substeps.
        assert (step.data * found + step.state * part - there).abs().max() < 5e-4


def test_steps_of_an_exact_map_are_the_flow() -> None:
    schedule = VP()
    path = FewSteps(3, Gaussian(schedule))
    graphs = nf.Graphs.ragged([torch.randn(6, 2, dtype=torch.float64)])

    def exact(x: Tensor, t: Tensor) -> Tensor:
        i = int((path.times - t).abs().argmin())
        s = path.times[i + 1]
        step = path.path.transition(path.times[i], s, eta=0.0)
        return (x * spread(schedule, s) / spread(schedule, path.times[i]) - step.state * x) / step.data

    task = task_of(path, exact, path.times, graphs, Streams(0, [0]), nf.noise.Positions())
    start = torch.randn(6, 2, dtype=torch.float64)
    end = start * math.sqrt(VARIANCE) / spread(schedule, path.times[0])
    assert (FlowMapSteps()(task, start) - end).abs().max() < 1e-12


def test_a_student_learns_where_its_teacher_arrives() -> None:
    data = nf.data.shapes(16, points=12, seed=0)
    small = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
    teacher = nf.Model.for_data(data, **small)
    teacher.fit(data, steps=40, batch=8, lr=1e-2, nodes=12)
    before = {k: v.clone() for k, v in teacher.net.state_dict().items()}
    labels = [0, 1, 2, 3] * 4
    wanted = teacher.sample(16, seed=3, steps=15, labels=labels).pos

    def error(model: nf.Model, **how: Any) -> float:
        return float((model.sample(16, seed=3, labels=labels, **how).pos - wanted).square().mean())

    how = nf.Training(steps=90, batch=8, lr=5e-3, ema=0.9)
    student = nf.distill(teacher, data, steps=2, substeps=2, settings=how)
    untrained = nf.Model(
        teacher.net, student.path, student.target, "pos", summary=teacher.data
    )  # the teacher's weights in the student's steps, which is DDIM
    assert error(student) < 0.5 * error(untrained)
    assert error(untrained) == pytest.approx(error(teacher, steps=2, solver=nf.sample.DDIM()), rel=1e-4)
    assert all(torch.equal(before[k], v) for k, v in teacher.net.state_dict().items())


@pytest.fixture(scope="module")
def teacher() -> nf.Model:
    data = nf.data.shapes(8, points=12, seed=0)
    model = nf.Model.for_data(data, width=8, latents=2, latent_width=8, rounds=1, blocks=1, heads=2)
    return model.fit(data, steps=2, settings=SHORT)


DATA = nf.data.shapes(8, points=12, seed=0)
SMALL = {"width": 8, "latents": 2, "latent_width": 8, "rounds": 1, "blocks": 1, "heads": 2}
SHORT = nf.Training(steps=1, batch=4)


def test_a_student_can_teach(teacher: nf.Model) -> None:
    four = nf.distill(teacher, DATA, steps=4, settings=SHORT)
    two = nf.distill(four, DATA, steps=2, settings=SHORT)
    assert two.path == FewSteps(2, Gaussian())
    state = torch.randn_like(DATA.pos)
    t = two.path.times[1].float().expand(len(DATA))
    flow = two.target.teacher
    assert flow is not None
    data = flow(state, t, DATA, None)
    bound = Bound(four.denoiser, DATA, DATA.label)
    task = task_of(four.path, bound, four.path.times[2:].float(), DATA, Streams(0, range(8)), four.variable)
    # One step of the student from 1/2 to 0 is the two of its teacher.
    assert torch.equal(data, FlowMapSteps()(task, state))


def test_students_are_saved_resumed_and_refused(teacher: nf.Model, tmp_path: Path) -> None:
    how = {"settings": nf.Training(steps=3, batch=4, checkpoint_every=1)}
    whole = nf.distill(teacher, DATA, steps=2, out=tmp_path / "whole", **how)

    def stop(step: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nf.distill(teacher, DATA, steps=2, out=tmp_path / "parts", on_step=stop, **how)
    parts = nf.distill(teacher, DATA, steps=2, out=tmp_path / "parts", resume=True, **how)
    loaded = nf.Model.from_pretrained(tmp_path / "whole")
    for other in (parts, loaded):
        assert torch.equal(other.sample(2, seed=1).pos, whole.sample(2, seed=1).pos)
    with pytest.raises(ValueError, match="distilled from"):
        loaded.fit(DATA, steps=1)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: m.sample(2, steps=3), "steps"),
        (lambda m: m.sample(2, solver=Heun()), "solver"),
        (lambda m: m.log_prob(DATA[:1]), "FewSteps"),
        (lambda m: m.complete(DATA[:1], torch.ones(12, dtype=torch.bool)), "for_completion"),
        (lambda m: nf.distill(m, DATA, steps=3), "steps"),
        (lambda m: nf.distill(m, DATA, steps=2), "steps"),
        (lambda m: nf.distill(m, DATA, steps=0), "steps"),
    ],
)
def test_what_a_student_cannot_do_is_refused(teacher: nf.Model, call: Any, named: str) -> None:
    student = nf.distill(teacher, DATA, steps=2, settings=SHORT)
    with pytest.raises(ValueError, match=named):
        call(student)


def test_graphs_cannot_be_distilled() -> None:
    graphs = nf.data.community(6, seed=0)
    model = nf.Model.for_data(graphs)
    model.fit(graphs, steps=1, batch=2)
    with pytest.raises(ValueError, match="Gaussian"):
        nf.distill(model, graphs)


def test_the_command_distils_a_run(tmp_path: Path) -> None:
    nf.save(DATA, tmp_path / "clouds.npz")
    runner, run, fast = CliRunner(), str(tmp_path / "run"), str(tmp_path / "fast")
    small = [f"net.{name}={value}" for name, value in SMALL.items()]
    train = ["train", str(tmp_path / "clouds.npz"), "--out", run, "--steps", "1", "--hold-out", "0.25"]
    assert runner.invoke(app, [*train, *(part for o in small for part in ("-o", o))]).exit_code == 0
    done = runner.invoke(app, ["distill", run, "--steps", "2", "--out", fast, "-o", "training.steps=1"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "fast/data.json").read_bytes() == (tmp_path / "run/data.json").read_bytes()
    model = nf.Model.from_pretrained(fast)
    assert model.path == FewSteps(2, Gaussian())
    sample = ["sample", fast, "-n", "2", "--out", str(tmp_path / "made.npz")]
    assert runner.invoke(app, sample).exit_code == 0
    assert runner.invoke(app, [*sample, "--steps", "3"]).exit_code == 2
    again = ["distill", run, "--out", fast]
    assert runner.invoke(app, again).exit_code == 2


@pytest.mark.parametrize(
    ("data", "net"),
    [
        pytest.param(lambda: nf.data.digits()[::150], {"width": 16, "blocks": 1, "heads": 2}, id="images"),
        pytest.param(
            lambda: nf.data.limb_bud(4, times=3, positions=3),
            {"width": 16, "blocks": 1, "heads": 2},
            id="fields",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_report_shows_what_a_student_can_do(data: Any, net: dict[str, Any], tmp_path: Path) -> None:
    some = data()
    teacher = nf.Model.for_data(some, **net).fit(some, steps=1, batch=2)
    student = nf.distill(teacher, some, steps=1, settings=nf.Training(steps=1, batch=2))
    assert not nf.sample.completes(student.path, student.variable, student.for_completion)
    page = student.report(tmp_path / "report.html", test=some, draws=2).read_text()
    assert "Samples" in page
    assert "RePaint" not in page
