"""Small inputs that users brought (shared/cases): names of genes, raw counts, zarr, 10x."""

import anndata
import numpy as np
import pandas
import pytest
import torch
from made_tissues import dense, tissue
from scipy import sparse

from crossed import crossed
from noisefold.data import Tissue, load, save, write_layers
from noisefold.data.tissue.layers import check_layers

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")


@pytest.fixture(scope="session")
def cases(shared):
    folder = shared.parent / "cases"
    if not folder.is_dir():
        pytest.skip("shared/cases is not here")
    return folder


# -- genes by name ------------------------------------------------------------------------------------------


def test_genes_in_another_order_are_matched_by_name(cases):
    plain, permuted = (anndata.read_h5ad(cases / f"{name}.h5ad") for name in ("plain", "permuted"))
    for source in ([cases / "plain.h5ad", cases / "permuted.h5ad"], [plain, permuted]):
        both = load(source)
        assert both.feature_names == tuple(plain.var_names)
        assert torch.equal(both[0].x, both[1].x)
        np.testing.assert_array_equal(both[1].x, dense(permuted[:, list(plain.var_names)].X))


def test_other_genes_are_refused(cases):
    with pytest.raises(ValueError, match="'g0'"):
        load([cases / "plain.h5ad", cases / "othergenes.h5ad"])
    with pytest.raises(ValueError, match="'g0'"):
        load(cases / "othergenes.h5ad").with_features(load(cases / "plain.h5ad").feature_names)


def test_genes_with_commas_spaces_and_at_signs(cases):
    source = cases / "comma_genes.h5ad"
    data = anndata.read_h5ad(source)
    for genes in (["A,B"], [" g4", "@x"]):
        graphs = load(source, genes=genes)
        assert graphs.feature_names == tuple(genes)
        np.testing.assert_array_equal(graphs.x, dense(data[:, genes].X))
    assert load(source, genes="A,B").feature_names == ("A,B",)


def test_layers_of_genes_in_another_order(cases, tmp_path):
    """A model's order is not the file's: values stand under their own genes."""
    source = cases / "permuted.h5ad"
    genes = anndata.read_h5ad(cases / "plain.h5ad").var_names
    x = load(source, genes=list(genes)).x
    write_layers(source, tmp_path / "out.h5ad", x, x, {}, genes=list(genes))
    back = anndata.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(back.layers["noisefold_mean"], dense(back.X))


def test_names_come_back_on_output(cases, tmp_path):
    graphs = load(cases / "comma_genes.h5ad")
    back = load(save(graphs, tmp_path / "out.h5ad"))
    assert back.feature_names == graphs.feature_names
    assert torch.equal(back.x, graphs.x)
    assert back.modality == graphs.modality


# -- before the work ----------------------------------------------------------------------------------------


def test_genes_that_only_raw_has_are_refused_before_the_work(cases, tmp_path):
    source = cases / "raw_more.h5ad"
    genes = Tissue.read(source, x="raw/X").genes
    with pytest.raises(ValueError, match="'g4'"):
        check_layers(source, tmp_path / "out.h5ad", genes)
    assert check_layers(source, tmp_path / "out.h5ad", ["g2", "g0"])[2] == [2, 0]


@pytest.mark.parametrize("target", ["out.csv", "folder", "file/out.h5ad"])
def test_targets_that_cannot_be_written(cases, tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=target.split("/")[0]):
        check_layers(cases / "plain.h5ad", tmp_path / target)


def test_a_full_disk_is_noticed(cases, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"out\.h5ad"):
        check_layers(cases / "plain.h5ad", tmp_path / "out.h5ad")


# -- coordinates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [5_155_487.25, 1e9])
def test_stage_coordinates_keep_their_shape_and_come_back(written, tmp_path, offset):
    data = tissue()
    data.obsm["spatial"] = data.obsm["spatial"] + offset
    graphs = load(written(data), group="obs/stage", time="obs/day")
    order = np.argsort(data.obs.stage.cat.codes, kind="stable")
    extent = np.ptp(data.obsm["spatial"])
    away = graphs.coordinates[:, :2].numpy() - data.obsm["spatial"][order]
    assert np.abs(away).max() < 1e-6 * extent
    assert graphs.origin[2] == 0
    back = load(save(graphs, tmp_path / "out.h5ad"), group="obs/graph", time="obs/time")
    assert torch.allclose(back.coordinates, graphs.coordinates, rtol=0, atol=1e-6 * extent)
    first, second = graphs.split(0.5) if graphs.num_nodes > 200 else (graphs[:1], graphs[1:])
    assert first.origin == second.origin == graphs.origin


def test_coordinates_near_zero_stay_as_they_are():
    assert load(tissue()).origin == ()


# -- stores of zarr -----------------------------------------------------------------------------------------


def test_a_store_of_zarr(cases):
    expected = anndata.read_h5ad(cases / "plain.h5ad")
    graphs = load(cases / "store.zarr")
    np.testing.assert_array_equal(graphs.x, dense(expected.X))
    np.testing.assert_array_equal(graphs.pos, expected.obsm["spatial"].astype(np.float32))
    assert graphs.feature_names == tuple(expected.var_names)


