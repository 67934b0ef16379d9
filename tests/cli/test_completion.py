"""Tissues through the command line: trained on, completed, generated; one sentence for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from noisefold import cli
from noisefold.data import load, save
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.runs import Run

anndata = pytest.importorskip("anndata")
pandas = pytest.importorskip("pandas")

N, GENES = 90, ("Sox9", "Bmp2", "Wnt3", "Fgf8", "Shh")
SMALL = [
    "-o",
    "net.kind=nn.Latents",
    "-o",
    "net.width=8",
    "-o",
    "net.latents=2",
    "-o",
    "net.latent_width=8",
    "-o",
    "net.rounds=1",
]
SMALL += ["-o", "net.blocks=1", "-o", "net.heads=2", "-o", "training.batch=2", "-o", "training.warmup=1"]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def tissue(seed: int = 0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1, 3, (N, len(GENES)))).astype(np.float32)
    obs = pandas.DataFrame(
        {"stage": ["E9", "E10"] * (N // 2), "day": [9.0, 10.0] * (N // 2), "torn": np.arange(N) < 9},
        index=[f"cell{i}" for i in range(N)],
    )
    data = anndata.AnnData(counts, obs=obs, var=pandas.DataFrame(index=list(GENES)))
    data.layers["log1p"] = np.log1p(counts)
    data.obsm["spatial"] = rng.uniform(0, 100, (N, 2))
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A file, and two runs trained on it: of all cells, and of two stages with their time."""
    folder = tmp_path_factory.mktemp("tissue")
    tissue().write_h5ad(folder / "a.h5ad")
    parts = {"plain": ["--for-completion"], "stages": ["--group", "obs/stage", "--time", "obs/day"]}
    for name, more in parts.items():
        end = [*more, "--patch", 24, "--steps", 2, *SMALL]
        status, text, errors = run("train", folder / "a.h5ad", "--out", folder / name, *end)
        assert status == 0, errors
        assert "5 features" in text
    return folder


def test_a_run_remembers_how_its_data_were_read(folder: Path) -> None:
    note = json.loads((folder / "stages" / "data.json").read_text())
    assert (note["group"], note["time"], note["patch"], note["x"]) == ("obs/stage", "obs/day", 24, "X")
    model = Model.from_pretrained(folder / "stages")
    assert model.feature_names == GENES
    assert (model.transform.values, model.transform.size) == ("counts", "none")
    # Time has a scale of its own: half a day at most, where the two stages are one day apart.
    assert 0.3 < model.data.scaling.axis_scale[2] <= 0.5
    assert (
        model.data.scaling.axis_scale[0]
        == model.data.scaling.axis_scale[1]
        == model.data.scaling.pos_scale
        > 20
    )


def test_inspect_says_what_the_values_are(folder: Path) -> None:
    status, text, errors = run("inspect", folder / "a.h5ad", "--patch", 24, "--genes", "Shh,Bmp2")
    assert status == 0, errors
    assert "counts (whole numbers" in text
    assert "features: 2" in text


