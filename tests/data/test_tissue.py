"""Tissues: files made with anndata are the oracles, the real ones are read where they are at hand."""

import dataclasses
import json
import math
import os
import re
import sys

import numpy as np
import pytest
import torch
from scipy import sparse

from noisefold.configuration import decode, encode
from noisefold.data import Expression, Tissue, load, write_layers
from noisefold.data.tissue.expression import recognise
from noisefold.data.tissue.patches import cut
from noisefold.geometry.graphs import Graphs

anndata = pytest.importorskip("anndata")
h5py = pytest.importorskip("h5py")
pandas = pytest.importorskip("pandas")

N, GENES = 40, ("Sox9", "Bmp2", "Wnt3", "Fgf8", "Shh")
REAL = {
    # cells, genes, dimensions, what the README of the data says the values are
    "mouse_embryo_seqfish": (14_185, 351, 2, "log"),
    "chick_heart_stages_visium": (6_596, 15, 2, "fractions"),
    "human_heart_6p5pcw_st": (1_459, 15_366, 2, "counts"),
    "fly_embryo_bdtnp": (3_039, 84, 3, "continuous"),
    "mouse_cortex_osmfish": (6_471, 33, 2, "counts"),
}


def tissue(matrix="csr", n=N, seed=0):
    """Counts of five genes in cells of three stages, with a layer of logarithms and two sets of places."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1, 2, (n, len(GENES)))).astype(np.float32)
    forms = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "array": sparse.csr_array, "dense": np.array}
    stage = pandas.Categorical(rng.permutation(np.arange(n) % 3), categories=[0, 1, 2])
    obs = pandas.DataFrame(
        {
            "stage": stage.rename_categories(["E9", "E10", "E11"]),
            "day": 9.0 + stage.codes,
            "x": rng.normal(size=n),
            "y": rng.normal(size=n),
            "word": ["a", "b"] * (n // 2),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    data = anndata.AnnData(forms[matrix](counts), obs=obs, var=pandas.DataFrame(index=list(GENES)))
    data.layers["log1p"] = forms[matrix](np.log1p(counts))
    data.obsm["spatial"] = rng.normal(size=(n, 2))
    data.obsm["spatial_3d"] = rng.normal(size=(n, 3))
    data.obsm["X_pca"] = rng.normal(size=(n, 4))
    return data


def dense(values):
    return np.asarray(values.toarray() if sparse.issparse(values) else values)


@pytest.fixture
def written(tmp_path):
    def write(data, name="a.h5ad"):
        data.write_h5ad(tmp_path / name)
        return tmp_path / name

    return write


# -- reading ------------------------------------------------------------------------------------------------


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


# -- what is refused ----------------------------------------------------------------------------------------


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
    "no places": (without_places, {}, "no coordinates obsm/spatial; there is obsm/X_pca. Name"),
    "no obsm": (lambda: anndata.AnnData(np.ones((3, 2))), {}, "there is nothing of this kind. Name"),
    "other place": (
        tissue,
        {"pos": "obsm/spatail"},
        "pos='obsm/spatail' is not there; did you mean 'obsm/spatial'?",
    ),
    "many columns": (tissue, {"pos": "obsm/X_pca"}, "pos='obsm/X_pca' must have 2 or 3 columns, got 4"),
    "NaN place": (
        lambda: change(obsm_spatial=with_nan(np.zeros((N, 2)), [7, 9])),
        {},
        "the coordinates of 2 of 40 cells are NaN or infinite, the first of them 'cell7'",
    ),
    "text place": (tissue, {"pos": ["obs/x", "obs/word"]}, "pos='obs/word' holds"),
    "text table": (
        lambda: change(obsm_names=pandas.DataFrame({"a": ["u"] * N}, index=[f"cell{i}" for i in range(N)])),
        {"pos": "obsm/names"},
        "pos='obsm/names' holds text or objects, not numbers",
    ),
    "no layer": (tissue, {"x": "layers/logp"}, "x='layers/logp' is not there; did you mean 'layers/log1p'?"),
    "no raw": (tissue, {"x": "raw/X"}, "x='raw/X' is not there"),
    "text layer": (
        lambda: change(layers_words=np.full((N, 5), "a")),
        {"x": "layers/words"},
        "x='layers/words' holds text or objects, not numbers",
    ),
    "NaN value": (nan_value, {}, "the expression of 1 of 40 cells are NaN or infinite"),
    "infinite value": (
        lambda: change(layers_inf=np.full((N, 5), np.inf)),
        {"x": "layers/inf"},
        "the expression of 40 of 40 cells are NaN or infinite, the first of them 'cell0'",
    ),
    "same cells": (
        lambda: renamed("obs_names", ["a", "b"] + [f"c{i // 2}" for i in range(38)]),
        {},
        "19 cell names occur more than once, 'c0' among them; make them unique with AnnData.obs_names_make",
    ),
    "same genes": (lambda: renamed("var_names", list("aabcd")), {}, "1 gene names occur more than once, 'a'"),
    "no genes left": (tissue, {"genes": []}, "no genes are left"),
    "no genes": (lambda: tissue()[:, []], {}, "no genes are left"),
    "no cells": (lambda: tissue()[[]], {}, "no cells are left"),
    "unknown gene": (
        tissue,
        {"genes": ["Sox9", "Bmp"]},
        "genes names 'Bmp', which is not there; did you mean 'Bmp2'?",
    ),
    "strange gene": (tissue, {"genes": ["XYZ"]}, "which is not there; there is Sox9, Bmp2, Wnt3, Fgf8, Shh."),
    "gene twice": (tissue, {"genes": ["Shh", "Shh"]}, "genes names 'Shh' twice"),
    "no group": (
        tissue,
        {"group": "obs/stages"},
        "group='obs/stages' is not there; did you mean 'obs/stage'?",
    ),
    "group elsewhere": (tissue, {"group": "stage"}, "group='stage' is not there; did you mean 'obs/stage'?"),
    "missing group": (
        lambda: change(obs_part=["a"] * 38 + [None] * 2),
        {"group": "obs/part"},
        "group='obs/part' has no value for 2 cells",
    ),
    "lonely cell": (
        lambda: change(obs_part=["a"] * 39 + ["b"]),
        {"group": "obs/part"},
        "group='obs/part' has 1 cell of 'b'; a graph needs at least two cells",
    ),
    "time in words": (tissue, {"time": "obs/stage"}, "time='obs/stage' holds category, not numbers"),
    "missing time": (
        lambda: change(obs_hour=with_nan(np.zeros(N), [3])),
        {"time": "obs/hour"},
        "the obs/hour of 1 of 40 cells are NaN or infinite, the first of them 'cell3'",
    ),
    "unknown argument": (
        tissue,
        {"grup": "obs/stage"},
        "there is no argument 'grup', only pos, x, genes, group, time",
    ),
}


@pytest.mark.parametrize("form", ["file", "memory"])
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::anndata.ImplicitModificationWarning")
def test_refuses(written, name, form):
    make, arguments, sentence = REFUSED[name]
    source = written(make()) if form == "file" else make()
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        load(source, **arguments)
    if name != "unknown argument":
        assert str(error.value).startswith(f"{source}: " if form == "file" else "source: ")
    assert "\n" not in str(error.value)


def replaced(name, shape):
    def damage(path):
        with h5py.File(path, "r+") as file:
            del file[name]
            anndata.io.write_elem(file, name, np.zeros(shape))

    return damage


def old_obs(path):
    with h5py.File(path, "r+") as file:
        del file["obs"]
        file["obs"] = np.array([(b"a", 1.0)] * N, dtype=[("index", "S1"), ("day", "f4")])


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_tables(path):
    with h5py.File(path, "r+") as file:
        del file["obs"]


def bent(path):
    with h5py.File(path, "r+") as file:
        file["X/indptr"][...] = 10**6


def garbled(path):
    """The compressed numbers of the matrix overwritten."""
    tissue().write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)


DAMAGED = {
    "text": (lambda path: path.write_text("cell,x,y\n"), "this is no HDF5 file, and so no .h5ad"),
    "empty": (lambda path: path.write_bytes(b""), "this is no HDF5 file"),
    "head": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "the file is truncated or damaged"),
    "half": (half, "the file is truncated or damaged"),
    "no tables": (no_tables, "this HDF5 file has no obs and var"),
    "bent": (bent, "the file is truncated or damaged"),
    "garbled": (garbled, "the file is truncated or damaged"),
    "rows": (replaced("X", (N + 1, 5)), "x='X' must be a matrix with a row for each of the 40 cells, got"),
    "columns": (replaced("X", (N, 6)), "x='X' has 6 columns, but there are 5 genes"),
    "flat": (replaced("obsm/spatial", N), "pos='obsm/spatial' must be a matrix with a row for each"),
    "old": (old_obs, "of an anndata older than 0.7"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_damaged_files(written, name):
    damage, sentence = DAMAGED[name]
    path = written(tissue())
    damage(path)
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "a.h5ad")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Tissue.read(tmp_path / "a.h5ad")


def test_parts_are_of_no_other_file(tmp_path):
    (tmp_path / "a.xyz").write_text("0 0 0\n1 1 1\n")
    with pytest.raises(ValueError, match=r"group names "):
        load(tmp_path / "a.xyz", group="obs/stage")
    with pytest.raises(ValueError, match="pos names "):
        load(np.zeros((3, 2)), pos="obsm/spatial", x="X")


def test_without_anndata(written, monkeypatch):
    path = written(tissue())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"noisefold\[bio\]"):
        load(path)


# -- kinds of values and their transformation ----------------------------------------------------------------


def test_kinds_of_values():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 2, (300, 30))).astype(np.float32)
    sizes = counts.sum(1, keepdims=True) / counts.sum(1).mean()
    scaled = (counts / np.maximum(sizes, 1e-3)).astype(np.float32)
    fractions = rng.dirichlet(np.ones(8), 300).astype(np.float32)
    cases = [(counts, "counts"), (fractions, "fractions"), (rng.gamma(1, 1, (300, 30)), "continuous")]
    cases += [(np.log1p(scaled) / np.log(base), "log") for base in (np.e, 2, 10)]
    cases += [(np.log1p(counts), "log"), (scaled, "continuous"), (counts - 1, "continuous")]
    for i, (values, kind) in enumerate(cases):
        assert recognise(values) == kind, i
        assert recognise(sparse.csr_array(values)) == kind, i


def counted(n=200, genes=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(genes, generator=generator, dtype=torch.float64) * 20
    x = torch.poisson(rate * 4 * torch.rand(n, 1, generator=generator, dtype=torch.float64), generator)
    x[5] = 0
    x[:, 2] = 0
    return Graphs(torch.zeros(n, 2), x, torch.tensor([0, n // 3, n]))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("size", ["feature", "none"])
def test_undo_brings_counts_back(dtype, close, size):
    graphs = counted()
    graphs = graphs.replace(x=graphs.x.to(dtype))
    expression = Expression.fit(graphs, size=size)
    out = expression.apply(graphs)
    assert out.features == 6 + (size == "feature")
    assert out.x.dtype == dtype
    back = expression.undo(out)
    # expm1 turns the rounding of y, of some eps, into as much relative to the count.
    torch.testing.assert_close(back.x, graphs.x, rtol=close, atol=close)


def test_undo_with_and_without_totals():
    graphs = counted()
    expression = Expression.fit(graphs, size="median")
    out = expression.apply(graphs)
    totals = graphs.x.sum(1)
    torch.testing.assert_close(expression.undo(out, totals).x, graphs.x, rtol=1e-12, atol=1e-12)
    common = expression.undo(out).x
    full = totals > 0
    torch.testing.assert_close(common[full].sum(1), totals.clamp(min=1).median().expand(int(full.sum())))
    assert common[5].abs().max() < 1e-12


def test_applied_expression_is_standard_and_as_the_formula_says():
    graphs = counted()
    expression = Expression.fit(graphs, size="feature")
    x = graphs.x
    totals = x.sum(1, keepdim=True).clamp(min=1)
    logs = torch.cat([torch.log1p(x / totals * totals.median()), (totals / totals.median()).log()], 1)
    scale = logs.std(0, correction=0)
    scale[2] = 1
    torch.testing.assert_close(
        expression.apply(graphs).x, (logs - logs.mean(0)) / scale, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["log", "fractions", "continuous"])
def test_what_is_no_counts_is_only_standardised(kind):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).abs()
    expression = Expression.fit(Graphs(torch.zeros(50, 2), x), values=kind)
    out = expression.apply(Graphs(torch.zeros(50, 2), x))
    torch.testing.assert_close(out.x, (x - x.mean(0)) / x.std(0, correction=0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expression.undo(out).x, x, rtol=1e-12, atol=1e-12)


def test_a_sparse_tissue_is_measured_part_by_part(monkeypatch):
    """As its dense graphs are, whatever the parts; of a gene that never changes the scale is 1."""
    data = tissue(n=400)
    constant = sparse.csr_matrix(np.full((400, 1), 3, dtype=np.float32))
    wide = anndata.AnnData(sparse.hstack([data.X, constant]).tocsr(), obs=data.obs)
    wide.obsm["spatial"] = data.obsm["spatial"]
    read = Tissue.read(wide)
    for size in ("none", "feature", "median"):
        dense_ = Expression.fit(read.graphs(), size=size)
        monkeypatch.setattr("noisefold.data.tissue.expression._AT_ONCE", 37)
        parts = Expression.fit(read, size=size)
        np.testing.assert_allclose(parts.mean, dense_.mean, rtol=1e-12)
        np.testing.assert_allclose(parts.scale, dense_.scale, rtol=1e-12)
        assert parts.target == dense_.target
        if size == "none":
            assert parts.scale[5] == 1


def test_known_counts_stay_known_without_totals_alone():
    known = torch.tensor([[True, True], [False, False], [True, False]])
    assert torch.equal(Expression(size="none").entries(known), known)
    assert torch.equal(Expression("log", size="feature").entries(known), known)
    with pytest.raises(ValueError, match="size 'none'"):
        Expression(size="median").entries(known)
    whole = Expression(size="feature").entries(known[:2])
    assert whole.tolist() == [[True] * 3, [False] * 3]


def test_counts_are_never_below_zero():
    expression = Expression.fit(counted())
    low = counted().replace(x=torch.full((200, 6), -9.0))
    assert expression.undo(low).x.min() == 0
    for values in ("log", "fractions"):
        there = Expression(values, "none", mean=(1.0,) * 6, scale=(2.0,) * 6)
        assert there.undo(low).x.min() == 0
    other = Expression("continuous", "none", mean=(1.0,) * 6, scale=(2.0,) * 6)
    assert other.undo(low).x.min() == -17


def test_expression_is_written_and_read():
    expression = Expression.fit(counted())
    assert expression.values == "counts"
    assert decode(json.loads(json.dumps(encode(expression)))) == expression


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Expression("word"), "values must be one of counts"),
        (lambda: Expression(size="large"), "size must be one of feature"),
        (lambda: Expression(mean=(0.0,)), "mean and scale must be equally long"),
        (lambda: Expression.fit(Graphs(torch.zeros(3, 2))), "have no features x"),
        (lambda: Expression.fit(Graphs(torch.zeros(2, 2), torch.full((2, 1), torch.nan))), "x holds NaN"),
        (lambda: Expression.fit(Graphs(torch.zeros(2, 2), -torch.ones(2, 1)), "counts"), "least is -1"),
        (
            lambda: Expression.fit(counted()).apply(counted(genes=4)),
            "x must have 6 features, as was fitted, got 4",
        ),
        (
            lambda: Expression.fit(counted(), size="feature").undo(counted()),
            "x must have 7 features, as was fitted, got 6",
        ),
        (
            lambda: Expression.fit(counted(), size="none").undo(counted(), torch.ones(200)),
            "belong to size 'median', got .* for size 'none'",
        ),
    ],
)
def test_expression_refuses(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# -- patches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cells", "overlap"), [(50, 0.25), (64, 0.5), (50, 0.0), (7, 0.9), (1000, 0.25)])
@pytest.mark.parametrize("dimension", [2, 3])
def test_patches_cover_every_cell(cells, overlap, dimension):
    rng = np.random.default_rng(0)
    pos, group = rng.normal(size=(700, dimension)), rng.integers(0, 2, 700)
    rows, weights = cut(pos, group, cells, overlap)
    sizes = np.bincount(group)
    total = np.zeros(700)
    for patch, weight in zip(rows, weights, strict=True):
        assert len(np.unique(group[patch])) == 1
        assert len(np.unique(patch)) == len(patch) == min(cells, sizes[group[patch[0]]])
        assert (weight > 0).all()
        total[patch] += weight
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-14)
    if cells < sizes.min():
        own = max(int(cells * (1 - overlap)), 1)
        assert len(rows) == sum(-(-n // own) for n in sizes)
    else:
        assert len(rows) == 2


def test_a_patch_is_the_core_and_its_nearest_cells():
    """On a line: a core in the middle grows evenly to both sides."""
    pos = np.stack([np.arange(120.0), np.zeros(120)], 1)
    rows, weights = cut(pos, np.zeros(120, dtype=np.int64), 20, 0.5)
    assert len(rows) == 12
    inner = np.sort(rows[5])
    assert inner.tolist() == list(range(inner[0], inner[0] + 20))
    assert sorted(rows[5][:10]) == list(range(inner[0] + 5, inner[0] + 15))
    # Five steps of a fifth, each cell in the margin of one neighbour, whose own weight there is 1.
    fall = 1 - 0.99 * np.arange(1, 6) / 5
    expected = np.sort(np.concatenate([fall / (1 + fall)] * 2))
    np.testing.assert_allclose(np.sort(weights[5][10:]), expected, rtol=1e-12)


def test_cells_at_one_place():
    rows, weights = cut(np.zeros((100, 2)), np.zeros(100, dtype=np.int64), 30, 0.25)
    assert {len(r) for r in rows} == {30}
    assert sorted(set(np.concatenate(rows).tolist())) == list(range(100))
    assert all(np.isfinite(w).all() for w in weights)


def test_patches_of_a_tissue_are_stitched():
    data = tissue(n=400)
    read = Tissue.read(data, group="obs/stage")
    patches = read.patches(60, overlap=0.3)
    graphs = patches.graphs()
    assert repr(patches) == f"Patches({len(patches)} of 60 to 60 cells, out of 400)"
    assert (len(graphs), graphs.uniform, graphs.classes) == (len(patches), 60, ("E9", "E10", "E11"))
    assert torch.equal(patches[3].x, graphs[3].x)
    assert torch.equal(patches[1:3].pos, graphs[1:3].pos)
    assert [int(graph.label) for graph in patches] == graphs.label.tolist()
    np.testing.assert_array_equal(graphs[2].x, dense(data.X)[patches.rows[2]])
    # What is the same on all patches comes back as it was, up to a rounding.
    back = patches.stitch([graph.x for graph in patches])
    np.testing.assert_allclose(back, dense(data.X), rtol=1e-6)
    assert torch.equal(back, patches.stitch(graphs.x))
    # A value for each patch becomes a weighted mean of those that hold the cell.
    number = graphs.batch[:, None].double()
    mean = patches.stitch(number)[:, 0]
    pairs = list(enumerate(zip(patches.rows, patches.weights, strict=True)))
    for cell in (0, 17, 399):
        held = [(i, w[r == cell][0]) for i, (r, w) in pairs if cell in r]
        assert float(mean[cell]) == pytest.approx(sum(i * w for i, w in held), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t: t.patches(1), "cells must be at least 2"),
        (lambda t: t.patches(10, overlap=1.0), r"overlap must lie in \[0, 1\)"),
        (lambda t: t.patches(10).stitch(torch.zeros(7, 2)), "a row for each of the"),
    ],
)
def test_patches_refuse(call, says):
    with pytest.raises(ValueError, match=says):
        call(Tissue.read(tissue()))


# -- writing ------------------------------------------------------------------------------------------------


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
        ({"mean": torch.zeros(N, 4)}, r"mean must be \[..., 40, 5\] \(cells, genes\), got \[40, 4\]"),
        ({"std": torch.zeros(5)}, "std must be"),
        ({"draws": torch.zeros(N, 5)}, "draws three"),
        ({"genes": ["Shh", "Sox"]}, "genes names 'Sox', which is not there; did you mean 'Sox9'"),
        ({"rows": [0, 0]}, r"rows must be different numbers in \[0, 40\)"),
        ({"rows": [40]}, "rows must be different"),
        ({"provenance": {"model": object()}}, "provenance must be plain data"),
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


# -- real tissues -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_real_tissues(shared, name):
    cells, genes, dimension, kind = REAL[name]
    path = shared / "spatial_omics" / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    read = Tissue.read(path)
    assert (len(read), len(read.genes), read.pos.shape[1], read.kind) == (cells, genes, dimension, kind)
    patches = read.patches(400)
    assert {len(rows) for rows in patches.rows} == {400}
    chosen = slice(0, 1)
    graphs = patches[chosen]
    data = anndata.read_h5ad(path)
    np.testing.assert_array_equal(graphs.x, dense(data.X[np.concatenate(patches.rows[chosen])]))
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


def test_what_is_nearer_to_zero_than_to_the_least_value_seen_is_zero():
    counts = torch.tensor([[0.0, 3.0], [1.0, 5.0], [4.0, 0.0]])
    graphs = Graphs(torch.zeros(3, 2), counts)
    transform = Expression.fit(graphs, "counts")
    assert transform.least == pytest.approx((math.log(2), math.log(4)))
    drawn = counts.clone()
    drawn[0, 0], drawn[2, 1] = 0.3, 0.9  # log(1.3) < log(2) / 2 and log(1.9) < log(4) / 2
    assert torch.equal(transform.undo(transform.apply(graphs.replace(x=drawn))).x == 0, counts == 0)
    drawn[0, 0], drawn[2, 1] = 0.5, 1.1
    kept = transform.undo(transform.apply(graphs.replace(x=drawn))).x
    torch.testing.assert_close(kept, drawn)
    with pytest.raises(ValueError, match="least must be empty or hold a number for each gene"):
        dataclasses.replace(transform, least=(1.0,))


def test_continuous_values_near_zero_stay():
    graphs = Graphs(torch.zeros(3, 2), torch.tensor([[-1.0], [0.001], [2.0]]))
    transform = Expression.fit(graphs, "continuous")
    assert transform.least == ()
    torch.testing.assert_close(transform.undo(transform.apply(graphs)).x, graphs.x)
