"""Whatever is written is read back equal, for every pair of formats that can carry it."""

import itertools
import os
import re
import warnings

import numpy as np
import pytest
import torch

from noisefold.data import load, save
from noisefold.data.notice import DataNotice
from noisefold.data.save import WRITERS, check_target
from noisefold.geometry.graphs import Graphs

CLOUDS = [e for e, writer in WRITERS.items() if not writer.holds or e == ".npz"]
# Tissues have their own tests, and so have fields on the sphere.
FORMATS = [e for e in CLOUDS if e not in (".h5ad", ".nc", ".parquet")] + [".csv.gz", ".xyz.gz"]
NAMED = [e for e in FORMATS if e != ".npy"]
UTM = torch.tensor([694386.25, 5155487.5, 381.75], dtype=torch.float64)


def sample(names=("TNNT2", "heat, total", "T cell"), seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(12, len(names), generator=rng) if names else None
    return Graphs(torch.randn(12, 3, generator=rng), x, feature_names=names)


def through(graphs, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        return load(save(graphs, path))


@pytest.mark.parametrize(("a", "b"), list(itertools.product(NAMED, NAMED)))
def test_names_and_values_pass_through_two_formats(tmp_path, a, b):
    graphs = sample()
    back = through(through(graphs, tmp_path / f"a{a}"), tmp_path / f"b{b}")
    assert torch.equal(back.pos, graphs.pos)
    assert torch.equal(back.x, graphs.x)
    assert back.feature_names == graphs.feature_names


@pytest.mark.parametrize(("a", "b"), list(itertools.product(NAMED, (".npz", ".csv", ".ply"))))
def test_classes_and_frames_pass_through_two_formats(tmp_path, a, b):
    one, two = sample(("heat",)), sample(("heat",), seed=1)[[0]]
    graphs = Graphs.collate([one, two]).replace(label=torch.tensor([0, 1]), classes=("ant", "bee, red"))
    graphs = graphs.replace(origin=tuple(UTM.tolist()))
    back = through(through(graphs, tmp_path / f"a{a}"), tmp_path / f"b{b}")
    assert (back.classes, back.label.tolist()) == (graphs.classes, [0, 1])
    assert torch.equal(back.x, graphs.x)
    assert (back.coordinates - graphs.coordinates).abs().max() < 2 * 2**-22  # float32, within two metres


@pytest.mark.parametrize(("a", "b"), list(itertools.product((".npz", ".ply"), repeat=2)))
@pytest.mark.parametrize("edges", [[[0, 1, 1, 13], [1, 0, 2, 12]], [[], []]])
def test_edges_pass_through_two_formats(tmp_path, a, b, edges):
    pair = Graphs.collate([sample(("heat",)), sample(("heat",), seed=1)])
    for graphs in (pair.replace(edge_index=torch.tensor(edges, dtype=torch.int64)), sample(())):
        back = through(through(graphs, tmp_path / f"{len(graphs)}a{a}"), tmp_path / f"{len(graphs)}b{b}")
        assert torch.equal(back.pos, graphs.pos)
        assert (back.edge_index is None) == (graphs.edge_index is None)
        assert graphs.edge_index is None or torch.equal(back.edge_index, graphs.edge_index)


@pytest.mark.parametrize("a", FORMATS)
def test_features_without_names_stay_so(tmp_path, a):
    for f in (0, 1, 3, 4) if a != ".npy" else (0,):
        graphs = sample(tuple(f"f{i}" for i in range(f))).replace(feature_names=())
        back = through(graphs, tmp_path / f"{f}{a}")
        assert back.feature_names == ()
        assert (back.x is None) == (f == 0)
        assert f == 0 or torch.equal(back.x, graphs.x)


@pytest.mark.parametrize("a", NAMED)
def test_a_feature_that_does_not_vary_stays(tmp_path, a):
    graphs = sample(("heat", "load"))
    graphs = graphs.replace(x=torch.tensor([[1.0, 100.0]]).expand(12, 2).contiguous())
    assert torch.equal(through(graphs, tmp_path / f"a{a}").x, graphs.x)


@pytest.mark.parametrize("a", FORMATS)
def test_coordinates_far_from_zero_come_back_in_their_own_frame(tmp_path, a):
    """Shape is kept to 1e-6 of the extent; in float32 half a metre would be lost at 5,155,487 m."""
    if a == ".ply":
        pytest.skip("the .ply writer is tested with surfaces")
    graphs = sample(())
    graphs = graphs.replace(origin=tuple(UTM.tolist()))
    path = save(graphs, tmp_path / f"a{a}")
    back = load(path)
    extent = float((graphs.pos.amax(0) - graphs.pos.amin(0)).max())
    assert (back.coordinates - graphs.coordinates).abs().max() < 1e-6 * extent
    assert back.pos.abs().max() < 2 * extent
    if a in (".npy", ".npz"):
        stored = np.load(path) if a == ".npy" else np.load(path)["pos"]
        np.testing.assert_array_equal(stored.reshape(-1, 3), graphs.coordinates.numpy())
    if a == ".npz":
        assert back.origin == graphs.origin
        torch.testing.assert_close(back.pos, graphs.pos, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["csv", "npy", "npz", "array", "tensor", "dictionary"])
def test_all_files_share_one_origin(tmp_path, kind):
    rng = np.random.default_rng(0)
    clouds = [UTM.numpy() + rng.uniform(0, 1, (50, 3)) + [0.0, i, 0] for i in range(3)]
    sources = []
    for i, cloud in enumerate(clouds):
        path = tmp_path / f"{i}.{kind}"
        if kind == "csv":
            path.write_text("x,y,z\n" + "\n".join(",".join(map(repr, row)) for row in cloud.tolist()))
        elif kind == "npy":
            np.save(path, cloud)
        elif kind == "npz":
            np.savez(path, pos=cloud)
        in_memory = {"array": cloud, "tensor": torch.from_numpy(cloud), "dictionary": {"pos": cloud}}
        sources.append(in_memory.get(kind, path))
    graphs = load(sources)
    assert graphs.dtype == torch.float32
    assert max(abs(o - u) for o, u in zip(graphs.origin, UTM.tolist(), strict=True)) < 4
    # float32 keeps 2^-24 of at most two units from the origin.
    assert (graphs.coordinates - torch.from_numpy(np.concatenate(clouds))).abs().max() < 2 * 2**-23
    assert load(sources[0])[0].origin != ()


def test_coordinates_near_zero_have_no_origin():
    assert load(np.random.default_rng(0).normal(size=(30, 3)) + 5).origin == ()


def test_normalised_clouds_forget_where_they_were():
    graphs = load(np.random.default_rng(0).normal(size=(30, 3)) + 1e6, normalize="Unit")
    assert graphs.origin == ()
    assert graphs.pos.norm(dim=1).max().item() == pytest.approx(1, abs=1e-6)


def test_npz_keeps_everything(tmp_path):
    graphs = sample().replace(
        node_type=torch.arange(12) % 2,
        node_types=("C", "H, light"),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        edge_type=torch.tensor([1, 0]),
        edge_types=("single", "double"),
        label=torch.tensor([0]),
        group=torch.tensor([2005]),
        time=torch.tensor([3_000_000_007]),
        classes=("a b",),
        mask=torch.arange(12) < 3,
        origin=(0.5, 1e6, -2.25),
    )
    back = through(graphs, tmp_path / "a.npz")
    for name in ("x", "ptr", "node_type", "edge_index", "edge_type", "label", "group", "time", "mask"):
        assert torch.equal(getattr(back, name), getattr(graphs, name)), name
    for name in ("node_types", "edge_types", "classes", "feature_names", "origin"):
        assert getattr(back, name) == getattr(graphs, name), name


@pytest.mark.parametrize("a", [".csv", ".tsv", ".txt", ".xyz", ".pts"])
@pytest.mark.parametrize("name", ["x", "Z", "label", "graph", "", " heat", "a\nb", "heat", "y_um", "easting"])
def test_names_that_would_be_read_as_something_else_are_refused(tmp_path, a, name):
    """Or they are read back: what never happens is that a feature changes its meaning."""
    graphs = sample((name, "heat" if name != "heat" else "Heat"))
    path = tmp_path / f"a{a}"
    try:
        save(graphs, path)
    except ValueError:
        with pytest.raises(ValueError, match=re.escape(f"{path}: ") + ".*" + re.escape(repr(name))):
            check_target(path, like=graphs)
        assert not path.exists()
    else:
        assert load(path).feature_names == graphs.feature_names


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("a.csv", sample().replace(mask=torch.ones(12, dtype=torch.bool))),
        ("a.npy", sample()),
        ("a.xyz", Graphs(torch.zeros(3, 2))),
        ("a.pcd", sample().replace(edge_index=torch.tensor([[0], [1]]))),
        ("a.ply", sample().replace(edge_index=torch.tensor([[0], [1]]), edge_attr=torch.ones(1, 2))),
        ("a.csv", Graphs(torch.zeros(3, 4))),
    ],
)
def test_what_cannot_be_held_is_known_before(tmp_path, name, like):
    with pytest.raises(ValueError, match=name):
        check_target(tmp_path / name, like=like)
    with pytest.raises(ValueError, match=name):
        save(like, tmp_path / name)


