"""Text tables: what the columns mean, whatever the delimiter, decimal mark, encoding and line ends."""

import gzip
import warnings

import numpy as np
import pytest
import torch

from noisefold.data import load
from noisefold.data.formats.columns import position
from noisefold.data.formats.text import is_number
from noisefold.data.load import describe_columns
from noisefold.data.notice import DataNotice

ROWS = [[0.0012, 0.2987, -0.2741], [-0.8906, -0.4547, -0.9916], [12.5, 1.25, 3.5]]


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def text(mark=",", head="x{0}y{0}z\n", comma=False, end="\n"):
    rows = [mark.join(repr(v).replace(".", ",") if comma else repr(v) for v in row) for row in ROWS]
    return (head.format(mark) + "\n".join(rows) + "\n").replace("\n", end)


def quiet(source, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataNotice)
        return load(source, **how)


def left_out(source, **how):
    return {c["name"]: c["why"] for c in describe_columns(source, **how) if c["role"] == "left out"}


# -- delimiters, decimal marks, encodings, line ends: all give the same points -------------------------------


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".xyz", ".pts"])
@pytest.mark.parametrize("head", ["x{0}y{0}z\n", "", "# x{0}y{0}z\n", "//X{0}Y{0}Z\n"])
@pytest.mark.parametrize(
    ("mark", "comma"), [(",", False), (";", False), (";", True), ("\t", False), ("\t", True)]
)
def test_delimiters_and_decimal_marks(tmp_path, ending, head, mark, comma):
    graphs = load(put(tmp_path, f"a{ending}", text(mark, head, comma)))
    assert torch.equal(graphs.pos, torch.tensor(ROWS))
    assert graphs.x is None


@pytest.mark.parametrize("ending", [".csv", ".txt", ".xyz", ".pts"])
@pytest.mark.parametrize(
    ("mark", "comma"), [(" ", False), ("   ", True), (", ", False), ("; ", True), ("|", False)]
)
def test_blanks_beside_and_as_delimiters(tmp_path, ending, mark, comma):
    assert torch.equal(load(put(tmp_path, f"a{ending}", text(mark, "", comma))).pos, torch.tensor(ROWS))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".xyz", ".pts"])
@pytest.mark.parametrize(
    "change",
    list(
        {
            "crlf": lambda t: t.replace("\n", "\r\n").encode(),
            "cr": lambda t: t.replace("\n", "\r").encode(),
            "blank lines": lambda t: ("\n\n" + t.replace("\n", "\n\n \t\n")).encode(),
            "no last line end": lambda t: t.rstrip("\n").encode(),
            "mark of UTF-8": lambda t: t.encode("utf-8-sig"),
            "UTF-16": lambda t: t.encode("utf-16"),
            "UTF-16 big endian": lambda t: b"\xfe\xff" + t.encode("utf-16-be"),
            "comments": lambda t: ("# any\n# thing, at; all\n" + t + "# end\n").encode(),
            "comments in Latin-1": lambda t: b"# caf\xe9 \x85\n" + t.encode(),
            "plus signs": lambda t: t.replace("\n0", "\n+0").encode(),
            "exponents": lambda t: t.replace("12.5", "1.25e1").replace("1.25\t", "125E-2\t").encode(),
            "a delimiter at the end": lambda t: t.replace("\n", ",\n").encode(),
        }.values()
    ),
)
def test_a_file_that_says_the_same_gives_the_same(tmp_path, ending, change):
    expected = load(put(tmp_path, f"a{ending}", text()))
    assert torch.equal(load(put(tmp_path, f"b{ending}", change(text()))).pos, expected.pos)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".xyz", ".pts"])
def test_compressed(tmp_path, ending):
    content = text("\t").encode()
    for name, data in (
        ("a", gzip.compress(content)),
        ("B", gzip.compress(content[:9]) + gzip.compress(content[9:])),
    ):
        path = put(tmp_path, f"{name}{ending}.{'GZ' if name == 'B' else 'gz'}", data)
        assert torch.equal(load(path).pos, torch.tensor(ROWS))


