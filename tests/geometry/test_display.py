"""Graphs prepared for viewing: units, colours, choice, thinning and projection, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from noisefold.geometry.display import AZIMUTH, ELEVATION, ViewScale, class_name, clouds_of, pick, project
from noisefold.geometry.graphs import Graphs


def ball(count: int = 3, nodes: int = 500, dim: int = 3, seed: int = 0) -> Graphs:
    generator = torch.Generator().manual_seed(seed)
    return Graphs.dense(torch.randn(count, nodes, dim, generator=generator))


def labelled(names: str, classes: tuple[str, ...] = ("a", "b", "c")) -> Graphs:
    label = torch.tensor([classes.index(n) for n in names])
    return Graphs.dense(torch.randn(len(names), 4, 3), label=label, classes=classes)


def test_unit_is_the_radius_of_a_sphere_wherever_it_stands() -> None:
    direction = torch.nn.functional.normalize(ball().pos, dim=1)
    # Pairs of opposite points have their centre as their mean.
    sphere = torch.cat([direction, -direction]) * 2.5 + torch.tensor([7.0, -3.0, 1.0])
    assert ViewScale.of(Graphs(sphere)).unit == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("nodes", [1, 5])
def test_points_at_one_place_keep_their_unit(nodes: int) -> None:
    assert ViewScale.of(Graphs(torch.full((nodes, 3), 4.0))).unit == 1.0


def test_unit_of_very_many_points() -> None:
    wide = Graphs(torch.rand(3_000_000, 1, generator=torch.Generator().manual_seed(0)) + 100)
    # Distances from the mean of uniform numbers are uniform on [0, 1/2]; of the 1e5 that are looked at, the
    # 99 % quantile has a standard error of sqrt(.99 .01 / 1e5) / 2 = 1.6e-4.
    assert ViewScale.of(wide).unit == pytest.approx(0.495, abs=8e-4)


def test_points_are_centred_and_divided_by_the_unit() -> None:
    graphs = ball()
    scale = ViewScale(unit=4.0, low=-1.0, high=1.0)
    for i, cloud in enumerate(clouds_of(graphs, range(3), scale, 1000)):
        pos = graphs[i].pos.double()
        expected = ((pos - pos.mean(0)) / 4).numpy()
        np.testing.assert_allclose(cloud.points, expected, atol=1e-7)  # rounded to float32 at the end
        assert (cloud.number, cloud.total, cloud.lost) == (i, 500, 0)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_any_dimension_is_shown_in_three(dim: int) -> None:
    graphs = ball(dim=dim)
    cloud = clouds_of(graphs, [1], ViewScale(1.0, -1.0, 1.0), 1000)[0]
    kept = min(dim, 3)
    pos = graphs[1].pos - graphs[1].pos.mean(0)
    np.testing.assert_allclose(cloud.points[:, :kept], pos[:, :kept].numpy(), atol=1e-6)
    assert not cloud.points[:, kept:].any()


def test_thinning_takes_points_of_the_cloud_without_repeats_and_always_the_same() -> None:
    graphs = Graphs(torch.arange(100_000.0)[:, None].expand(-1, 3).contiguous())
    scale = ViewScale(1.0, 0.0, 1.0)
    first, again = (clouds_of(graphs, [0], scale, 2000)[0] for _ in range(2))
    assert first.points.shape == (2000, 3)
    assert first.total == 100_000
    assert len(np.unique(first.points[:, 0])) == 2000
    np.testing.assert_array_equal(first.points, again.points)
    # Ranks drawn evenly: their share below the middle has a standard error of .011.
    assert abs((first.points[:, 0] < 0).mean() - 0.5) < 4 * 0.011


def test_points_that_are_not_finite_are_left_out_and_counted() -> None:
    pos = torch.zeros(6, 3)
    pos[:4, 0] = torch.tensor([1.0, 2.0, 3.0, 6.0])
    pos[4, 1], pos[5, 2] = math.nan, math.inf
    cloud = clouds_of(Graphs(pos), [0], ViewScale(1.0, -1.0, 1.0), 10)[0]
    np.testing.assert_allclose(cloud.points[:, 0], [-2, -1, 0, 3])
    assert (cloud.total, cloud.lost, len(cloud.color)) == (6, 2, 4)


def test_colour_is_height_or_the_first_feature() -> None:
    pos = torch.stack([torch.rand(50), torch.rand(50), torch.linspace(-1, 1, 50)], 1)
    by_height = clouds_of(Graphs(pos), [0], ViewScale(1.0, -0.5, 0.5), 100)[0].color
    np.testing.assert_allclose(by_height, (pos[:, 2] + 0.5).clamp(0, 1).numpy(), atol=1e-6)
    x = torch.linspace(3, 5, 50)[:, None]
    by_feature = clouds_of(Graphs(pos, x), [0], ViewScale(1.0, 3.0, 5.0), 100)[0].color
    np.testing.assert_allclose(by_feature, np.linspace(0, 1, 50), atol=1e-6)


def test_pick_takes_every_class_in_turn() -> None:
    graphs = labelled("aaabbc")
    assert [class_name(graphs, i) for i in pick(graphs, 5)] == ["a", "b", "c", "a", "b"]
    assert pick(graphs, 99) == [0, 3, 5, 1, 4, 2]
    assert pick(ball(), 2) == [0, 1]


def test_pick_puts_like_beside_like() -> None:
    samples, real = labelled("cbab"), labelled("bcbc")
    names = [class_name(samples, i) for i in pick(samples, 2, real)]
    assert names == [class_name(real, i) for i in pick(real, 2, samples)] == ["b", "c"]


def test_class_without_a_name() -> None:
    graphs = Graphs.dense(torch.zeros(2, 1, 3), label=torch.tensor([3, -1]), classes=("a",))
    assert [class_name(graphs, i) for i in range(2)] == ["class 3", ""]


def test_nodes_without_positions_stand_on_a_circle() -> None:
    graphs = Graphs(torch.zeros(9, 0), ptr=torch.tensor([0, 4, 9]))
    for cloud, nodes in zip(clouds_of(graphs, [0, 1], ViewScale.of(graphs), 99), (4, 5), strict=True):
        assert cloud.points.shape == (nodes, 3)
        np.testing.assert_allclose(np.linalg.norm(cloud.points, axis=1), 1, atol=1e-6)
        assert len(np.unique(cloud.points.round(4), axis=0)) == nodes


def test_projection_is_a_rotation() -> None:
    points = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    seen, depth = project(points)
    a, e = AZIMUTH, ELEVATION
    about_z = np.array([[math.cos(a), math.sin(a), 0], [-math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(e), -math.sin(e)], [0, math.sin(e), math.cos(e)]])
    across, ahead, up = about_x @ about_z @ points.T
    np.testing.assert_allclose(seen, np.stack([across, up], 1), atol=1e-6)  # float32 coordinates
    np.testing.assert_allclose(depth, ahead, atol=1e-6)
    np.testing.assert_array_equal(project(points, flat=True)[0], points[:, :2])
