"""Streamlines: along the field, inside what is known, in the metric of the sphere."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from noisefold.report.figures.streamlines import draw_streamlines


def segments(places, vectors, **options):
    axes = Figure().subplots()
    draw_streamlines(axes, places, vectors, **options)
    lines = [line for c in axes.collections if hasattr(c, "get_segments") for line in c.get_segments()]
    pairs = [np.stack([line[:-1], line[1:]], 1) for line in lines]
    whole = np.concatenate([np.zeros((0, 2, 2)), *pairs])
    return whole[np.linalg.norm(np.diff(whole, axis=1)[:, 0], axis=1) > 1e-9]


@pytest.fixture
def places():
    return np.random.default_rng(0).uniform(-1, 1, (400, 2))


def test_lines_of_a_rotation_are_circles(places):
    found = segments(places, places[:, ::-1] * [-1, 1])
    assert len(found) > 50
    middle, along = found.mean(1), np.diff(found, axis=1)[:, 0]
    far = np.linalg.norm(middle, axis=1) > 0.2
    outward = np.sum(middle * along, axis=1) / np.linalg.norm(middle, axis=1) / np.linalg.norm(along, axis=1)
    assert np.abs(outward[far]).max() < 0.15


def test_nothing_is_drawn_over_a_hole(places):
    ring = places[np.linalg.norm(places, axis=1) > 0.6]
    found = segments(ring, np.tile([1.0, 0.0], (len(ring), 1)))
    assert len(found) > 10
    assert np.linalg.norm(found.mean(1), axis=1).min() > 0.3


def test_a_degree_of_longitude_is_shorter_near_a_pole(places):
    shown = places * [30, 5] + [0, 60]  # to the north-east, at 60 degrees north
    found = segments(shown, np.ones((len(shown), 2)), sphere=True)
    along = np.diff(found, axis=1)[:, 0]
    assert np.median(along[:, 0] / along[:, 1]) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_places_without_an_area_have_no_lines(count):
    line = np.linspace(0, 1, count)[:, None] * [1.0, 2.0]
    assert len(segments(line, np.ones((count, 2)))) == 0
