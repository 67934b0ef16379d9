"""The page for random functions: its sections, and what its pictures show."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from test_page import html_of, leave_unpainted

from noisefold.data import FunctionSamples
from noisefold.geometry.geographic import unit_vectors
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.set_transformer import SetTransformer
from noisefold.noise.variable import Features
from noisefold.report.figures import functions
from noisefold.report.figures.functions import function_curves, function_maps, shade_land
from noisefold.report.figures.style import DARK, new_figure
from noisefold.sample.completion import Completion


def lines(count: int = 6, points: int = 24) -> Graphs:
    random = torch.Generator().manual_seed(0)
    pos = 4 * torch.rand(count, points, 1, generator=random) - 2
    phase = 6 * torch.rand(count, 1, 1, generator=random)
    return Graphs.dense(pos, torch.sin(3 * pos + phase)).replace(
        feature_names=("height",), modality=FunctionSamples()
    )


def winds(count: int = 3, west: float = 165.0) -> Graphs:
    """Tangent vectors of rotations about random axes, on a region over the antimeridian."""
    lat, lon = np.meshgrid(np.linspace(-20, 10, 7), np.linspace(west, west + 30, 8), indexing="ij")
    pos = torch.from_numpy(unit_vectors(lat.ravel(), lon.ravel())).float()
    axes = torch.randn(count, 1, 3, generator=torch.Generator().manual_seed(1))
    x = torch.linalg.cross(axes.expand(-1, len(pos), -1), pos.expand(count, -1, -1))
    return Graphs.dense(pos.expand(count, -1, -1), x).replace(modality=FunctionSamples("sphere", "vector"))


def completed(graphs: Graphs, draws: int = 20) -> Completion:
    assert graphs.x is not None
    random = torch.Generator().manual_seed(2)
    known = (torch.rand(graphs.num_nodes, generator=random) < 0.3)[:, None].expand_as(graphs.x)
    values = graphs.x + 0.3 * torch.randn(draws, *graphs.x.shape, generator=random)
    return Completion(graphs, Features(), known, torch.where(known, graphs.x, values))


@pytest.mark.parametrize("kind", ["line", "sphere"])
def test_sections_of_the_page(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unpainted(monkeypatch)
    monkeypatch.setattr(functions, "draw_streamlines", lambda *_, **__: None)  # has tests of its own
    graphs = lines() if kind == "line" else winds()
    net = SetTransformer(graphs.dim, 2 * graphs.features, graphs.features, width=8, blocks=1, heads=1)
    model = Model(net, variable="x", for_completion=True)
    html = html_of(model=model, test=graphs, completion=completed(graphs), samples=graphs[:1], draws=0)
    assert re.findall(r"<h2>(.*?)</h2>", html)[:2] == ["Draws given what is known", "Calibration"]
    assert len(re.findall(r"<h3>(.*?)</h3>", html)) >= (1 if kind == "line" else 3)


def test_a_page_draws_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unpainted(monkeypatch)
    graphs = lines(8, 10)
    net = SetTransformer(1, 2, 1, width=8, blocks=1, heads=1)
    model = Model(net, variable="x", for_completion=True)
    model.fit(graphs, steps=1, batch=2)
    html = html_of(model=model, test=graphs, draws=20, steps=1)
    assert "Calibration" in re.findall(r"<h2>(.*?)</h2>", html)


def test_curves_show_known_points_and_bands() -> None:
    completion = completed(lines())
    figure = function_curves(completion, count=3, paper=DARK)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3
    dots = next(line for line in shown[1].lines if line.get_marker() == "o")
    rows = slice(24, 48)
    known = completion.known[rows, 0]
    assert sorted(dots.get_xdata()) == pytest.approx(sorted(completion.graphs.pos[rows, 0][known].tolist()))
    with pytest.raises(ValueError, match="3-D"):
        function_curves(completed(winds()))


def test_maps_are_whole_over_the_antimeridian() -> None:
    completion = completed(winds())
    figure = function_maps(completion, graph=1, name="wind")
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles[0] == "truth"
    truth = figure.axes[0]
    offsets = np.asarray(truth.collections[-1].get_offsets())
    assert np.ptp(offsets[:, 0]) < 31
    arrows = next(c for c in truth.collections if hasattr(c, "U"))
    assert completion.graphs.x is not None
    expected = completion.graphs.x[56:112].norm(dim=1).numpy()
    np.testing.assert_allclose(np.hypot(arrows.U, arrows.V), expected, rtol=1e-5)
    scalar = function_maps(completion, 0, graph=0)
    assert len(scalar.axes) == 8


def test_land_is_shaded_with_its_coast() -> None:
    axes = new_figure(2, 2).subplots()
    shade_land(axes, np.array([10.0, 30.0]), np.array([-35.0, -10.0]))
    assert len(axes.collections) == 2
    sea = new_figure(2, 2).subplots()
    shade_land(sea, np.array([-140.0, -130.0]), np.array([-50.0, -40.0]))
    assert len(sea.collections) < 2