@pytest.mark.parametrize("cut", [3, 12, 40, -1, -9])
def test_compressed_and_cut(tmp_path, cut):
    with pytest.raises(ValueError, match=r"a\.csv\.gz"):
        load(put(tmp_path, "a.csv.gz", gzip.compress(text().encode())[:cut]))


def test_what_unpacks_to_more_than_data_do_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.csv\.gz: \d+ bytes"):
        load(put(tmp_path, "a.csv.gz", gzip.compress(b"0,1,2\n" * 20_000_000, 9)))


@pytest.mark.parametrize(
    ("name", "content"),
    list(
        {
            "commas for both": ("a.csv", "0,0012,0,2987\n0,8906,0,4547\n"),
            "both decimal marks": ("a.csv", "x;y\n0,5;1.5\n2,5;3,5\n"),
            "thousands": ("a.csv", 'x,y\n"1,234","5,678"\n"2,345","6,789"\n'),
            "a header or a point": ("a.csv", "0,1,2\n3,4,5\n6,7,8\n"),
            "two candidates": ("a.csv", "x_um,x_px,y_um,y_px\n1.5,2,3,4\n1,2,3,4.5\n"),
            "binary": ("a.xyz", b"\0\1\2\3" * 30),
            "UTF-16, cut": ("a.csv", text().encode("utf-16")[:-1]),
            "fewer than announced": ("a.pts", "4\n0 0 0\n1 1 1\n2 2 2\n"),
            "more than announced": ("a.xyz", "2\n0 0 0\n1 1 1\n2 2 2\n"),
            "text among numbers": ("a.csv", "x,y,heat\n0,1,2\n3,4,cat\n5,6,7\n"),
            "a missing position": ("a.csv", "x,y\n0,\n3,4\n"),
            "two names": ("a.csv", "x,y,heat,heat\n0,1,2,3\n4,5,6,7\n"),
        }.values()
    ),
)
def test_what_could_mean_two_things_is_refused(tmp_path, name, content):
    with pytest.raises(ValueError, match=f"{name}: "):
        load(put(tmp_path, name, content))


# -- columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "pos", "features"),
    [
        ("x,y,heat", [0, 1], ("heat",)),
        ("heat,Y,X", [2, 1], ("heat",)),
        ("x_centroid,y_centroid,Heat", [0, 1], ("Heat",)),
        ("pos_x,pos_y,pos_z", [0, 1, 2], ()),
        ("X [um],Y [um],Z [um]", [0, 1, 2], ()),
        ("easting,northing,TNNT2", [0, 1], ("TNNT2",)),
        ("centerX,centerY,max", [0, 1], ("max",)),
        ("x,y,vel_x", [0, 1], ("vel_x",)),
        ("x,y,nx", [0, 1], ("nx",)),
        ("f0,x,y", [1, 2], ()),
    ],
)
def test_names_of_positions_and_features(tmp_path, head, pos, features):
    rows = np.random.default_rng(0).normal(size=(4, 3)).round(3)
    graphs = load(put(tmp_path, "a.csv", head + "\n" + "\n".join(",".join(map(str, r)) for r in rows)))
    np.testing.assert_allclose(graphs.pos, rows[:, pos], rtol=1e-7)
    assert graphs.feature_names == features


@pytest.mark.parametrize("name", ["max", "index", "yes", "phase", "xy", "xx", "", "zed", "pressure_x", "vx"])
def test_no_position(name):
    assert position(name) is None


def test_a_long_name_takes_no_time():
    """Patterns that go back would be quadratic: minutes for these letters."""
    assert position("(" * 200_000) is None
    assert not is_number("9" * 200_000 + "b")


