"""Reading: files written by hand are the oracles; every bad input gets one sentence that names the file."""

import re
import struct
import sys
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch

from noisefold.data import load, save, shapes
from noisefold.data.formats.readers import READABLE
from noisefold.data.notice import DataNotice
from noisefold.geometry.graphs import Graphs

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = [t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))]


def lines(rows, start=""):
    return "".join(start + " ".join(str(v) for v in row) + "\n" for row in rows)


def off(head="OFF\n"):
    return f"{head}8 6 0\n{lines(CORNERS)}{lines(QUADS, '4 ')}".encode()


def ply(binary=False, faces=TRIANGLES, extra=""):
    head = (
        f"ply\nformat {'binary_little_endian' if binary else 'ascii'} 1.0\nelement vertex 8\n"
        f"property float x\nproperty float y\nproperty float z\n{extra}"
    )
    if faces:
        head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
    head = (head + "end_header\n").encode()
    if binary:
        body = b"".join(struct.pack("<3f", *c) for c in CORNERS)
        return head + body + b"".join(struct.pack("<B3i", 3, *f) for f in faces)
    return head + (lines(CORNERS) + lines(faces, "3 ")).encode()


def obj():
    return (lines(CORNERS, "v ") + lines([[i + 1 for i in q] for q in QUADS], "f ")).encode()


def stl(binary=False):
    if binary:
        facets = b"".join(
            struct.pack("<12fH", 0, 0, 0, *(v for i in t for v in CORNERS[i]), 0) for t in TRIANGLES
        )
        return b"\0" * 80 + struct.pack("<I", 12) + facets
    facets = "".join(
        f"facet normal 0 0 0\nouter loop\n{lines([CORNERS[i] for i in t], 'vertex ')}endloop\nendfacet\n"
        for t in TRIANGLES
    )
    return f"solid cube\n{facets}endsolid cube\n".encode()


MESHES = {
    "a.ply": ply(),
    "b.ply": ply(binary=True),
    "a.off": off(),
    # ModelNet40 has hundreds of files whose first line runs into the second.
    "joined.off": off(head="OFF"),
    "a.obj": obj(),
    "a.stl": stl(),
    "b.stl": stl(binary=True),
    "UPPER.PLY": ply(),
}


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# -- meshes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESHES)
def test_cube_is_sampled_by_area(tmp_path, name):
    n = 12_000
    pos = load(put(tmp_path, name, MESHES[name]), points=n).pos.double().numpy()
    assert pos.shape == (n, 3)
    assert pos.min() >= 0
    assert pos.max() <= 1
    faces = np.stack(
        [pos[:, 0] == 0, pos[:, 0] == 1, pos[:, 1] == 0, pos[:, 1] == 1, pos[:, 2] == 0, pos[:, 2] == 1]
    )
    on_edge = faces.sum(0) > 1
    near = np.minimum(np.abs(pos), np.abs(pos - 1)).min(axis=1)
    # Barycentric weights sum to one to 2e-16, and float32 rounds to 6e-8.
    assert near.max() < 1e-6
    assert on_edge.mean() < 0.01
    side = np.concatenate([np.abs(pos), np.abs(pos - 1)], axis=1).argmin(axis=1)
    counts = np.bincount(side, minlength=6)
    assert (np.abs(counts - n / 6) < 5 * np.sqrt(n * 5 / 36)).all()


def test_every_mesh_format_gives_the_default_number_of_points(tmp_path):
    for name, content in MESHES.items():
        assert load(put(tmp_path, name, content)).num_nodes == 1024


def test_obj_with_several_objects_and_materials_is_one_graph(tmp_path):
    text = (
        "mtllib no.mtl\no a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1/1 2/2 3/3\n"
        "o b\nusemtl b\nv 0 0 5\nv 1 0 5\nv 0 1 5\nf 4 5 6\n"
    )
    pos = load(put(tmp_path, "a.obj", text), points=2000).pos
    upper = int((pos[:, 2] == 5).sum())
    assert upper + int((pos[:, 2] == 0).sum()) == 2000
    assert abs(upper - 1000) < 5 * np.sqrt(2000) / 2


