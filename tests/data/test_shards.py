"""Shards: what is written is mapped back equal, and nothing is left of what failed."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from made_tissues import tissue

from noisefold.data import Expression, SpatialTranscriptomics, load, save
from noisefold.data.convert import convert
from noisefold.data.shards import open_shards, write_shards
from noisefold.geometry import chunks, mapped
from noisefold.geometry.chunks import node_chunks
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.train.identity import _digest

TENSORS = (
    "pos",
    "x",
    "ptr",
    "edge_index",
    "edge_attr",
    "mask",
    "label",
    "group",
    "time",
    "node_type",
    "edge_type",
)
NAMES = ("classes", "node_types", "edge_types", "feature_names", "origin", "modality")


def graphs(seed=0, count=5):
    """Ragged graphs with every field; edges are not in the order of the graphs."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(2, 7, (count,), generator=generator)
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    n = int(ptr[-1])
    owner = torch.randint(0, count, (17,), generator=generator)
    ends = [ptr[owner] + (torch.rand(17, generator=generator) * sizes[owner]).long() for _ in range(2)]
    return Graphs(
        torch.randn(n, 3, generator=generator),
        torch.randn(n, 2, generator=generator),
        ptr,
        torch.stack(ends),
        torch.randn(17, 4, generator=generator),
        torch.rand(n, generator=generator) < 0.5,
        torch.randint(-1, 2, (count,), generator=generator),
        ("a", "b"),
        torch.randint(0, 2, (n,), generator=generator),
        torch.randint(0, 3, (17,), generator=generator),
        ("C", "N"),
        ("single", "double", "triple"),
        ("heat", "load"),
        (1e6, 2e6, 0.0),
        SpatialTranscriptomics("log", patch=4),
        torch.randint(2001, 2004, (count,), generator=generator),
        torch.randint(10**10, (count,), generator=generator),
    )


def same(one, two):
    """Equality of graphs; each one's edges in the order of the graphs."""
    one, two = one[list(range(len(one)))], two[list(range(len(two)))]
    for name in TENSORS:
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None), name
        assert a is None or torch.equal(a, b), name
    for name in NAMES:
        assert getattr(one, name) == getattr(two, name), name


def test_every_field_comes_back(tmp_path):
    data = graphs()
    write_shards([data], tmp_path / "out")
    back = open_shards(tmp_path / "out")
    same(back, data)
    same(back[[3, 1]], data[[3, 1]])
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_parts_are_joined_as_collate_joins_them(tmp_path):
    one, two = graphs(0), graphs(1)
    two = two.replace(
        x=two.x.flip(1),
        feature_names=("load", "heat"),
        classes=("b", "c"),
        edge_types=("double", "x", "single"),
    )
    write_shards(iter([one, two]), tmp_path / "out")
    same(open_shards(tmp_path / "out"), Graphs.collate([one, two]))


def test_plain_clouds(tmp_path):
    data = Graphs.dense(torch.randn(4, 10, 3))
    write_shards((cloud for cloud in data), tmp_path / "out")
    same(open_shards(tmp_path / "out"), data)


@pytest.mark.parametrize(
    ("second", "name"),
    [
        (Graphs(torch.randn(3, 2)), "dimension"),
        (Graphs(torch.randn(3, 3), torch.randn(3, 1)), "x"),
        (Graphs(torch.randn(3, 3), label=torch.tensor([0])), "label"),
    ],
)
def test_what_does_not_fit_leaves_nothing(tmp_path, second, name):
    with pytest.raises(ValueError, match=name):
        write_shards([Graphs(torch.randn(3, 3)), second], tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        write_shards([graphs()], tmp_path / "out")
    with pytest.raises(ValueError, match="graphs"):
        write_shards([], tmp_path / "new")
    assert os.listdir(tmp_path) == ["out"]


def cut_short(folder):
    data = (folder / "x.npy").read_bytes()
    (folder / "x.npy").write_bytes(data[:-1])


def without_manifest(folder):
    (folder / "shards.json").unlink()


def changed(**entries):
    def change(folder):
        manifest = json.loads((folder / "shards.json").read_text())
        (folder / "shards.json").write_text(json.dumps({**manifest, **entries}))

    return change


def edges_beyond(folder):
    file = np.load(folder / "edges.npy", mmap_mode="r+")
    file[0, 0] = 10**6


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        without_manifest,
        edges_beyond,
        lambda folder: (folder / "pos.npy").unlink(),
        lambda folder: (folder / "shards.json").write_text("{"),
        lambda folder: (folder / "shards.json").write_text("[]"),
        lambda folder: (folder / "shards.json").write_text("9" * 5000),
        lambda folder: (folder / "shards.json").write_bytes(b"\xff\xfe"),
        changed(format=2),
        changed(fields={"../pos": {"dtype": "float32", "shape": [1, 3]}}),
        changed(fields={"pos": {"dtype": "object", "shape": [1, 3]}}),
        changed(fields={"pos": {"dtype": "float32", "shape": [-1, 3]}}),
        changed(origin=["x"]),
        changed(modality={"kind": "os.system"}),
    ],
)
def test_damaged_folders(tmp_path, damage):
    write_shards([graphs()], tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(ValueError, match="out") as error:
        open_shards(tmp_path / "out")
    assert str(error.value).endswith(".")


def test_arrays_are_numpys(tmp_path):
    """Anyone may read them without noisefold."""
    data = graphs()
    write_shards([data], tmp_path / "out")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "pos.npy"), data.pos)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "mask.npy"), data.mask)