@pytest.mark.parametrize(
    ("content", "gone"),
    [
        ("Unnamed: 0,x,y,heat\n0,1,2,.5\n1,3,4,.6\n2,5,6,.7\n", {"Unnamed: 0"}),
        (",x,y,heat\n0,1,2,.5\n1,3,4,.6\n2,5,6,.7\n", {""}),
        ('"","x","y","heat"\n"1",1,2,.5\n"2",3,4,.6\n"3",5,6,.7\n', {""}),
        ('"x","y","heat"\n"1",1,2,.5\n"2",3,4,.6\n"3",5,6,.7\n', {""}),
        ("cell_id,x,y,heat\n7,1,2,.5\n8,3,4,.6\n9,5,6,.7\n", {"cell_id"}),
        ("id,x,y,heat\n7,1,2,.5\n8,3,4,.6\n9,5,6,.7\n", {"id"}),
        ("barcode,x,y,heat\nACG-1,1,2,.5\nACT-1,3,4,.6\nAGG-1,5,6,.7\n", {"barcode"}),
        ("x,y,heat,kind\n1,2,.5,a\n3,4,.6,b\n5,6,.7,a\n", {"kind"}),
        ("x,y,heat,batch\n1,2,.5,1\n3,4,.6,1\n5,6,.7,1\n", {"batch"}),
        ("x,y,heat,\n1,2,.5,\n3,4,.6,\n5,6,.7,\n", {""}),
        ("x,y,heat,note\n1,2,.5,\n3,4,.6,\n5,6,.7,\n", {"note"}),
        ("sample,x,y,heat\n1,1,2,.5\n2,3,4,.6\n3,5,6,.7\n", {"sample"}),
        ("x,y,heat,label\n1,2,.5,a\n3,4,.6,b\n5,6,.7,a\n", {"label"}),
    ],
)
def test_a_column_that_is_no_feature_is_left_out_and_named(tmp_path, content, gone):
    path = put(tmp_path, "a.csv", content)
    with pytest.warns(DataNotice) as said:
        graphs = load(path)
    assert graphs.feature_names == ("heat",)
    assert (len(graphs), graphs.num_nodes, graphs.label) == (1, 3, None)
    torch.testing.assert_close(graphs.x[:, 0], torch.tensor([0.5, 0.6, 0.7]))
    assert set(left_out(path)) == gone
    assert all(repr(name) in str(said[0].message) for name in gone)


@pytest.mark.parametrize("name", ["graph", "Graph_ID", "cloud", "sample", "shape_id", "id", "molecule"])
def test_a_column_that_groups_rows_makes_graphs(tmp_path, name):
    path = put(tmp_path, "a.csv", f"{name},x,y,cell_id\nb,0,1,0\na,2,3,0\nb,4,5,1\na,6,7,1\n")
    graphs = quiet(path)
    assert graphs.pos.tolist() == [[0, 1], [4, 5], [2, 3], [6, 7]]
    assert graphs.sizes.tolist() == [2, 2]
    assert graphs.x is None


def test_large_ids_are_not_rounded(tmp_path):
    """2^53 and 2^53 + 1 are one number in float64."""
    content = "".join(f"{2**53 + i},{i}.5,1,{j}\n" for i in (0, 1) for j in (0.5, 1.5))
    assert load(put(tmp_path, "a.csv", "graph,x,y,z\n" + content)).sizes.tolist() == [2, 2]


def test_columns_that_were_asked_for(tmp_path):
    rows = "a,p,0,1,.5,1\nb,q,2,3,.6,1\na,p,4,5,.7,1\nb,q,6,7,.8,1\n"
    path = put(tmp_path, "a.csv", "who,kind,u,v,heat,batch\n" + rows)
    graphs = load(path, pos=["u", "V"], x=("batch", "heat"), group="who", label="kind")
    assert graphs.pos.tolist() == [[0, 1], [4, 5], [2, 3], [6, 7]]
    assert graphs.feature_names == ("batch", "heat")
    assert (graphs.classes, graphs.label.tolist()) == (("p", "q"), [0, 1])
    assert load(path, pos=("u", "v"), x=()).x is None
    with pytest.raises(ValueError, match=r"'head'.*'heat'"):
        load(path, pos=("u", "v"), x="head")
    with pytest.raises(ValueError, match=r"'kind'|'p'"):
        load(path, pos=("u", "kind"))