def test_points_depend_on_seed_and_content_alone(tmp_path):
    put(tmp_path, "b.off", off())
    alone = load(tmp_path / "b.off", points=50)
    put(tmp_path, "a.ply", ply())
    both = load(tmp_path, points=50)
    assert torch.equal(both[1].pos, alone.pos)
    assert not torch.equal(both[0].pos, alone.pos)
    assert not torch.equal(load(tmp_path / "b.off", points=50, seed=1).pos, alone.pos)
    same_shape = load(put(tmp_path, "c.off", off(head="OFF\n# again\n")), points=50)
    assert not torch.equal(same_shape.pos, alone.pos)


# -- clouds -------------------------------------------------------------------------------------------------


def test_ply_without_faces_is_taken_as_it_is(tmp_path):
    for binary in (False, True):
        graphs = load(put(tmp_path, "a.ply", ply(binary, faces=())))
        assert graphs.pos.tolist() == [list(map(float, c)) for c in CORNERS]
        assert graphs.x is None


@pytest.mark.parametrize(
    "text",
    [
        "0 1 2\n3 4 5\n",
        "\ufeff0,1,2\r\n3,4,5\r\n",
        "# x y z\n\n 0\t1 2  # first\n3; 4; 5",
    ],
)
def test_plain_xyz(tmp_path, text):
    graphs = load(put(tmp_path, "a.xyz", text))
    assert graphs.pos.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert graphs.x is None


def test_plain_xyz_with_features_and_in_the_plane(tmp_path):
    graphs = load(put(tmp_path, "a.xyz", "0 1 2 7 8\n3 4 5 9 1e1\n"))
    assert graphs.x.tolist() == [[7, 8], [9, 10]]
    assert load(put(tmp_path, "b.xyz", "0 1\n3 4\n")).pos.tolist() == [[0, 1], [3, 4]]


def test_chemistry_xyz_holds_several_molecules(tmp_path):
    text = (
        "3\nwater\nO 0 0 0.1173\nH 0 .7572 -.4692 0.4\nh 0 -.7572 -4.692*^-1\n\n2\n\nC 0 0 0\n8 0 0 1.128\n"
    )
    graphs = load(put(tmp_path, "a.xyz", text))
    assert graphs.sizes.tolist() == [3, 2]
    assert graphs.x.squeeze(1).tolist() == [8, 1, 1, 6, 8]
    expected = [[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692], [0, 0, 0], [0, 0, 1.128]]
    torch.testing.assert_close(graphs.pos, torch.tensor(expected))


def test_csv_with_graphs_labels_and_features(tmp_path):
    text = "Id,x,heat,y,class\nb,0,.5,1,cat\na,2,.6,3,ant\nb,4,.7,5,cat\na,6,.8,7,ant\n"
    graphs = load(put(tmp_path, "a.csv", text))
    assert graphs.sizes.tolist() == [2, 2]
    assert graphs.pos.tolist() == [[0, 1], [4, 5], [2, 3], [6, 7]]
    torch.testing.assert_close(graphs.x, torch.tensor([[0.5], [0.7], [0.6], [0.8]]))
    assert graphs.classes == ("ant", "cat")
    assert graphs.label.tolist() == [1, 0]


def test_csv_of_one_graph_with_numbered_label(tmp_path):
    graphs = load(put(tmp_path, "a.csv", 'x,y,"z",label\n0,1,2,4\n3,4,5,4\n'))
    assert graphs.pos.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (graphs.label.tolist(), graphs.classes, graphs.x) == ([0], ("4",), None)


def test_npy_of_one_and_of_many(tmp_path):
    many = np.arange(24, dtype=np.int16).reshape(2, 4, 3)
    np.save(tmp_path / "many.npy", many)
    np.save(tmp_path / "one.npy", many[0].astype(np.float64))
    assert load(tmp_path / "many.npy").sizes.tolist() == [4, 4]
    graphs = load(tmp_path / "one.npy")
    assert graphs.dtype == torch.float32
    assert graphs.pos.tolist() == many[0].tolist()


def test_npz_of_quantised_points(tmp_path):
    points = np.array([[[0, 32767, -32767], [16384, 0, 0]]] * 3, dtype=np.int16)
    np.savez(
        tmp_path / "a.npz",
        points=points,
        quant=np.float32(32767),
        label=np.uint8([1, 0, 1]),
        classes=np.array(["a", "b"]),
        name=np.array(["p", "q", "r"]),
    )
    graphs = load(tmp_path / "a.npz")
    assert graphs.pos[:2].tolist() == [[0, 1, -1], [pytest.approx(16384 / 32767, rel=1e-7), 0, 0]]
    assert (graphs.label.tolist(), graphs.classes) == ([1, 0, 1], ("a", "b"))


