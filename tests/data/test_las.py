"""Laser scans: files written here by the specification, and laspy as the oracle where it is installed."""

import builtins
import io
import struct

import numpy as np
import pytest

from noisefold.data import load
from noisefold.data.formats.las import read_las

LENGTHS = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
SCALE, OFFSET = (0.001, 0.01, 0.0005), (694000.0, 5155000.0, -7.25)


def las(kind=0, n=30, version=(1, 2), further=0, count=None):
    """A file of random records, and its integer coordinates and its fields by name."""
    random = np.random.default_rng(kind)
    raw = random.integers(-(10**6), 10**6, (n, 3)).astype("<i4")
    length = LENGTHS[kind] + further
    table = random.integers(0, 256, (n, length), dtype=np.uint8)
    table[:, :12] = raw.view(np.uint8).reshape(n, 12)
    size = 375 if version == (1, 4) else 227
    head = bytearray(size)
    head[:4] = b"LASF"
    head[24:26] = bytes(version)
    count = n if count is None else count
    struct.pack_into("<HII", head, 94, size, size + 11, 0)
    struct.pack_into("<BHI", head, 104, kind, length, 0 if version == (1, 4) else count)
    struct.pack_into("<6d", head, 131, *SCALE, *OFFSET)
    if version == (1, 4):
        struct.pack_into("<Q", head, 247, count)
    return bytes(head) + b"\0" * 11 + table.tobytes(), raw, table


COLOURED = (2, 3, 5, 7, 8, 10)


@pytest.mark.parametrize("kind", range(11))
@pytest.mark.parametrize("further", [0, 5])
def test_every_point_format(kind, further):
    data, raw, table = las(kind, version=(1, 4) if kind > 5 else (1, 2), further=further)
    content = read_las(data)
    np.testing.assert_array_equal(content.pos, raw * np.array(SCALE) + np.array(OFFSET))
    names = ["intensity", "return_number", "number_of_returns", "classification"]
    names += ["red", "green", "blue"] * (kind in COLOURED) + ["nir"] * (kind in (8, 10))
    assert list(content.names) == names
    values = dict(zip(names, content.features.T, strict=True))
    np.testing.assert_array_equal(values["intensity"], table[:, 12] + 256 * table[:, 13].astype(int))
    new = kind > 5
    np.testing.assert_array_equal(values["return_number"], table[:, 14] % (16 if new else 8))
    np.testing.assert_array_equal(
        values["number_of_returns"], table[:, 14] // (16 if new else 8) % (16 if new else 8)
    )
    np.testing.assert_array_equal(values["classification"], table[:, 16] if new else table[:, 15] % 32)
    if "red" in values:
        at = {2: 20, 3: 28, 5: 28}.get(kind, 30)
        np.testing.assert_array_equal(values["blue"], table[:, at + 4] + 256 * table[:, at + 5].astype(int))


def test_fields_that_are_not_in_use_are_left_out():
    data, _, table = las(2)
    table[:, 12:14] = table[:, 20:26] = 0
    content = read_las(data[: -table.size] + table.tobytes())
    assert content.names == ("return_number", "number_of_returns", "classification")


def test_coordinates_keep_the_scanner_s_millimetres(tmp_path):
    data, raw, _ = las()
    (tmp_path / "a.las").write_bytes(data)
    graphs = load(tmp_path / "a.las")
    assert graphs.origin
    exact = raw * np.array(SCALE) + np.array(OFFSET)
    # float32 relative to the middle: half a unit in the 24th bit of half the extent, 10^6 * SCALE.
    bound = 10**6 * np.array(SCALE) * 2.0**-24 + 1e-9
    assert (np.abs(graphs.coordinates.numpy() - exact) <= bound).all()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (las()[0][:-1], "truncated"),
        (las()[0][:100], "truncated"),
        (las(count=2**31)[0], "truncated"),
        (las(6, version=(1, 4), count=2**60)[0], "truncated"),
        (b"LASX" + las()[0][4:], "LAS header"),
        (las()[0][:104] + b"\x0b" + las()[0][105:], "format 11"),
        (las()[0][:105] + b"\x05\x00" + las()[0][107:], "5 bytes"),
        (las()[0][:131] + b"\0" * 8 + las()[0][139:], "scale"),
        (las(count=2**31)[0][:104] + b"\x80" + las(count=2**31)[0][105:], "compressed"),
    ],
)
def test_bad_files(data, named):
    with pytest.raises(ValueError, match=named):
        read_las(data)


def laz(compress, kind=3):
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    header = laspy.LasHeader(point_format=kind, version="1.4" if kind > 5 else "1.3")
    header.scales, header.offsets = np.array(SCALE), np.array(OFFSET)
    made = laspy.LasData(header)
    random = np.random.default_rng(0)
    made.X, made.Y, made.Z = random.integers(-(10**6), 10**6, (3, 500))
    made.intensity, red = random.integers(0, 60000, (2, 500))
    if kind in COLOURED:
        made.red = red
    made.return_number, made.classification = random.integers(1, 6, (2, 500))
    buffer = io.BytesIO()
    made.write(buffer, do_compress=compress)
    return buffer.getvalue(), made


@pytest.mark.parametrize(("kind", "compress"), [(3, False), *((kind, True) for kind in range(11))])
def test_against_laspy(kind, compress):
    data, made = laz(compress, kind)
    content = read_las(data)
    np.testing.assert_array_equal(content.pos, np.stack([made.x, made.y, made.z], 1))
    colours = ("red",) if kind in COLOURED else ()
    assert content.names == ("intensity", "return_number", "classification", *colours)
    for name, values in zip(content.names, content.features.T, strict=True):
        np.testing.assert_array_equal(values, made[name])


def test_compressed_scans_without_a_backend_name_the_remedy(monkeypatch):
    data, _ = laz(True)
    load_module = builtins.__import__

    def absent(name, *args, **rest):
        if name.startswith("laspy"):
            raise ImportError(name)
        return load_module(name, *args, **rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"noisefold\[las\]"):
        read_las(data)


def test_damaged_compressed_scans():
    data, _ = laz(True)
    for end in range(300, len(data), len(data) // 7):
        with pytest.raises(ValueError, match=r"damaged|truncated"):
            read_las(data[:end])


@pytest.mark.parametrize("damage", ["chunks", "place", "chunk size", "records"])
def test_compressed_scans_that_declare_too_much(damage):
    """The library would end the process, panic or go on for minutes."""
    content = bytearray(laz(True)[0])
    (start,) = struct.unpack_from("<I", content, 96)
    (table,) = struct.unpack_from("<q", content, start)
    match damage:
        case "chunks":
            struct.pack_into("<I", content, table + 4, 2**32 - 1)
        case "place":
            struct.pack_into("<q", content, start, -2)
        case "chunk size":
            struct.pack_into("<I", content, content.index(b"laszip encoded") + 52 + 12, 0)
        case "records":
            struct.pack_into("<I", content, 100, 2**32 - 1)
    with pytest.raises(ValueError, match=r"damaged|truncated|records"):
        read_las(bytes(content))
