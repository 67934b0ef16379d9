"""Data on the earth: what is read of NetCDF, zarr, xarray and tables, and that it comes back as it was."""

import numpy as np
import pytest
import torch

from crossed import crossed

xarray = pytest.importorskip("xarray")
pytest.importorskip("cf_xarray")

from earth_files import temperature, winds  # noqa: E402

from noisefold.data import Coordinates, DataNotice, FunctionSamples, describe_columns, load, save  # noqa: E402
from noisefold.data.earth.write import write_draws  # noqa: E402
from noisefold.geometry.geographic import latitude_longitude, local_frame, unit_vectors  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::noisefold.data.notice.DataNotice")
GRIDS = {
    "0 to 360": {},
    "-180 to 180": {"lon": np.arange(-180.0, 180.0, 30.0)},
    "0 and 360": {"lon": np.arange(0.0, 361.0, 30.0)},
    "-180 and 180, south first": {"lon": np.arange(-180.0, 181.0, 30.0), "lat": np.arange(-90.0, 91.0, 30.0)},
    "a region over the antimeridian": {"lon": [170.0, 175.0, 180.0, -175.0], "lat": [10.0, 5.0, 0.0]},
}


def back_to(path, data, graphs, like):
    """What `write_draws` writes of the values themselves, as two realizations."""
    write_draws(path, graphs, torch.stack([graphs.x, graphs.x]), like=like, missing=False)
    return xarray.open_dataset(path)


@pytest.mark.parametrize(("grid", "remembered"), crossed(list(GRIDS.values()), [True, False]))
def test_a_vector_comes_back_on_every_grid(tmp_path, grid, remembered):
    data = winds(**grid)
    graphs = load(data)
    assert graphs.modality.outputs == "vector"
    assert len(graphs) == 3
    assert float((graphs.pos * graphs.x).sum(1).abs().max()) < 1e-5
    lat, lon = latitude_longitude(graphs.pos.double().numpy())
    assert len(np.unique(np.round(np.column_stack([lat, lon]), 3), axis=0)) == graphs.uniform
    back = back_to(tmp_path / "a.nc", data, graphs, None if remembered else data)
    assert back["u10"].dims == ("realization", "time", "lat", "lon")
    for name in ("u10", "v10"):
        for draw in range(2):
            np.testing.assert_allclose(back[name][draw], data[name], atol=2e-6)
        assert back[name].attrs["units"] == "m s-1"
        assert back[name].attrs["standard_name"] == data[name].attrs["standard_name"]
    for name in ("lat", "lon", "time"):
        np.testing.assert_array_equal(back[name], data[name])


def test_a_vector_at_the_pole_is_one_whatever_the_longitude():
    data = winds()
    graphs = load(data)
    pole = graphs.pos[:, 2] > 0.999999
    assert int(pole.sum()) == len(graphs)
    east, north = local_frame(90.0, data["lon"].values)
    u, v = data["u10"].values[:, 0], data["v10"].values[:, 0]
    for k in range(12):
        expected = u[:, k, None] * east[k] + v[:, k, None] * north[k]
        np.testing.assert_allclose(graphs.x[pole], expected, atol=1e-6)


@pytest.mark.parametrize("grid", ["0 to 360", "-180 to 180"])
def test_components_among_other_features_keep_the_pole(tmp_path, grid):
    data = winds(**GRIDS[grid]).assign(t2m=temperature(land=False, **GRIDS[grid])["t2m"])
    graphs = load(data)
    assert graphs.modality.outputs == "scalars"
    assert graphs.feature_names == ("u10", "v10", "t2m")
    back = back_to(tmp_path / "a.nc", data, graphs, data)
    for name in ("u10", "v10"):
        np.testing.assert_allclose(back[name][0], data[name], atol=2e-6)
    # Temperature depends on the longitude at the pole, as real data do not: the mean of its cells is kept.
    np.testing.assert_allclose(
        back["t2m"][0, :, 0], data["t2m"][:, :1].mean("lon").values.repeat(12, 1), rtol=1e-6
    )