@pytest.mark.parametrize("shape", [(2, 3, 5), (6, 5), (6,), (2, 3)])
def test_npz_features_of_any_sensible_shape(tmp_path, shape):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.savez(tmp_path / "a.npz", pos=np.random.default_rng(0).normal(size=(2, 3, 3)), x=x)
    graphs = load(tmp_path / "a.npz")
    assert graphs.x.shape == (6, x.size // 6)
    assert graphs.x.flatten().tolist() == x.flatten().tolist()


# -- many sources -------------------------------------------------------------------------------------------


def test_folder_of_class_folders(tmp_path):
    put(tmp_path, "cube/train/1.off", off())
    put(tmp_path, "cube/2.ply", ply())
    put(tmp_path, "flat/1.xyz", "0 0 0\n1 0 0\n0 1 0\n")
    put(tmp_path, "flat/notes.txt", "not data")
    put(tmp_path, ".hidden/1.xyz", "0 0 0\n")
    graphs = load(tmp_path, points=40)
    assert graphs.classes == ("cube", "flat")
    assert graphs.label.tolist() == [0, 0, 1]
    assert graphs.sizes.tolist() == [40, 40, 3]
    chosen = load(str(tmp_path), points=40, classes=["flat", "cube"])
    assert (chosen.classes, sorted(chosen.label.tolist())) == (("flat", "cube"), [0, 1, 1])
    only = load(tmp_path, classes=["flat"])
    assert (len(only), only.classes, only.label.tolist()) == (1, ("flat",), [0])


def test_pattern_list_and_flat_folder_agree(tmp_path):
    for i in range(3):
        put(tmp_path, f"{i}.xyz", f"{i} 0 0\n0 1 0\n")
    folder, pattern = load(tmp_path), load(f"{tmp_path}/*.xyz")
    listed = load([tmp_path / "0.xyz", str(tmp_path / "1.xyz"), f"{tmp_path}/[2-9].xyz"])
    assert torch.equal(folder.pos, pattern.pos)
    assert torch.equal(folder.pos, listed.pos)
    assert folder.sizes.tolist() == [2, 2, 2]


def test_name_with_brackets_is_a_file_first(tmp_path):
    assert len(load(put(tmp_path, "a[1].xyz", "0 0 0\n1 1 1\n"))) == 1


def test_arrays_tensors_and_lists_of_them():
    pos = np.random.default_rng(0).normal(size=(2, 5, 3))
    expected = torch.from_numpy(pos).float().reshape(10, 3)
    for source in (pos, torch.from_numpy(pos), [pos[0], torch.from_numpy(pos[1])], {"pos": pos}, iter(pos)):
        graphs = load(source)
        assert torch.equal(graphs.pos, expected)
        assert graphs.sizes.tolist() == [5, 5]
    assert load([np.zeros((2, 3)), np.zeros((4, 3))]).sizes.tolist() == [2, 4]


def test_pyg_data_batches_and_lists():
    data = pytest.importorskip("torch_geometric.data")
    items = [
        data.Data(pos=torch.rand(n, 3), x=torch.ones(n, 2, dtype=torch.long), y=torch.tensor([n]))
        for n in (3, 4)
    ]
    for source in (items, data.Batch.from_data_list(items)):
        graphs = load(source)
        assert graphs.sizes.tolist() == [3, 4]
        assert (graphs.label.tolist(), graphs.classes) == ([0, 1], ("3", "4"))
        assert graphs.x.dtype == torch.float32
    assert load(items[0]).num_nodes == 3


def test_graphs_pass_through():
    graphs = shapes(3, points=20)
    assert torch.equal(load(graphs).pos, graphs.pos)
    chosen = load(graphs, points=7, classes=["chair"])
    assert (chosen.sizes.tolist(), chosen.classes) == ([7], ("chair",))
    turned = load(graphs, classes=["dog", "airplane"])
    assert (turned.classes, turned.label.tolist()) == (("dog", "airplane"), [1, 0])
    rows = {tuple(p) for p in graphs[1].pos.tolist()}
    assert {tuple(p) for p in chosen.pos.tolist()} <= rows


def test_classes_are_matched_by_name():
    a, b = shapes(2, 8, families=["chair", "mug"]), shapes(2, 8, families=["mug", "vase"])
    graphs = load([a, b])
    assert graphs.classes == ("chair", "mug", "vase")
    assert graphs.label.tolist() == [0, 1, 1, 2]


def test_thinning_keeps_a_uniform_subset(tmp_path):
    n, kept, clouds = 40, 10, 500
    np.save(tmp_path / "a.npy", np.tile(np.arange(n, dtype=float)[:, None], (clouds, 1, 3)))
    pos = load(tmp_path / "a.npy", points=kept).pos[:, 0].reshape(clouds, kept)
    assert all(len(set(row.tolist())) == kept for row in pos)
    counts = torch.bincount(pos.flatten().long(), minlength=n)
    p = kept / n
    assert (counts - clouds * p).abs().max() < 5 * np.sqrt(clouds * p * (1 - p))


def test_normalize_unit():
    clouds = [torch.randn(n, 2, generator=torch.Generator().manual_seed(n)) * n + 50 for n in (5, 9)]
    graphs = load(clouds, normalize="unit")
    for cloud in graphs.unpack():
        # float32 coordinates of about 50 were centred: 50 * 6e-8.
        assert cloud.mean(dim=0).abs().max() < 1e-5
        assert cloud.norm(dim=1).max().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(load(clouds).pos, torch.cat(clouds))


# -- bad input ----------------------------------------------------------------------------------------------


def npy_bytes(array, tmp_path):
    np.save(tmp_path / "made.npy", array, allow_pickle=True)
    return (tmp_path / "made.npy").read_bytes()


BAD = {
    "empty.ply": (b"", "the file is empty"),
    "blank.xyz": ("\n \n", "the file is empty"),
    "word.xyz": ("0 0 0\n1 one 0\n", "line 2 holds 'one', not a number"),
    "ragged.xyz": ("0 0 0\n1 0\n", "line 2 has 2 columns, the first 3"),
    "narrow.xyz": ("0.5\n1.5\n", "line 1 holds '0.5', one column"),
    "nan.xyz": ("0 0 0\n1 nan 0\n", "coordinates of point 1 are NaN or infinite"),
    "inf.xyz": ("0 0 0 1\n1 0 0 inf\n", "features of point 1 are NaN or infinite"),
    "single.xyz": ("0 0 0\n", "graph 0 has 1 of at least 2 points"),
    "atoms.xyz": ("3\nc\nH 0 0 0\nH 0 0 1\n", "announces 3 atoms, but 2 follow"),
    "element.xyz": ("2\nc\nH 0 0 0\nXx 0 0 1\n", "line 4 names the unknown element 'Xx'"),
    "coordinate.xyz": ("2\nc\nH 0 0 0\nH 0 0\n", "line 4 holds 'H 0 0'"),
    "next.xyz": ("2\nc\nH 0 0 0\nH 0 0 1\nH 0 0 2\n", "line 5 holds 'H 0 0 2', not a number of atoms"),
    "header.csv": ("0,1,2\n3,4,5\n", "line 1 holds '0, 1, 2'"),
    "twice.csv": ("x,y,x\n3,4,5\n", "header must name different columns"),
    "rows.csv": ("x,y\n", "no points below the header"),
    "cells.csv": ("x,y\n1,2\n3\n", "line 3 has 1 columns, the header 2"),
    "word.csv": ("x,y,kind\n1,2,0\n3,4,cat\n", "line 3 holds 'cat', not a number"),
    "missing.csv": ("x,y\n1,2\n3,\n", "line 3 holds '', not a number"),
    "label.csv": ("graph,x,y,label\n1,1,2,a\n1,3,4,b\n", "graph 0 has the labels 'a' and 'b'"),
    "text.npy": (b"0 1 2\n", "not a NumPy file"),
    "text.npz": (b"0 1 2\n", "not a NumPy file"),
    "zip.npz": (b"PK\x03\x04 damaged", "truncated or damaged"),
    "book.h5mu": (b"\x89HDF", "'.h5mu' is not supported, only .ply"),
    "noending": (b"0 0 0\n", "'' is not supported"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(tmp_path, name):
    content, sentence = BAD[name]
    path = put(tmp_path, name, content)
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.arange(4.0), "positions must be [n, d] or [g, n, d], got shape [4]"),
        (np.zeros((1, 2, 3, 4)), "got shape [1, 2, 3, 4]"),
        (np.array([["a", "b"]]), "must be real numbers, got type <U1"),
        (np.zeros((3, 2), dtype=complex), "must be real numbers, got type complex128"),
        (np.array([[None, 1]]), "pickled objects, which are never opened"),
        (np.zeros((0, 3)), "there are no points"),
        (np.zeros((3, 0)), "there are no points"),
        (np.full((3, 2), np.inf), "coordinates of point 0 are NaN or infinite"),
    ],
)
def test_bad_npy(tmp_path, array, sentence):
    path = put(tmp_path, "a.npy", npy_bytes(array, tmp_path))
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")