def test_columns_without_names_are_asked_for_by_number(tmp_path):
    path = put(tmp_path, "a.txt", "9 0 1 2\n8 3 4 5\n7 6 7 9\n")
    graphs = load(path, pos=(2, "3"), x=[np.int64(1)])
    assert graphs.pos.tolist() == [[0, 1], [3, 4], [6, 7]]
    assert graphs.x.tolist() == [[9], [8], [7]]


def test_described(tmp_path):
    path = put(tmp_path, "a.csv", "cell_id,x,y,sample,class,heat,kind\n1,0,1,a,p,.5,u\n2,2,3,a,p,.6,v\n")
    roles = {c["name"]: c["role"] for c in describe_columns(path)}
    assert roles == {
        "x": "position",
        "y": "position",
        "sample": "graph",
        "class": "label",
        "heat": "feature",
        "cell_id": "left out",
        "kind": "left out",
    }


def test_missing_values_where_they_may_be(tmp_path):
    path = put(tmp_path, "a.csv", "x,y,heat\n0,1,NA\n2,3,\n4,5,.5\n")
    with pytest.raises(ValueError, match="line 2"):
        load(path)
    assert load(path, missing=True).x.isnan().flatten().tolist() == [True, True, False]


# -- several files ------------------------------------------------------------------------------------------


def test_files_are_joined_by_name(tmp_path):
    put(tmp_path, "d/a.csv", "x,y,heat,load\n0,1,1.0,100.0\n2,3,1.0,100.0\n")
    put(tmp_path, "d/b.csv", "load,y,x,heat\n100.0,5,4,1.0\n100.0,7,6,1.0\n")
    graphs = load(tmp_path / "d")
    assert graphs.feature_names == ("heat", "load")
    assert graphs.x.tolist() == [[1, 100]] * 4
    assert graphs.pos.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize("head", ["x,y,heat,laod", "x,y,heat", "x,y,heat,load,more"])
