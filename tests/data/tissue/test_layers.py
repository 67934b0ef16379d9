"""Layers written beside the data of an .h5ad file."""

import json
import os

import anndata
import h5py
import numpy as np
import pandas
import pytest
import torch
from made_tissues import GENES, N, dense, tissue

from noisefold.data import Tissue, write_layers


@pytest.mark.parametrize("matrix", ["csr", "dense"])
def test_layers_are_added_to_a_copy(written, tmp_path, matrix):
    data = tissue(matrix)
    source = written(data)
    before = source.read_bytes()
    mean, std, draws = torch.rand(N, 5), torch.rand(N, 5), torch.rand(3, N, 5)
    facts = {"model": "runs/a", "seed": 0, "draws": 3}
    target = tmp_path / "new" / "b.h5ad"
    write_layers(source, target, mean, std, facts, draws=draws)
    assert source.read_bytes() == before
    assert os.listdir(target.parent) == ["b.h5ad"]
    back = anndata.read_h5ad(target)
    np.testing.assert_array_equal(back.layers["noisefold_mean"], mean)
    np.testing.assert_array_equal(back.layers["noisefold_std"], std)
    assert json.loads(back.uns["noisefold"]) == facts
    np.testing.assert_array_equal(back.uns["noisefold_draws"]["draws"], draws)
    assert list(back.uns["noisefold_draws"]["genes"]) == list(GENES)
    assert list(back.uns["noisefold_draws"]["cells"]) == list(data.obs_names)
    np.testing.assert_array_equal(dense(back.X), dense(data.X))
    np.testing.assert_array_equal(dense(back.layers["log1p"]), dense(data.layers["log1p"]))
    pandas.testing.assert_frame_equal(back.obs, anndata.read_h5ad(source).obs)
    assert set(back.obsm) == set(data.obsm)


def test_layers_of_some_genes_in_the_order_of_groups(written):
    source = written(tissue())
    read = Tissue.read(source, genes=["Shh", "Bmp2"], group="obs/stage")
    graphs = read.graphs()
    write_layers(source, source, graphs.x, 2 * graphs.x, {}, genes=read.genes, rows=read.order)
    back = anndata.read_h5ad(source)
    np.testing.assert_array_equal(
        back[:, ["Bmp2", "Shh"]].layers["noisefold_mean"], dense(back[:, ["Bmp2", "Shh"]].X)
    )
    np.testing.assert_array_equal(back[:, "Shh"].layers["noisefold_std"], 2 * dense(back[:, "Shh"].X))
    assert np.isnan(back[:, ["Sox9", "Wnt3", "Fgf8"]].layers["noisefold_mean"]).all()
    # Once more over the same file: replaced, not added.
    write_layers(source, source, graphs.x + 1, graphs.x, {}, genes=read.genes, rows=read.order)
    again = anndata.read_h5ad(source)
    assert set(again.layers) == {"log1p", "noisefold_mean", "noisefold_std"}
    np.testing.assert_array_equal(again[:, "Shh"].layers["noisefold_mean"], dense(back[:, "Shh"].X) + 1)


def test_layers_where_there_were_none(written):
    data = tissue()
    del data.layers["log1p"]
    source = written(data)
    with h5py.File(source, "r+") as file:
        for group in ("layers", "uns"):
            if group in file:
                del file[group]
    write_layers(source, source, torch.zeros(N, 5), torch.ones(N, 5), {})
    assert set(anndata.read_h5ad(source).layers) == {"noisefold_mean", "noisefold_std"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mean": torch.zeros(N, 4)}, r"mean .*\[40, 4\]"),
        ({"std": torch.zeros(5)}, "std"),
        ({"draws": torch.zeros(N, 5)}, "draws"),
        ({"genes": ["Shh", "Sox"]}, "'Sox'.*'Sox9'"),
        ({"rows": [0, 0]}, r"rows .*40"),
        ({"rows": [40]}, "rows"),
        ({"provenance": {"model": object()}}, "provenance"),
    ],
)
def test_layers_refuse(written, tmp_path, changes, says):
    source = written(tissue())
    arguments = {"mean": torch.zeros(N, 5), "std": torch.zeros(N, 5), "provenance": {}, **changes}
    with pytest.raises(ValueError, match=says):
        write_layers(source, tmp_path / "b.h5ad", **arguments)
    assert os.listdir(tmp_path) == ["a.h5ad"]


def test_failing_to_write_changes_nothing(written, tmp_path, monkeypatch):
    source = written(tissue())
    before = source.read_bytes()

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(anndata.io, "write_elem", full)
    with pytest.raises(OSError, match="no space"):
        write_layers(source, source, torch.zeros(N, 5), torch.zeros(N, 5), {})
    assert os.listdir(tmp_path) == ["a.h5ad"]
    assert source.read_bytes() == before
