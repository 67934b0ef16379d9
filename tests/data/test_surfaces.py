"""Meshes and clouds in files: closed-form areas, containment, and files that are odd but sound."""

import struct

import numpy as np
import pytest
import torch

from noisefold.data.formats.surfaces import SURFACES, read_surface
from noisefold.data.mesh import Mesh, areas, sample_surface

ROWS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
L_CORNERS = [(2, 0, 0), (2, 1, 0), (1, 1, 0), (1, 2, 0), (0, 2, 0), (0, 0, 0)]
TETRAHEDRA = [(0, 0, 0), (10, 0, 0), (0, 10, 0)]


def raw(text):
    return text.encode() if isinstance(text, str) else text


def vertices(text, ending):
    return SURFACES[ending](raw(text))


def area(text, ending):
    content = vertices(text, ending)
    return areas(Mesh(content.pos, content.triangles)).sum()


def sampled(text, ending, points=2000, seed=0):
    random = np.random.default_rng(seed)
    return read_surface(raw(text), ending, lambda mesh: sample_surface(mesh, points, random))


def lines(rows, start=""):
    return "".join(start + " ".join(map(str, row)) + "\n" for row in rows)


def ply(elements, body, form="ascii", newline="\n"):
    head = f"ply\nformat {form} 1.0\n{elements}end_header\n".replace("\n", newline)
    return head.encode() + raw(body)


# -- surfaces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".obj", lines(L_CORNERS, "v ") + "f 1 2 3 4 5 6\n"),
        (".obj", lines(L_CORNERS, "v ") + "f -6 -5 -4 -3 -2 -1\n"),
        (".off", "OFF\n6 1 0\n" + lines(L_CORNERS) + "6 0 1 2 3 4 5\n"),
        (
            ".ply",
            ply(
                f"element vertex 6\n{XYZ}element face 1\nproperty list uchar int vertex_index\n",
                lines(L_CORNERS) + "6 5 4 3 2 1 0\n",
            ),
        ),
        (
            ".stl",
            "solid\nfacet normal 0 0 1\nouter loop\n"
            + lines(L_CORNERS, "vertex ")
            + "endloop\nendfacet\nendsolid\n",
        ),
    ],
)
def test_concave_polygon(ending, text):
    assert area(text, ending) == pytest.approx(3, rel=1e-14)
    points = sampled(text, ending).pos.numpy()
    assert not ((points[:, 0] > 1 + 1e-6) & (points[:, 1] > 1 + 1e-6)).any()
    # Three unit squares: chi-square with 2 degrees of freedom passes 27.6 once in a million seeds.
    square = (points[:, 0] > 1) * 1 + (points[:, 1] > 1) * 2
    counts = np.bincount(square, minlength=3)
    assert ((counts - 2000 / 3) ** 2 / (2000 / 3)).sum() < 27.6


def test_points_of_faces_follow_their_areas():
    """Eight triangles of areas 1 to 8, in faces of different sizes."""
    corners, faces = [], []
    for k in range(1, 9):
        start = len(corners)
        corners += [(3 * k, 0, 0), (3 * k + 1, 0, 0), (3 * k + 1, k, 0), (3 * k, k, 0)]
        faces.append([4, *range(start, start + 4)] if k % 2 else [3, start, start + 1, start + 2])
    text = f"OFF\n{len(corners)} {len(faces)} 0\n{lines(corners)}{lines(faces)}"
    expected = np.array([k if k % 2 else k / 2 for k in range(1, 9)])
    assert area(text, ".off") == pytest.approx(expected.sum(), rel=1e-14)
    n = 20_000
    counts = np.bincount(sampled(text, ".off", n).pos.numpy()[:, 0].astype(int) // 3, minlength=9)[1:]
    expected = n * expected / expected.sum()
    # Chi-square with 7 degrees of freedom: 40.5 is passed once in a million seeds.
    assert ((counts - expected) ** 2 / expected).sum() < 40.5


@pytest.mark.parametrize("relative", [False, True])
def test_obj_faces_between_the_vertices(relative):
    text = ""
    for k, (x, y, z) in enumerate(TETRAHEDRA):
        text += lines([(x, y, z), (x + 1, y, z), (x, y + 1, z), (x, y, z + 1)], "v ")
        faces = np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)])
        text += lines(faces - 4 if relative else faces + 1 + 4 * k, "f ")
    assert area(text, ".obj") == pytest.approx(3 * (1.5 + np.sqrt(0.75)), rel=1e-14)
    points = sampled(text, ".obj", 9000).pos
    counts = [int((points[:, 0] > 5).sum()), int((points[:, 1] > 5).sum())]
    # Binomial, standard deviation 45.
    assert all(abs(count - 3000) < 5 * 45 for count in counts)