POS = np.random.default_rng(0).normal(size=(2, 3, 3))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"position": POS}, "no array `pos` or `points`, only 'position'"),
        ({"pos": POS[0], "ptr": [0, 2]}, "`ptr` must rise from 0 to the number of points, 3"),
        ({"pos": POS[0], "ptr": [0, 2, 1, 3]}, "`ptr` must rise"),
        ({"pos": POS[0], "ptr": [0.0, 3.0]}, "`ptr` must be integers"),
        ({"pos": POS[0], "ptr": [0, 1, 3]}, "graph 0 has 1 of at least 2 points"),
        ({"pos": POS, "label": [0]}, "label must be [2]"),
        (
            {"pos": POS, "label": [0, 2], "classes": ["a", "b"]},
            "`label` must lie in [0, 2), the number of classes",
        ),
        ({"pos": POS, "x": np.ones((5, 2))}, "x must have one row for each of the 6 nodes"),
        ({"pos": POS, "edge_index": [[0], [6]]}, "edge_index must name the nodes 0 to 5, got 0 to 6"),
        ({"pos": np.array([None])}, "pickled objects"),
    ],
)
def test_bad_npz(tmp_path, arrays, sentence):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        load(tmp_path / "a.npz")
    assert str(error.value).startswith(f"{tmp_path / 'a.npz'}: ")