def test_latitudes_and_positions_agree():
    graphs = load(temperature())
    data = temperature().stack(cell=("lat", "lon")).isel(time=1).dropna("cell")
    expected = unit_vectors(data["lat"].values, data["lon"].values)
    place = {tuple(np.round(p, 5) + 0.0): float(v) for p, v in zip(expected, data["t2m"].values, strict=True)}
    one = graphs[1]
    inner = one.pos[:, 2].abs() < 0.99
    for pos, value in zip(one.pos[inner], one.x[inner, 0], strict=True):
        assert float(value) == pytest.approx(place[tuple(np.round(pos.double().numpy(), 5) + 0.0)], rel=1e-6)


@pytest.mark.parametrize("kind", ["packed", "classic", "zarr", "gz"])
def test_files_of_every_kind(tmp_path, kind):
    data = temperature()
    if kind == "packed":
        path = tmp_path / "a.nc"
        packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
        data.to_netcdf(path, engine="h5netcdf", encoding={"t2m": packing})
    elif kind == "zarr":
        pytest.importorskip("zarr")
        path = tmp_path / "a.zarr"
        data.to_zarr(path, consolidated=False)
    else:
        path = tmp_path / "a.nc"
        data.to_netcdf(path, engine="scipy")
        if kind == "gz":
            import gzip

            packed = tmp_path / "a.nc.gz"
            packed.write_bytes(gzip.compress(path.read_bytes()))
            path = packed
    graphs, expected = load(path), load(data)
    assert torch.equal(graphs.pos, expected.pos)
    assert torch.equal(graphs.time, expected.time)
    np.testing.assert_allclose(graphs.x, expected.x, atol=0.0051 if kind == "packed" else 0)
    assert graphs.feature_names == ("t2m",)
    roles = {c["name"]: c["role"] for c in describe_columns(path)}
    assert roles == {"lat": "position", "lon": "position", "time": "time of the graphs", "t2m": "feature"}


def test_missing_values_are_left_out_or_kept():
    data = temperature()
    with pytest.warns(DataNotice, match="18 of 186"):
        dropped = load(data)
    kept = load(data, missing=True)
    points = 5 * 12 + 2
    assert dropped.sizes.tolist() == [points - 6] * 3  # one row of land is next to none of the poles
    assert kept.sizes.tolist() == [points] * 3
    assert int(kept.x.isnan().sum()) == 18
    sea = np.isfinite(data["t2m"][0]).astype(float)
    masked = load(data.assign(sea=sea), missing=True, mask="sea", x="t2m")
    assert masked.sizes.tolist() == [points - 6] * 3


def test_a_file_without_units_is_read_by_its_names():
    data = temperature()
    for name in ("lat", "lon", "t2m"):
        data[name].attrs.clear()
    assert torch.equal(load(data).pos, load(temperature()).pos)
    with pytest.raises(ValueError, match="latitude"):
        load(data.rename(lat="a", lon="b"))
    odd = data.rename(lat="a", lon="b")
    odd["a"].attrs["units"], odd["b"].attrs["standard_name"] = "degrees_north", "longitude"
    assert torch.equal(load(odd).pos, load(data).pos)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_calendars_come_back(tmp_path, calendar):
    pytest.importorskip("cftime")
    data = temperature(times=40).drop_vars("time")
    days = np.arange(40) * 10
    data["time"] = ("time", days, {"units": "days since 1999-01-01", "calendar": calendar})
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    graphs = load(tmp_path / "in.nc")
    assert graphs.modality.coordinates.calendar == calendar
    assert len(graphs.group.unique()) == 13 + (calendar == "360_day")  # months
    save(graphs[[5, 3]], tmp_path / "some.nc")
    raw = xarray.open_dataset(tmp_path / "some.nc", decode_times=False)
    assert raw["time"].values.tolist() == [30, 50]
    assert (raw["time"].attrs["calendar"], raw["time"].attrs["units"][:21]) == (
        calendar,
        "days since 1999-01-01",
    )
    np.testing.assert_allclose(raw["t2m"][0, 1], graphs_on_grid(data, 5), rtol=1e-6)


def graphs_on_grid(data, k):
    """Temperature of a time, the mean at either pole."""
    values = data["t2m"].values[k].copy()
    values[[0, -1]] = values[[0, -1]].mean(1, keepdims=True)
    return values