@pytest.mark.parametrize(
    "text",
    [
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1//4 2//4 3//4\n",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvn 0 0 1\nf 1/1/1 2/1/1 3/1/1\n",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf -3/-1 -2/-1 -1/-1\n",
        "v\t0 0 0\r\nv  1 0 0\r\n  v 0 1 0\r\nf 1 \\\r\n 2 3\r\n",
        "mtllib a b.mtl\no x\ng y z\ns off\nv 0 0 0 1.0\nv 1 0 0 1\nv 0 1 0 1\nusemtl m\nf 1 2 3 # f 9 9 9\n",
        "v 0 0 0 .1 .2 .3\nv 1 0 0 .1 .2 .3\nv 0 1 0 1 1 1\nv 7 7 7\nf 1 2 3\np 4\nl 1 4\n",
        "# caf\xe9\nv 0 0 0\rv 1 0 0\rv 0 1 0\rf 1 2 3\r".encode("latin-1"),
        "\ufeffv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3 3\nf 1 1 2\nf 1 2\n",
        "f 1 2 3\nv 0 0 0\nv 1 0 0\nv 0 1 0\n",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n".encode("utf-16"),
    ],
)
def test_obj_dialects(text):
    assert area(text, ".obj") == pytest.approx(0.5, rel=1e-14)


@pytest.mark.parametrize(
    "text",
    [
        "OFF\n4 1 0\n" + ROWS + "3 0 1 2\n",
        "OFF4 1 0\n" + ROWS + "3 0 1 2\n",
        "OFF 4 1 0\n" + ROWS + "3 0 1 2\n",
        "off\n4 1\n" + ROWS + "3 0 1 2\n",
        "OFF\n4\n1\n0\n" + ROWS + "3 0 1 2\n",
        "# a\n\nOFF # b\n# c\n4 1 0\n\n" + ROWS.replace("\n", " # d\n\n") + "3 0 1 2\n",
        b"OFF\n# caf\xe9\n4 1 0\n" + ROWS.encode() + b"3 0 1 2\n",
        "OFF\r\n4 1 0\r\n" + ROWS.replace("\n", "\r\n") + "3 0 1 2\r\n",
        "OFF\n4 2 0\n" + ROWS + "3 0 1 2 255 0 0\n2 0 1 0.5 0.5 0.5 1\n",
        "NOFF\n4 1 0\n" + ROWS.replace("\n", " 0 0 1\n") + "3 0 1 2\n",
        "COFF\n4 1 0\n" + ROWS.replace("\n", " 255 0 0 255\n") + "3 0 1 2 0.1 0.2 0.3\n",
        "STCNOFF\n4 1 0\n" + ROWS.replace("\n", " 0 0 1 255 0 0 0.5 0.5\n") + "3 0 1 2\n",
        "4OFF\n4 1 0\n" + ROWS.replace("1", "2").replace("\n", " 2\n") + "3 0 1 2\n",
        "OFF\n4 1 0 0 0 0 1 0 0 0 1 0 0 0 1 3 0 1 2",
        "OFF\n4 1 0\n" + ROWS + "3 0 1 2\n# more\n",
        "OFF\n4 2 0\n" + ROWS + "3\t0 1 2\n3 0 0 1",
    ],
)
def test_off_dialects(text):
    assert area(text, ".off") == pytest.approx(0.5, rel=1e-14)


def test_off_colours_and_normals_of_a_cloud():
    content = vertices("CNOFF\n2 0 0\n0 1 2 0 0 1 9 8 7\n3 4 5 0 1 0 6 5 4\n", ".off")
    assert content.names == ("nx", "ny", "nz", "red", "green", "blue")
    assert content.features.tolist() == [[0, 0, 1, 9, 8, 7], [0, 1, 0, 6, 5, 4]]
    assert vertices("OFF\n2 0 0\n0 1 2 9 8 7 1\n3 4 5 6 5 4 0\n", ".off").names[-1] == "alpha"


