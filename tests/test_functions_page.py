"""The commands of the page on functions, as they stand there but smaller."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from noisefold import cli

xarray = pytest.importorskip("xarray")
pandas = pytest.importorskip("pandas")
pytest.importorskip("cf_xarray")

from earth_files import winds  # noqa: E402

PAGE = Path(__file__).resolve().parents[1] / "docs" / "functions.md"
# What makes a command of the page a small one: steps of training, draws, steps of the solver.
LESS = {
    "train": ["--steps", "2", "-o", "training.batch=2", "-o", "training.warmup=1", "-o", "net.width=16"],
    "complete": ["--draws", "20", "--steps", "2"],
    "sample": ["--steps", "2"],
    "evaluate": ["--steps", "2", "--draws", "19"],
    "study": ["--scale", "smoke"],
}


def commands() -> list[list[str]]:
    """Words of each command of the page, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("noisefold ")]


def made(folder: Path) -> tuple[xarray.Dataset, xarray.Dataset]:
    """Write the files of the page: winds with land, and three days with holes; return both."""
    lat, lon = np.arange(40.0, 20.0, -4.0), np.arange(-20.0, 8.0, 4.0)
    data = winds(lat=lat, lon=lon, times=100).astype(np.float32)
    data = data.where(~((data["lat"] > 30) & (data["lon"] > 0)))
    partial = data.isel(time=slice(0, 3)).copy(deep=True)
    holes = np.random.default_rng(0).random(partial["u10"].shape) < 0.5
    for name in ("u10", "v10"):
        partial[name] = partial[name].where(~holes)
    data.to_netcdf(folder / "winds.nc", engine="h5netcdf")
    partial.to_netcdf(folder / "partial.nc", engine="h5netcdf")
    table = data["u10"].to_dataframe().dropna().reset_index().rename(columns={"u10": "speed"})
    table.to_csv(folder / "stations.csv", index=False)
    gaps = table[table["time"] < table["time"].unique()[3]].copy()
    gaps.loc[gaps.index[::3], "speed"] = np.nan
    new = {"time": table["time"].iloc[0], "lat": 31.5, "lon": 3.25, "speed": np.nan}  # a place of no data
    gaps = pandas.concat([gaps, pandas.DataFrame([new])], ignore_index=True)
    gaps.to_csv(folder / "gaps.csv", index=False)
    return data, partial


@pytest.mark.slow
def test_the_page_on_small_winds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, partial = made(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = []
    for words in commands():
        result = CliRunner().invoke(cli.app, [*words, *LESS.get(words[0], [])])
        assert result.exit_code == 0, f"{' '.join(words)}: {result.stderr}"
        done.append(words[0])
        if "--next-stations" in words:
            assert len(re.findall(r"latitude -?\d", result.stdout)) == 5
    assert {"inspect", "train", "complete", "sample", "evaluate"} <= set(done)
    filled, draws = (xarray.open_dataset(tmp_path / f"{name}.nc") for name in ("filled", "draws"))
    land = np.isnan(data["u10"].values[0])
    for name in ("u10", "v10"):
        known = np.isfinite(partial[name].values)
        for realization in filled[name].values:
            np.testing.assert_array_equal(realization[known], partial[name].values[known])
        np.testing.assert_array_equal(np.isnan(filled[name].values).all((0, 1)), land)
        assert float(filled[name].std("realization").values[~known & ~land].min()) > 0
        assert filled[name].attrs["units"] == draws[name].attrs["units"] == "m s-1"
    assert filled.sizes == {"realization": 20, "time": 3, "lat": 5, "lon": 7}
    assert draws.sizes == {"realization": 8, "lat": 5, "lon": 7}
    np.testing.assert_array_equal(filled["time"], partial["time"])
    gaps, table = (pandas.read_csv(tmp_path / f"{name}.csv") for name in ("gaps", "filled"))
    pandas.testing.assert_frame_equal(table[gaps.columns], gaps)
    assert (table["speed_std"] > 0).tolist() == gaps["speed"].isna().tolist()
    assert np.isfinite(table["speed_mean"]).all()