@pytest.mark.parametrize(
    "name", ["a.ply", "b.ply", "a.off", "a.stl", "b.stl", "a.npy", "a.npz", "a.xyz", "a.csv"]
)
def test_cut_anywhere_a_file_is_refused_or_read_but_nothing_else(tmp_path, name):
    """Formats that say how much follows never read a part; the others give what is there."""
    path = tmp_path / name
    whole = MESHES[name] if name in MESHES else save(Graphs(torch.randn(6, 3)), path).read_bytes()
    # The last number of a text may lose a digit and the last keyword its end without a trace.
    last = len(whole) - (12 if name in ("a.ply", "a.off", "a.stl") else 0)
    for end in range(0, last, max(1, len(whole) // 60)):
        put(tmp_path, name, whole[:end])
        if name in ("a.xyz", "a.csv"):
            with suppress(ValueError):
                assert load(path).num_nodes <= 6
            continue
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: "):
            load(path, points=8)


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; check the path"):
        load(tmp_path / "no.ply")
    with pytest.raises(FileNotFoundError, match="no file matches; check the pattern"):
        load(f"{tmp_path}/*.ply")
    with pytest.raises(FileNotFoundError, match=re.escape(" ".join(READABLE))):
        load(tmp_path)


def test_parts_that_do_not_fit(tmp_path):
    put(tmp_path, "a.xyz", "0 0 0\n1 1 1\n")
    put(tmp_path, "b.xyz", "0 0\n1 1\n")
    with pytest.raises(ValueError, match=r"b\.xyz: the points have 2 dimensions, those of a\.xyz 3"):
        load(tmp_path)
    put(tmp_path, "b.xyz", "0 0 0 5\n1 1 1 5\n")
    with pytest.raises(ValueError, match=r"b\.xyz: the points have 1 features, those of a\.xyz 0"):
        load(tmp_path)
    put(tmp_path, "b.xyz", "0 0 0\n1 1 1\n")
    put(tmp_path, "c.csv", "x,y,z,label\n0,0,0,a\n1,1,1,a\n")
    with pytest.raises(ValueError, match=r"c\.csv: one of it and a\.xyz has `label`, the other none"):
        load(tmp_path)
    put(tmp_path, "cube/a.off", off())
    with pytest.raises(ValueError, match=r"both files \(a\.xyz\) and folders of files \(cube\)"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"source\[1\]: .* 3 dimensions"):
        load([np.zeros((3, 2)), np.zeros((3, 3))])
    labelled = shapes(2, 4)
    with pytest.raises(ValueError, match=r"source\[1\]: .*`label`"):
        load([labelled, np.zeros((3, 3))])
    with pytest.raises(ValueError, match=r"source\[1\]: its labels"):
        load([labelled, labelled.replace(classes=())])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"source": 3}, "source must be a path, .* got int"),
        ({"source": []}, "source must be a path, .* got list"),
        ({"source": [0.0, 1.0]}, r"source\[0\] must be a path, .* got float"),
        ({"source": np.zeros(3)}, "source: positions must be"),
        ({"source": np.zeros((1, 3))}, "source: graph 0 has 1 of at least 2 points"),
        ({"source": np.zeros((2, 3)), "points": 1}, "points .* 2, got 1"),
        ({"source": np.zeros((2, 3)), "normalize": "box"}, "normalize is 'box'.*'unit'"),
        ({"source": np.zeros((2, 3)), "seed": -1}, "seed .* -1"),
        ({"source": np.zeros((2, 3)), "classes": ["a"]}, "classes .*'a'.*there are none"),
        ({"source": shapes(2, 4), "classes": ["chair", "sofa"]}, "classes .*'sofa'.*airplane"),
        ({"source": shapes(2, 4), "classes": "chair"}, "classes must be .*'chair'"),
        ({"source": shapes(2, 4), "classes": ["vase"]}, "no graph of the classes vase"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(**arguments)


def test_pickles_are_never_opened(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (sys.exit, (13,))

    trap = pickle.dumps(Trap())
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match="not a NumPy file"):
            load(put(tmp_path, name, trap))


def test_rows_of_numbers_in_a_list_are_one_graph():
    rows = [[0.0, 1.0], (2, np.int64(3)), [4, 5]]
    assert load(rows).pos.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert load([rows, rows[:2]]).sizes.tolist() == [3, 2]
    with pytest.raises(ValueError, match="coordinates"):
        load([[0, 1], [1, 2, 3]])


def test_an_array_of_arrays_is_a_list():
    several = np.empty(2, dtype=object)
    several[:] = [np.eye(3, 2), np.eye(5, 2)]
    assert load(several).sizes.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("source", "words"), [({1, 2}, "int"), ({"a": {}}, "'a'"), (None, "NoneType"), ([3], "int")]
)
def test_what_is_no_data_is_named(source, words):
    with pytest.raises(ValueError, match=f"source.*{words}"):
        load(source)