FACES = "element face 2\nproperty list uchar int vertex_indices\n"
VERTEX = f"element vertex 4\n{XYZ}"
TWO = "3 0 1 2\n3 0 1 3\n"


@pytest.mark.parametrize(
    "text",
    [
        ply(VERTEX + FACES, ROWS + TWO),
        ply(VERTEX + FACES, (ROWS + TWO).replace("\n", "\r\n"), newline="\r\n"),
        ply(VERTEX + FACES, (ROWS + TWO).replace("\n", "\r"), newline="\r"),
        ply("\ncomment a\nobj_info num_cols 3\n\n" + VERTEX + "comment\n" + FACES + "\n", ROWS + TWO),
        ply(b"comment caf\xe9\n".decode("latin-1") + VERTEX + FACES, ROWS + TWO),
        ply(VERTEX + FACES, ROWS + TWO + "comment the end\n# of it\n"),
        ply(VERTEX + FACES, "comment x\n" + ROWS.replace("\n", " # y\n") + TWO),
        ply(VERTEX + FACES, (ROWS + TWO).replace("\n", " ")),
        ply(
            VERTEX + FACES.replace("property", "property uchar flag\nproperty", 1),
            ROWS + "9 3 0 1 2\n9 3 0 1 3\n",
        ),
        ply(VERTEX + FACES + "property float q\n", ROWS + "3 0 1 2 .5\n3 0 1 3 .5\n"),
        ply(
            VERTEX + FACES + "property list uchar float texcoord\n",
            ROWS + "3 0 1 2 2 .5 .5\n3 0 1 3 0\n",
        ),
        ply(
            VERTEX
            + "element face 2\nproperty list uchar float texcoord\nproperty list int uint vertex_index\n",
            ROWS + "2 .5 .5 3 0 1 2\n0 3 0 1 3\n",
        ),
        ply(VERTEX + "element face 3\nproperty list uchar int vertex_indices\n", ROWS + TWO + "2 0 1\n"),
        ply("element camera 1\nproperty float f\n" + VERTEX + FACES, "7\n" + ROWS + TWO),
        ply(
            "element face 2\nproperty list uchar int vertex_indices\n" + VERTEX,
            TWO + ROWS,
        ),
        ply(VERTEX + "element face 2\nproperty list uchar int corners\n", ROWS + TWO),
        ply(VERTEX + "property list uchar int neighbours\n" + FACES, ROWS.replace("\n", " 2 5 6\n") + TWO),
        ply(
            VERTEX + "element tristrips 1\nproperty list int int vertex_indices\n",
            ROWS + "7 2 0 1 -1 0 1 3\n",
        ),
        ply(
            VERTEX + "element tristrips 2\nproperty list int int vertex_indices\n",
            ROWS + "3 2 0 1\n3 0 1 3\n",
        ),
        ply(VERTEX + "element tristrips 1\nproperty list int int vertex_indices\n", ROWS + "4 2 0 1 3\n"),
    ],
)
def test_ply_dialects(text):
    assert area(text, ".ply") == pytest.approx(1, rel=1e-14)


