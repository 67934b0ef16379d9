"""Point cloud data: what the three encodings hold, and LZF against a compressor written here."""

import struct

import numpy as np
import pytest
import torch

from noisefold.data import load, save
from noisefold.data.formats.lzf import decompressed
from noisefold.data.formats.pcd import read_pcd, write_pcd
from noisefold.geometry.graphs import Graphs


def compressed(data):
    """Greedy LZF: the longest match among the last 8192 bytes, else literals."""
    out, literals, at = bytearray(), bytearray(), 0

    def flush():
        for i in range(0, len(literals), 32):
            run = literals[i : i + 32]
            out.append(len(run) - 1)
            out.extend(run)
        literals.clear()

    while at < len(data):
        length = back = 0
        for start in range(max(0, at - 8192), at):
            k = 0
            while k < 264 and at + k < len(data) and data[start + k] == data[at + k]:
                k += 1
            if k > length:
                length, back = k, at - start - 1
        if length >= 3:
            flush()
            if length < 9:
                out += bytes([(length - 2) << 5 | back >> 8, back & 255])
            else:
                out += bytes([7 << 5 | back >> 8, length - 9, back & 255])
            at += length
        else:
            literals.append(data[at])
            at += 1
    flush()
    return bytes(out)


def pcd(fields, table, data="binary", sizes=None, types=None, head="", height=1, points=None):
    """A file from a structured array."""
    names = fields.split()
    table = np.asarray(table)
    kinds = [table.dtype[n].base for n in table.dtype.names]
    counts = [int(np.prod(table.dtype[n].shape, dtype=int)) for n in table.dtype.names]
    types = types or [{"f": "F", "i": "I", "u": "U"}[k.kind] for k in kinds]
    count = len(table) if points is None else points
    text = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS {' '.join(names)}\n"
        f"SIZE {' '.join(str(k.itemsize) for k in kinds)}\n"
        f"TYPE {' '.join(types)}\nCOUNT {' '.join(map(str, counts))}\n"
        f"WIDTH {count // height}\nHEIGHT {height}\n"
        f"{head}POINTS {count}\nDATA {data}\n"
    )
    if data == "ascii":
        rows = [[v for n in table.dtype.names for v in np.atleast_1d(row[n]).tolist()] for row in table]
        body = "".join(" ".join(map(repr, row)) + "\n" for row in rows).encode()
    elif data == "binary":
        body = table.tobytes()
    else:
        plain = b"".join(np.ascontiguousarray(table[n]).tobytes() for n in table.dtype.names)
        packed = compressed(plain)
        body = struct.pack("<II", len(packed), len(plain)) + packed
    return text.encode() + body


def table(n=40, **columns):
    random = np.random.default_rng(0)
    kinds = {"x": "<f4", "y": "<f4", "z": "<f4"} | columns
    out = np.zeros(n, dtype=list(kinds.items()))
    for name in out.dtype.names:
        out[name] = (
            random.integers(0, 9, out[name].shape)
            if out[name].dtype.kind != "f"
            else (random.integers(-8, 8, out[name].shape) / 4)
        )
    return out


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_every_encoding(data):
    made = table(intensity="<f8", ring="<u2", t="<i4")
    content = read_pcd(pcd("x y z intensity ring t", made, data))
    np.testing.assert_array_equal(content.pos, np.stack([made[a] for a in "xyz"], 1))
    assert content.names == ("intensity", "ring", "t")
    np.testing.assert_array_equal(content.features, np.stack([made[n] for n in content.names], 1))


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_fields_of_several_values_and_padding(data):
    made = table(pad=("u1", 4), hist=("<f4", 3))
    content = read_pcd(pcd("x y z _ hist", made, data))
    assert content.names == ("hist_0", "hist_1", "hist_2")
    np.testing.assert_array_equal(content.features, made["hist"])


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("kind", ["<f4", "<u4"])
def test_packed_colours(data, kind):
    made = table(n=2, rgb=kind)
    made["rgb"] = np.array([0x00102030, 0x00FF0001], dtype="<u4").view(kind)
    content = read_pcd(pcd("x y z rgb", made, data))
    assert content.names == ("red", "green", "blue")
    assert content.features.tolist() == [[16, 32, 48], [255, 0, 1]]
    made["rgb"] = np.array([0x04102030, 0x05FF0001], dtype="<u4").view(kind)
    content = read_pcd(pcd("x y z rgba", made, data))
    assert content.features[:, 3].tolist() == [4, 5]


def test_unseen_points_of_an_organised_cloud_are_left_out():
    made = table(n=6)
    for axis in "xyz":
        made[axis][[1, 4]] = np.nan
    assert len(read_pcd(pcd("x y z", made, height=2)).pos) == 4
    assert np.isnan(read_pcd(pcd("x y z", made)).pos).any()


def test_doubles_far_from_zero(tmp_path):
    made = table(x="<f8", y="<f8", z="<f8")
    made["x"] += 694386
    made["y"] += 5155487
    (tmp_path / "a.pcd").write_bytes(pcd("x y z", made))
    graphs = load(tmp_path / "a.pcd")
    # Multiples of 1/4 survive exactly.
    np.testing.assert_array_equal(graphs.coordinates.numpy(), np.stack([made[a] for a in "xyz"], 1))


