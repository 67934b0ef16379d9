"""Damaged mesh and cloud files: a graph or a ValueError, in seconds and in bounded memory."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import battery

from noisefold.data import load
from noisefold.data.formats.pcd import write_pcd
from noisefold.data.formats.ply import write_ply
from noisefold.data.formats.surfaces import SURFACES
from noisefold.geometry.graphs import Graphs

ROWS, TWO = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n", "3 0 1 2\n3 0 1 3\n"
VERTEX = "element vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
FACES = "element face 2\nproperty list uchar int vertex_indices\n"
FACET = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
BINARY = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)
CLOUD = Graphs(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.ones(20, 2))
TRIANGLES = [(3, 0, 1, 2), (3, 0, 1, 3), (4, 0, 2, 3, 1)]


def ply(elements, body, form="ascii"):
    return f"ply\nformat {form} 1.0\n{elements}end_header\n".encode() + (
        body.encode() if isinstance(body, str) else body
    )


def packed_pcd():
    """A compressed file: literals, and a back reference of 9 + 3 bytes."""
    plain = np.arange(6, dtype="<f4").tobytes()
    packed = bytes([23]) + plain + bytes([7 << 5, 3, 11])
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA binary_compressed\n"
    return head.encode() + struct.pack("<II", len(packed), 36) + packed


def las(kind, length, minor):
    head = bytearray(375)
    head[:4], head[24:26] = b"LASF", bytes([1, minor])
    struct.pack_into("<HII", head, 94, 375, 375, 0)
    struct.pack_into("<BHI", head, 104, kind, length, 0 if minor == 4 else 9)
    struct.pack_into("<6d", head, 131, 0.01, 0.01, 0.01, 5e5, 5e6, 0)
    struct.pack_into("<Q", head, 247, 9 if minor == 4 else 0)
    return bytes(head) + np.random.default_rng(0).bytes(9 * length)


def _binary_ply(order):
    mark = "<" if order == "little" else ">"
    flags = "property uchar flag\nproperty list ushort double texture\n"
    body = np.fromstring(ROWS, sep=" ").astype(f"{mark}f4").tobytes()
    for i, face in enumerate(TRIANGLES):
        body += struct.pack(f"{mark}BH{i}d", 1, i, *range(i)) + struct.pack(f"{mark}B{len(face) - 1}i", *face)
    head = VERTEX + "element face 3\n" + flags + "property list uchar int vertex_indices\n"
    return ply(head, body, f"binary_{order}_endian")


STRIPS = VERTEX + "element tristrips 1\nproperty list int int vertex_indices\n"
EDGES = VERTEX + "element edge 2\nproperty int vertex1\nproperty int vertex2\n"
CONCAVE = "2 0 0\n2 1 0\n1 1 0\n1 2 0\n0 2 0\n0 0 0\n"
WHOLE = {
    "ascii.ply": ply(VERTEX + FACES, ROWS + TWO),
    "little.ply": _binary_ply("little"),
    "big.ply": _binary_ply("big"),
    "strips.ply": ply(STRIPS, ROWS + "8 0 1 2 3 -1 0 2 3\n"),
    "edges.ply": ply(EDGES, ROWS + "0 1\n2 3\n"),
    "cloud.ply": write_ply(CLOUD.replace(feature_names=("heat", "load"))),
    "plain.off": f"OFF\n# a\n6 2 0\n{CONCAVE}6 0 1 2 3 4 5\n3 0 1 2 255 0 0\n".encode(),
    "colour.off": ("COFF\n4 1 0\n" + ROWS.replace("\n", " 1 0 0 1\n") + "3 0 1 2\n").encode(),
    "plain.obj": (
        "v " + CONCAVE.strip().replace("\n", "\nv ") + "\nf 1 2 3 4 5 6\nf -1/2 \\\n -2/3 -3/4\n"
    ).encode(),
    "lines.obj": b"v 0 0 0 1 1 1\nv 1 0 0 1 1 1\nv 0 1 0 0 0 0\nl 1 2 -1\n",
    "ascii.stl": f"solid a\n{FACET * 3}endsolid a\n".encode(),
    "binary.stl": b"\0" * 80 + struct.pack("<I", 4) + BINARY * 4,
    "ascii.pcd": b"# a\nFIELDS x y z rgb\nSIZE 4 4 4 4\nPOINTS 3\nDATA ascii\n" + b"1 2 3 1e-39\n" * 3,
    "binary.pcd": write_pcd(CLOUD),
    "packed.pcd": packed_pcd(),
    "old.las": las(3, 34, 2),
    "new.las": las(7, 36, 4),
}


def test_damaged_files():
    counts = battery(WHOLE, count=6)
    assert all(c["refused"] for c in counts.values())


@pytest.mark.slow
@pytest.mark.parametrize("ending", sorted({name.split(".")[1] for name in WHOLE}))
def test_many_damaged_files(ending, capsys):
    """2,000 files of each format or more."""
    alike = {name: data for name, data in WHOLE.items() if name.endswith(ending)}
    with capsys.disabled():
        counts = battery(alike, count=2000 // len(alike) + 1, seed=1)
    assert sum(c.total() for c in counts.values()) >= 2000


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_file_is_read(name, tmp_path):
    (tmp_path / name).write_bytes(WHOLE[name])
    assert load(tmp_path / name, points=8).num_nodes >= 2


TEXTS = [name for name in WHOLE if name.startswith(("ascii", "plain", "colour", "lines", "strips"))]
CHANGES = {
    "windows line ends": lambda data: data.replace(b"\n", b"\r\n"),
    "old line ends": lambda data: data.replace(b"\n", b"\r"),
    "tabs and blanks": lambda data: b"\n".join(
        line
        if line.startswith((b"property", b"element", b"facet", b"outer"))
        else line.replace(b" ", b" \t ")
        for line in data.split(b"\n")
    ),
    "blanks at the ends of lines": lambda data: data.replace(b"\n", b"  \n"),
    "no last line end": lambda data: data.rstrip(b"\n"),
    "blank lines at the end": lambda data: data + b"\n\n",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", TEXTS)
def test_what_changes_nothing(name, change):
    ending = "." + name.split(".")[1]
    data = WHOLE[name]
    a, b = SURFACES[ending](data), SURFACES[ending](CHANGES[change](data))
    np.testing.assert_array_equal(a.pos, b.pos)
    np.testing.assert_array_equal(a.triangles, b.triangles)
    assert a.names == b.names
    assert (a.features is None) == (b.features is None)
    if a.features is not None:
        np.testing.assert_array_equal(a.features, b.features)


@pytest.mark.parametrize("name", [n for n in TEXTS if not n.endswith("stl")])
def test_comments_change_nothing(name):
    ending = "." + name.split(".")[1]
    data = WHOLE[name] + b"# caf\xe9\n"
    a, b = SURFACES[ending](WHOLE[name]), SURFACES[ending](data)
    np.testing.assert_array_equal(a.pos, b.pos)
    np.testing.assert_array_equal(a.triangles, b.triangles)


def test_both_byte_orders_are_the_same():
    a, b = (SURFACES[".ply"](WHOLE[f"{order}.ply"]) for order in ("little", "big"))
    np.testing.assert_array_equal(a.pos, b.pos)
    np.testing.assert_array_equal(a.triangles, b.triangles)