def test_missing_and_foreign_names_are_refused(tmp_path, head):
    put(tmp_path, "a.csv", "x,y,heat,load\n0,1,1.5,2.5\n2,3,3.5,4.5\n")
    rows = np.random.default_rng(0).normal(size=(3, head.count(",") + 1)).tolist()
    put(tmp_path, "b.csv", head + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(ValueError, match=rf"b\.csv: .*'{'more' if 'more' in head else 'load'}'"):
        load(tmp_path)


def test_a_whole_number_that_differs_between_files_is_a_feature(tmp_path):
    put(tmp_path, "a.csv", "x,y,age\n0,1,3\n2,3,3\n")
    put(tmp_path, "b.csv", "x,y,age\n0,1,4\n2,3,4\n")
    assert load(tmp_path).x.flatten().tolist() == [3, 3, 4, 4]


# -- counted points and molecules ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".xyz", ".pts", ".txt"])
def test_counts(tmp_path, ending):
    content = "3\n" + "".join(f"{' '.join(map(str, row))}\n" for row in ROWS)
    assert torch.equal(load(put(tmp_path, f"a{ending}", content)).pos, torch.tensor(ROWS))
    assert load(put(tmp_path, f"b{ending}", content * 2)).num_nodes == 6


def test_scans_name_intensity_and_colour(tmp_path):
    content = "3\n0 0 0 -.5 10 20 30\n1 1 1 .5 10 20 40\n2 2 2 .7 10 20 50\n"
    for name in ("a.pts", "a.xyz"):
        graphs = quiet(put(tmp_path, name, content))
        assert graphs.feature_names == ("intensity", "blue")
        assert graphs.x[:, 1].tolist() == [30, 40, 50]


def test_landmarks_in_braces(tmp_path):
    content = "version: 1\nn_points: 3\n{\n1.5 2.5\n3.5 4.5\n5.5 6.5\n}\n"
    assert load(put(tmp_path, "a.pts", content)).pos.tolist() == [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]
    with pytest.raises(ValueError, match=r"4 points, but 3 "):
        load(put(tmp_path, "b.pts", content.replace("points: 3", "points: 4")))


def test_extended_xyz_says_what_its_columns_are(tmp_path):
    frame = (
        "2\n"
        'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:forces:R:3:pos:R:3:q:R:1:fixed:L:1 energy=-1.5\n'
        "C 1.1283 1.206 -.573 -.7419 1.1221 -.763 .5 T\nH -.6279 .1765 .0142 -.3622 1.896 .317 .6 F\n"
    )
    graphs = load(put(tmp_path, "a.xyz", frame * 2))
    assert graphs.sizes.tolist() == [2, 2]
    torch.testing.assert_close(graphs.pos[0], torch.tensor([-0.7419, 1.1221, -0.763]))
    names = ("atomic_number", "forces_x", "forces_y", "forces_z", "q", "fixed")
    assert graphs.feature_names == names
    torch.testing.assert_close(graphs.x[0], torch.tensor([6, 1.1283, 1.206, -0.573, 0.5, 1]))
    turned = frame.replace("forces:R:3:pos:R:3", "pos:R:3:forces:R:3")
    graphs = load(put(tmp_path, "b.xyz", turned))
    torch.testing.assert_close(graphs.pos[0], torch.tensor([1.1283, 1.206, -0.573]))


@pytest.mark.parametrize(
    "properties",
    ["species:S:1:forces:R:3", "species:S:1:pos:R", "species:S:1:pos:Q:3", "species:S:1:pos:R:2"],
)
def test_properties_that_do_not_fit(tmp_path, properties):
    content = f"2\nProperties={properties}\nC 1 2 3\nH 4 5 6\n"
    with pytest.raises(ValueError, match=r"line [23]"):
        load(put(tmp_path, "a.xyz", content))


def test_a_feature_may_differ_from_a_position_by_its_case(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,X\n1,2,3.5\n2,3,4.5\n")
    graphs = load(tmp_path / "a.csv")
    assert graphs.feature_names == ("X",)
    assert graphs.pos.tolist() == [[1, 2], [2, 3]]
    (tmp_path / "b.csv").write_text("X,Y,heat\n1,2,3.5\n2,3,4.5\n")
    assert load(tmp_path / "b.csv").pos.tolist() == [[1, 2], [2, 3]]


def test_windows_letters(tmp_path):
    (tmp_path / "a.csv").write_bytes("x,y,€ “each”\n1,2,3.5\n2,3,4.5\n".encode("cp1252"))
    assert load(tmp_path / "a.csv").feature_names == ("€ “each”",)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("sep=;\nx;y;h\n1;2;3,5\n2;3;4,5\n", [[1, 2, 3.5], [2, 3, 4.5]]),  # a line for Excel
        ('"sep=,"\r\nx,y,h\r\n1,2,3.5\r\n2,3,4.5\r\n', [[1, 2, 3.5], [2, 3, 4.5]]),
        ("x,y,h\n1,2,3.5\n2,3,4.5\n\x1a", [[1, 2, 3.5], [2, 3, 4.5]]),  # the end of a file of DOS
        ("x,y,h\n\u22121,2,3.5\n2,3,\u2212.5\n", [[-1, 2, 3.5], [2, 3, -0.5]]),
        ("x,y,h,size\n1,2,3.5,5 um\n2,3,4.5,6 um\n", [[1, 2, 3.5], [2, 3, 4.5]]),  # a blank within a cell
        ("Unnamed: 0,Unnamed: 0.1,x,y,h\n0,0,1,2,3.5\n1,1,2,3,4.5\n", [[1, 2, 3.5], [2, 3, 4.5]]),
        ("X,x,y,h\n1,1,2,3.5\n2,2,3,4.5\n", [[1, 2, 3.5], [2, 3, 4.5]]),  # as R writes and reads again
    ],
)
def test_what_spreadsheets_write(text, rows, tmp_path):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    graphs = quiet(tmp_path / "a.csv")
    assert torch.cat([graphs.pos, graphs.x], dim=1).tolist() == rows
    assert graphs.feature_names == ("h",)


