"""Tissues: files made with anndata are the oracles, the real ones are read where they are at hand."""

import anndata
import h5py
import numpy as np
import pandas
import pytest
import torch
from made_tissues import N, dense, tissue
from scipy import sparse

from noisefold.data import Expression, SpatialTranscriptomics, Tissue, load

REAL = {
    # cells, genes, dimensions, what the README of the data says the values are
    "mouse_embryo_seqfish": (14_185, 351, 2, "log"),
    "chick_heart_stages_visium": (6_596, 15, 2, "fractions"),
    "human_heart_6p5pcw_st": (1_459, 15_366, 2, "counts"),
    "fly_embryo_bdtnp": (3_039, 84, 3, "continuous"),
    "mouse_cortex_osmfish": (6_471, 33, 2, "counts"),
}


@pytest.mark.parametrize("matrix", ["csr", "csc", "array", "dense"])
@pytest.mark.parametrize("form", ["file", "memory", "view"])
def test_everything_as_one_graph(written, matrix, form):
    data = tissue(matrix)
    source = {"file": lambda: written(data), "memory": lambda: data, "view": lambda: data[:]}[form]()
    graphs = load(source)
    assert (len(graphs), graphs.label, graphs.classes) == (1, None, ())
    assert graphs.pos.dtype == graphs.x.dtype == torch.float32
    np.testing.assert_array_equal(graphs.x, dense(data.X))
    np.testing.assert_array_equal(graphs.pos, data.obsm["spatial"].astype(np.float32))


@pytest.mark.parametrize("form", ["file", "memory"])
def test_a_graph_for_each_group(written, form):
    data = tissue()
    source = written(data) if form == "file" else data
    genes = ["Shh", "Sox9"]
    graphs = load(
        source, pos="obsm/spatial_3d", x="layers/log1p", genes=genes, group="obs/stage", time="obs/day"
    )
    assert graphs.classes == ("E9", "E10", "E11")
    assert graphs.label.tolist() == [0, 1, 2]
    for graph, stage in zip(graphs, graphs.classes, strict=True):
        part = data[data.obs.stage == stage]
        np.testing.assert_array_equal(graph.x, dense(part[:, genes].layers["log1p"]))
        np.testing.assert_array_equal(graph.pos[:, :3], part.obsm["spatial_3d"].astype(np.float32))
        assert graph.pos[:, 3].unique().tolist() == [{"E9": 9, "E10": 10, "E11": 11}[stage]]


@pytest.mark.parametrize("matrix", ["csr", "dense"])
def test_an_anndata_that_is_still_on_disk(written, matrix):
    data = tissue(matrix)
    backed = anndata.read_h5ad(written(data), backed="r")
    np.testing.assert_array_equal(load(backed).x, dense(data.X))
    backed.file.close()


def test_nodes_know_their_rows():
    data = tissue()
    read = Tissue.read(data, group="obs/stage")
    np.testing.assert_array_equal(read.graphs().x, dense(data.X)[read.order])
    assert [read.cells[i] for i in read.order[:3]] == list(data.obs_names[data.obs.stage == "E9"][:3])