# -- convert ------------------------------------------------------------------------------------------------


def test_a_folder_of_classes(tmp_path):
    data = Graphs.dense(torch.randn(6, 8, 3), label=torch.tensor([0, 0, 1, 1, 1, 0]), classes=("a", "b"))
    save(data, tmp_path / "clouds.ply")
    said = convert(tmp_path / "clouds", tmp_path / "out")
    assert "6 graphs" in said
    same(open_shards(tmp_path / "out"), load(tmp_path / "clouds"))


@pytest.mark.parametrize("group", [None, "obs/stage"])
def test_a_tissue_in_pieces(tmp_path, monkeypatch, written, group):
    monkeypatch.setattr("noisefold.data.convert._VALUES", 35)
    path = written(tissue())
    convert(path, tmp_path / "out", group=group, genes=["Shh", "Sox9"])
    expected = load(path, group=group, genes=["Shh", "Sox9"])
    same(open_shards(tmp_path / "out"), expected)
    assert open_shards(tmp_path / "out").modality == expected.modality


def test_a_failure_leaves_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    save(Graphs(torch.randn(5, 3)), tmp_path / "in" / "0.xyz")
    (tmp_path / "in" / "1.xyz").write_text("0 0 0\n1 nan 1\n")
    with pytest.raises(ValueError, match=r"1\.xyz"):
        convert(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path) == ["in"]


# -- learning from them -------------------------------------------------------------------------------------


def test_what_is_measured_piece_by_piece(monkeypatch):
    data = graphs(count=40)
    whole = Scaling.fit(data, (-1,))
    monkeypatch.setattr(chunks, "_VALUES", 35)
    monkeypatch.setattr(chunks, "_LARGE", 0)
    assert torch.equal(torch.cat([part.x for part in node_chunks(data)]), data.x)
    parts = Scaling.fit(data, (-1,))
    for name in ("pos_mean", "pos_scale", "x_mean", "x_scale", "axis_scale"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
    shifted = Expression.fit(data.replace(x=data.x.abs()), "log")
    direct = Scaling.fit(shifted.apply(data))
    np.testing.assert_allclose(Scaling.fit(data, transform=shifted).x_mean, direct.x_mean, atol=1e-12)
    with pytest.raises(ValueError, match="x"):
        Scaling.fit(data.replace(x=data.x.clone().fill_(torch.nan)))


def test_the_digest_of_a_run_is_that_of_its_standardised_data(monkeypatch):
    data = graphs(count=40)
    units = Scaling.fit(data)
    whole = _digest(units.apply(data), None)
    monkeypatch.setattr(chunks, "_VALUES", 35)
    assert _digest(data, units) == whole != _digest(data, None)


def test_a_large_selection_lies_in_a_file(monkeypatch):
    values, rows = torch.randn(100, 3), torch.randint(0, 100, (77,))
    monkeypatch.setattr(mapped, "_IN_MEMORY", 0)
    monkeypatch.setattr(mapped, "_PIECE", 100)
    for each in (values, values > 0, values[:, 0].long()):
        taken = mapped.gather(each, rows)
        assert taken.dtype == each.dtype
        assert torch.equal(taken, each[rows])


@pytest.mark.parametrize("large", [False, True])
def test_scattered_graphs_of_a_mapped_file(tmp_path, monkeypatch, large):
    """Read some at a time, of any sizes, into memory or into a file, they are what indexing gives."""
    data = graphs(count=60)
    write_shards([data], tmp_path / "out")
    monkeypatch.setattr(mapped, "_SCATTERED", 4)
    monkeypatch.setattr(mapped, "_PIECE", 100)
    monkeypatch.setattr(mapped, "_IN_MEMORY", 0 if large else 1 << 28)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    same(open_shards(tmp_path / "out")[order], data[order])
    train, held = open_shards(tmp_path / "out").replace(modality=None).split(0.7)
    assert len(train) + len(held) == 60
    assert open_shards(tmp_path / "out")[order[:0]].num_nodes == 0


def test_pages_that_were_written_to_are_not_given_back(tmp_path, monkeypatch):
    write_shards([data := graphs()], tmp_path / "out")
    monkeypatch.setattr(mapped, "_RESIDENT", 0)
    back = open_shards(tmp_path / "out")
    same(back[[0, 1]], data[[0, 1]])
    back.pos[0, 0] = 77.0
    assert back[[0]].pos[0, 0] == back[[0]].pos[0, 0] == 77.0
    assert open_shards(tmp_path / "out").pos[0, 0] == data.pos[0, 0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_follows_the_batch(tmp_path):
    """200 MB of clouds are measured and trained on in a third of that."""
    with_many = (torch.randn(200, 1000, 3) for _ in range(84))
    write_shards((Graphs.dense(part) for part in with_many), tmp_path / "out")
    script = f"""
        import re, torch
        from noisefold.data.shards import open_shards
        from noisefold.model import Model
        from noisefold.geometry import chunks
        chunks._LARGE = 0
        def anonymous():
            return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) >> 10
        warm = Model.for_data(data := open_shards({str(tmp_path / "out")!r}), width=16, blocks=1)
        warm.fit(data[:8], steps=2, batch=4)
        before = anonymous()
        model = Model.for_data(data, width=16, blocks=1)
        model.fit(data, steps=4, batch=4)
        print(anonymous() - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout.split()[-1]) < 80
