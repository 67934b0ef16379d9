"""Maps and globes of tracks: no track is torn at the date line, and what is drawn is what was given."""

import numpy as np
import pytest
import torch

from noisefold.geometry import Graphs
from noisefold.geometry.geographic import unit_vectors
from noisefold.noise import Features
from noisefold.report.figures import tracks
from noisefold.sample import Completion


def completion():
    """One track over the date line and one near the pole, with draws a degree around them."""
    longitude = np.array([176.0, 178, 180, 182, 184, 10, 40, 70])
    latitude = np.array([10.0, 11, 12, 13, 14, 80, 82, 84])
    x = torch.tensor(unit_vectors(latitude, longitude)).float()
    moved = [unit_vectors(latitude + d, longitude + d) for d in (0.0, 1.0, -1.0, 0.5)]
    known = torch.tensor([1, 1, 0, 0, 0, 1, 1, 0]).bool()[:, None].expand(-1, 3)
    values = torch.where(known, x, torch.tensor(np.stack(moved)).float())
    graphs = Graphs(torch.arange(8.0)[:, None], x, torch.tensor([0, 5, 8]))
    return Completion(graphs, Features(), known, values)


def test_maps_keep_tracks_in_one_piece():
    figure = tracks.track_maps(completion(), ("A", "B"))
    axes = figure.axes[0]
    assert axes.get_title() == "A"
    for line in axes.lines:
        assert np.abs(np.diff(line.get_xdata())).max(initial=0) < 10
    labels = [line.get_label() for line in axes.lines]
    assert {"draws", "median", "truth", "known"} <= set(labels)
    truth = axes.lines[labels.index("truth")]
    assert truth.get_xdata() == pytest.approx(np.array([176.0, 178, 180, 182, 184]), abs=1e-3)
    assert len(axes.lines[labels.index("known")].get_xdata()) == 2


def test_globe_holds_the_track_on_its_surface():
    found = tracks.track_globe(completion(), 1)
    by_name = {trace.name: trace for trace in found.data if trace.name}
    truth = np.stack([by_name["truth"][axis] for axis in "xyz"], 1)
    radius = np.linalg.norm(truth, axis=1)
    assert radius.min() > 1
    assert radius.max() < 1.01
    expected = unit_vectors([80.0, 82, 84], [10.0, 40, 70])
    assert truth / radius[:, None] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(by_name["draws"].x).sum() == 4
    assert len(by_name["known"].x) == 2


def test_land_is_on_the_globe():
    found = tracks.track_globe(completion())
    dots = next(t for t in found.data if t.type == "scatter3d" and t.name is None)
    x = np.stack([dots[axis] for axis in "xyz"], 1)
    # Three tenths of the Earth are land.
    assert len(x) == pytest.approx(0.29 * 4 * np.pi / np.radians(1.5) ** 2, rel=0.1)
    berlin, atlantic = unit_vectors([52.0, 30.0], [13.0, -45.0])
    near = [np.linalg.norm(x - p, axis=1).min() for p in (berlin, atlantic)]
    assert near[0] < 0.03 < near[1]


def test_other_values_are_refused():
    done = completion()
    flat = Completion(
        done.graphs.replace(x=done.graphs.x[:, :2]), done.variable, done.known[:, :2], done.kept[..., :2]
    )
    with pytest.raises(ValueError, match="2 columns"):
        tracks.track_maps(flat)
