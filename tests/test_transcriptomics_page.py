"""The commands of the page on spatial transcriptomics, as they stand there but smaller, up to the report."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from noisefold import cli
from noisefold.model import Model
from noisefold.nn import KrigingResidual

anndata = pytest.importorskip("anndata")
pandas = pytest.importorskip("pandas")

PAGE = Path(__file__).resolve().parents[1] / "docs" / "transcriptomics.md"
FILE = "fly_embryo_bdtnp.h5ad"
GENES = ["ftz", "eve", "twi", "hb", "kni"]
# What makes a command of the page a small one: steps of training, draws, steps of the solver.
LESS = {
    "train": ["--steps", "2", "-o", "training.batch=2", "-o", "training.warmup=1"],
    "complete": ["--draws", "2", "--steps", "2"],
    "report": ["--draws", "2", "--steps", "2"],
}


def commands() -> list[list[str]]:
    """Words of each command of the page that works on the file, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    words = [shlex.split(line)[1:] for line in lines if line.startswith("noisefold ")]
    return [w for w in words if w[0] != "study"]


def follow(folder: Path) -> None:
    """Do what the page says, in a folder that has its file, and look at what comes out."""
    whole = anndata.read_h5ad(folder / FILE)
    partial = whole.copy()
    holes = np.zeros(partial.shape, dtype=bool)
    holes[:20, :3] = True
    partial.X = np.where(holes, np.nan, partial.X)
    partial.write_h5ad(folder / "partial.h5ad")
    done = []
    for words in commands():
        # The last word counts, so what the page says of these stays in the command.
        result = CliRunner().invoke(cli.app, [*words, *LESS.get(words[0], [])])
        assert result.exit_code == 0, f"{' '.join(words)}: {result.stderr}"
        done.append(words[0])
        if words[0] == "train":
            plain = "net.kind=nn.SetTransformer" in words
            assert ("begins with kriging and regression" in result.stdout) is not plain
    assert {"inspect", "train", "complete", "report"} <= set(done)
    net = Model.from_pretrained(folder / "runs" / "fly").net
    assert isinstance(net, KrigingResidual)
    assert bool(net.learned)
    page = (folder / "runs" / "fly" / "report.html").read_text()
    assert "ftz" in page
    assert "Held-out recovery" in page
    torn, genes, filled = (anndata.read_h5ad(folder / f"{name}.h5ad") for name in ("torn", "genes", "filled"))
    place = whole.obsm["spatial_3d"]
    inside = (place[:, 0] > -50) & (place[:, 0] < 50) & (place[:, 1] > 55)
    assert inside.any()
    known = whole.X
    for back, hidden in (
        (torn, np.broadcast_to(inside[:, None], known.shape)),
        (genes, np.broadcast_to(np.isin(whole.var_names, ["ftz", "eve"]), known.shape)),
        (filled, holes),
    ):
        mean, std = back.layers["noisefold_mean"], back.layers["noisefold_std"]
        np.testing.assert_array_equal(mean[~hidden], known[~hidden])
        assert (std[~hidden] == 0).all()
        assert np.isfinite(mean).all()
        assert (std[hidden] > 0).mean() > 0.5
    assert filled.uns["noisefold_draws"]["draws"].shape[0] == 2


@pytest.mark.slow
def test_the_page_on_a_small_tissue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """260 nuclei on a shell, so that there is more than one patch; genes are waves along it."""
    rng = np.random.default_rng(0)
    place = rng.normal(size=(260, 3))
    place *= np.array([180.0, 70, 70]) / np.linalg.norm(place, axis=1, keepdims=True)
    waves = [np.sin(place[:, 0] / (20 + 10 * k)) + np.cos(place[:, 1] / 40) for k in range(len(GENES))]
    values = np.clip(1 + np.stack(waves, 1) + 0.1 * rng.normal(size=(260, len(GENES))), 0, None)
    tissue = anndata.AnnData(values.astype(np.float32), var=pandas.DataFrame(index=GENES))
    tissue.obs_names = [f"nucleus{i}" for i in range(260)]
    tissue.obsm["spatial_3d"] = place
    tissue.write_h5ad(tmp_path / FILE)
    monkeypatch.chdir(tmp_path)
    follow(tmp_path)


@pytest.mark.slow
def test_the_page_on_the_real_embryo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    source = shared / "spatial_omics" / FILE
    if not source.is_file():
        pytest.skip(f"{FILE} is not in the shared data")
    shutil.copy(source, tmp_path / FILE)
    monkeypatch.chdir(tmp_path)
    follow(tmp_path)