def test_ply_strips_restart():
    """Of 0 1 2 3 | 0 2 3, the strips are 012, 123 and 023."""
    head = VERTEX + "element tristrips 1\nproperty list int int vertex_indices\n"
    content = vertices(ply(head, ROWS + "8 0 1 2 3 -1 0 2 3\n"), ".ply")
    assert sorted(sorted(t) for t in content.triangles.tolist()) == [[0, 1, 2], [0, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("kind", [("float", "f"), ("double", "d")])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("flag", ["", "before", "behind"])
def test_binary_ply(order, kind, mixed, flag):
    """The pyramid over the unit square: the base a quad or two triangles, area 1 + sqrt(5)."""
    name, code = kind
    mark = "<" if order == "little" else ">"
    corners = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 1)]
    base = [(0, 1, 2, 3)] if mixed else [(0, 1, 2), (0, 2, 3)]
    faces = [*base, (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]
    element = "property list uchar int vertex_indices\n"
    if flag:
        further = "property short flag\nproperty list ushort double texture\n"
        element = further + element if flag == "before" else element + further
    head = f"element vertex 5\n{XYZ.replace('float', name)}element face {len(faces)}\n{element}"
    body = b"".join(struct.pack(f"{mark}3{code}", *c) for c in corners)
    for i, face in enumerate(faces):
        extra = struct.pack(f"{mark}hH{i}d", -1, i, *range(i)) if flag else b""
        row = struct.pack(f"{mark}B{len(face)}i", len(face), *face)
        body += extra + row if flag == "before" else row + extra
    assert area(ply(head, body, f"binary_{order}_endian"), ".ply") == pytest.approx(1 + np.sqrt(5), rel=1e-12)


def test_binary_ply_of_strips_and_of_old_line_ends():
    head = VERTEX + "element tristrips 1\nproperty list int int vertex_indices\n"
    body = np.fromstring(ROWS, sep=" ").astype("<f4").tobytes() + struct.pack("<8i", 7, 2, 0, 1, -1, 0, 1, 3)
    for newline in ("\n", "\r\n", "\r"):
        assert area(ply(head, body, "binary_little_endian", newline), ".ply") == pytest.approx(1, rel=1e-12)


def facets(name="a", end="endsolid a"):
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    return f"solid {name}\n{facet}{end}\n"


BINARY = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        facets(),
        facets(end="end solid a"),
        facets(end="endsolid"),
        facets(name="", end="ENDSOLID"),
        facets().upper().replace("SOLID A", "SOLID a"),
        facets(name="vertex facet 1e5", end="endsolid vertex facet 1e5"),
        facets().replace("\n", "\r\n"),
        facets().replace("\n", " "),
        facets().replace("facet normal 0 0 1", "facet normal nan 0 zero"),
        facets().replace("endfacet", "color 1 0 0\nendfacet"),
        "\ufeff\n  " + facets(),
        facets().replace("solid a", "solid caf\xe9").encode("latin-1"),
        b"\0" * 80 + struct.pack("<I", 1) + BINARY,
        b"solid but binary".ljust(80) + struct.pack("<I", 1) + BINARY,
        b"\0" * 80 + struct.pack("<I", 1) + BINARY + b"\0\0",
    ],
)
def test_stl_dialects(text):
    assert area(text, ".stl") == pytest.approx(0.5, rel=1e-14)
    assert area(facets() + facets(), ".stl") == pytest.approx(1, rel=1e-14)


def test_surfaces_far_from_zero_keep_their_shape():
    far = np.array([694386.25, 5155487.5, 381.0])
    corners = [tuple(map(repr, (far + np.array(c) / 8).tolist())) for c in L_CORNERS]
    text = lines(corners, "v ") + "f 1 2 3 4 5 6\n"
    graphs = sampled(text, ".obj")
    near = sampled(lines(L_CORNERS, "v ") + "f 1 2 3 4 5 6\n", ".obj")
    # float64 keeps 1e-9 of these coordinates.
    np.testing.assert_allclose((graphs.pos.numpy() - far) * 8, near.pos.numpy(), atol=1e-7)


# -- clouds -------------------------------------------------------------------------------------------------


def test_ply_properties_are_features_by_name():
    names = ["x", "heat", "y", "z", "nx", "red"]
    head = "element vertex 2\n" + "".join(f"property float {name}\n" for name in names)
    graphs = sampled(ply(head, "0 .5 1 2 9 7\n3 -.5 4 5 9 8\n"), ".ply")
    assert graphs.pos.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert graphs.feature_names == ("heat", "nx", "red")
    assert graphs.x.tolist() == [[0.5, 9, 7], [-0.5, 9, 8]]


def test_edges_of_clouds():
    head = f"{VERTEX}element edge 2\nproperty int vertex1\nproperty int vertex2\n"
    assert sampled(ply(head, ROWS + "0 1\n2 3\n"), ".ply").edge_index.tolist() == [[0, 2], [1, 3]]
    text = lines([row.split() for row in ROWS.splitlines()], "v ") + "l 1 2 3\nl -2 -1\n"
    assert sampled(text, ".obj").edge_index.tolist() == [[0, 1, 2], [1, 2, 3]]


def test_range_grid_is_a_cloud():
    head = VERTEX + "element range_grid 3\nproperty list uchar int vertex_indices\n"
    assert sampled(ply(head, ROWS + "1 0\n0\n1 1\n"), ".ply").num_nodes == 4


# -- refused ------------------------------------------------------------------------------------------------

