"""Folders: classes, the split that folders make, and what was passed over."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from noisefold.data import load, save
from noisefold.data.folders import FolderSplit, folder_name
from noisefold.data.notice import DataNotice
from noisefold.geometry.graphs import Graphs


def put(folder, name, points):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{p} {p + 1} 0.5\n" for p in points))
    return path


def layout(tmp_path, names):
    for i, name in enumerate(names):
        put(tmp_path, name, [10 * i, 10 * i + 1, 10 * i + 3])


def first(graphs):
    """Which file each graph is from."""
    return [int(p[0, 0] / 10) for p in graphs.unpack(graphs.coordinates)]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["chair/test/1.xyz", "chair/train/1.xyz", "sofa/test/1.xyz", "sofa/train/1.xyz"], ("chair", "sofa")),
        (["test/chair/1.xyz", "train/chair/1.xyz", "test/sofa/1.xyz", "train/sofa/1.xyz"], ("chair", "sofa")),
        (["Test/1.xyz", "Training/1.xyz", "Test/2.xyz", "Training/2.xyz"], ()),
        (["val/1.xyz", "train/1.xyz", "test/2.xyz", "train/2.xyz"], ()),
    ],
)
def test_folders_are_the_split(tmp_path, names, classes):
    layout(tmp_path, names)
    with pytest.warns(DataNotice, match="train"):
        graphs = load(tmp_path)
    assert graphs.classes == classes
    for fraction, seed in ((0.9, 0), (0.1, 7)):
        train, held_out = graphs.split(fraction, seed)
        assert (sorted(first(train)), sorted(first(held_out))) == ([1, 3], [0, 2])
    assert train.modality is None
    if classes:
        expected = ["chair" if i == 1 else "sofa" for i in first(train)]
        assert [train.classes[k] for k in train.label] == expected


def test_the_split_survives_order_choice_and_thinning(tmp_path):
    places = [f"{kind}/{part}" for kind in "ab" for part in ("test", "train")]
    layout(tmp_path, [f"{place}/{i}.xyz" for place in places for i in range(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataNotice)
        graphs = load(tmp_path, points=2)
        chosen = load(tmp_path, classes=["b"])
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    train, held_out = graphs[order].split(0.5)
    assert (sorted(first(train)), sorted(first(held_out))) == ([3, 4, 5, 9, 10, 11], [0, 1, 2, 6, 7, 8])
    train, held_out = chosen.split(0.5)
    assert (sorted(first(train)), sorted(first(held_out))) == ([9, 10, 11], [6, 7, 8])
    with pytest.raises(ValueError, match="modality"):
        graphs[[0, 1]].split(0.5)
    with pytest.raises(ValueError, match=r"graph 0 .*modality"):
        graphs.replace(pos=graphs.pos + 1).split(0.5)


def test_equal_clouds_in_both_parts_stay_apart():
    """Clouds that are copies of each other cannot be told apart, but their number can."""
    clouds = Graphs.dense(torch.ones(5, 2, 3))
    by_folder = FolderSplit.of(clouds, ["train", "test", "train", "test", "train"])
    train, held_out = clouds.replace(modality=by_folder).split(0.5)
    assert (len(train), len(held_out)) == (3, 2)


def test_only_some_files_in_folders_of_a_split(tmp_path):
    layout(tmp_path, ["a/train/1.xyz", "a/test/2.xyz", "a/3.xyz", "b/1.xyz"])
    with pytest.warns(DataNotice, match="no split"):
        graphs = load(tmp_path)
    assert graphs.modality is None
    assert graphs.classes == ("a", "b")


def test_a_file_beside_the_folders_of_classes(tmp_path):
    layout(tmp_path, ["train/chair/1.xyz", "train/2.xyz", "test/chair/3.xyz"])
    with pytest.raises(ValueError, match=r"2\.xyz"):
        load(tmp_path)


def test_what_was_passed_over_is_counted(tmp_path):
    layout(tmp_path, ["a/1.xyz", "b/2.xyz"])
    for name in (
        "b/x.foo",
        "b/y.foo",
        "c/z.BAR",
        "README.md",
        "b/notes.txt",
        ".hidden",
        "b/.DS_Store",
        "LICENSE",
    ):
        put(tmp_path, name, []).write_text("Chairs, seen from 2 sides.\n")
    with pytest.warns(DataNotice) as said:
        graphs = load(tmp_path)
    assert len(graphs) == 2
    for counted in ("2 .foo", "1 .bar", "1 .md", "1 .txt", "1 without ending", "2 files"):
        assert counted in str(said[0].message)


def test_a_folder_with_nothing_to_read(tmp_path):
    put(tmp_path, "c/z.foo", [])
    with pytest.raises(FileNotFoundError, match=r"1 \.foo"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\.csv"):
        load(tmp_path / "c")


@pytest.mark.parametrize(
    "classes",
    [("a/b", "a_b"), ("50%", "50%25"), (".", "..", "%2E"), ("A,B", "@x y"), ("über", "nul:"), ("3", "10")],
)
def test_names_of_classes_come_back_from_folders(tmp_path, classes):
    g = len(classes)
    graphs = Graphs.dense(torch.arange(6.0 * g).reshape(g, 2, 3), label=torch.arange(g), classes=classes)
    back = load(save(graphs, tmp_path / "in" / "a.xyz"))
    assert set(back.classes) == set(classes)
    for i, name in enumerate(classes):
        assert torch.equal(back[back.label == back.classes.index(name)].pos, graphs[i].pos)
    assert len({folder_name(name).lower() for name in classes}) == g


def test_stores_in_a_folder_are_whole(tmp_path):
    """What is in a .zarr folder is no file of the data set."""
    pytest.importorskip("zarr")
    sys.path.insert(0, str(Path(__file__).parent))
    from made_tissues import tissue

    for name in ("0.zarr", "1.zarr"):
        tissue(n=6).write_zarr(tmp_path / "all" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        for source in (tmp_path / "all", tmp_path / "all" / "*.zarr"):
            assert len(load(source)) == 2


def test_a_class_called_train_is_said(tmp_path):
    for name in ("train", "other"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.eye(4, 2))
    with pytest.warns(DataNotice, match="train"):
        assert load(tmp_path).classes == ("other", "train")
