"""The command line, the library and a configuration file make the same model of the same data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli import app
from noisefold.domains import Request, domain_of

STEPS = 2
NET = {True: "net.", False: ""}  # where a tissue's network stands in the configuration


def command(*words: object) -> None:
    done = CliRunner().invoke(app, [str(w) for w in words])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    anndata = pytest.importorskip("anndata")
    rng = np.random.default_rng(1)
    pos = rng.random((320, 2)) * 80
    counts = rng.poisson(np.exp(1 + np.sin(pos[:, :1] / 20 + np.arange(3)))).astype(np.float32)
    data = anndata.AnnData(counts)
    data.var_names = ["a", "b", "c"]
    data.obsm["spatial"] = pos
    path = tmp_path_factory.mktemp("tissue") / "a.h5ad"
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize("for_completion", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_tissue(tissue: Path, tmp_path: Path, for_completion: bool) -> None:
    flag = ["--for-completion"] if for_completion else []
    small = {"width": 16, "blocks": 1, "heads": 2}
    options = [word for k, v in small.items() for word in ("-o", f"net.{NET[for_completion]}{k}={v}")]
    command("train", tissue, "--out", tmp_path / "run", "--steps", STEPS, *flag, *options)
    by_command = nf.Model.from_pretrained(tmp_path / "run")

    data = nf.load(tissue)
    train, test = data.split(0.9, seed=0)
    model = nf.Model.for_data(train, for_completion=for_completion, **small)
    model.fit(train, val=test, steps=STEPS)
    assert model.config() == by_command.config()
    for name, value in model.net.state_dict().items():
        assert torch.equal(value, by_command.net.state_dict()[name]), name

    # The whole tissue, larger than any patch, is completed and sampled as it is.
    known = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    done = model.complete(data, known, draws=2, steps=2)
    assert torch.equal(done.values[:, known], data.x[known].expand(2, -1))
    assert model.sample(1, like=data, steps=2).x.shape == data.x.shape


def test_clouds_and_a_configuration_file(tmp_path: Path) -> None:
    data = nf.data.shapes(20, points=24)
    nf.save(data, tmp_path / "a.npz")
    tiny = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
    options = [word for k, v in tiny.items() for word in ("-o", f"net.{k}={v}")]
    command("train", tmp_path / "a.npz", "--out", tmp_path / "one", "--steps", STEPS, *options)
    train, test = nf.load(tmp_path / "a.npz").split(0.9, seed=0)
    plan = domain_of(train).recipe(train, Request(net=tiny)).plan
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(plan))
    command(
        "train",
        tmp_path / "a.npz",
        "--out",
        tmp_path / "two",
        "--steps",
        STEPS,
        "--config",
        tmp_path / "c.yaml",
    )

    model = nf.Model.for_data(train, **tiny).fit(train, val=test, steps=STEPS)
    for folder in ("one", "two"):
        other = nf.Model.from_pretrained(tmp_path / folder)
        assert other.config() == model.config()
        for name, value in model.net.state_dict().items():
            assert torch.equal(value, other.net.state_dict()[name]), name


def test_discrete_graphs(tmp_path: Path) -> None:
    data = nf.data.community(12, seed=0)
    nf.save(data, tmp_path / "a.npz")
    tiny = {"width": 16, "pair_width": 8, "layers": 1, "heads": 2}
    options = [word for k, v in tiny.items() for word in ("-o", f"net.{k}={v}")]
    run = tmp_path / "run"
    command("train", tmp_path / "a.npz", "--out", run, "--steps", STEPS, *options)
    by_command = nf.Model.from_pretrained(run)
    train, test = nf.load(tmp_path / "a.npz").split(0.9, seed=0)
    model = nf.Model.for_data(train, **tiny).fit(train, val=test, steps=STEPS)
    assert model.config() == by_command.config()
    for name, value in model.net.state_dict().items():
        assert torch.equal(value, by_command.net.state_dict()[name]), name

    how = ["--steps", 3, "--solver", "discrete-flow", "--grid", "cosinegrid", "--constraint", "tree"]
    command("sample", run, "--out", tmp_path / "b.npz", "-n", 2, *how)
    asked = {"solver": nf.sample.DiscreteFlow(), "grid": nf.sample.CosineGrid(), "constraint": "tree"}
    assert torch.equal(nf.load(tmp_path / "b.npz").edge_index, model.sample(2, steps=3, **asked).edge_index)

    how = ["--nodes", 22, "--draws", 2, "--method", "replacement"]
    command("complete", run, tmp_path / "b.npz", "--out", tmp_path / "c.npz", *how)
    whole, known = nf.sample.extended(nf.load(tmp_path / "b.npz"), 22)
    done = model.complete(whole, known, draws=2, method=nf.sample.Replacement())
    found = nf.load(tmp_path / "c.npz")
    for k, draw in enumerate(done.draws):
        assert torch.equal(found[[k, k + 2]].edge_index, draw.edge_index)


def test_a_run_of_an_earlier_format_loads_and_goes_on(tmp_path: Path) -> None:
    import shutil

    old = Path(__file__).parents[1] / "formats" / "2"
    expected = np.load(old / "expected.npz")
    shutil.copytree(old / "run", tmp_path / "run")
    model = nf.Model.from_pretrained(tmp_path / "run")
    np.testing.assert_allclose(model.sample(2, steps=3, seed=1).pos, expected["run"], rtol=0, atol=1e-5)
    assert nf.runs.Run(tmp_path / "run").source().classes == ("chair", "vase", "mug")

    from golden.cases import clouds, fields

    data = clouds()
    how = {"batch": 4, "nodes": 16, "lr": 1e-2, "warmup": 2, "ema": 0.8, "log_every": 2}
    chores = {"validate_every": 4, "checkpoint_every": 3, "device": "cpu", "keep": 1}
    on = nf.Model.from_pretrained(tmp_path / "run")
    on.fit(data, data[:4], out=tmp_path / "run", resume=True, settings=nf.Training(steps=8, **how, **chores))
    assert [e["step"] for e in nf.runs.Run(tmp_path / "run").log() if "loss" in e] == [2, 3, 4, 6, 8]

    field = fields()
    informed = nf.Model.from_pretrained(old / "informed")
    known = torch.arange(field[:2].num_nodes) % 3 > 0
    done = informed.complete(field[:2], known, draws=2, steps=3, seed=1)
    np.testing.assert_allclose(done.values, expected["informed"], rtol=0, atol=1e-4)
    process = nf.Model.from_pretrained(old / "process")
    made = process.sample(2, like=field, steps=3, seed=1)
    np.testing.assert_allclose(made.x, expected["process"], rtol=0, atol=1e-5)