TRUNCATED = [
    (".ply", ply(VERTEX + FACES, ROWS + "3 0 1 2\n3 0 1\n")),
    (".ply", ply(VERTEX + FACES, ROWS + "3 0 1 2\n")),
    (".ply", ply(VERTEX + FACES, "0 0 0\n1 0")),
    (".ply", b"ply\nformat ascii 1.0\nelement vertex 4\nproperty fl"),
    (".ply", ply(VERTEX, b"\0" * 47, "binary_little_endian")),
    (".ply", ply(VERTEX + FACES, b"\0" * 48 + b"\3\0\0\0\0", "binary_little_endian")),
    (".off", "OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n"),
    (".off", "OFF\n4 1 0\n" + ROWS),
    (".off", "OFF\n4 1 0\n" + ROWS + "3 0 1\n"),
    (".off", "OFF\n4"),
    (".stl", facets(end="")),
    (".stl", facets()[:-30]),
    (".stl", b"\0" * 80 + struct.pack("<I", 2) + BINARY),
]


@pytest.mark.parametrize(("ending", "text"), TRUNCATED)
def test_what_is_truncated_is_called_so(ending, text):
    with pytest.raises(ValueError, match="truncated"):
        sampled(text, ending)


REFUSED = [
    (".ply", b"\x89PNG\r\n", "PLY"),
    (".ply", ply(f"element vertex 4\n{XYZ.replace('z', 'w')}", ROWS), "property z"),
    (".ply", ply(VERTEX + FACES, ROWS + "3 0 1 9\n3 0 1 2\n"), "vertex 9"),
    (".ply", ply(VERTEX + FACES, ROWS + "3 0 1 2\n3 0 1 -1\n"), "vertex -1"),
    (".ply", ply(VERTEX + FACES, ROWS + "3 0 1 2\n3 0 1 0.5\n"), "'face'"),
    (".ply", ply(VERTEX + FACES, ROWS + "3 0 1 2\n-3 0 1 2\n"), "-3"),
    (".ply", ply(VERTEX + FACES, ROWS.replace("0 1 0", "0 one 0") + TWO), "'one'"),
    (".ply", ply(VERTEX + FACES, ROWS.replace("0 1 0", "0 nan 0") + TWO), "vertex 2"),
    (".ply", ply(VERTEX + FACES.replace("face", "trifans"), ROWS + TWO), "'trifans'"),
    (".ply", ply(VERTEX + FACES.replace("face", "thing"), ROWS + TWO), "'thing'"),
    (".ply", ply(VERTEX + FACES.replace("list uchar int", "float"), ROWS + "0\n0\n"), "vertex_indices"),
    (".ply", ply(VERTEX.replace("float z", "float y"), ROWS), "twice"),
    (".ply", ply(VERTEX.replace("float z", "quad z"), ROWS), "quad"),
    (".ply", ply(VERTEX, ROWS).replace(b"ascii", b"binary_middle_endian"), "binary_middle_endian"),
    (".ply", ply("element point 1\n" + XYZ, "0 0 0\n"), "vertex"),
    (".off", "3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "OFF header"),
    (".off", "OFF BINARY\n\0\0", "binary"),
    (".off", "nOFF\n2\n3 1 0\n", "nOFF"),
    (".off", "OFF\n4 1 0\n" + ROWS.replace("0 0 1", "0 0 nan") + "3 0 1 2\n", "vertex 3"),
    (".off", "OFF\n4 1 0\n" + ROWS + "3 0 1 4\n", "vertex 4"),
    (".off", "OFF\n4 1 0\n" + ROWS + "x 0 1 2\n", "'x'"),
    (".off", "OFF\n-4 1 0\n" + ROWS, "-4"),
    (".off", "OFF\n4 1 0\n0 0\n1 0\n0 1\n1 1\n3 0 1 2\n", "numbers a line"),
    (".obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "vertex 8"),
    (".obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 0\n", "vertex 0"),
    (".obj", "v 0 0 0\nv 1 0 0\nf -3 -2 -1\nv 0 1 0\n", "vertex -3"),
    (".obj", "v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", "vertex 1"),
    (".obj", "v 0 0 0\nv 1 0 zero\nv 0 1 0\nf 1 2 3\n", "'zero'"),
    (".obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "no surface"),
    (".obj", "v 0 0 0\nv 1 0 0\ncstype bezier\n", "cstype"),
    (".obj", "hello\n", "neither points nor faces"),
    (".stl", "solid a\nendsolid a\n", "no facets"),
    (".stl", facets().replace("vertex 0 0 0\n", ""), "three vertices"),
    (".stl", facets().replace("vertex 1 0 0", "vertex 1 0 zero"), "'zero'"),
    (".stl", facets().replace("vertex 1 0 0", "vertex 1 0 inf"), "vertex 1"),
    (".stl", "hello", "STL header"),
]


@pytest.mark.parametrize(("ending", "text", "named"), REFUSED)
def test_what_is_wrong_is_named(ending, text, named):
    with pytest.raises(ValueError, match=named) as error:
        sampled(text, ending)
    if ending != ".stl" or named != "STL header":
        assert "truncated" not in str(error.value)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".ply", ply(f"element vertex 999999999999\n{XYZ}", ROWS)),
        (".ply", ply(f"element vertex 999999999999\n{XYZ}", b"\0" * 99, "binary_little_endian")),
        (".ply", ply(f"{VERTEX}element face 999999999999\nproperty list uchar int vertex_indices\n", ROWS)),
        (
            ".ply",
            ply(
                f"{VERTEX}element face 1\nproperty list uint int vertex_indices\n",
                b"\0" * 48 + b"\xff" * 8,
                "binary_little_endian",
            ),
        ),
        (".off", "OFF\n999999999 999999999 0\n" + ROWS),
        (".stl", b"\0" * 80 + b"\xff" * 4 + BINARY),
    ],
)
def test_counts_are_held_against_the_bytes_before_anything_is_allocated(ending, text):
    with pytest.raises(ValueError, match="truncated"):
        sampled(text, ending)