@pytest.mark.parametrize("method", ["amortized", "replacement"])
def test_what_is_nan_is_drawn_and_what_is_known_stays(folder: Path, tmp_path: Path, method: str) -> None:
    data = tissue(1)
    hidden = np.random.default_rng(2).random((N, len(GENES))) < 0.3
    truth = data.X.copy()
    data.X[hidden] = np.nan
    data = data[:, list(GENES[::-1])].copy()  # another order of genes, and one that the model does not know
    data = anndata.concat(
        [data, anndata.AnnData(np.ones((N, 1)), obs=data.obs, var=pandas.DataFrame(index=["other"]))],
        axis=1,
        merge="same",
    )
    data.obsm["spatial"] = tissue(1).obsm["spatial"]
    data.write_h5ad(tmp_path / "in.h5ad")
    before = (tmp_path / "in.h5ad").read_bytes()
    end = ["--draws", 3, "--steps", 2, "--keep-draws", "--method", method]
    status, text, errors = run(
        "complete", folder / "plain", tmp_path / "in.h5ad", "--out", tmp_path / "b.h5ad", *end
    )
    assert status == 0, errors
    assert f"{hidden.sum()} values of 5 genes" in text
    assert (tmp_path / "in.h5ad").read_bytes() == before
    back = anndata.read_h5ad(tmp_path / "b.h5ad")
    known = back[:, list(GENES)]
    mean, std = known.layers["noisefold_mean"], known.layers["noisefold_std"]
    np.testing.assert_array_equal(mean[~hidden], truth[~hidden])
    assert (std[~hidden] == 0).all()
    assert (std[hidden] > 0).any()
    assert np.isfinite(mean).all()
    assert (mean >= 0).all()
    assert np.isnan(back[:, "other"].layers["noisefold_mean"]).all()
    draws = back.uns["noisefold_draws"]
    order = [list(draws["genes"]).index(gene) for gene in GENES]
    # Sums of three numbers in another order, in float32.
    np.testing.assert_allclose(draws["draws"][:, :, order].mean(0), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(draws["draws"][:, :, order].std(0, ddof=1), std, rtol=1e-4, atol=1e-4)
    facts = json.loads(back.uns["noisefold"])
    assert (facts["draws"], facts["seed"], facts["method"]) == (3, 0, method)
    assert len(facts["weights"]) == 64


@pytest.mark.parametrize(
    ("options", "cells", "genes"),
    [
        (["--genes", "Shh,Bmp2"], lambda d: np.ones(N, bool), ["Bmp2", "Shh"]),
        (["--region", "x>50 & y<=30"], lambda d: _inside(d, 50, 100, 0, 30), GENES),
        (["--region", "50:, :30"], lambda d: _inside(d, 50, 100, 0, 30), GENES),
        (["--region", "obs/torn"], lambda d: d.obs.torn.to_numpy(), GENES),
        (["--region", "obs/stage=E9", "--genes", "Shh"], lambda d: (d.obs.stage == "E9").to_numpy(), ["Shh"]),
        (["--time", "10"], lambda d: (d.obs.day == 10).to_numpy(), GENES),
    ],
)
def test_what_is_missing_can_be_named(folder: Path, tmp_path: Path, options, cells, genes) -> None:
    out = tmp_path / "b.h5ad"
    end = ["--draws", 2, "--steps", 1, "--method", "replacement", *options]
    status, _, errors = run("complete", folder / "stages", folder / "a.h5ad", "--out", out, *end)
    assert status == 0, errors
    data = tissue()
    drawn = anndata.read_h5ad(out).layers["noisefold_mean"] != data.X
    expected = cells(data)[:, None] & np.isin(GENES, genes)
    # A draw of a count is no whole number, unless it is cut off at zero where the count is zero as well.
    assert not drawn[~expected].any()
    assert (drawn | (data.X == 0))[expected].all()


def _inside(data, left, right, low, high):
    x, y = data.obsm["spatial"].T
    return (x >= left) & (x <= right) & (y >= low) & (y <= high)


def test_generated_at_given_positions(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.h5ad"
    status, _, errors = run(
        "sample", folder / "stages", "--like", folder / "a.h5ad", "--out", out, "--steps", 2, "-n", 2
    )
    assert status == 0, errors
    made = anndata.read_h5ad(out)
    assert list(made.var_names) == list(GENES)
    assert set(made.obs.group) == {"E9", "E10"}
    graphs = load(out, group="obs/graph")
    assert graphs.sizes.tolist() == [45] * 4
    assert not np.allclose(graphs[0].x, graphs[2].x)
    assert (graphs.x >= 0).all()
    order = np.argsort(tissue().obs.stage.to_numpy() != "E9", kind="stable")
    np.testing.assert_allclose(made.obsm["spatial"][:N], tissue().obsm["spatial"][order], rtol=1e-5)


def test_plain_files(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pos = rng.normal(size=(4, 12, 2)).astype(np.float32)
    save(Graphs.dense(*map(_tensor, (pos, rng.normal(size=(4, 12, 2))))), tmp_path / "train.npz")
    status, _, errors = run(
        "train", tmp_path / "train.npz", "--out", tmp_path / "run", "--steps", 2, "--hold-out", 0, *SMALL
    )
    assert status == 0, errors
    x = rng.normal(size=(4, 12, 2)).astype(np.float32)
    x[:, :5, 1] = np.nan
    np.savez(tmp_path / "in.npz", pos=pos, x=x)
    for name in ("in.npz", "in.csv"):
        save(load(tmp_path / "in.npz", missing=True), tmp_path / "in.csv")
        out = tmp_path / f"out{Path(name).suffix}"
        end = ["--draws", 3, "--steps", 2, "--method", "replacement"]
        status, _, errors = run("complete", tmp_path / "run", tmp_path / name, "--out", out, *end)
        assert status == 0, errors
        back = load(out)
        assert len(back) == 12
        kept = ~np.isnan(np.repeat(x, 3, 0))
        np.testing.assert_array_equal(back.x.numpy().reshape(12, 12, 2)[kept], np.repeat(x, 3, 0)[kept])


def _tensor(values):
    import torch

    return torch.from_numpy(np.asarray(values, dtype=np.float32))


# -- what is refused ----------------------------------------------------------------------------------------


def _changed(change):
    def write(path: Path) -> None:
        data = tissue()
        data = change(data) or data
        data.write_h5ad(path)

    return write


def _no_places(data):
    del data.obsm["spatial"]


def _nan_places(data):
    data.obsm["spatial"][3, 0] = np.nan


def _doubled(data):
    data.obs_names = ["cell0", *data.obs_names[:-1]]


def _text(path: Path) -> None:
    import h5py

    tissue().write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = np.full((N, len(GENES)), b"a")
        file["X"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def _cut(path: Path) -> None:
    tissue().write_h5ad(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _infinite(data):
    data.X[0, 0] = np.inf


_SOUND = _changed(lambda data: None)
BAD = {
    "no coordinates": (_changed(_no_places), [], "no coordinates obsm/spatial"),
    "NaN coordinates": (_changed(_nan_places), [], "coordinates of 1 of 90 cells are NaN"),
    "duplicate cells": (_changed(_doubled), [], "cell names occur more than once"),
    "text": (_text, [], "not numbers"),
    "truncated": (_cut, [], "truncated or damaged"),
    "infinite": (_changed(_infinite), [], "infinite"),
    "other coordinates": (_SOUND, ["--pos", "obsm/spatail"], "did you mean 'obsm/spatial'"),
}
ONLY_COMPLETE = {
    "gene not there": (_SOUND, ["--genes", "Sox8"], "did you mean 'Sox9'"),
    "no genes": (_SOUND, ["--genes", ","], "no names are left"),
    "fewer genes": (
        _changed(lambda d: d[:, :3].copy()),
        [],
        "gene 'Fgf8' is not there (one of 2",
    ),
    "other values": (_SOUND, ["--x", "layers/log1p"], "trained on counts"),
    "nothing missing": (_SOUND, [], "nothing is missing"),
    "no time": (_SOUND, ["--time", "9"], "trained without --time"),
    "region": (_SOUND, ["--region", "x~3"], "is not understood"),
    "axis": (_SOUND, ["--region", "q>3"], "no coordinate (x, y)"),
    "column": (_SOUND, ["--region", "obs/stag=E9"], "did you mean 'obs/stage'"),
    "method": (_SOUND, ["--method", "magic"], "method 'magic' is unknown"),
    "not one draw": (
        _SOUND,
        ["--genes", "Shh", "--draws", "0"],
        "draws must be at least 1",
    ),
}


@pytest.mark.parametrize("name", [*BAD, *ONLY_COMPLETE])
def test_complete_refuses_in_one_sentence(folder: Path, tmp_path: Path, name: str) -> None:
    write, options, says = {**BAD, **ONLY_COMPLETE}[name]
    write(tmp_path / "bad.h5ad")
    arguments = ["complete", folder / "plain", tmp_path / "bad.h5ad", "--out", tmp_path / "b.h5ad", *options]
    _refused(tmp_path, arguments, says)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["inspect", "train"])
def test_training_refuses_in_one_sentence(tmp_path: Path, name: str, command: str) -> None:
    write, options, says = BAD[name]
    write(tmp_path / "bad.h5ad")
    more = ["--out", tmp_path / "run"] if command == "train" else []
    _refused(tmp_path, [command, tmp_path / "bad.h5ad", *more, *options], says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--genes", "Sox8"], "did you mean 'Sox9'"),
        (["--genes", ","], "no names are left"),
        (["--points", "5"], "--points is not for tissues"),
        (["--group", "obs/stag"], "did you mean 'obs/stage'"),
        (["--patch", "1"], "patch must be at least 2"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: list[str], says: str) -> None:
    tissue().write_h5ad(tmp_path / "bad.h5ad")
    _refused(tmp_path, ["train", tmp_path / "bad.h5ad", "--out", tmp_path / "run", *options], says)


def _refused(folder: Path, arguments: list[object], says: str) -> None:
    status, _, errors = run(*arguments)
    assert status == 2, errors
    assert says in errors
    assert len(errors.strip().splitlines()) == 1
    assert {p.name for p in folder.iterdir()} == {"bad.h5ad"}


def test_outputs_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    tissue().write_h5ad(tmp_path / "bad.h5ad")
    (tmp_path / "file").touch()
    before = (tmp_path / "bad.h5ad").read_bytes()
    for out, says in (
        (tmp_path / "bad.h5ad", "is the input itself"),
        (tmp_path / "file" / "b.h5ad", "nothing can be written there"),
        (tmp_path / "b.csv", "must end with .h5ad"),
        (Path("/proc/b.h5ad"), "nothing can be written there"),
    ):
        if out.parent == Path("/proc") and not out.parent.is_dir():
            continue
        status, _, errors = run(
            "complete", folder / "plain", tmp_path / "bad.h5ad", "--out", out, "--genes", "Shh"
        )
        assert (status, len(errors.strip().splitlines())) == (2, 1), errors
        assert says in errors
    assert (tmp_path / "bad.h5ad").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"bad.h5ad", "file"}


def test_a_failure_while_writing_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*_, **__):
        raise OSError(28, "No space left on device", "b.h5ad")

    monkeypatch.setattr(anndata.io, "write_elem", full)
    end = ["--out", tmp_path / "b.h5ad", "--genes", "Shh", "--steps", 1, "--draws", 2]
    status, _, errors = run("complete", folder / "plain", folder / "a.h5ad", *end)
    assert (status, len(errors.strip().splitlines())) == (1, 1)
    assert "No space left" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--x", "CD8, total", "--x", "a@b"], ("CD8, total", "a@b")),
        (["--x", "heat,a@b"], ("heat", "a@b")),
        (["--x", '"CD8, total",heat'], ("CD8, total", "heat")),
        ([], ("heat", "CD8, total", "a@b")),
    ],
)
def test_columns_whose_names_hold_commas(tmp_path, words, names):
    rng = np.random.default_rng(0)
    rows = "".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in rng.random((12, 5)))
    (tmp_path / "a.csv").write_text('x,y,heat,"CD8, total",a@b\n' + rows)
    small = ["--steps", "1", "-o", "net.width=8", "-o", "net.heads=1", "-o", "training.batch=1"]
    status, _, errors = run("train", tmp_path / "a.csv", "--out", tmp_path / "run", *small, *words)
    assert (status, errors) == (0, "")
    assert Model.from_pretrained(tmp_path / "run").feature_names == names
    assert Run(tmp_path / "run").reading(str(tmp_path / "a.csv")).load().feature_names == names


