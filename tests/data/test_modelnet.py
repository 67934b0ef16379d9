"""ModelNet from a tree and from archives made by hand, and from the real archives where they are at hand."""

import io
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from noisefold.data import modelnet40
from noisefold.data.shapes import modelnet

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "modelnet40"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the ModelNet archives in {DATA}")


def tetrahedron(scale):
    corners = [(0, 0, 0), (scale, 0, 0), (0, scale, 0), (0, 0, scale)]
    faces = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    rows = [" ".join(map(str, c)) for c in corners] + ["3 " + " ".join(map(str, f)) for f in faces]
    return "OFF\n4 4 0\n" + "\n".join(rows) + "\n"


@pytest.fixture
def tree(tmp_path):
    for k, (name, split) in enumerate(
        [("bed", "train"), ("bed", "test"), ("sofa", "train"), ("sofa", "train")]
    ):
        path = tmp_path / "ModelNet40" / name / split / f"{name}_{k:04d}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tetrahedron(k + 1))
    return tmp_path


def archive(path, g=6, test=True, seed=0):
    points = np.random.default_rng(seed).integers(-32767, 32767, (g, 50, 3), dtype=np.int16)
    extra = {"is_test": np.arange(g) >= 4} if test else {}
    np.savez(
        path,
        points=points,
        label=np.arange(g) % 2,
        classes=np.array(["bed", "sofa"]),
        quant=np.float32(32767),
        **extra,
    )
    return path


def is_unit(graphs):
    for cloud in graphs.unpack():
        assert cloud.mean(dim=0).abs().max() < 1e-6
        assert cloud.norm(dim=1).max().item() == pytest.approx(1, abs=1e-6)


def test_tree_of_meshes(tree):
    train = modelnet40(tree, points=30)
    assert (train.classes, train.label.tolist(), train.uniform) == (("bed", "sofa"), [0, 1, 1], 30)
    is_unit(train)
    assert modelnet40(tree, split="test").label.tolist() == [0]
    assert len(modelnet40(tree, split=None)) == 4
    sofa = modelnet40(tree / "ModelNet40", points=30, classes=["sofa"])
    assert (sofa.classes, sofa.label.tolist()) == (("sofa",), [0, 0])
    assert torch.equal(sofa.pos, train[1:].pos)


def test_archives_by_name(tmp_path):
    archive(tmp_path / "modelnet10_train.npz", 6, test=False)
    archive(tmp_path / "modelnet10_test_half.npz", 4, test=False, seed=1)
    train = modelnet40(tmp_path, points=20)
    assert (len(train), train.uniform, train.label.tolist()) == (6, 20, [0, 1] * 3)
    is_unit(train)
    assert len(modelnet40(tmp_path, points=20, split="test")) == 4
    assert len(modelnet40(tmp_path, points=20, split=None)) == 10
    assert torch.equal(modelnet40(tmp_path, points=20, classes=["sofa"]).pos, train[[1, 3, 5]].pos)
    assert not torch.equal(modelnet40(tmp_path, points=20, seed=1).pos, train.pos)


def test_archive_with_its_own_split(tmp_path):
    path = archive(tmp_path / "any.npz")
    assert [len(modelnet40(path, points=50, split=s)) for s in ("train", "test", None)] == [4, 2, 6]


def test_all_points_of_an_archive_are_its_points(tmp_path):
    path = archive(tmp_path / "any.npz", g=1, test=False)
    pos = np.load(path)["points"][0] / 32767
    centred = pos - pos.mean(0)
    expected = centred / np.linalg.norm(centred, axis=1).max()
    np.testing.assert_allclose(modelnet40(path, points=50).pos, expected, atol=1e-6)
    # y up becomes z up: (x, y, z) -> (x, -z, y), a rotation.
    turned = np.stack([expected[:, 0], -expected[:, 2], expected[:, 1]], 1)
    np.testing.assert_allclose(modelnet40(path, points=50, up="y").pos, turned, atol=1e-6)