def stored(path, data, version):
    """Write an AnnData as a store, whose metadata are consolidated as anndata does it."""
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    anndata.io.write_elem(root, "/", data)
    zarr.consolidate_metadata(str(path))


@pytest.mark.parametrize(("version", "matrix"), crossed([2, 3], ["csr", "dense"]))
def test_zarr_is_read_as_h5ad(written, tmp_path, version, matrix):
    data = tissue(matrix)
    stored(tmp_path / "a.zarr", data, version)
    arguments = {"group": "obs/stage", "time": "obs/day", "genes": ["Shh", "Sox9"]}
    one, two = load(tmp_path / "a.zarr", **arguments), load(written(data), **arguments)
    for name in ("pos", "x", "ptr", "label"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert (one.classes, one.feature_names, one.modality) == (two.classes, two.feature_names, two.modality)


@pytest.mark.parametrize("version", [2, 3])
def test_layers_are_added_to_a_store(tmp_path, version):
    data = tissue()
    stored(tmp_path / "a.zarr", data, version)
    x = load(tmp_path / "a.zarr", genes=["Shh"]).x
    for target in ("b.zarr", "a.zarr"):
        write_layers(tmp_path / "a.zarr", tmp_path / target, x, 2 * x, {"seed": 0}, genes=["Shh"])
        back = anndata.read_zarr(tmp_path / target)
        np.testing.assert_array_equal(back[:, "Shh"].layers["noisefold_std"], 2 * dense(data[:, "Shh"].X))
        np.testing.assert_array_equal(dense(back.X), dense(data.X))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


@pytest.mark.parametrize("tables", [["cells"], ["cells", "spots"], []])
def test_spatialdata_is_read_by_its_table(tmp_path, tables):
    root = zarr.open_group(str(tmp_path / "s.zarr"), mode="w")
    root.attrs["spatialdata_attrs"] = {"version": "0.1"}
    root.create_group("tables")
    root.create_group("points/transcripts")
    for name in tables:
        anndata.io.write_elem(root, f"tables/{name}", tissue())
    if len(tables) == 1:
        assert torch.equal(load(tmp_path / "s.zarr").x, load(tissue()).x)
    else:
        with pytest.raises(ValueError, match="tables/cells" if tables else "points"):
            load(tmp_path / "s.zarr")
    for name in tables:
        assert torch.equal(load(tmp_path / "s.zarr" / "tables" / name).x, load(tissue()).x)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.write_text("zarr")])
def test_what_is_no_store(tmp_path, make):
    make(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=r"a\.zarr"):
        load(tmp_path / "a.zarr")


# -- 10x ----------------------------------------------------------------------------------------------------


def tenx(path, data, names=None):
    counts = sparse.csr_matrix(dense(data.X))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(counts, name)
        group["shape"] = np.array(counts.shape[::-1])
        group["barcodes"] = np.array(list(data.obs_names), dtype="S")
        group["features/id"] = np.array([f"ENS{i}" for i in range(data.n_vars)], dtype="S")
        group["features/name"] = np.array(names or list(data.var_names), dtype="S")
        kinds = ["Gene Expression"] * (data.n_vars - 1) + ["Antibody Capture"]
        group["features/feature_type"] = np.array(kinds, dtype="S")


def test_a_matrix_of_10x_without_positions(cases):
    with pytest.raises(ValueError, match="tissue_positions"):
        load(cases / "matrix.h5")


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_matrix_of_10x_with_positions(tmp_path, head, named):
    data = tissue()
    tenx(tmp_path / "filtered_feature_bc_matrix.h5", data, ["Sox9", "Bmp2", "Bmp2", "Fgf8", "Shh"])
    pixels = np.arange(2 * data.n_obs).reshape(-1, 2) * 10.0
    table = pandas.DataFrame(
        {
            "barcode": data.obs_names,
            "in_tissue": 1,
            "array_row": 0,
            "array_col": 0,
            "pxl_row_in_fullres": pixels[:, 1],
            "pxl_col_in_fullres": pixels[:, 0],
        }
    ).iloc[::-1]
    folder = tmp_path / ("elsewhere" if named else "spatial")
    folder.mkdir()
    file = folder / ("tissue_positions.csv" if head else "tissue_positions_list.csv")
    table.to_csv(file, index=False, header=head)
    graphs = load(tmp_path / "filtered_feature_bc_matrix.h5", **({"pos": str(file)} if named else {}))
    np.testing.assert_array_equal(graphs.pos, pixels)
    np.testing.assert_array_equal(graphs.x, dense(data.X)[:, :4])
    assert graphs.feature_names == ("Sox9", "Bmp2 (ENS1)", "Bmp2 (ENS2)", "Fgf8")


def test_a_spot_without_position(tmp_path):
    tenx(tmp_path / "a.h5", tissue())
    (tmp_path / "spatial").mkdir()
    (tmp_path / "spatial" / "tissue_positions_list.csv").write_text("cell0,1,0,0,5,6\n")
    with pytest.raises(ValueError, match="'cell1'"):
        load(tmp_path / "a.h5")
