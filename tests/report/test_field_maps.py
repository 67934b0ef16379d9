"""Maps and strips: panels, shared scales, labels, and what is left blank, read off the figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from noisefold.geometry.graphs import Graphs
from noisefold.noise.variable import Features, Positions
from noisefold.report.data.projection import Names
from noisefold.report.figures.field_maps import completion_maps, field_maps
from noisefold.report.figures.field_series import field_trajectory, time_series
from noisefold.report.figures.style import DARK, LIGHT, png
from noisefold.sample.completion import Completion

LIMB = Names(("sox9", "bmp"), ("space (mm)", "time (h)"), time=1, values="expression")


def limb(graphs: int = 3, seed: int = 0) -> Graphs:
    """Fields of two features on 5 places at 4 times."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.cartesian_prod(torch.linspace(0, 1, 4), torch.linspace(0, 2, 5)).flip(1)
    return Graphs.dense(pos.expand(graphs, -1, -1), torch.randn(graphs, 20, 2, generator=generator))


def tissue(nodes: int = 200, dim: int = 2, seed: int = 0) -> Graphs:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([3.0, 2.0, 1.0])[:dim]
    pos = torch.rand(nodes, dim, generator=generator) * scale
    return Graphs(pos, torch.randn(nodes, 2, generator=generator))


def completed(graphs: Graphs, m: int = 20, hidden: float = 0.5) -> Completion:
    generator = torch.Generator().manual_seed(5)
    assert graphs.x is not None
    known = torch.rand(graphs.x.shape, generator=generator) >= hidden
    draws = graphs.x + 0.3 + 0.5 * torch.randn(m, *graphs.x.shape, generator=generator)
    return Completion(graphs, Features(), known, torch.where(known, graphs.x, draws))


def panels(figure: Figure) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_label() != "scale"]


def bars(figure: Figure) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_label() == "scale"]


def row_names(figure: Figure, columns: int) -> list[str]:
    return [axes.get_ylabel().split("\n")[0] for axes in panels(figure)[::columns]]


def meshes(figure: Figure) -> list[np.ma.MaskedArray]:
    return [np.ma.masked_invalid(axes.collections[0].get_array()) for axes in panels(figure)]