def test_refusals(tmp_path, tree):
    with pytest.raises(FileNotFoundError, match=r"no ModelNet40/.*check root, or pass download=True"):
        modelnet40(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"split .*'val'"):
        modelnet40(tree, split="val")
    with pytest.raises(ValueError, match=r"up .*'x'"):
        modelnet40(tree, up="x")
    with pytest.raises(ValueError, match=r"points .* 1"):
        modelnet40(tree, points=1)
    with pytest.raises(ValueError, match="seed must lie in"):
        modelnet40(tree, seed=-1)
    with pytest.raises(ValueError, match=r"classes .*'chair'.*'bed', 'sofa'"):
        modelnet40(tree, classes=["chair"])
    with pytest.raises(FileNotFoundError, match="no files CLASS/test"):
        modelnet40(tree, split="test", classes=["sofa"])
    with pytest.raises(ValueError, match="50 points, not 51; ask for fewer"):
        modelnet40(archive(tmp_path / "a.npz"), points=51)
    np.savez(tmp_path / "b.npz", points=np.zeros((2, 5, 3)))
    with pytest.raises(ValueError, match="no arrays `label` and `classes`"):
        modelnet40(tmp_path / "b.npz", points=2)


def test_download(tmp_path, tree, monkeypatch):
    source, root = tmp_path / "ModelNet40.zip", tmp_path / "root"
    with zipfile.ZipFile(source, "w") as content:
        for file in (tree / "ModelNet40").rglob("*.off"):
            content.write(file, file.relative_to(tree))
    monkeypatch.setattr(modelnet, "_URL", source.as_uri())
    assert len(modelnet40(root, points=10, download=True)) == 3
    assert [p.name for p in root.iterdir()] == ["ModelNet40"]
    source.unlink()
    assert len(modelnet40(root, points=10, download=True)) == 3


def test_failed_download_leaves_nothing(tmp_path, monkeypatch):
    source, root = tmp_path / "bad.zip", tmp_path / "root"
    monkeypatch.setattr(modelnet, "_URL", source.as_uri())
    with pytest.raises(ConnectionError, match="could not be fetched"):
        modelnet40(root, download=True)
    source.write_bytes(b"PK not a zip")
    with pytest.raises(ValueError, match="not a whole zip archive"):
        modelnet40(root, download=True)
    with zipfile.ZipFile(source, "w") as content:
        content.writestr("other/file", "")
    with pytest.raises(ValueError, match="has no folder ModelNet40"):
        modelnet40(root, download=True)

    def interrupted(url):
        response = io.BytesIO(source.read_bytes())
        response.headers = {"Content-Length": str(source.stat().st_size + 5)}
        return response

    monkeypatch.setattr(urllib.request, "urlopen", interrupted)
    with pytest.raises(ConnectionError, match="5 more expected"):
        modelnet40(root, download=True)
    assert list(root.iterdir()) == []


@pytest.mark.slow
@real
def test_modelnet10_archives():
    test = modelnet40(DATA, split="test")
    assert (len(test), test.uniform, len(test.classes)) == (454, 400, 10)
    is_unit(test)
    beds = modelnet40(DATA, classes=["bed", "chair"], points=64)
    assert torch.bincount(beds.label).tolist() == [515, 889]
    # Seats lie lower than half the height of a chair that stands on z: more points below its middle.
    chairs = beds[beds.label == 1].pos.reshape(889, 64, 3)
    assert (chairs[..., 2].amax(dim=1) > chairs[..., 2].amin(dim=1).neg() * 0.5).float().mean() > 0.9


@real
def test_airplane_archive():
    path = DATA / "modelnet40_airplane.npz"
    assert [len(modelnet40(path, points=100, split=s, up="y")) for s in ("train", "test", None)] == [
        626,
        50,
        676,
    ]
    planes = modelnet40(path, points=100, up="y", classes=["airplane"])
    extent = planes.pos.reshape(-1, 100, 3)
    extent = (extent.amax(dim=1) - extent.amin(dim=1)).mean(dim=0)
    # Airplanes are flat: once z is up, it is the shortest side.
    assert extent.argmin() == 2
