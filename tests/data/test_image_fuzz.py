"""Readers of pictures on mutated files: read or refused in one sentence, soon, and in little memory."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import battery

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".webp": "WEBP", ".gif": "GIF"}


def samples() -> dict[str, bytes]:
    picture, tags = Image.fromarray(IMAGE), Image.Exif()
    tags[0x0112] = 6
    grey = picture.convert("L")
    made = {
        "picture_a.png": (picture, {"exif": tags}),
        "picture_b.png": (picture.quantize(9), {}),
        "picture_a.jpg": (picture, {"exif": tags}),
        "picture_a.tif": (picture, {"compression": "tiff_lzw"}),
        "picture_b.tif": (grey, {"save_all": True, "append_images": [grey]}),
        "picture_a.webp": (picture, {}),
        "picture_a.gif": (grey, {"save_all": True, "append_images": [picture.rotate(180).convert("L")]}),
    }
    out = {}
    for name, (image, how) in made.items():
        image.save(file := io.BytesIO(), FORMATS[Path(name).suffix], **how)
        out[name] = file.getvalue()
    arrays = io.BytesIO()
    np.savez(arrays, x_train=IMAGE[None].repeat(3, 0), y_train=np.arange(3), x_test=IMAGE[None], y_test=[0])
    contents = io.BytesIO()
    whole = np.frombuffer(out["picture_a.jpg"] + out["picture_a.png"], np.uint8)
    np.savez(contents, jpeg=whole, offset=[0, len(out["picture_a.jpg"]), len(whole)], y=[0, 1])
    return {**out, "picture_a.npz": arrays.getvalue(), "picture_b.npz": contents.getvalue()}


def test_mutated_files() -> None:
    """About three hundred files; the slow tests read 2,000 of each."""
    counts = battery(samples(), count=33)
    assert all(c["refused"] for c in counts.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", samples())
def test_many_mutated_files(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        counts = battery({name: samples()[name]}, count=2000, seed=1)
    assert counts[name].total() == 2000
