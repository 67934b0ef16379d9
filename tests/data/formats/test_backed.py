"""Matrices that stay on disk give what those in memory give."""

import h5py
import numpy as np
import pytest
from made_tissues import N, dense, tissue

from noisefold.data import Tissue, load
from noisefold.data.convert import convert
from noisefold.data.formats import h5ad
from noisefold.data.formats.backed import Backed


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(h5ad, "available_memory", lambda: 0)


@pytest.mark.parametrize("matrix", ["csr", "dense"])
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_rows_are_read_when_they_are_asked_for(tmp_path, little_memory, matrix, form):
    data = tissue(matrix)
    getattr(data, f"write_{form}")(tmp_path / f"a.{form}")
    read = Tissue.read(tmp_path / f"a.{form}", genes=["Shh", "Sox9"], group="obs/stage")
    assert isinstance(read.values, Backed)
    assert read.kind == "counts"
    expected = dense(data[:, ["Shh", "Sox9"]].X)
    np.testing.assert_array_equal(read.graphs().x, expected[read.order])
    for rows in ([3], [39, 0, 7], list(range(5, 20)), []):
        np.testing.assert_array_equal(dense(read.values[rows]), expected[rows])


@pytest.mark.parametrize(("part", "value"), [("indices", 10**6), ("indptr", 0)])
def test_damaged_rows_are_refused(written, little_memory, part, value):
    path = written(tissue())
    with h5py.File(path, "r+") as file:
        file[f"X/{part}"][N // 2 :] = value
    with pytest.raises(ValueError, match="damaged") as error:
        load(path)
    assert str(error.value).count(str(path)) == 1


def test_they_are_converted(written, tmp_path, little_memory):
    data = tissue()
    convert(written(data), tmp_path / "out")
    graphs = load(tmp_path / "out")
    np.testing.assert_array_equal(graphs.x, dense(data.X))
    assert graphs.feature_names == tuple(data.var_names)
    assert graphs.num_nodes == N


def test_columns_cannot_be_read_by_rows(written, little_memory):
    with pytest.raises(ValueError, match="'X'"):
        load(written(tissue("csc")))
