"""The study of a user's own range: against fields whose correlation is known, and as a user calls it."""

import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import noisefold as nf
from noisefold import cli
from noisefold.configuration import decode
from noisefold.geometry import Graphs
from noisefold.nn.adaptive import Exponential, Information
from noisefold.studies.neighbors.range_of_data import measure, stem_of
from noisefold.studies.neighbors.range_of_data_report import (
    ALONE,
    FIXED,
    OWN,
    PAPER,
    WIDE,
    figure,
    flat,
    lines_to_use,
    warnings,
)
from noisefold.theory import SquaredExponential, fit_correlation, point_information, variogram

LENGTH = 0.15
FIELD = SquaredExponential(LENGTH)


def fields(correlation, graphs=60, nodes=100, seed=0):
    """Fields of unit variance on random points of the unit square."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(graphs, nodes, 2, generator=generator, dtype=torch.float64)
    covariance = correlation(torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist"))
    root = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(nodes))
    x = root @ torch.randn(graphs, nodes, 2, generator=generator, dtype=torch.float64)
    return Graphs.dense(pos.float(), x.float())


def run(*arguments):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def data():
    return fields(FIELD)


@pytest.fixture(scope="module")
def result(data):
    return measure(data, 512)


@pytest.mark.slow
def test_recovers_a_known_length(result):
    """Some 40 independent patches in each of 60 graphs: the length to 5 %, which is 2 errors or more."""
    fit = result["fit"]
    assert fit["family"] == "squared exponential"
    assert fit["length"] == pytest.approx(LENGTH, rel=0.05)
    assert fit["low"] < LENGTH < fit["high"]
    assert fit["shared"] == pytest.approx(1, abs=0.05)
    assert fit["shared"] + fit["own"] + fit["floor"] == pytest.approx(1)


@pytest.mark.slow
def test_recovers_the_range_of_the_known_field(data, result):
    """The k that tell most under the true correlation, from all nodes of five graphs, and exact sums.

    A rung of the ladder is 10 %, k goes with the square of the length, and 16 nodes of 8 graphs stand
    for all: 30 %, or a node and a half.
    """
    signal = torch.tensor([row["signal"] for row in result["levels"]], dtype=torch.float64)
    snr = (signal / (1 - signal)) ** 2
    told = torch.stack(
        [
            point_information(FIELD, data[i].pos, snr, counts=torch.arange(1, 101)).mean(0)
            for i in range(0, 60, 12)
        ]
    ).mean(0)
    best = 1 + told.argmax(1)
    for row, k in zip(result["levels"], best.tolist(), strict=True):
        assert row["neighbours"] == pytest.approx(k, rel=0.3, abs=1.5)
        assert row["low"] <= row["neighbours"] <= row["high"]
        r, s = row["levels"][OWN]
        if k > 8:  # what the schedule follows; below, the range of clean data, 5
            assert r * 100 / s == pytest.approx(k, rel=0.35)


def test_what_schedules_explain_is_the_information_of_their_reach(data, result):
    """One node explains SNR / (1 + SNR); nothing more than the best k, but for a rung of the ladder.

    The coarsest schedule reaches all 100 nodes and the one to one 5, summed here exactly under the true
    correlation: sums of 128 nodes of other graphs are as much to 15 %.
    """
    signal = torch.tensor([row["signal"] for row in result["levels"]], dtype=torch.float64)
    snr, counts = (signal / (1 - signal)) ** 2, torch.tensor([5, 100])
    told = torch.cat([point_information(FIELD, data[i].pos, snr, counts=counts) for i in range(0, 60, 12)])
    exact = -torch.expm1(-2 * told).mean(0)
    for row, (five, whole) in zip(result["levels"], exact.tolist(), strict=True):
        explained = row["explained"]
        assert explained[FIXED] == pytest.approx(five, rel=0.15)
        assert explained[WIDE] == pytest.approx(whole, rel=0.15)
        assert explained[ALONE] == pytest.approx(row["snr"] / (1 + row["snr"]), rel=1e-9)
        assert set(explained) == {OWN, PAPER, FIXED, WIDE, ALONE}
        assert tuple(row["levels"][PAPER]) == Exponential()(row["signal"], 100)
        assert all(0 < share < 1 for share in explained.values())
        assert max(explained[OWN], explained[ALONE]) > 0.97 * max(explained.values())


@pytest.mark.slow
def test_the_schedule_is_that_of_the_library(data, result):
    assert decode(result["schedule"]) == Information.from_data(data, seed=0)
    assert json.loads(json.dumps(result)) == result
    assert measure(data[:12], 64) == measure(data[:12], 64)


@pytest.mark.slow
def test_noise_without_correlation_says_so():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60 * 100, 1, generator=generator)
    found = measure(fields(FIELD).replace(x=x), 512)
    assert flat(found)
    assert len(warnings(found)) == 3


def test_positions_are_warned_of():
    found = measure(nf.data.shapes(30, points=60), 128)
    assert found["variable"] == "pos"
    assert not flat(found)
    assert "Positions" in warnings(found)[-2]


def test_lines_in_python_build_the_network(result, tmp_path):
    python, _, _ = lines_to_use(result, "mine.npz", tmp_path / "smoke.yaml")
    scope = {"nf": nf}
    exec(python, scope)
    assert scope["net"].adaptive == decode(result["schedule"])
    assert scope["net"](fields(FIELD, 2, 12), torch.zeros(2), None).shape == (24, 2)


def test_pictures_say_their_units(result):
    for panel in figure(result).axes:
        assert "[" in panel.get_xlabel()
        assert "[" in panel.get_ylabel()
        assert panel.get_title()


@pytest.mark.slow
def test_the_command_and_the_lines_it_gives(data, tmp_path, monkeypatch):
    """What is printed to be pasted trains the schedule that was found, with the file and without."""
    monkeypatch.chdir(tmp_path)
    nf.save(data[:12], tmp_path / "my fields.npz")
    status, text, errors = run("study", "range", "my fields.npz", "--out", "out")
    assert status == 0, errors
    folder = Path("out/range/my-fields")
    assert text.split() == [f"{folder}/smoke.{e}" for e in ("json", "md", "png", "yaml")]
    found = json.loads((folder / "smoke.json").read_text())
    assert run("study", "range", "--data", "my fields.npz", "--out", "again")[0] == 0
    again = json.loads(Path("again/range/my-fields/smoke.json").read_text())
    assert again["levels"] == found["levels"]
    assert "range 'my fields.npz'" in found["made"]["command"]
    lines = re.findall(r"^\$ noisefold (.*)$", (folder / "smoke.md").read_text(), re.MULTILINE)
    assert len(lines) == 2
    for number, line in enumerate(lines):
        words = shlex.split(line)
        words[words.index("--out") + 1] = f"run{number}"
        small = ["--steps", "1", "-o", "net.width=8", "-o", "net.layers=1", "-o", "training.batch=2"]
        status, _, errors = run(*words, *small, "-o", "training.warmup=1")
        assert status == 0, errors
        plan = yaml.safe_load(Path(f"run{number}/config.yaml").read_text())
        assert plan["net"]["kind"] == "nn.DMP"
        assert plan["net"]["adaptive"] == found["schedule"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder.mkdir(), "no file"),
        (lambda folder: (folder.mkdir(), np.save(folder / "a.npy", np.zeros((1, 3)))), "1 of at least 2"),
        (lambda folder: (folder.mkdir(), np.save(folder / "a.npy", np.zeros((50, 3)))), "value is constant"),
        (lambda folder: (folder.mkdir(), np.save(folder / "a.npy", np.eye(3))), "bins of distance"),
    ],
    ids=["empty", "one point", "one place", "few points"],
)
def test_bad_data_are_refused_in_a_sentence(make, told, tmp_path):
    make(tmp_path / "mine")
    status, _, errors = run("study", "range", tmp_path / "mine", "--out", tmp_path / "out")
    assert status == 2
    assert told in errors
    assert not (tmp_path / "out").exists()


def test_constant_features_are_refused(tmp_path):
    nf.save(fields(FIELD, 3, 30).replace(x=torch.ones(90, 1)), tmp_path / "flat.npz")
    status, _, errors = run("study", "range", tmp_path / "flat.npz", "--out", tmp_path / "out")
    assert status == 2
    assert "constant" in errors


def test_where_other_data_do_not_go(tmp_path):
    status, _, errors = run("study", "chairs", "mine.npz", "--out", tmp_path)
    assert status == 2
    assert "'mine.npz'" in errors
    status, _, errors = run("study", "range", "a.npz", "--data", "b.npz", "--out", tmp_path)
    assert status == 2
    assert "'a.npz'" in errors
    assert "'b.npz'" in errors


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("shapes/", "shapes"),
        ("a/b/*.ply", "b"),
        ("My Tissue.h5ad", "my-tissue"),
        ("*.off", "data"),
        ("..", "data"),
        ("x/chair_[0-9].off", "chair"),
    ],
)
def test_folders_have_the_name_of_the_data(source, name):
    assert stem_of(source) == name


@pytest.mark.slow
def test_a_tissue_is_measured_in_the_units_of_its_network(tmp_path):
    """Counts are normalised: what is measured is the field in their logarithms.

    One field of some ten lengths is centred on its own mean, which takes some 10 % off the length, with
    counts or without; so the field itself, whole, is what counts in patches are compared with.
    """
    anndata = pytest.importorskip("anndata")
    generator = torch.Generator().manual_seed(0)
    pos = torch.rand(900, 2, generator=generator, dtype=torch.float64) * 16
    gap = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    root = torch.linalg.cholesky(SquaredExponential(1.5)(gap) + 1e-8 * torch.eye(900))
    level = root @ torch.randn(900, 6, generator=generator, dtype=torch.float64)
    counts = torch.poisson(torch.exp(4 + 0.5 * level), generator=generator)
    anndata.AnnData(counts.numpy(), obsm={"spatial": pos.numpy()}).write_h5ad(tmp_path / "t.h5ad")
    status, _, errors = run("study", "range", tmp_path / "t.h5ad", "--out", tmp_path / "out")
    assert status == 0, errors
    found = json.loads((tmp_path / "out" / "range" / "t" / "smoke.json").read_text())
    assert found["variable"] == "x"
    field = fit_correlation(variogram(Graphs(pos, level), "x"))
    assert found["fit"]["length"] == pytest.approx(field.length, rel=0.15)
    assert found["fit"]["length"] == pytest.approx(1.5, rel=0.25)
    assert found["nodes"] <= 200
    assert math.isclose(found["levels"][-1]["snr"], 361)
