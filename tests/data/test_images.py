"""Pictures in, as graphs: every format, what is converted and said, what is refused, and what is kept."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import noisefold as nf
from noisefold.data.convert import convert
from noisefold.data.images.arrays import from_named
from noisefold.geometry import Scaling
from noisefold.geometry.chunks import node_chunks
from noisefold.train.batches import Batches
from noisefold.train.identity import _digest

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = COLOR[:, :, 0]
SMOOTH = np.broadcast_to(np.linspace(0, 255, 16).round().astype(np.uint8)[:, None, None], (16, 16, 3))
DEEP = RNG.integers(0, 65536, (6, 9)).astype(np.uint16)


def values(graphs: nf.Graphs, i: int = 0) -> np.ndarray:
    """Pixels of image i, ``[h, w, c]``."""
    one = graphs[i]
    height, width = (one.pos.amax(0).int() + 1).tolist()
    return one.x.view(height, width, -1).numpy()


def saved(path: Path, image: np.ndarray | Image.Image, **how: object) -> Path:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)
    return path


def notes(source: object, **how: object) -> tuple[nf.Graphs, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        graphs = nf.load(source, **how)
    return graphs, [str(w.message) for w in said if isinstance(w.message, nf.data.DataNotice)]


# -- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "ppm"])
def test_lossless_formats(tmp_path: Path, ending: str) -> None:
    color, said = notes(saved(tmp_path / f"a.{ending}", COLOR))
    grey = nf.load(saved(tmp_path / f"b.{ending}", GREY))
    np.testing.assert_array_equal(values(color), COLOR)
    np.testing.assert_array_equal(values(grey)[:, :, 0], GREY)
    assert (color.modality, grey.modality) == (nf.data.Pictures("rgb"), nf.data.Pictures("grey"))
    assert color.feature_names == ("red", "green", "blue")
    assert not said
    assert torch.equal(color.pos[:10], torch.tensor([[0, c] for c in range(9)] + [[1, 0]]).float())


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
def test_formats_with_losses(tmp_path: Path, ending: str) -> None:
    read = values(nf.load(saved(tmp_path / f"a.{ending}", SMOOTH, quality=95)))
    assert np.abs(read - SMOOTH).max() < 8


def test_what_is_converted_is_said(tmp_path: Path) -> None:
    picture, grey = Image.fromarray(COLOR), Image.fromarray(GREY)
    cases = {
        "rgba": (picture.convert("RGBA"), COLOR),
        "la": (grey.convert("LA"), GREY[:, :, None]),
        "cmyk": (picture.convert("CMYK"), None),
        "deep": (Image.fromarray(DEEP), DEEP[:, :, None] * (255 / 65535)),
    }
    for name, (image, expected) in cases.items():
        ending = "tif" if name == "cmyk" else "png"
        read, said = notes(saved(tmp_path / f"{name}.{ending}", image))
        assert len(said) == 1, name
        assert said[0].startswith(str(tmp_path / name))
        if expected is None:
            expected = np.asarray(image.convert("RGB"))
        np.testing.assert_allclose(values(read), expected, rtol=1e-6)
    assert nf.load(tmp_path / "deep.png").modality.bits == 16


def test_palettes(tmp_path: Path) -> None:
    color, grey = Image.fromarray(COLOR).quantize(16), Image.fromarray(GREY).quantize(16)
    np.testing.assert_array_equal(
        values(nf.load(saved(tmp_path / "a.png", color))), np.asarray(color.convert("RGB"))
    )
    read = values(nf.load(saved(tmp_path / "b.png", grey)))
    np.testing.assert_array_equal(read[:, :, 0], np.asarray(grey.convert("L")))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    read = values(nf.load(saved(tmp_path / "a.png", COLOR, exif=tags)))
    np.testing.assert_array_equal(read, np.rot90(COLOR, {3: 2, 6: -1, 8: 1}[orientation]))


@pytest.mark.parametrize("ending", ["gif", "tif"])
def test_first_of_several_frames(tmp_path: Path, ending: str) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    read, said = notes(saved(tmp_path / f"a.{ending}", frames[0], save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(values(read)[:, :, 0], GREY)
    assert len(said) == 1


def test_grey_among_colour_and_several_sizes(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", COLOR)
    saved(tmp_path / "b.png", GREY[:4])
    saved(tmp_path / "c.png", GREY[:1, :1])
    read, said = notes(tmp_path)
    assert len(said) == 2
    np.testing.assert_array_equal(values(read, 0), COLOR)
    np.testing.assert_array_equal(values(read, 1), np.repeat(GREY[:4, :, None], 3, 2))
    assert read.sizes.tolist() == [54, 36, 1]
    taken = read[[2, 0]]
    assert taken.sizes.tolist() == [1, 54]
    assert torch.equal(taken.x[1:], read[0].x)
    assert torch.equal(taken.pos[1:], read[0].pos)


def test_size_takes_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 200
    wide[::2, 8:16] = 100
    path = saved(tmp_path / "a.png", wide)
    small = nf.load(path, size=4)
    assert values(small).shape == (4, 4, 1)
    # Rows of 100 and 200 in turn: without anti-aliasing each pixel were one or the other.
    assert np.abs(values(small) - 150).max() < 25
    assert values(nf.load(path, size=(4, 12))).shape == (4, 12, 1)
    deep = np.where(wide > 0, 257 * wide.astype(np.uint16), np.uint16(0)).astype(np.uint16)
    np.testing.assert_allclose(
        values(nf.load(saved(tmp_path / "b.png", deep), size=4)), values(small), atol=1
    )


# -- folders ------------------------------------------------------------------------------------------------


def test_folders_of_classes_and_splits(tmp_path: Path) -> None:
    for part, number in (("train", 3), ("test", 2)):
        for kind in ("10", "9"):
            for i in range(number):
                saved(
                    tmp_path / "set" / part / kind / f"{i}.png", np.full((3, 3), 10 * int(kind) + i, np.uint8)
                )
    read, said = notes(tmp_path / "set")
    assert read.classes == ("9", "10")
    assert len(said) == 1
    train, test = read.split(0.5, seed=3)
    assert (len(train), len(test)) == (6, 4)
    assert sorted(test[[0, 2]].x[::9, 0].tolist()) in ([90, 100], [91, 101])
    assert test.classes == read.classes
    chosen = nf.load(tmp_path / "set", classes=["10"])
    assert chosen.x.min() >= 100

    flat = nf.load(tmp_path / "set" / "train" / "9")
    assert flat.label is None
    first, rest = flat.split(0.34, seed=0)
    assert (len(first), len(rest)) == (1, 2)
    assert {float(v) for v in torch.cat([first.x, rest.x]).unique()} == {90.0, 91.0, 92.0}
    assert len(nf.load(str(tmp_path / "set" / "*" / "9" / "*.png"))) == 5


def test_clouds_with_previews_stay_clouds(tmp_path: Path) -> None:
    nf.save(nf.data.shapes(1, points=16), tmp_path / "a.ply")
    saved(tmp_path / "a.png", COLOR)
    read, said = notes(tmp_path)
    assert read.dim == 3
    assert len(said) == 1
    assert ".png" in said[0]


# -- what is refused ----------------------------------------------------------------------------------------


def test_damaged_files_are_named(tmp_path: Path) -> None:
    image = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for ending in ("jpg", "png"):
        saved(tmp_path / ending / f"a.{ending}", image)
        cut = saved(tmp_path / ending / f"b.{ending}", image)
        cut.write_bytes(cut.read_bytes()[:1500])
        (tmp_path / ending / f"c.{ending}").write_bytes(b"")
        with pytest.raises(ValueError, match=f"c.{ending}: "):  # headers first
            nf.load(tmp_path / ending)
        (tmp_path / ending / f"c.{ending}").unlink()
        with pytest.raises(ValueError, match=f"b.{ending}: "):
            nf.load(tmp_path / ending)


def test_too_large(tmp_path: Path) -> None:
    large = saved(tmp_path / "a.png", np.zeros((1030, 1030), np.uint8))
    with pytest.raises(ValueError, match="--size"):
        nf.load(large)
    assert nf.load(large, size=8).num_nodes == 64


def test_bombs(tmp_path: Path) -> None:
    header = saved(tmp_path / "a.bmp", np.zeros((1, 1, 3), np.uint8)).read_bytes()
    for side in (9_000, 40_000):
        (tmp_path / "a.bmp").write_bytes(header[:18] + side.to_bytes(4, "little") * 2 + header[26:])
        with pytest.raises(ValueError, match=r"a\.bmp: .*pixels"):
            nf.load(tmp_path / "a.bmp", size=4)


@pytest.mark.parametrize(
    ("source", "how", "named"),
    [
        ("empty", {}, "empty"),
        ("there.png", {}, "there.png"),
        ("a.png", {"size": 0}, "size"),
        ("a.png", {"size": (2, 3, 4)}, "size"),
        ("a.png", {"points": 3}, "points"),
        ("a.png", {"pos": ("x", "y")}, "pos"),
        ("a.png", {"classes": ["cat"]}, "classes"),
        ("cloud.csv", {"size": 3}, "size"),
        ("float.tif", {}, "float.tif"),
    ],
)
def test_refused(tmp_path: Path, source: str, how: dict[str, object], named: str) -> None:
    (tmp_path / "empty").mkdir()
    saved(tmp_path / "a.png", COLOR)
    saved(tmp_path / "float.tif", RNG.random((4, 4)).astype(np.float32))
    (tmp_path / "cloud.csv").write_text("x,y\n0,1\n2,3\n")
    with pytest.raises((ValueError, FileNotFoundError), match=named):
        nf.load(tmp_path / source, **how)


# -- arrays -------------------------------------------------------------------------------------------------

MANY = RNG.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (MANY, MANY),
        (MANY[..., 0], MANY[..., :1]),
        (MANY[..., :1], MANY[..., :1]),
        (torch.from_numpy(MANY).movedim(-1, 1), MANY),
        (torch.from_numpy(MANY).movedim(-1, 1) / 255, MANY),
        (MANY / 255.0, MANY),
        (MANY.astype(np.int64), MANY),
        (MANY[0], MANY[:1]),
        (MANY[..., 0] > 99, 255 * (MANY[..., :1] > 99)),
        ([Image.fromarray(i) for i in MANY], MANY),
        (list(MANY), MANY),
    ],
)
def test_arrays(array: object, expected: np.ndarray) -> None:
    read = nf.data.pictures(array)
    assert read.pixels.dtype == torch.uint8
    np.testing.assert_array_equal(np.stack([values(read, i) for i in range(len(expected))]), expected)


def test_arrays_with_more_than_8_bits() -> None:
    with pytest.warns(nf.data.DataNotice):
        deep = nf.data.pictures(DEEP[None])
    np.testing.assert_allclose(values(deep)[:, :, 0], DEEP * (255 / 65535), rtol=1e-6)
    assert deep.modality.bits == 16
    ragged = nf.data.pictures([MANY[0], MANY[1, :2]], ["a", "b"])
    assert ragged.sizes.tolist() == [42, 14]
    assert ragged.classes == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((MANY[0, 0],), "images"),
        ((-1.0 * MANY,), "images"),
        ((MANY * 1000.0,), "images"),
        ((MANY, [1, 2]), "labels"),
        ((MANY, [0, 1, 2, 3, 4], ["a"]), "labels"),
        ((np.full((2, 5, 5), "a"),), "images"),
    ],
)
def test_arrays_that_are_no_images(arguments: tuple[object, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        nf.data.pictures(*arguments)


def test_load_tells_arrays_of_images_from_clouds() -> None:
    assert isinstance(nf.load(MANY).modality, nf.data.Pictures)
    assert isinstance(nf.load(MANY[..., 0]).modality, nf.data.Pictures)
    assert nf.load(RNG.normal(size=(4, 6, 7))).modality is None
    assert nf.load(MANY[:, 0]).dim == 3  # [g, n, 3] of bytes may be voxels


def packed(images: np.ndarray) -> dict[str, np.ndarray]:
    """Contents of PNG files one after another, and where each begins."""
    files = []
    for image in images:
        Image.fromarray(image).save(file := io.BytesIO(), "PNG")
        files.append(file.getvalue())
    return {
        "jpeg_train": np.frombuffer(b"".join(files), np.uint8),
        "offset_train": np.cumsum([0, *map(len, files)]),
    }


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": MANY, "labels": np.arange(5), "classes": np.array(list("abcde"))},
        {"arr_0": MANY, "arr_1": np.array(list("abcde"))},
        {
            "x_train": MANY[:3],
            "y_train": np.array([[0], [1], [2]]),
            "x_test": MANY[3:],
            "y_test": np.array([[3], [4]]),
            "classes": np.array(list("abcde")),
        },
        {
            "train_images": MANY[:3],
            "train_labels": np.array(list("abc")),
            "val_images": MANY[3:],
            "val_labels": np.array(list("de")),
        },
        {**packed(MANY), "y_train": np.array(list("abcde"))},
    ],
)
def test_npz(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    read = nf.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(np.stack([values(read, i) for i in range(5)]), MANY)
    assert read.classes == tuple("abcde")
    assert read.label.tolist() == list(range(5))
    assert torch.equal(from_named(arrays).x, read.x)
    if len(arrays) > 3:
        assert [len(part) for part in read.split(0.9)] == [3, 2]
    assert nf.load(tmp_path / "a.npz", classes=["e"], size=3).x.shape == (9, 3)


def test_npz_with_wrong_offsets(tmp_path: Path) -> None:
    arrays = packed(MANY)
    arrays["offset_train"][-1] += 5
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"a\.npz: .*jpeg_train"):
        nf.load(tmp_path / "a.npz")


class DataSet(torch.utils.data.Dataset):
    """As of torchvision: pairs of an image and a number, and the names of the classes."""

    classes = ("cat", "dog", "owl")

    def __init__(self, transform: object = None) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return len(MANY)

    def __getitem__(self, i: int) -> tuple[object, int]:
        image = Image.fromarray(MANY[i])
        return (image if self.transform is None else self.transform(image)), i % 3


@pytest.mark.parametrize(
    "transform", [None, lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255]
)
def test_data_sets_of_torchvision(transform: object) -> None:
    read = nf.load(DataSet(transform))
    np.testing.assert_array_equal(np.stack([values(read, i) for i in range(5)]), MANY)
    assert read.classes == DataSet.classes
    assert read.label.tolist() == [0, 1, 2, 0, 1]


# -- what is kept -------------------------------------------------------------------------------------------


def plain(images: nf.Graphs) -> nf.Graphs:
    """The same as graphs in float32."""
    names = ("ptr", "label", "classes", "modality", "feature_names")
    return nf.Graphs(images.pos, images.x, **{name: getattr(images, name) for name in names})


def test_bytes_are_kept_and_taken_as_plain_graphs_are() -> None:
    images = nf.data.digits()
    assert isinstance(images[:7][[1, 2]], nf.data.PixelGraphs)
    assert images.pixels.dtype == torch.uint8
    whole = plain(images)
    for index in (3, slice(4, 9), [5, 2, 5], torch.arange(len(images)) % 7 == 0):
        one, other = images[index], whole[index]
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.pos, other.pos)
        assert torch.equal(one.ptr, other.ptr)
        assert torch.equal(one.label, other.label)
    assert (images.num_nodes, images.dim, images.features) == (whole.num_nodes, whole.dim, whole.features)
    scaling = Scaling((0.0, 0.0), 1.0, (77.0,), (95.0,))
    batches = [Batches(data, 8, 0, transform=scaling)(3).graphs for data in (images, whole)]
    assert torch.equal(batches[0].x, batches[1].x)
    assert torch.equal(batches[0].pos, batches[1].pos)
    assert _digest(images, scaling) == _digest(whole, scaling)
    joined = nf.Graphs.collate([images[:2], whole[2:4]])
    assert torch.equal(joined.x, whole[:4].x)


def test_replaced() -> None:
    images = nf.data.digits()[:4]
    unlabelled = images.replace(label=None, classes=(), edge_index=None)
    assert isinstance(unlabelled, nf.data.PixelGraphs)
    bare = images.replace(x=None)
    assert bare.features == 0
    assert bare.feature_names == ()
    assert torch.equal(bare.pos, images.pos)
    twice = images.replace(x=2 * images.x)
    assert twice.feature_names == images.feature_names
    assert images.to(dtype=torch.float64).x.dtype == torch.float64
    with pytest.raises(ValueError, match="feature_names"):
        images.replace(feature_names=("a", "b"))


def test_pieces_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisefold.geometry.chunks._VALUES", 100)
    images = nf.data.pictures([MANY[0], MANY[1, :3], MANY[2, :, :2]])
    pieces = list(node_chunks(images))
    assert len(pieces) > 3
    assert torch.equal(torch.cat([p.pos for p in pieces]), images.pos)
    assert torch.equal(torch.cat([p.x for p in pieces]), images.x)


def test_many_pictures_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, image in enumerate(MANY):
        saved(tmp_path / f"{i}.png", image)
    monkeypatch.setattr("noisefold.geometry.mapped._IN_MEMORY", 100)
    read = nf.load(tmp_path)
    assert hasattr(read.pixels, "_noisefold_file")
    np.testing.assert_array_equal(np.stack([values(read, i) for i in range(5)]), MANY)


@pytest.mark.slow
def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    known, ours = datasets.load_digits(), nf.data.digits()
    np.testing.assert_allclose(ours.x.view(-1, 64), known.data * (255 / 16), atol=0.5)
    np.testing.assert_array_equal(ours.label, known.target)


@pytest.mark.slow
def test_real_files(shared: Path) -> None:
    folder = shared / "images"
    if not folder.is_dir():
        pytest.skip("the shared data have no images")
    mnist, some = nf.load(folder / "mnist.npz"), nf.load(folder / "cifar10_subset.npz")
    assert [len(part) for part in mnist.split(0.9)] == [20_000, 5_000]
    assert len(some.classes) == 10
    packed_, known = nf.load(folder / "cifar10_jpeg.npz"), np.load(folder / "cifar10_jpeg.npz")
    subset = np.load(folder / "cifar10_subset.npz")
    place = {name: i for i, name in enumerate(known["file_train"])}
    rows = [place[name] for name in subset["file_train"][:50]]
    assert torch.equal(packed_[rows].x, some[:50].x)


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_need_no_shards(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((4, 5), 40 * i, dtype=np.uint8)).save(folder / f"{i}.png")
    source = tmp_path / "pictures.npz" if packed else folder
    assert "3 graphs" in convert(folder, tmp_path / "pictures.npz")
    with pytest.raises(ValueError, match=r"shards\.npz"):
        convert(source, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