def test_large_mesh_takes_no_loop():
    """A torus of 20,000 quads in text."""
    u, v = (a.ravel() for a in np.meshgrid(np.arange(200), np.arange(100), indexing="ij"))
    a, b = 2 * np.pi * u / 200, 2 * np.pi * v / 100
    ring = 2 + np.cos(b)
    corners = np.stack([ring * np.cos(a), ring * np.sin(a), np.sin(b)], 1)
    faces = np.stack(
        [(u + i) % 200 * 100 + (v + j) % 100 for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1
    )
    text = f"OFF\n{len(corners)} {len(faces)} 0\n{lines(corners.tolist())}{lines(faces.tolist(), '4 ')}"
    # Inscribed with angular steps of 2 pi / 200 and / 100: O(h^2) below the torus' 4 pi^2 R r.
    assert area(text, ".off") == pytest.approx(8 * np.pi**2, rel=2e-3)
    assert isinstance(sampled(text, ".off").pos, torch.Tensor)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".off", "OFF\n4 1 0\n" + ROWS + TWO),
        (".ply", ply(VERTEX.replace("4", "3"), ROWS)),
        (".ply", ply(VERTEX + FACES.replace("2", "1"), ROWS + TWO)),
        (".pcd", "FIELDS x y z\nWIDTH 3\nHEIGHT 1\nDATA ascii\n" + ROWS),
    ],
)
def test_more_than_is_announced_is_refused(ending, text):
    """Rows that a count leaves out would be lost without a word."""
    with pytest.raises(ValueError, match="announce"):
        vertices(text, ending)


FACET = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
STL = "solid a\n" + FACET * 2 + "endsolid a\n"


@pytest.mark.parametrize(
    "data",
    [
        STL.replace("endloop", "end loop").replace("endfacet", "end facet"),
        STL.replace("facet normal 0 0 1\n", "facet\n"),
        STL.replace("\n", " "),
        STL.encode("utf-16"),
    ],
)
def test_stl_dialects_of_words(data):
    assert area(data, ".stl") == pytest.approx(area(STL, ".stl"))


def test_names_of_ply_in_any_case():
    head = (VERTEX + FACES).replace("vertex 4", "Vertex 4").replace("face", "Face")
    assert area(ply(head, ROWS + TWO), ".ply") == pytest.approx(1)


def test_truncated_is_said_of_what_is_truncated_alone():
    swapped = b"\0" * 80 + b"\0\0\0\1" + BINARY
    with pytest.raises(ValueError, match="order"):
        vertices(swapped, ".stl")
