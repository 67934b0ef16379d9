"""The page of a model of images: what it shows, and that the numbers in it are right."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import noisefold as nf
from noisefold.data.images.write import arrays_of
from noisefold.report.figures.images import image_path_figure
from noisefold.report.page.images import nearest_images


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    digits = nf.data.digits()
    model = nf.Model.for_data(digits[:300], width=16, blocks=1)
    model.fit(digits[:300], steps=1, batch=4, warmup=1, device="cpu")
    path = tmp_path_factory.mktemp("page") / "report.html"
    return model.report(path, digits[300:330], digits[:300], draws=8, steps=2).read_text()


def test_sections(page: str) -> None:
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads[:4] == [
        "Samples beside test data",
        "Nearest training images",
        "From noise to image",
        "Inpainting",
    ]
    figures = json.loads(re.search(r'id="page-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])["figures"]
    frames = figures["path"]["frames"]
    assert len(figures["path"]["layout"]["sliders"][0]["steps"]) == len(frames) == 21
    pictures = re.findall(r'<img class="still"[^>]*base64,([^"]+)"', page)
    assert len(pictures) >= 6
    assert all(min(Image.open(io.BytesIO(base64.b64decode(p))).size) > 40 for p in pictures)


def test_a_model_without_data_is_shown(tmp_path: Path) -> None:
    digits = nf.data.digits()[:10]
    model = nf.Model.for_data(digits, width=16, blocks=1)
    text = model.report(tmp_path / "a.html", draws=2, steps=2).read_text()
    assert re.findall(r"<h2>(.*?)</h2>", text)[:2] == ["Samples", "From noise to image"]


def test_nearest_images() -> None:
    digits = nf.data.digits()
    shifted = digits[[7, 40]].replace(x=digits[[7, 40]].x.clamp(20, 200) + 3)
    index, distance = nearest_images(shifted, digits[:50])
    assert index == [7, 40]
    expected = (shifted.x - digits[[7, 40]].x).view(2, -1).square().mean(1).sqrt()
    torch.testing.assert_close(torch.tensor(distance), expected, rtol=1e-4, atol=1e-2)
    with pytest.raises(ValueError, match="one size"):
        nearest_images(nf.data.pictures(np.zeros((1, 3, 3), np.uint8)), digits)


def test_frames_of_the_path_are_the_images() -> None:
    first, last = nf.data.digits()[:3], nf.data.digits()[3:6]
    figure = image_path_figure([arrays_of(first), arrays_of(last)], [0.0, 1.0])
    for frame, images in zip(figure.frames, (first, last), strict=True):
        content = base64.b64decode(frame.data[0].source.split(",")[1])
        grid = np.asarray(Image.open(io.BytesIO(content)))
        factor = (grid.shape[0] - 4) // 8
        np.testing.assert_array_equal(
            grid[2 : 2 + 8 * factor : factor, 2 : 2 + 8 * factor : factor], arrays_of(images)[0][:, :, 0]
        )
