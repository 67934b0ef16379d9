"""Files of the earth on the command line: filled and sampled by a small model, in the file's own names."""

import numpy as np
import pytest
from typer.testing import CliRunner

from noisefold import cli
from noisefold.data import load
from noisefold.model import Model
from noisefold.nn import SetTransformer

xarray = pytest.importorskip("xarray")
pytest.importorskip("cf_xarray")

from earth_files import temperature  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::noisefold.data.notice.DataNotice")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model that was hardly trained, and a file with holes on a grid with land."""
    monkeypatch.chdir(tmp_path)
    data = temperature(lat=[30.0, 20.0, 10.0, 0.0], lon=[170.0, 180.0, 190.0, 200.0], land=False)
    data = data.where(~((data["lat"] == 30) & (data["lon"] > 185))).astype(np.float32)
    data.to_netcdf("all.nc", engine="h5netcdf")
    graphs = load("all.nc")
    net = SetTransformer(3, 2, 1, width=8, blocks=1, heads=1)
    model = Model(net, variable="x", for_completion=True)
    model.fit(graphs, steps=1, batch=2)
    model.save_pretrained("run")
    partial = data.copy(deep=True)
    partial["t2m"][1, 1] = np.nan
    partial["sea"] = (("lat", "lon"), np.isfinite(data["t2m"].values[0]).astype(np.int8))
    partial.to_netcdf("partial.nc", engine="h5netcdf")
    return tmp_path


def run(*words):
    return CliRunner().invoke(cli.app, list(words))


def test_holes_are_drawn_where_the_mask_says(folder):
    result = run(
        "complete", "run", "partial.nc", "--out", "filled.nc", "--draws", "4", "--steps", "2", "--mask", "sea"
    )
    assert result.exit_code == 0, result.stderr
    filled, partial = xarray.open_dataset("filled.nc"), xarray.open_dataset("partial.nc")
    known = np.isfinite(partial["t2m"].values)
    np.testing.assert_array_equal(filled["t2m"].values[2][known], partial["t2m"].values[known])
    missing = np.isnan(filled["t2m"].values).any(0)
    assert missing[0, 0].tolist() == [False, False, True, True]
    assert not missing[1, 1].any()
    whole = run("complete", "run", "partial.nc", "--out", "land.nc", "--draws", "2", "--steps", "2")
    assert whole.exit_code == 0, whole.stderr
    assert not np.isnan(xarray.open_dataset("land.nc")["t2m"].values).any()


def test_fields_are_sampled_on_the_grid_of_a_file(folder):
    result = run("sample", "run", "--like", "partial.nc", "--out", "draws.nc", "-n", "3", "--steps", "2")
    assert result.exit_code == 0, result.stderr
    drawn = xarray.open_dataset("draws.nc")
    assert drawn["t2m"].sizes["realization"] == 3


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["complete", "run", "partial.nc", "--out", "partial.nc"], "partial.nc"),
        (["complete", "run", "partial.nc", "--out", "a.npz"], ".nc"),
        (["complete", "run", "partial.nc", "--out", "a.nc", "--mask", "sun"], "sun"),
        (["complete", "run", "partial.nc", "--out", "a.nc", "--genes", "a"], "--genes"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(folder, words, named):
    before = (folder / "partial.nc").read_bytes()
    result = run(*words)
    assert result.exit_code == 2
    assert named in result.stderr
    assert (folder / "partial.nc").read_bytes() == before