def inside(figure: Figure) -> None:
    """No text leaves the paper, and no two panels' tick labels meet."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    width, height = figure.bbox.width, figure.bbox.height
    texts = [t for axes in figure.axes for t in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    ticks = [
        [
            text
            for place, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=False)
            if axes.get_visible() and axes.get_xlim()[0] <= place <= axes.get_xlim()[1]
        ]
        for axes in figure.axes
    ]
    for text in [*texts, *figure.texts, *(t for row in ticks for t in row)]:
        if text.get_text() and text.get_visible():
            box = text.get_window_extent(renderer)
            assert box.x0 >= -1 and box.x1 <= width + 1, text  # noqa: PT018
            assert box.y0 >= -1 and box.y1 <= height + 1, text  # noqa: PT018
    boxes = [t.get_window_extent(renderer) for row in ticks for t in row if t.get_visible() and t.get_text()]
    for k, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[k + 1 :])


def test_completion_shows_given_truth_mean_spread_and_error() -> None:
    graphs = limb()
    done = completed(graphs)
    figure = completion_maps(done, "bmp", graph=1, names=LIMB)
    titles = [axes.get_title() for axes in panels(figure)]
    assert titles == ["given", "truth", "posterior mean", "posterior spread", "error: mean - truth"]
    rows = slice(20, 40)
    truth, known = graphs.x[rows, 1].view(4, 5), done.known[rows, 1].view(4, 5)  # type: ignore[index]
    mean, std = done.mean[rows, 1].view(4, 5), done.std[rows, 1].view(4, 5)
    given, real, guess, spread, error = meshes(figure)
    np.testing.assert_array_equal(given.mask, ~known)
    np.testing.assert_array_equal(spread.mask, known)
    np.testing.assert_array_equal(error.mask, known)
    # float32 values, summed in float64 there and in float32 here.
    np.testing.assert_allclose(real, truth, atol=1e-6)
    np.testing.assert_allclose(guess, mean, atol=1e-6)
    np.testing.assert_allclose(spread.compressed(), std[~known], atol=1e-6)
    np.testing.assert_allclose(error.compressed(), (mean - truth)[~known], atol=1e-6)
    inside(figure)


def test_truth_and_mean_share_a_scale_and_zero_is_the_middle_of_errors() -> None:
    graphs = limb()
    figure = completion_maps(completed(graphs), 0, names=LIMB)
    ends = [(m.norm.vmin, m.norm.vmax) for m in (axes.collections[0] for axes in panels(figure))]
    assert ends[0] == ends[1] == ends[2]
    expected = np.quantile(graphs.x[:20, 0].double(), [0.01, 0.99])  # type: ignore[index]
    np.testing.assert_allclose(ends[0], expected, rtol=1e-12)
    assert ends[3][0] == 0
    assert ends[4][0] == -ends[4][1]
    names = [axes.collections[0].cmap.name for axes in panels(figure)]
    assert names == ["viridis", "viridis", "viridis", "cividis", "PuOr_r"]
    assert [axes.get_xlabel() for axes in bars(figure)] == [
        "expression",
        "standard deviation",
        "error of the expression",
    ]


def test_axes_have_names_and_equal_units_in_space() -> None:
    figure = completion_maps(completed(tissue()), 0, names=Names(axes=("x (µm)", "y (µm)")))
    assert panels(figure)[0].get_ylabel() == "y (µm)"
    assert all(axes.get_xlabel() == "x (µm)" for axes in panels(figure))
    figure.canvas.draw()
    for axes in panels(figure):
        box, x, y = axes.get_window_extent(), np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
        assert box.width / x == pytest.approx(box.height / y, rel=1e-6)
    inside(figure)


def test_hidden_and_known_cells_are_told_apart_as_dots() -> None:
    done = completed(tissue())
    figure = completion_maps(done, 1)
    for k, filled in ((0, done.known[:, 1]), (3, ~done.known[:, 1]), (4, ~done.known[:, 1])):
        blank, valued = panels(figure)[k].collections
        assert (len(blank.get_offsets()), len(valued.get_offsets())) == (
            int((~filled).sum()),
            int(filled.sum()),
        )
        assert blank.get_widths()[0] < valued.get_widths()[0]
    assert [len(panels(figure)[k].collections) for k in (1, 2)] == [1, 1]


@pytest.mark.slow
def test_a_body_is_shown_from_two_sides() -> None:
    figure = completion_maps(completed(tissue(dim=3)), 0)
    assert len(panels(figure)) == 10
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels(figure)[::5]]
    assert labels == [("x", "y"), ("x", "z")]
    inside(figure)


def test_without_a_truth_its_panels_are_left_out() -> None:
    done = completed(limb())
    blank = torch.where(done.known, done.values[0], torch.tensor(math.nan))
    figure = completion_maps(done, 0, truth=blank, names=LIMB)
    titles = [axes.get_title() for axes in panels(figure)]
    assert titles == ["given", "posterior mean", "posterior spread"]
    assert len(bars(figure)) == 2


def test_a_gene_of_which_nothing_was_given_is_called_so() -> None:
    figure = completion_maps(completed(limb(), hidden=2.0), 0, names=LIMB)
    assert panels(figure)[0].texts[0].get_text() == "nothing of this\nfeature was given"


@pytest.mark.slow
def test_many_cells_stay_light() -> None:
    figure = completion_maps(completed(tissue(14_000)), 0)
    size = len(png(figure, 256))
    assert size < 1_500_000
    assert figure.get_figwidth() <= 9


def test_sets_stand_in_rows_with_one_scale() -> None:
    made, real = limb(4, 1), limb(6, 2)
    figure = field_maps({"generated": made, "real": real}, "sox9", names=LIMB, count=5)
    assert len(panels(figure)) == 10
    assert [axes.get_visible() for axes in panels(figure)] == [True] * 4 + [False] + [True] * 5
    assert row_names(figure, 5) == ["generated", "real"]
    shown = [axes.collections[0] for axes in panels(figure) if axes.get_visible()]
    assert len({(m.norm.vmin, m.norm.vmax) for m in shown}) == 1
    expected = np.quantile(real[:5].x[:, 0].double(), [0.01, 0.99])  # type: ignore[index]
    np.testing.assert_allclose([shown[0].norm.vmin, shown[0].norm.vmax], expected)
    assert len(bars(figure)) == 1
    inside(figure)


def test_single_tissues_stand_side_by_side() -> None:
    figure = field_maps({"generated": tissue(), "real": tissue(seed=1)}, 0)
    assert [axes.get_title() for axes in panels(figure)] == ["generated", "real"]
    inside(figure)


@pytest.mark.slow
def test_film_runs_from_noise_to_data() -> None:
    graphs = limb(1)
    path = [(float(u), graphs.replace(x=u * graphs.x)) for u in np.linspace(0.1, 1, 10)]
    figure = field_trajectory(path, ["sox9", "bmp"], moments=4, names=LIMB)
    assert [axes.get_title() for axes in panels(figure)[:4]] == [f"{u} % signal" for u in (10, 40, 70, 100)]
    assert row_names(figure, 4) == ["sox9", "bmp"]
    for row, k in ((panels(figure)[:4], 0), (panels(figure)[4:], 1)):
        drawn = [axes.collections[0].get_array() for axes in row]
        truth = graphs.x[:, k].view(4, 5)  # type: ignore[index]
        for part, u in zip(drawn, (0.1, 0.4, 0.7, 1), strict=True):
            np.testing.assert_allclose(part, u * truth, atol=1e-6)
        assert len({(axes.collections[0].norm.vmin, axes.collections[0].norm.vmax) for axes in row}) == 1
    assert len(bars(figure)) == 2
    inside(figure)


def test_noise_far_wider_than_the_data_is_drawn_together() -> None:
    graphs = limb(1)
    figure = field_trajectory([(0.01, graphs.replace(x=50 * graphs.x)), (1.0, graphs)], [0], names=LIMB)
    first, last = (axes.collections[0].get_array() for axes in panels(figure))
    assert np.std(first) == pytest.approx(2 * np.std(last), rel=1e-6)


def test_times_side_by_side_as_curves_with_posterior_or_samples() -> None:
    graphs = limb(4)
    x = graphs.x.view(4, 20, 2)  # type: ignore[union-attr]
    done = completed(graphs[:1])
    figure = time_series(graphs.pos[:20], x[0], done.values, "bmp", names=LIMB, known=done.known, most=3)
    assert len(figure.axes) == 3
    first = figure.axes[0]
    np.testing.assert_allclose(first.lines[0].get_ydata(), done.values[:, :5, 1].mean(0), atol=1e-6)
    known = done.known[:5, 1]
    assert [len(line.get_xdata()) for line in first.lines[1:]] == [int(known.sum()), int((~known).sum())]
    assert first.get_title().startswith("time (h) = 0\n")
    assert (first.get_xlabel(), first.get_ylabel()) == ("space (mm)", "bmp (expression)")
    inside(figure)
    plain = time_series(graphs.pos[:20], x[:2], x[2:], 0, names=LIMB, paper=DARK)
    assert [len(axes.lines) for axes in plain.axes] == [4] * 4
    np.testing.assert_allclose(plain.axes[3].lines[2].get_ydata(), x[0, 15:, 0])


def test_times_of_a_tissue_are_maps_real_above_made() -> None:
    flat = tissue(60)
    pos = torch.cat([flat.pos, torch.arange(60)[:, None] % 3 * 4.0], 1)
    graphs = Graphs(pos, flat.x)
    done = completed(graphs)
    names = Names(("a", "b"), ("x", "y"), time=2)
    figure = time_series(pos, graphs.x, done.values, "b", names=names, known=done.known)  # type: ignore[arg-type]
    assert len(panels(figure)) == 6
    assert row_names(figure, 3) == ["real", "posterior mean"]
    assert [axes.get_title().split("\n")[0] for axes in panels(figure)[:3]] == [
        "time = 0",
        "time = 4",
        "time = 8",
    ]
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels(figure)}) == 1
    inside(figure)
    # One time at a time in the other figures.
    at_once = completion_maps(done, 0, names=names)
    assert sum(len(c.get_offsets()) for c in panels(at_once)[0].collections) == 20
    assert len(field_trajectory([(1.0, graphs)], [0], names=names).axes[0].collections[0].get_offsets()) == 20


@pytest.mark.parametrize("paper", [LIGHT, DARK])
def test_paper_is_what_was_asked_for(paper: Any) -> None:
    figure = completion_maps(completed(limb()), 0, names=LIMB, paper=paper)
    figure.canvas.draw()
    pixel = np.asarray(figure.canvas.buffer_rgba())[0, 0, :3]  # type: ignore[attr-defined]
    assert "#{:02x}{:02x}{:02x}".format(*pixel) == paper.ground


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: field_maps({}), "at least one set"),
        (lambda: field_maps({"real": Graphs(torch.zeros(3, 2))}), "at least one set"),
        (lambda: field_maps({"real": limb()}, "wnt", names=LIMB), "'wnt' is unknown"),
        (lambda: completion_maps(completed(limb()), 0, graph=3), "from 0 to 2, got 3"),
        (lambda: completion_maps(completed(limb(), m=1), 0), "at least 2 draws"),
        (lambda: completion_maps(completed(limb()), 0, truth=torch.zeros(3, 2)), "truth must be"),
        (
            lambda: completion_maps(
                Completion(limb(), Positions(), torch.ones(60, 2).bool(), limb().pos.expand(2, -1, -1))
            ),
            "features x",
        ),
        (lambda: field_trajectory([]), "at least one moment"),
        (lambda: field_trajectory([(1.0, limb())], [0], graph=7), "from 0 to 2, got 7"),
        (
            lambda: time_series(torch.zeros(3, 2), torch.zeros(3, 1), torch.zeros(2, 4, 1), names=LIMB),
            "must be",
        ),
    ],
)
def test_errors_say_what_to_do(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_patches_of_a_large_tissue_are_drawn_about_their_middles() -> None:
    """Three patches of one extent, 20 of them apart: in one window each would be a speck."""
    patches = [tissue(100, seed=s) for s in range(3)]
    patches = [p.replace(pos=p.pos + 20 * p.pos.abs().max() * s) for s, p in enumerate(patches)]
    extent = max(float((p.pos.amax(0) - p.pos.amin(0)).max()) for p in patches)
    figure = field_maps({"generated": Graphs.collate(patches), "real": Graphs.collate(patches)})
    shown = [ax for ax in figure.axes if ax.collections and ax.get_xlabel() != "value"]
    for ax in panels(figure):
        low, high = ax.get_xlim()
        assert high - low < 1.5 * extent
        assert low < 0 < high
    assert any("from its middle" in ax.get_xlabel() for ax in shown)
    inside(figure)
    near = field_maps({"real": Graphs.collate([tissue(100, seed=s) for s in range(3)])})
    assert not any("middle" in ax.get_xlabel() for ax in near.axes)
