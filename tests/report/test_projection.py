"""Projections of fields: names, sides, grids and colour limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from noisefold.report.data.projection import Names, at_one_time, color_limits, projections, time_points

LIMB = Names(("sox9", "bmp"), ("space", "time"), time=1)


def lattice(columns: int = 4, rows: int = 3) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(columns).float(), torch.arange(rows).float() / 2)


def test_positions_on_a_grid_become_rectangles_between_their_middles() -> None:
    pos = lattice()[torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    (places,) = projections(pos, Names())
    assert places.grid is not None
    np.testing.assert_allclose(places.grid.columns, [-0.5, 0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(places.grid.rows, [-0.25, 0.25, 0.75, 1.25])
    np.testing.assert_array_equal(places.xy[places.grid.node][..., 0], np.tile(range(4), (3, 1)))
    assert places.equal
    assert projections(pos[:-1], Names())[0].grid is None


def test_lengths_differ_where_an_axis_is_time() -> None:
    (places,) = projections(lattice(), LIMB)
    assert not places.equal
    assert places.labels == ("space", "time")


def test_a_body_is_seen_from_two_sides_near_nodes_last() -> None:
    pos = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 9.0, 5.0])
    side, other = projections(pos, Names(axes=("a", "b", "c")))
    assert (side.labels, other.labels) == (("b", "c"), ("b", "a"))
    for places, depth in ((side, 0), (other, 2)):
        assert (np.diff(pos.numpy()[places.order, depth]) >= 0).all()


def test_a_field_over_time_in_two_dimensions_is_seen_without_time() -> None:
    pos = torch.cat([torch.rand(20, 2), torch.arange(20)[:, None] % 4], 1)
    names = Names(time=2)
    assert projections(pos, names)[0].labels == ("x", "y")
    weight = (pos[:, 2] == 3).numpy().astype(float)
    np.testing.assert_array_equal(at_one_time(pos, names, weight), [3, 7, 11, 15, 19])
    np.testing.assert_array_equal(at_one_time(pos[:, :2], Names(time=1), weight), range(20))
    assert [t for t, _ in time_points(pos, names, 3)] == [0, 2, 3]


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
@pytest.mark.parametrize("nodes", [1, 2, 7])
def test_few_nodes_and_any_dimension(dim: int, nodes: int) -> None:
    for places in projections(torch.rand(nodes, dim), Names()):
        assert places.low[0] < places.high[0]
        assert places.low[1] < places.high[1]
        assert places.dot > 0


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (np.arange(101.0), (1, 99)),
        (np.array([0.0] * 999 + [7.0]), (0, 7)),
        (np.array([2.0, 2.0, np.nan]), (1.5, 2.5)),
        (np.array([np.nan, np.inf]), (0, 1)),
    ],
)
def test_limits_are_quantiles_of_what_is_finite(values: np.ndarray, ends: tuple[float, float]) -> None:
    assert color_limits(values) == pytest.approx(ends, abs=1e-12)


def test_names_are_found_and_suggested() -> None:
    assert (LIMB.number("bmp", 3), LIMB.number(2, 3), LIMB.number("feature 2", 3)) == (1, 2, 2)
    assert (LIMB.feature(2), LIMB.axis(1), Names(time=2).axis(2), Names().axis(5)) == (
        "feature 2",
        "time",
        "time",
        "coordinate 5",
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LIMB.number("sox8", 3), "did you mean 'sox9'"),
        (lambda: LIMB.number(3, 3), "feature 3 is unknown; there are 3: sox9, bmp, feature 2"),
        (lambda: Names(("a", "b", "a")), "'a' occurs twice"),
        (lambda: projections(torch.zeros(0, 2), Names()), "at least one node"),
        (lambda: projections(torch.full((2, 2), math.nan), Names()), "finite positions"),
        (lambda: time_points(torch.zeros(3, 2), Names(), 2), "from 0 to 1, got None"),
        (lambda: time_points(torch.zeros(3, 2), Names(time=2), 2), "from 0 to 1, got 2"),
    ],
)
def test_errors_say_what_to_do(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