@pytest.mark.parametrize("first", [0, 1])
def test_an_index_without_a_header_is_no_position(first, tmp_path):
    points = [(0.5, 1.5, 2.5), (1.5, 2.5, 3.5), (4.5, 1.0, 0.0)]
    lines = [f"{i},{','.join(map(str, p))}\n" for i, p in enumerate(points, first)]
    (tmp_path / "a.csv").write_text("".join(lines))
    assert [c["role"] for c in describe_columns(tmp_path / "a.csv")].count("left out") == 1
    assert quiet(tmp_path / "a.csv").pos.tolist() == [list(p) for p in points]
    # Whole numbers throughout may be a grid.
    (tmp_path / "b.csv").write_text("0,0,1\n1,0,2\n2,0,5\n")
    assert quiet(tmp_path / "b.csv").dim == 3


@pytest.mark.parametrize("text", ["0,12,0,29,-0,27\n0,5,1,29,2,27\n", "3,12,0,29\n2,51,1,29\n"])
def test_halves_of_numbers_are_no_columns(text, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match="decimal"):
        load(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "pos", "x"),
    [
        ("2\na comment\n1.5 2 3\n2 3 4\n", [[1.5, 2, 3], [2, 3, 4]], None),
        ("2\nwater\n1 0 0 0.5\n8 0 0 .7\n", [[0, 0, 0.5], [0, 0, 0.7]], [[1], [8]]),
        ("2\nwater\nD 0 0 0.5\nO12 0 0 .7\n", [[0, 0, 0.5], [0, 0, 0.7]], [[1], [8]]),
        ("2\nq\nH 0 0 0.5 .25\nO 0 0 .7 -.25\n", [[0, 0, 0.5], [0, 0, 0.7]], [[1, 0.25], [8, -0.25]]),
    ],
)
def test_variants_of_chemistry(text, pos, x, tmp_path):
    (tmp_path / "a.xyz").write_text(text)
    graphs = quiet(tmp_path / "a.xyz")
    torch.testing.assert_close(graphs.pos, torch.tensor(pos, dtype=torch.float32))
    assert (graphs.x is None) if x is None else graphs.x.tolist() == x


def test_an_id_in_extended_xyz_is_no_feature(tmp_path):
    (tmp_path / "a.xyz").write_text("2\nProperties=id:I:1:pos:R:3:q:R:1\n5 0 0 0 .5\n6 1 1 1 .25\n")
    assert quiet(tmp_path / "a.xyz").feature_names == ("q",)


def test_one_axis_needs_graphs_told_apart_or_its_name(tmp_path):
    (tmp_path / "a.csv").write_text("graph,x,heat\n0,1,5\n0,2,6\n1,1,7\n1,3,8\n")
    found = load(tmp_path / "a.csv")
    assert found.pos.tolist() == [[1], [2], [1], [3]]
    assert found.feature_names == ("heat",)
    (tmp_path / "b.csv").write_text("x,heat\n1,5\n2,6\n")
    with pytest.raises(ValueError, match="pos"):  # a y may have been named otherwise
        load(tmp_path / "b.csv")
    assert load(tmp_path / "b.csv", pos=("x",)).dim == 1
