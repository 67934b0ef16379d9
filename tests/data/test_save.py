"""Writing: what is saved loads back, and no file is ever half written."""

import os
import struct

import numpy as np
import pytest
import torch

from noisefold.data import load, save, shapes
from noisefold.data.save import WRITERS, check_target
from noisefold.geometry.graphs import Graphs

OTHERS = (".h5ad", ".parquet", ".edgelist", ".g6", ".s6", ".smi", ".sdf", ".nc")
POINTS = [e for e in WRITERS if e not in OTHERS]


def sample(g=3, d=3, f=2, label=True, seed=0):
    rng = torch.Generator().manual_seed(seed)
    sizes = [4 + i for i in range(g)]
    return Graphs.ragged(
        [torch.randn(n, d, generator=rng) for n in sizes],
        [torch.randn(n, f, generator=rng) for n in sizes] if f else None,
        label=torch.arange(g) % 2 if label else None,
        classes=("ant", "cat") if label else (),
    )


def same(a, b):
    for name in ("pos", "x", "ptr", "label", "edge_index", "edge_attr", "mask"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None), name
        assert left is None or torch.equal(left, right), name
    assert a.classes == b.classes


def test_npz_brings_everything_back(tmp_path):
    graphs = sample().replace(
        edge_index=torch.tensor([[0, 4], [1, 5]]), edge_attr=torch.rand(2, 3), mask=torch.arange(15) % 2 == 0
    )
    path = save(graphs, tmp_path / "a.npz")
    assert path == tmp_path / "a.npz"
    same(load(path), graphs)
    plain = sample(f=0, label=False, d=2)
    same(load(save(plain, tmp_path / "b.npz")), plain)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("f", [0, 2])
@pytest.mark.parametrize("label", [False, True])
def test_csv_brings_positions_features_and_classes_back(tmp_path, d, f, label):
    graphs = sample(d=d, f=f, label=label)
    same(load(save(graphs, tmp_path / "a.csv")), graphs)


def test_csv_as_text(tmp_path):
    graphs = Graphs(torch.tensor([[0.5, 1], [2, 3]]), torch.tensor([[0.1], [1e-9]]), label=torch.tensor([3]))
    path = save(graphs, tmp_path / "a.csv")
    assert path.read_text() == "graph,label,x,y,f0\n0,3,0.5,1.0,0.1\n0,3,2.0,3.0,1e-09\n"


def test_npy(tmp_path):
    graphs = shapes(4, points=6)
    path = save(graphs, tmp_path / "a.npy")
    assert np.load(path).shape == (4, 6, 3)
    assert torch.equal(load(path).pos, graphs.pos)


@pytest.mark.parametrize("ending", [".ply", ".xyz"])
@pytest.mark.parametrize("f", [0, 2])
def test_one_cloud(tmp_path, ending, f):
    graphs = sample(g=1, f=f, label=False)
    path = save(graphs, tmp_path / f"a{ending}")
    assert path.is_file()
    same(load(path), graphs)


def test_ply_bytes(tmp_path):
    path = save(Graphs(torch.tensor([[0.0, 1, 2], [3, 4, 5]])), tmp_path / "a.ply")
    head, body = path.read_bytes().split(b"end_header\n")
    assert head == (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 2\n"
        b"property float x\nproperty float y\nproperty float z\n"
    )
    assert struct.unpack("<6f", body) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("ending", [".ply", ".xyz"])
def test_several_clouds_are_a_folder(tmp_path, ending):
    graphs = sample(label=False)
    path = save(graphs, tmp_path / f"a{ending}")
    assert path == tmp_path / "a"
    assert sorted(p.name for p in path.iterdir()) == [f"000{i}{ending}" for i in range(3)]
    same(load(path), graphs)


def test_several_clouds_with_classes_are_a_folder_for_each(tmp_path):
    path = save(sample(), tmp_path / "a.ply")
    assert sorted(str(p.relative_to(path)) for p in path.rglob("*.ply")) == [
        "ant/0000.ply",
        "ant/0002.ply",
        "cat/0001.ply",
    ]
    back = load(path)
    assert (back.classes, back.label.tolist(), back.sizes.tolist()) == (("ant", "cat"), [0, 0, 1], [4, 6, 5])


def test_class_names_never_leave_the_folder(tmp_path):
    graphs = sample().replace(classes=("../../up", "a/b"))
    path = save(graphs, tmp_path / "in" / "a.ply")
    assert {p.parent.parent for p in tmp_path.rglob("*.ply")} == {path}


@pytest.mark.parametrize("ending", POINTS)
def test_float64_and_bfloat16_are_written(tmp_path, ending):
    for dtype in (torch.float64, torch.bfloat16):
        graphs = sample(g=1, f=0, label=False).to(dtype=dtype)
        back = load(save(graphs, tmp_path / f"{dtype}{ending}"))
        assert torch.equal(back.pos, graphs.pos.float())


def test_file_is_replaced_and_its_folder_made(tmp_path):
    path = tmp_path / "deep" / "er" / "a.npz"
    before = save(sample(), path).read_bytes()
    with path.open("rb") as reader:
        save(sample(seed=1), path)
        # Whoever has the old file open still reads the old file: it was renamed over, not rewritten.
        assert reader.read() == before
    same(load(path), sample(seed=1))
    assert list(path.parent.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("name", ["a.npz", "a.ply"])
def test_failure_leaves_what_was_there(tmp_path, monkeypatch, name):
    if name == "a.npz":
        save(sample(), tmp_path / name)
    before = sorted(tmp_path.rglob("*"))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(sample(seed=1), tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
    if name == "a.npz":
        same(load(tmp_path / name), sample())


@pytest.mark.parametrize(
    ("graphs", "name", "sentence"),
    [
        (sample(), "a.off", "'.off' cannot be written, only .ply"),
        (sample(), "a", "'' cannot be written"),
        (sample()[:0], "a.npz", "no graphs to save"),
        (sample(f=0), "a.npy", "graphs of one size only; save these as .npz"),
        (sample(g=1), "a.npy", "positions alone"),
        (sample(d=2), "a.ply", "3 dimensions, got 2; save as .npz"),
        (sample(d=2), "a.xyz", "3 dimensions, got 2; save as .npz"),
        (sample(d=4), "a.csv", "1 to 3 dimensions, got 4; save as .npz"),
        (
            sample().replace(mask=torch.ones(15, dtype=torch.bool)),
            "a.csv",
            "hold `mask`",
        ),
    ],
)
def test_what_a_format_cannot_hold(tmp_path, graphs, name, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        save(graphs, tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert not list(tmp_path.iterdir())


def test_an_earlier_folder_is_kept(tmp_path):
    save(sample(), tmp_path / "a.ply")
    with pytest.raises(FileExistsError, match="remove it or choose another name"):
        check_target(tmp_path / "a.ply", count=2)
    with pytest.raises(FileExistsError):
        save(sample(), tmp_path / "a.ply")
    assert check_target(tmp_path / "a.ply", count=1) == tmp_path / "a.ply"
    assert check_target(tmp_path / "b.ply", count=2) == tmp_path / "b"
