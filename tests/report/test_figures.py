"""Static figures and the curves of the screen, against the numbers they show."""

from __future__ import annotations

import math
from typing import Any

import matplotlib._pylab_helpers
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from noisefold.geometry.graphs import Graphs
from noisefold.nn.adaptive import Exponential, Learned
from noisefold.report import contact_sheet, schedule_curves, training_curves, trajectory_strip
from noisefold.report.data.history import History
from noisefold.report.figures.interactive import curve_figure, loss_figure


def ink(figure: Figure) -> np.ndarray:
    """Where the figure is not white, ``[rows, columns]``."""
    figure.canvas.draw()
    return (np.asarray(figure.canvas.buffer_rgba())[..., :3] < 250).any(-1)  # type: ignore[attr-defined]


def entries(steps: int = 100, validations: int = 4) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = [
        {"step": s, "loss": 2.0 + 1 / s, "grad_norm": 1.0, "lr": 1e-3, "seconds": 3.0 * s}
        for s in range(1, steps + 1)
    ]
    for k in range(1, validations + 1):
        by_level = [0.1 * i + k for i in range(9)] + [None]
        log.append({"step": k * steps // 4, "val_loss": 1.0 + k, "val_loss_by_signal": by_level})
    return log


def test_contact_sheet_fills_every_cell_and_keeps_proportions() -> None:
    t = torch.linspace(0, 2 * math.pi, 2000)
    circle = torch.stack([t.cos(), t.sin()], 1)
    dark = ink(contact_sheet(Graphs.dense(circle.expand(6, -1, -1)), columns=3))
    rows, columns = dark.shape
    assert columns / rows == pytest.approx(3 / 2, rel=0.01)
    for r in range(2):
        for c in range(3):
            cell = dark[r * rows // 2 : (r + 1) * rows // 2, c * columns // 3 : (c + 1) * columns // 3]
            height, width = (np.ptp(np.flatnonzero(cell.any(axis))) for axis in (1, 0))
            assert width == pytest.approx(height, abs=2)  # pixels
            assert width > 0.8 * columns / 3


def test_titles_stand_below_and_default_to_classes() -> None:
    graphs = Graphs.dense(torch.randn(2, 30, 3), label=torch.tensor([1, 0]), classes=("cup $x$", "hat"))
    assert [a.get_title() for a in contact_sheet(graphs).axes] == ["hat", "cup $x$"]
    assert [a.get_title() for a in contact_sheet(graphs, titles=["1", "2"]).axes] == ["1", "2"]


@pytest.mark.parametrize("nodes", [1, 100_000])
@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_clouds_of_any_size_and_dimension(nodes: int, dim: int) -> None:
    figure = contact_sheet(Graphs(torch.randn(nodes, dim)))
    drawn = figure.axes[0].collections[0].get_offsets()
    assert len(drawn) == min(nodes, 2000)
    assert ink(figure).any()


def test_strip_runs_from_noise_to_data() -> None:
    data = torch.randn(1, 50, 3)
    trajectory = [(u, Graphs.dense(data * (2 - u))) for u in np.linspace(0, 1, 20)]
    figure = trajectory_strip(trajectory, moments=4, rows=2)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["0 % signal", "32 % signal", "68 % signal", "100 % signal"]
    widths = [np.ptp(np.asarray(axes.collections[0].get_offsets())[:, 0]) for axes in figure.axes]
    assert widths[0] == pytest.approx(2 * widths[-1], rel=1e-4)
    assert widths == sorted(widths, reverse=True)


def test_training_curves_show_the_log() -> None:
    log = entries()
    losses, levels = training_curves(log).axes
    raw, _, held_out = losses.lines
    np.testing.assert_array_equal(raw.get_xdata(), range(1, 101))
    np.testing.assert_allclose(raw.get_ydata(), [2 + 1 / s for s in range(1, 101)])
    np.testing.assert_allclose(held_out.get_ydata(), [2, 3, 4, 5])
    assert [line.get_label() for line in levels.lines] == [f"step {s}" for s in (25, 50, 75, 100)]
    np.testing.assert_allclose(levels.lines[-1].get_xdata(), np.arange(10) / 10 + 0.05)
    np.testing.assert_allclose(levels.lines[-1].get_ydata(), [4 + 0.1 * i for i in range(9)] + [math.nan])
    assert len(training_curves(log, levels=False).axes) == 1
    assert len(training_curves(entries(validations=0)).axes) == 1


def test_schedule_curves_show_the_schedule() -> None:
    schedule = Exponential()
    resolution, reach = schedule_curves(schedule, 400).axes[0].lines
    expected = [schedule(1 - k / 100, 400) for k in range(101)]
    np.testing.assert_array_equal(reach.get_ydata(), [r for r, _ in expected])
    np.testing.assert_array_equal(resolution.get_ydata(), [s for _, s in expected])
    assert schedule_curves(Learned(), 50).axes


def test_curves_on_the_screen_are_those_on_paper() -> None:
    paper = training_curves(entries()).axes[1]
    figure = curve_figure(paper)
    assert [t.name for t in figure.data] == [line.get_label() for line in paper.lines]
    for trace, line in zip(figure.data, paper.lines, strict=True):
        np.testing.assert_array_equal(trace.x, line.get_xdata())
        np.testing.assert_array_equal(trace.y, line.get_ydata())
    assert figure.layout.xaxis.title.text == paper.get_xlabel()
    assert tuple(figure.layout.xaxis.range) == (0, 1)
    schedule = curve_figure(schedule_curves(Exponential(), 400).axes[0])
    assert schedule.layout.yaxis.type == "log"
    assert [t.line.dash for t in schedule.data] == ["solid", "dash"]
    assert "bdata" in schedule.to_dict()["data"][0]["y"]


def test_loss_is_shown_by_step_or_by_minutes() -> None:
    history = History.of(entries())
    figure = loss_figure(history, training_curves(history, levels=False).axes[0])
    steps, minutes = (button.args[0]["x"] for button in figure.layout.updatemenus[0].buttons)
    assert len(steps) == len(minutes) == len(figure.data) == 3
    np.testing.assert_allclose(minutes[0], [3 * s / 60 for s in range(1, 101)])
    np.testing.assert_allclose(minutes[2], history.val_minutes())
    assert list(steps[2]) == history.val_step
    untimed = History.of([{"step": 1, "loss": 1.0}])
    assert not loss_figure(untimed, training_curves(untimed).axes[0]).layout.updatemenus


def test_nothing_is_left_in_pyplot() -> None:
    contact_sheet(Graphs(torch.randn(10, 3)))
    training_curves(entries())
    assert matplotlib._pylab_helpers.Gcf.get_all_fig_managers() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: contact_sheet(Graphs(torch.zeros(0, 3), ptr=torch.tensor([0]))), "at least one graph"),
        (lambda: contact_sheet(Graphs(torch.zeros(3, 3)), titles=["a", "b"]), "each of the 1 graphs, got 2"),
        (lambda: contact_sheet(Graphs(torch.zeros(3, 3)), columns=0), "columns must be at least 1, got 0"),
        (lambda: training_curves([]), "no finite loss"),
        (lambda: training_curves([{"step": 1, "loss": math.nan}]), "no finite loss"),
        (lambda: training_curves(entries(validations=0), loss=False), "nothing to draw"),
        (lambda: trajectory_strip([]), "at least one moment"),
    ],
)
def test_errors_say_what_to_do(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# -- the course of a training ----------------------------------------------------------------------------


def test_smoothing_keeps_straight_lines() -> None:
    # Windows are even on both sides, so an affine course stays what it is.
    history = History.of([{"step": s, "loss": 3.0 - 0.01 * s} for s in range(1, 201)])
    np.testing.assert_allclose(history.smooth(), history.loss, rtol=1e-12)
    assert History.of([{"step": 1, "loss": 5.0}]).smooth() == [5.0]


def test_times_of_validations_are_those_of_their_steps() -> None:
    history = History.of(entries())
    assert history.val_minutes() == pytest.approx([s * 3 / 60 for s in (25, 50, 75, 100)])
    assert history.total_seconds == 300
    assert history.minutes_per_step == pytest.approx(0.05)


def test_losses_that_are_not_finite_are_left_out() -> None:
    log = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": math.inf}, {"step": 3, "loss": None}, {"step": 4}]
    history = History.of([*log, {"step": 5, "val_loss": math.nan}])
    assert (history.step, history.val_step) == ([1], [])
    assert history.minutes_per_step == 0


@pytest.mark.parametrize(("losses", "wide"), [([1, 2], False), ([1, 9], True), ([-1, 9], False)])
def test_wide_courses_get_a_logarithmic_axis(losses: list[float], wide: bool) -> None:
    assert History.of([{"step": k, "loss": v} for k, v in enumerate(losses)]).wide is wide