@pytest.mark.parametrize(
    "text",
    [
        b"VERSION .7\r\nFIELDS x y z\r\nSIZE 4 4 4\r\nTYPE F F F\r\nCOUNT 1 1 1\r\nWIDTH 2\r\nHEIGHT 1\r\n"
        b"POINTS 2\r\nDATA ascii\r\n1 2 3\r\n4 5 6\r\n",
        b"# caf\xe9\nFIELDS x y z\nPOINTS 2\nDATA ascii\n1 2 3\n4 5 6",
        b"COLUMNS x y z\nWIDTH 2\nHEIGHT 1\nDATA ascii\n1 2 3\n4 5 6\n",
        b"fields x y z\nsize 4 4 4\ntype f f f\npoints 2\ndata ascii\n1 2 3\n4 5 6\n",
        b"FIELDS z y x\n\n# comment\nPOINTS 2\nDATA ASCII\n3 2 1\n\n6 5 4 # last\n",
    ],
)
def test_headers(text):
    assert read_pcd(text).pos.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "graphs",
    [
        Graphs(torch.randn(9, 3)),
        Graphs(torch.randn(9, 3), torch.randn(9, 2), feature_names=("heat", "a,b@c")),
        Graphs(torch.randn(9, 3), torch.randn(9, 1), feature_names=("heat",), origin=(5e5, 5e6, 300.0)),
    ],
)
@pytest.mark.parametrize("ending", [".pcd", ".ply"])
def test_round_trip(tmp_path, graphs, ending):
    back = load(save(graphs, tmp_path / f"a{ending}"))
    # Coordinates of 5e6 keep 1e-9 in float64; float32 rounds the extent of 6 anew.
    torch.testing.assert_close(
        back.coordinates, graphs.coordinates, rtol=0, atol=1e-6 if graphs.origin else 0
    )
    if graphs.x is not None:
        assert torch.equal(back.x, graphs.x)
    assert back.feature_names == graphs.feature_names


@pytest.mark.parametrize(
    "name", ["with space", "X", "x", "rgb", "_", "a\nb", "50%", "%20", "#1", "a,b@c", "\u03b1 \u03b2"]
)
@pytest.mark.parametrize("ending", [".pcd", ".ply"])
def test_every_name_comes_back(tmp_path, name, ending):
    graphs = Graphs(torch.randn(9, 3), torch.randn(9, 2), feature_names=(name, "heat"))
    back = load(save(graphs, tmp_path / f"a{ending}"))
    assert back.feature_names == (name, "heat")
    assert torch.equal(back.x, graphs.x)


def test_empty_names_are_refused(tmp_path):
    for ending in (".pcd", ".ply"):
        with pytest.raises(ValueError, match="empty name"):
            save(Graphs(torch.randn(9, 3), torch.randn(9, 1), feature_names=("",)), tmp_path / f"a{ending}")


WHOLE = pcd("x y z", table())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (WHOLE[:-5], "truncated"),
        (WHOLE[:80], "truncated"),
        (pcd("x y z", table(), "ascii")[:-20], "truncated"),
        (pcd("x y z", table(), "binary_compressed")[:-5], "truncated"),
        (pcd("x y z", table(), points=10**12), "truncated"),
        (pcd("x y z", table(), "ascii", points=10**12), "truncated"),
        (WHOLE.replace(b"SIZE 4 4 4", b"SIZE 4 4"), "FIELDS"),
        (WHOLE.replace(b"SIZE 4 4 4", b"SIZE 4 4 3"), "'z'"),
        (WHOLE.replace(b"FIELDS x y z", b"FIELDS x y w"), "property z"),
        (WHOLE.replace(b"DATA binary", b"DATA base64"), "base64"),
        (WHOLE.replace(b"POINTS 40", b"POINTS -4"), "POINTS"),
        (b"FIELDS x y z\nPOINTS 2\nDATA ascii\n1 2 3\n4 5 six\n", "'six'"),
        (b"FIELDS x y z\nPOINTS 2\nDATA ascii\n1 2\n3 4 5 6\n", "point 0"),
    ],
)
def test_bad_files(text, named):
    with pytest.raises(ValueError, match=named):
        read_pcd(text)


def test_lzf():
    random = np.random.default_rng(0)
    for data in (
        b"",
        b"abc",
        b"a" * 1000,
        bytes(random.integers(0, 3, 3000, dtype=np.uint8)),
        random.bytes(500),
    ):
        assert decompressed(compressed(data), len(data)) == data
    assert len(compressed(b"a" * 1000)) < 30


@pytest.mark.parametrize(
    ("data", "size"), [(b"\x20\x05", 3), (b"\x05abc", 6), (b"\x02abc", 10**9), (b"\x02abc", 2), (b"\xe0", 9)]
)
def test_lzf_of_damaged_bytes(data, size):
    with pytest.raises(ValueError, match="compressed"):
        decompressed(data, size)


def test_two_dimensions_are_refused():
    with pytest.raises(ValueError, match="3 dimensions"):
        write_pcd(Graphs(torch.zeros(3, 2)))