def test_levels_are_classes_and_may_be_chosen(tmp_path):
    data = temperature()
    low, high = data["t2m"], data["t2m"] + 100
    both = xarray.concat([low, high], "plev").assign_coords(plev=("plev", [850.0, 500.0], {"units": "hPa"}))
    both = both.transpose("time", "plev", "lat", "lon").to_dataset(name="t")
    graphs = load(both)
    assert graphs.classes == ("850 hPa", "500 hPa")
    assert graphs.label.tolist() == [0, 1] * 3
    assert graphs.group.tolist() == [0, 0, 1, 1, 2, 2]
    one = load(both, level=500)
    assert torch.equal(one.x, graphs[graphs.label == 1].x)
    back = back_to(tmp_path / "a.nc", both, graphs, None)
    np.testing.assert_allclose(back["t"][0, 2, 1], graphs_on_grid(data, 2) + 100, rtol=1e-6)
    np.testing.assert_array_equal(back["plev"], both["plev"])
    with pytest.raises(ValueError, match="700"):
        load(both, level=700)


def test_several_files_are_one_data_set(tmp_path):
    data = temperature(times=30)
    for k in range(3):
        part = data.isel(time=slice(10 * k, 10 * k + 10))
        part["time"].encoding["units"] = f"days since 200{k + 1}-01-01"
        part.to_netcdf(tmp_path / f"{k}.nc", engine="h5netcdf")
    graphs, whole = load(tmp_path), load(data)
    assert torch.equal(graphs.time, whole.time)
    assert torch.equal(graphs.group, whole.group)
    train, test = graphs.split(0.8)
    assert int(train.time.max()) < int(test.time.min())
    winds().to_netcdf(tmp_path / "z.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"z\.nc"):
        load(tmp_path)


def test_curved_grids_and_lists_of_places(tmp_path):
    y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    lat, lon = 50 + y + 0.3 * x, 5 + x - 0.2 * y
    lat[0, 0] = np.nan  # as on land
    values = np.random.default_rng(0).normal(size=(2, 4, 5))
    data = xarray.Dataset(
        {"sst": (("time", "y", "x"), values)},
        {"nav_lat": (("y", "x"), lat), "nav_lon": (("y", "x"), lon), "time": [0, 1]},
    )
    graphs = load(data)
    assert graphs.sizes.tolist() == [19, 19]
    back = back_to(tmp_path / "a.nc", data, graphs, data)
    expected = np.where(np.isnan(lat), np.nan, values)
    np.testing.assert_allclose(back["sst"][1], expected, rtol=1e-6)
    flat = data.stack(place=("y", "x")).reset_index("place").drop_vars(["y", "x"])
    again = load(flat)
    assert torch.equal(again.pos, graphs.pos)
    alone = back_to(tmp_path / "b.nc", flat, again, None)
    assert alone["sst"].dims == ("realization", "time", "place")


def test_what_the_file_holds_stays_digit_by_digit(tmp_path):
    data = temperature().astype(np.float32)
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    graphs = load(tmp_path / "in.nc", missing=True)
    draws = torch.randn(2, *graphs.x.shape)
    write_draws(tmp_path / "out.nc", graphs, draws, like=tmp_path / "in.nc")
    back, known = xarray.open_dataset(tmp_path / "out.nc"), np.isfinite(data["t2m"].values)
    assert back.attrs["title"] == "made winds"
    for k in range(2):
        drawn = back["t2m"].values[k]
        np.testing.assert_array_equal(drawn[known], data["t2m"].values[known])
        np.testing.assert_allclose(drawn[~known], draws[k, graphs.x[:, 0].isnan(), 0])
    assert "scale_factor" not in back["t2m"].encoding or back["t2m"].encoding["dtype"] == np.float32


STATIONS = """station,lat,lon,time,elevation,wind_u,wind_v,note
A,10.5,179.5,2001-01-01 00:00,12,1.5,2.0,ok
B,-20.25,-179.5,2001-01-01 00:00,7,,,broken
C,90,0,2001-01-01 00:00,3,3.0,-1.0,
A,10.5,179.5,2001-01-01 06:00,12,2.5,1.0,ok
C,90,0,2001-01-01 06:00,3,0.5,0.25,
A,10.5,179.5,2001-01-01 06:00,12,2.5,1.0,ok
"""


def test_stations_are_graphs_by_time(tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text(STATIONS)
    graphs = load(path)
    assert graphs.sizes.tolist() == [2, 2]
    assert graphs.modality == FunctionSamples(
        "sphere",
        "vector",
        Coordinates(
            "lat",
            "lon",
            ("place",),
            variables=("wind_u", "wind_v"),
            time="time",
            calendar="standard",
            time_units="seconds since 1970-01-01",
        ),
    )
    assert (graphs.time.diff()).tolist() == [6 * 3600]
    pole = graphs.pos[:, 2] == 1
    np.testing.assert_allclose(graphs.x[pole], [[1.0, 3.0, 0.0], [-0.25, 0.5, 0.0]], atol=1e-6)
    roles = {c["name"]: c["role"] for c in describe_columns(path)}
    assert roles["elevation"] == roles["station"] == roles["note"] == "left out"
    planar = load(path, pos=("lon", "lat"), x=("elevation",))
    assert planar.dim == 2


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_draws_at_stations_stand_beside_their_rows(tmp_path, ending):
    pandas = pytest.importorskip("pandas")
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    source = tmp_path / "stations.csv"
    source.write_text(STATIONS)
    graphs = load(source, missing=True)
    draws = graphs.x.nan_to_num(7.0)[None] + torch.zeros(4, 1, 1)
    draws[:, graphs.x[:, 0].isnan()] += torch.arange(4.0)[:, None, None] * torch.tensor([0.1, 0.2, 0.3])
    out = tmp_path / f"out{ending}"
    write_draws(out, graphs, draws, like=source)
    read = {
        ".csv": pandas.read_csv,
        ".tsv": lambda p: pandas.read_csv(p, sep="\t"),
        ".parquet": pandas.read_parquet,
    }
    table = read[ending](out)
    assert table["station"].tolist() == ["A", "B", "C", "A", "C", "A"]
    np.testing.assert_allclose(
        table["wind_u_mean"][[0, 2, 3, 4]].astype(float), [1.5, 3.0, 2.5, 0.5], atol=1e-6
    )
    assert float(table["wind_v_std"][0]) < 1e-6 < float(table["wind_v_std"][1])
    columns = [f"wind_u_draw{k}" for k in range(4)]
    low = np.quantile(table[columns].astype(float).to_numpy()[1], 0.05)
    assert float(table["wind_u_q05"][1]) == pytest.approx(low, rel=1e-5)


@pytest.mark.parametrize(
    ("head", "row", "dim"),
    [
        ("x,y,lat,lon,heat", "1,{i},2,{i},0.5{i}", 2),
        ("x_um,y_um,lat,heat", "{i}.5,2,3,0.{i}", 2),
    ],
)
def test_tables_with_x_and_y_stay_tables(tmp_path, head, row, dim):
    path = tmp_path / "a.csv"
    path.write_text("\n".join([head, *(row.format(i=i) for i in range(1, 6))]))
    graphs = load(path)
    assert graphs.dim == dim
    assert graphs.modality is None


def test_irregular_times_are_each_a_graph(tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"{10 + i},{20 + i},2001-01-01T{i:02d}:{i * i % 60:02d}:07Z,{i}.5" for i in range(8)]
    path.write_text("\n".join(["Latitude,Longitude,date_time,sst", *lines]))
    graphs = load(path)
    assert graphs.sizes.tolist() == [1] * 8
    assert graphs.time.diff().tolist() == [3600 + 60 * ((i + 1) ** 2 - i * i) for i in range(7)]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "cdf5"])
