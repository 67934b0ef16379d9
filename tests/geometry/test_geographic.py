"""Latitudes, longitudes and land."""

import numpy as np
import pytest

from noisefold.geometry.geographic import latitude_longitude, local_frame, unit_vectors
from noisefold.geometry.land import is_land

LAT = np.array([0.0, 45.0, -89.9, 90.0, -30.0])
LON = np.array([0.0, 190.0, -77.0, 0.0, 359.5])


def test_unit_vectors_and_back():
    pos = unit_vectors(LAT, LON)
    np.testing.assert_allclose(np.linalg.norm(pos, axis=1), 1.0, atol=1e-15)
    lat, lon = latitude_longitude(pos)
    np.testing.assert_allclose(lat, LAT, atol=1e-10)
    np.testing.assert_allclose((lon - LON + 180) % 360 - 180, 0, atol=1e-8)


def test_east_and_north_are_the_derivatives_of_the_position():
    east, north = local_frame(LAT, LON)
    pos, step = unit_vectors(LAT, LON), 1e-5
    np.testing.assert_allclose(np.cross(east, north), pos, atol=1e-12)
    up = (unit_vectors(LAT + step, LON) - unit_vectors(LAT - step, LON)) / np.radians(2 * step)
    np.testing.assert_allclose(up, north, atol=1e-6)
    along = (unit_vectors(LAT, LON + step) - unit_vectors(LAT, LON - step)) / np.radians(2 * step)
    np.testing.assert_allclose(along, east * np.cos(np.radians(LAT))[:, None], atol=1e-6)


@pytest.mark.parametrize("turn", [0, 360])
def test_land_and_sea(turn):
    lat, lon = (
        np.array([48.1, -15.8, 30.0, 0.0, -90.0, 89.9]),
        np.array([11.6, -47.9, -40.0, -150.0, 0.0, 0.0]),
    )
    assert is_land(lat, lon + turn).tolist() == [True, True, False, False, True, False]
    assert is_land(lat[:, None], lon).shape == (6, 6)
