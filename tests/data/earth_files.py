"""Small data sets of the earth, as users have them."""

import numpy as np
import xarray

STEP = 30.0
SIZES = {"time": 3, "lat": 7, "lon": 12}


def winds(*, lat=None, lon=None, times=3, seed=0):
    """Wind (u, v) of a field that is one vector at each pole, on a global grid of 30 degrees."""
    lat = np.arange(90.0, -91.0, -STEP) if lat is None else np.asarray(lat, float)
    lon = np.arange(0.0, 360.0, STEP) if lon is None else np.asarray(lon, float)
    random = np.random.default_rng(seed)
    phi, lam = np.meshgrid(np.radians(lat), np.radians(lon), indexing="ij")
    point = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    east = np.stack([-np.sin(lam), np.cos(lam), 0 * lam], -1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], -1)
    matrix, shift = random.normal(size=(times, 3, 3)), random.normal(size=(times, 1, 1, 3))
    field = np.einsum("tab,ijb->tija", matrix, point) + shift
    u, v = (np.sum(field * axis, -1) for axis in (east, north))
    return xarray.Dataset(
        {
            "u10": (("time", "lat", "lon"), u, {"units": "m s-1", "standard_name": "eastward_wind"}),
            "v10": (("time", "lat", "lon"), v, {"units": "m s-1", "standard_name": "northward_wind"}),
        },
        {
            "time": np.datetime64("2001-12-30", "ns") + np.arange(times) * np.timedelta64(1, "D"),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        {"Conventions": "CF-1.7", "title": "made winds"},
    )


def temperature(*, land=True, seed=0, **how):
    """Temperature with missing values on land."""
    data = winds(seed=seed, **how)
    values = 280.0 + 10 * data["u10"].values
    if land:
        values[:, 2:4, 3:6] = np.nan
    data = data.drop_vars(["u10", "v10"])
    data["t2m"] = (("time", "lat", "lon"), values, {"units": "K", "long_name": "2 metre temperature"})
    return data