@pytest.mark.parametrize("curves", [1, 2])
def test_tables_are_completed_as_those_of_training_were_read(tmp_path: Path, curves: int) -> None:
    rows = [(c, t / 10, c + t) for c in range(8) for t in range(10)]
    header = "curve,time,value\n"
    (tmp_path / "all.csv").write_text(header + "\n".join(f"{c},{t},{v}" for c, t, v in rows))
    some = [(c, t, v if t < 0.5 else "") for c, t, v in rows if c < curves]
    (tmp_path / "some.csv").write_text(header + "\n".join(f"{c},{t},{v}" for c, t, v in some))
    named = ("--pos", "time", "--group", "curve")
    small = ("-o", "net.width=16", "-o", "net.blocks=1", "-o", "net.heads=2")
    status, _, errors = run(
        "train", tmp_path / "all.csv", *named, "--steps", 1, "--out", tmp_path / "run", *small
    )
    assert (status, errors) == (0, "")
    words = ("complete", tmp_path / "run", tmp_path / "some.csv", "--draws", 2, "--steps", 1)
    status, _, errors = run(*words, "--out", tmp_path / "made.npz")
    assert (status, errors) == (0, "")
    made = load(tmp_path / "made.npz")
    assert len(made) == 2 * curves
    assert made.sizes.tolist() == [10] * 2 * curves
    assert made.feature_names == ("value",)
    words = ("sample", tmp_path / "run", "--like", tmp_path / "some.csv", "--steps", 1)
    status, _, errors = run(*words, "--out", tmp_path / "new.csv")
    assert (status, errors) == (0, "")
    new = load(tmp_path / "new.csv")
    assert new.sizes.tolist() == [10] * curves
    assert new.x.isfinite().all()