def test_targets(tmp_path):
    assert check_target(tmp_path / "new" / "A.CSV.GZ", 3) == tmp_path / "new" / "A.CSV.GZ"
    assert check_target(str(tmp_path / "a.xyz.gz"), np.int64(2)) == tmp_path / "a"
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    for bad, count in (("a.npz.gz", 1), ("a.off", 1), ("a.csv", 0), ("a.csv", True), ("file/a.csv", 1)):
        with pytest.raises(ValueError, match=r"a\.|count"):
            check_target(tmp_path / bad, count)
    with pytest.raises(FileExistsError, match=r"folder\.csv"):
        check_target(tmp_path / "folder.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_closed(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match=r"a\.csv"):
        check_target(tmp_path / "a.csv")


def test_compressed_files_are_the_same_at_every_call(tmp_path):
    a, b = (save(sample(), tmp_path / f"{name}.csv.gz").read_bytes() for name in "ab")
    assert a == b


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    graphs = Graphs.collate([sample(), sample(seed=1)])
    graphs = graphs.replace(label=torch.tensor([1, 0]), classes=("a", "b"))
    back = through(graphs, tmp_path / "a.parquet")
    assert torch.equal(back.pos, graphs.pos)
    assert torch.equal(back.x, graphs.x)
    assert (back.feature_names, back.classes) == (graphs.feature_names, graphs.classes)
    assert torch.equal(back.label, graphs.label)


def test_parquet_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match="pyarrow"):
        load(tmp_path / "a.parquet")
    with pytest.raises(ImportError, match="pyarrow"):
        check_target(tmp_path / "b.parquet", like=sample())