def test_damaged_files_are_refused_by_name(tmp_path, damage):
    path = tmp_path / "a.nc"
    temperature().to_netcdf(path, engine="h5netcdf")
    content = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "text": b"lat lon", "cut": content[:3000], "cdf5": b"CDF\x05" + content}[damage]
    )
    with pytest.raises(ValueError, match=r"a\.nc"):
        load(path)


def test_values_that_cannot_be_are_refused():
    data = temperature()
    with pytest.raises(ValueError, match="lat"):
        load(data.assign_coords(lat=data["lat"] * 2))
    with pytest.raises(ValueError, match="missing"):
        load(data * np.nan)
    with pytest.raises(ValueError, match="t3m"):
        load(data, x="t3m")
    with pytest.raises(ValueError, match="infinite"):
        load(data.where(data["lat"] != 30, np.inf))


def test_shards_of_several_files_keep_names_and_units(tmp_path):
    from noisefold.data.convert import convert

    data = temperature(times=30)
    (tmp_path / "in").mkdir()
    for k in range(3):
        part = data.isel(time=slice(10 * k, 10 * k + 10))
        part["time"].encoding["units"] = f"hours since 200{k + 1}-01-01"
        part.to_netcdf(tmp_path / "in" / f"{k}.nc", engine="h5netcdf")
    convert(tmp_path / "in", tmp_path / "shards")
    graphs, whole = load(tmp_path / "shards"), load(data)
    for name in ("x", "pos", "time", "group"):
        assert torch.equal(getattr(graphs, name), getattr(whole, name)), name
    assert graphs.modality.coordinates.axes == whole.modality.coordinates.axes
    save(graphs[[20]], tmp_path / "one.nc")
    np.testing.assert_array_equal(xarray.open_dataset(tmp_path / "one.nc")["time"], data["time"][[20]])


