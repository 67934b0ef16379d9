"""Labels of any kind become classes with names; what is no class is refused."""

import numpy as np
import pytest
import torch

from noisefold.data import load, save, shapes
from noisefold.data.classes import coded, named_classes, select
from noisefold.geometry.graphs import Graphs


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        ([0, 1, 1], [0, 1, 1], ("0", "1")),
        ([7, 3, 10], [1, 0, 2], ("3", "7", "10")),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        (["10", "9"], [1, 0], ("9", "10")),
        (["1.0", "2.0"], [0, 1], ("1", "2")),
        (["01", "1"], None, None),
        (["1", "b"], [0, 1], ("1", "b")),
        ([" a", b"a"], [0, 0], ("a",)),
        (["True", "False"], [1, 0], ("False", "True")),
    ],
)
def test_labels(labels, codes, names):
    label, classes = coded(labels)
    if names is None:
        assert len(classes) == 2
        return
    assert (label.tolist(), classes) == (codes, names)


@pytest.mark.parametrize("labels", [[-1, 0], ["-1", "0"], [0.5, 1], ["", "a"], [np.nan, 1], ["nan", "1"]])
def test_what_is_no_class(labels):
    with pytest.raises(ValueError, match="label"):
        coded(labels)


POS = np.random.default_rng(0).normal(size=(4, 3, 3))


def sources(tmp_path, labels):
    rows = [f"{i},{k},{','.join(map(str, p))}" for i, k in enumerate(labels) for p in POS[i]]
    csv = tmp_path / "a.csv"
    csv.write_text("graph,class,x,y,z\n" + "\n".join(rows))
    np.savez(tmp_path / "a.npz", pos=POS, label=labels)
    graphs = Graphs.dense(torch.from_numpy(POS), label=torch.tensor(labels))
    return [csv, tmp_path / "a.npz", {"pos": POS, "label": labels}, graphs, [graphs[i] for i in range(4)]]


def test_whole_numbers_make_named_classes_whatever_the_source(tmp_path):
    for source in sources(tmp_path, [5, 2, 2, 12]):
        graphs = load(source)
        assert graphs.classes == ("2", "5", "12")
        assert graphs.label.tolist() == [1, 0, 0, 2]
        assert select(graphs, [np.int64(12), "5"]).label.tolist() == [1, 0]


def test_negative_labels_are_refused_whatever_the_source(tmp_path):
    for source in sources(tmp_path, [0, -1, 0, 1]):
        with pytest.raises(ValueError, match="-1"):
            load(source)
    with pytest.raises(ValueError, match=r"\[0, 2\).* 3"):
        named_classes(Graphs(torch.zeros(2, 2), label=torch.tensor([3]), classes=("a", "b")))


@pytest.mark.parametrize("kind", ["words", "bytes", "floats", "bools"])
def test_labels_of_other_types(kind):
    label = {
        "words": np.array(["cat", "ant", "ant", "cat"]),
        "bytes": np.array([b"cat", b"ant", b"ant", b"cat"]),
        "floats": np.array([1.0, 0, 0, 1]),
        "bools": np.array(["1", "0", "0", "1"]),
    }[kind]
    graphs = load({"pos": POS, "label": label})
    assert graphs.label.tolist() == [1, 0, 0, 1]
    assert graphs.classes in (("ant", "cat"), ("0", "1"))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".npz", ".xyz", ".ply", ".txt", ".pts", ".csv.gz"])
@pytest.mark.parametrize("classes", [("chair", "arm chair, red"), ("2", "11"), ("@x", "ü")])
def test_names_of_classes_survive_load_split_save_load(tmp_path, ending, classes):
    graphs = Graphs.dense(torch.from_numpy(POS).float(), label=torch.tensor([0, 1, 0, 1]), classes=classes)
    train, _ = load(graphs).split(0.75, seed=0)
    back = load(save(train, tmp_path / f"a{ending}"))
    assert set(back.classes) <= set(classes)
    named = {tuple(g.pos[0].tolist()): g.classes[int(g.label)] for g in train}
    assert {tuple(g.pos[0].tolist()): g.classes[int(g.label)] for g in back} == named


def test_numbered_and_named_parts(tmp_path):
    a = Graphs.dense(torch.zeros(2, 2, 2), label=torch.tensor([3, 1]))
    b = Graphs.dense(torch.zeros(1, 2, 2), label=torch.tensor([0]), classes=("2",))
    graphs = load([a, b])
    assert (graphs.classes, graphs.label.tolist()) == (("1", "2", "3"), [2, 0, 1])
    with pytest.raises(ValueError, match="names"):
        load([a, b.replace(classes=("cat",))])


def test_classes_in_any_case_but_exact_first():
    graphs = shapes(3, 8, families=["chair", "mug", "vase"])
    assert select(graphs, ["Vase", "CHAIR"]).classes == ("vase", "chair")
    twins = graphs.replace(classes=("mug", "Mug", "MUG"))
    assert select(twins, ["Mug"]).label.tolist() == [0]
    for bad in (["mUg"], ["Mug", "Mug"], [], "Mug", ["Mgu"]):
        with pytest.raises(ValueError, match="classes"):
            select(twins, bad)