def test_arrays_without_a_meaning_are_said(tmp_path):
    np.savez(tmp_path / "a.npz", pos=np.eye(3), y=np.zeros(3), extra=np.zeros(2))
    for source in (tmp_path / "a.npz", {"pos": np.eye(3), "y": np.zeros(3), "extra": 1}):
        with pytest.warns(DataNotice, match="'y', 'extra'"):
            load(source)


def test_truths_are_classes():
    assert load({"pos": np.zeros((3, 4, 2)), "label": np.array([True, False, True])}).label.tolist() == [
        1,
        0,
        1,
    ]


def test_names_that_are_not_different_are_refused():
    with pytest.raises(ValueError, match=r"feature_names.*'a'"):
        load({"pos": np.zeros((4, 2)), "x": np.zeros((4, 2)), "feature_names": ["a", "a"]})


def test_what_float32_is_too_coarse_for_is_said():
    cloud = np.random.default_rng(0).random((20, 2))
    with pytest.warns(DataNotice, match="graph 0"):
        load([cloud, cloud + 5e6])
    with pytest.warns(DataNotice, match="'when'"):
        load({"pos": cloud, "x": 1.7e9 + cloud[:, :1] * 100, "feature_names": ["when"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        load([cloud, cloud + 100])
        load([cloud + 5e6, cloud + 5e6 + 100])
        load({"pos": cloud, "x": np.ones((20, 1))})