def test_real_reanalysis_comes_back(tmp_path, shared):
    path = shared / "wind" / "eraint_uvz.nc"
    if not path.is_file():
        pytest.skip("eraint_uvz.nc is not in the shared data")
    with pytest.warns(DataNotice):
        graphs = load(path, x=("u", "v"), level=(200, 850))
    assert graphs.classes == ("200 millibars", "850 millibars")
    assert graphs.group.tolist() == [0, 0, 1, 1]
    write_draws(tmp_path / "a.nc", graphs[[3]], graphs[[3]].x[None], like=path, missing=False)
    back = xarray.open_dataset(tmp_path / "a.nc")
    truth = xarray.open_dataset(path)
    assert back["u"].dims == ("realization", "month", "level", "latitude", "longitude")
    for name in ("u", "v"):
        found = back[name].isel(realization=0).sel(month=7, level=850)
        expected = truth[name].sel(month=7, level=850)
        # At the poles the components follow from one vector, the mean of what 480 cells say of it.
        inner = abs(expected["latitude"]) < 90
        np.testing.assert_allclose(found[inner], expected[inner], atol=2e-5)
        np.testing.assert_allclose(found[~inner], expected[~inner], atol=0.2)
    assert back["u"].attrs["standard_name"] == "eastward_wind"


def test_features_in_another_order_keep_their_names(tmp_path):
    data = winds().assign(t2m=temperature(land=False)["t2m"])
    graphs = load(data).with_features(("t2m", "v10", "u10"))
    back = back_to(tmp_path / "a.nc", data, graphs, data)
    alone = back_to(tmp_path / "b.nc", data, graphs, None)
    for name in ("u10", "v10"):
        np.testing.assert_allclose(back[name][0], data[name], atol=2e-6)
        np.testing.assert_allclose(alone[name][0], data[name], atol=2e-6)


def test_a_ship_is_refused_and_its_table_is_read(tmp_path):
    place = {"lat": ("obs", [1.0, 2.0, 3.0]), "lon": ("obs", [4.0, 5.0, 6.0])}
    time = ("obs", np.datetime64("2001-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h"))
    ship = xarray.Dataset({"sst": ("obs", [7.0, 8.0, 9.0])}, {**place, "time": time})
    with pytest.raises(ValueError, match="time"):
        load(ship)
    table = tmp_path / "ship.csv"
    table.write_text("lat,lon,time,sst\n1,4,2001-01-01,7.5\n2,5,2001-01-01T01:00,8.5\n")
    assert load(table).time.diff().tolist() == [3600]


def test_draws_for_other_data_are_refused_before_they_are_made(tmp_path):
    from noisefold.data.earth.write import check_draws

    graphs, other = load(temperature()), winds(times=2)
    with pytest.raises(ValueError, match="t2m"):
        check_draws(tmp_path / "a.nc", graphs, 2, like=other)
    later = temperature(times=5).isel(time=slice(3, 5))
    with pytest.raises(ValueError, match="time"):
        check_draws(tmp_path / "a.nc", graphs, 2, like=later)
    shifted = temperature(lon=np.arange(10.0, 370.0, 30.0))
    with pytest.raises(ValueError, match="latitude"):
        check_draws(tmp_path / "a.nc", graphs, 2, like=shifted)


def test_points_of_a_large_grid_are_drawn_at_random():
    graphs = load(temperature(), points=10)
    assert graphs.sizes.tolist() == [10] * 3
    assert torch.equal(graphs.pos, load(temperature(), points=10).pos)
    assert not torch.equal(graphs.pos, load(temperature(), points=10, seed=1).pos)
