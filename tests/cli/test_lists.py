"""Names with commas, blanks and @ reach a command as they are."""

import pytest

from noisefold.cli.lists import names_of


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (None, None),
        (["a"], ["a"]),
        (["a, b ,c"], ["a", "b", "c"]),
        (["a", "b"], ["a", "b"]),
        (["A,B", "c"], ["A,B", "c"]),
        (["A,B", "T cell"], ["A,B", "T cell"]),
        (['"A,B",c'], ["A,B", "c"]),
        (['"A,B"'], ["A,B"]),
        (["T cell,B cell"], ["T cell", "B cell"]),
        (["@@x"], ["@x"]),
        (["\\@x", "y"], ["@x", "y"]),
        (["x@y"], ["x@y"]),
        (["ü"], ["ü"]),
    ],
)
def test_values(values, names):
    assert names_of(values) == (None if names is None else tuple(names))


def test_known_names_are_themselves():
    known = ("A,B", "@c", '"d', " e ")
    for name in known:
        assert names_of([name], known) == (name,)
    assert names_of(list(known), known) == tuple(known)


def test_files(tmp_path):
    path = tmp_path / "my genes, all.txt"
    path.write_text('\ufeffA\nB,C\n\n"D,E" , F\nG,H\n@i\n', encoding="utf-8")
    assert names_of([f"@{path}"], ["G,H"]) == ("A", "B,C", "D,E", "F", "G,H", "@i")
    path.write_text("A, B\n")
    assert names_of([f"@{path}"]) == ("A", "B")
    assert names_of([f"@{path}", "K,L"])[-1] == "K,L"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([""], ValueError),
        ([" , "], ValueError),
        ([], ValueError),
        (["a,a"], ValueError),
        (["a", "a"], ValueError),
        (['"a'], ValueError),
        (["@nowhere.txt"], FileNotFoundError),
        (["@"], FileNotFoundError),
    ],
)
def test_refused(values, error):
    with pytest.raises(error):
        names_of(values, option="--classes")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="UTF-8"):
        names_of([f"@{tmp_path / 'a'}"])