def test_groups_of_any_type_and_without_empty_ones():
    data = tissue()
    data.obs["flag"] = [True, False] * (N // 2)
    assert load(data, group="obs/flag").classes == ("False", "True")
    assert load(data, group="obs/word").classes == ("a", "b")
    assert load(data, group="obs/day").classes == ("9.0", "10.0", "11.0")
    later = data[data.obs.stage != "E9"]
    assert load(later, group="obs/stage").classes == ("E10", "E11")


def test_places_in_columns_and_in_a_table(written):
    data = tissue()
    graphs = load(written(data), pos=["obs/x", "obs/y"])
    np.testing.assert_array_equal(graphs.pos, data.obs[["x", "y"]].to_numpy(dtype=np.float32))
    data.obsm["table"] = data.obs[["x", "y"]]
    np.testing.assert_array_equal(load(written(data), pos="obsm/table").pos, graphs.pos)


def test_usual_names_of_places():
    data = tissue()
    del data.obsm["spatial"]
    assert load(data).dim == 3


def test_raw_counts_have_genes_of_their_own(written):
    data = tissue()
    data.raw = data
    few = data[:, ["Shh"]].copy()
    for source in (few, written(few)):
        graphs = load(source, x="raw/X", genes=["Fgf8"])
        np.testing.assert_array_equal(graphs.x[:, 0], dense(data[:, "Fgf8"].X)[:, 0])


def test_sparse_values_stay_sparse_until_they_are_taken(written):
    for matrix in ("csr", "csc"):
        read = Tissue.read(written(tissue(matrix)), genes=["Shh", "Sox9"])
        assert sparse.issparse(read.values)
        assert read.values.format == "csr"
    assert not sparse.issparse(Tissue.read(tissue("dense")).values)


def test_only_the_parts_asked_for_are_read(written):
    path = written(tissue())
    with h5py.File(path, "r+") as file:
        file["layers/log1p/indptr"][...] = 10**6  # would fail if it were read
        del file["obsm/X_pca"].attrs["encoding-type"]
    assert load(path).num_nodes == N


def test_points_are_chosen_by_seed(written):
    path = written(tissue())
    few = load(path, points=10, group="obs/stage", seed=3)
    assert few.sizes.tolist() == [10, 10, 10]
    assert torch.equal(few.pos, load(path, points=10, group="obs/stage", seed=3).pos)
    assert not torch.equal(few.pos, load(path, points=10, group="obs/stage", seed=4).pos)


def test_several_files_are_one_data_set(tmp_path):
    for i in range(2):
        tissue(seed=i).write_h5ad(tmp_path / f"{i}.h5ad")
    for source in (tmp_path, tmp_path / "*.h5ad", [tmp_path / "0.h5ad", tmp_path / "1.h5ad"]):
        graphs = load(source, group="obs/stage", genes=["Shh"])
        assert graphs.label.tolist() == [0, 1, 2, 0, 1, 2]
    assert load(tmp_path, group="obs/stage", classes=["E11"]).sizes.tolist() == [13, 13]


def test_says_what_it_understood():
    read = Tissue.read(tissue(), group="obs/stage")
    assert repr(read) == "Tissue(40 cells, 2-D, 5 genes: counts, 3 groups)"
    said = read.describe()
    assert said["values"].startswith("counts")
    assert said["groups"] == "E9 14, E10 13, E11 13"
    assert {"cells", "genes", "positions", "sparse"} <= said.keys()
    assert Tissue.read(tissue(n=200), x="layers/log1p").kind == "log"


def change(**parts):
    """A tissue with some of its parts replaced."""
    data = tissue("dense")
    for name, value in parts.items():
        table, _, key = name.partition("_")
        getattr(data, table)[key] = value
    return data


def with_nan(values, rows):
    values = np.array(values, dtype=np.float64)
    values[rows] = np.nan
    return values


def without_places():
    data = tissue()
    del data.obsm["spatial"], data.obsm["spatial_3d"]
    return data


def renamed(table, names):
    data = tissue()
    setattr(data, table, names)
    return data


def nan_value():
    data = tissue()
    data.X.data[-1] = np.nan
    return data


REFUSED = {
    "no places": (without_places, {}, "obsm/X_pca"),
    "no obsm": (lambda: anndata.AnnData(np.ones((3, 2))), {}, "obsm/spatial"),
    "other place": (
        tissue,
        {"pos": "obsm/spatail"},
        "pos='obsm/spatail'.*'obsm/spatial'",
    ),
    "many columns": (tissue, {"pos": "obsm/X_pca"}, "pos='obsm/X_pca'.*4"),
    "NaN place": (
        lambda: change(obsm_spatial=with_nan(np.zeros((N, 2)), [7, 9])),
        {},
        "coordinates.*2 of 40.*'cell7'",
    ),
    "text place": (tissue, {"pos": ["obs/x", "obs/word"]}, "pos='obs/word'"),
    "text table": (
        lambda: change(obsm_names=pandas.DataFrame({"a": ["u"] * N}, index=[f"cell{i}" for i in range(N)])),
        {"pos": "obsm/names"},
        "pos='obsm/names'",
    ),
    "no layer": (tissue, {"x": "layers/logp"}, "x='layers/logp'.*'layers/log1p'"),
    "no raw": (tissue, {"x": "raw/X"}, "x='raw/X'"),
    "text layer": (
        lambda: change(layers_words=np.full((N, 5), "a")),
        {"x": "layers/words"},
        "x='layers/words'",
    ),
    "NaN value": (nan_value, {}, "expression.*1 of 40"),
    "infinite value": (
        lambda: change(layers_inf=np.full((N, 5), np.inf)),
        {"x": "layers/inf"},
        "expression.*40 of 40.*'cell0'",
    ),
    "same cells": (
        lambda: renamed("obs_names", ["a", "b"] + [f"c{i // 2}" for i in range(38)]),
        {},
        "19 cell names.*'c0'",
    ),
    "same genes": (lambda: renamed("var_names", list("aabcd")), {}, "1 gene names.*'a'"),
    "no genes left": (tissue, {"genes": []}, "genes"),
    "no genes": (lambda: tissue()[:, []], {}, "genes"),
    "no cells": (lambda: tissue()[[]], {}, "cells"),
    "unknown gene": (
        tissue,
        {"genes": ["Sox9", "Bmp"]},
        "'Bmp'.*'Bmp2'",
    ),
    "strange gene": (tissue, {"genes": ["XYZ"]}, "'XYZ'.*'Sox9', 'Bmp2', 'Wnt3', 'Fgf8', 'Shh'"),
    "gene twice": (tissue, {"genes": ["Shh", "Shh"]}, "'Shh'"),
    "no group": (
        tissue,
        {"group": "obs/stages"},
        "group='obs/stages'.*'obs/stage'",
    ),
    "group elsewhere": (tissue, {"group": "stages"}, "group='stages'.*'obs/stage'"),
    "missing group": (
        lambda: change(obs_part=["a"] * 38 + [None] * 2),
        {"group": "obs/part"},
        "group='obs/part'.*2",
    ),
    "lonely cell": (
        lambda: change(obs_part=["a"] * 39 + ["b"]),
        {"group": "obs/part"},
        "group='obs/part'.*'b'",
    ),
    "time in words": (tissue, {"time": "obs/stage"}, "time='obs/stage'"),
    "missing time": (
        lambda: change(obs_hour=with_nan(np.zeros(N), [3])),
        {"time": "obs/hour"},
        "obs/hour.*1 of 40.*'cell3'",
    ),
    "unknown argument": (
        tissue,
        {"grup": "obs/stage"},
        "'grup'.*group",
    ),
}


@pytest.mark.parametrize("form", ["file", "memory"])
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::anndata.ImplicitModificationWarning")
def test_refuses(written, name, form):
    make, arguments, sentence = REFUSED[name]
    source = written(make()) if form == "file" else make()
    with pytest.raises(ValueError, match=sentence) as error:
        load(source, **arguments)
    if name != "unknown argument":
        assert str(error.value).startswith(f"{source}: " if form == "file" else "source: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if k else []) for k, n in enumerate(REAL)]
)
def test_real_tissues(shared, name):
    cells, genes, dimension, kind = REAL[name]
    path = shared / "spatial_omics" / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    read = Tissue.read(path)
    assert (len(read), len(read.genes), read.pos.shape[1], read.kind) == (cells, genes, dimension, kind)
    graphs = read.graphs()
    data = anndata.read_h5ad(path)
    np.testing.assert_array_equal(graphs.x, dense(data.X))
    patches = SpatialTranscriptomics(kind, patch=400).patches(graphs)
    assert patches.uniform == 400
    graphs = patches[0]
    expression = Expression.fit(graphs)
    back = expression.undo(expression.apply(graphs))
    # Fewer than 1 in 10^4 of the largest value, in float32.
    torch.testing.assert_close(back.x, graphs.x, rtol=1e-4, atol=1e-4)


def test_real_stages(shared):
    path = shared / "spatial_omics" / "chick_heart_stages_visium.h5ad"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    graphs = load(path, group="obs/stage", time="obs/day")
    assert graphs.classes == ("D4", "D7", "D10", "D14")
    assert graphs.sizes.tolist() == [747, 1966, 1916, 1967]
    assert [g.pos[0, 2].item() for g in graphs] == [4, 7, 10, 14]


def test_names_in_any_case_and_without_their_group(tmp_path):
    """Exact names first: ``obs/stage`` is not ``obs/Stage`` where both are there."""
    data = tissue()
    data.write_h5ad(tmp_path / "a.h5ad")
    whole = load(tmp_path / "a.h5ad", pos="obsm/spatial", group="obs/stage", x="X")
    asked = load(tmp_path / "a.h5ad", pos="Spatial", group="STAGE", x="x")
    assert torch.equal(whole.x, asked.x)
    assert torch.equal(whole.label, asked.label)
    gene = data.var_names[1]
    some = load(tmp_path / "a.h5ad", genes=[gene.swapcase()])
    assert some.feature_names == (gene,)
    data.obs["Stage"] = data.obs["stage"].cat.rename_categories(lambda c: f"{c}x")
    data.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(ValueError, match="group='STAGE'"):
        load(tmp_path / "b.h5ad", group="STAGE")
    assert load(tmp_path / "b.h5ad", group="Stage").classes[0].endswith("x")
