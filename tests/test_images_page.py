"""The commands of the page on images, as they stand there but smaller, from digits to the report."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import noisefold as nf
from noisefold import cli
from noisefold.eval.image_scores import score_images

PAGE = Path(__file__).resolve().parents[1] / "docs" / "images.md"
# What makes a command of the page a small one: steps of training, images, draws, steps of the solver.
LESS = {
    "train": ["--steps", "2", "-o", "training.batch=4", "-o", "training.warmup=1", "-o", "net.net.blocks=1"],
    "sample": ["-n", "4", "--steps", "2"],
    "complete": ["--draws", "2", "--steps", "2"],
    "evaluate": ["--steps", "1"],
    "report": ["--draws", "4", "--steps", "2"],
}


def commands() -> list[list[str]]:
    """Words of each command of the page, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("noisefold ")]


@pytest.mark.slow
def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Intervals of distances between sets are most of the work.
    monkeypatch.setattr("noisefold.domains.images.score_images", partial(score_images, resamples=4))
    digit = nf.data.digits()[5].x.view(8, 8).numpy().astype(np.uint8)
    alpha = np.full((8, 8), 255, dtype=np.uint8)
    alpha[:, 4:] = 0
    Image.fromarray(np.dstack([digit, alpha]), "LA").save("masked.png")
    Image.fromarray(digit).save("plain.png")
    Image.fromarray(255 - alpha).save("mask.png")
    done = []
    for words in commands():
        # The last word counts, so what the page says of these stays in the command.
        result = CliRunner().invoke(cli.app, [*words, *LESS.get(words[0], [])])
        assert result.exit_code == 0, f"{' '.join(words)}: {result.output}"
        done.append(words[0])
    assert {"inspect", "train", "sample", "complete", "evaluate", "report"} <= set(done)
    threes = nf.load("threes")
    assert (len(threes), threes.classes) == (4, ("3",))
    assert np.load("samples.npz")["arr_0"].shape == (4, 8, 8, 1)
    assert np.asarray(Image.open("grid.png")).shape == (102, 102)
    for name in ("mean", "draw_001"):
        filled = np.asarray(Image.open(f"filled/{name}.png"))
        np.testing.assert_array_equal(filled[:, :4], digit[:, :4])
    assert "Nearest training images" in (tmp_path / "runs" / "digits" / "report.html").read_text()
