"""The frame, read from the syntax trees: what is noised, and how, is decided where it belongs."""

import ast
import re

from syntax import FILES, ROOT, nodes

# Who may compare the name of a variable: the room that owns variables; measures of a column that the caller
# names; and studies, whose tables name it.
COMPARES = (
    "noise/variable.py",
    "geometry/variogram.py",
    "nn/dmp/network.py",
    "theory/resolution.py",
    "sample/likelihood.py",
    "studies/",
    "testing/networks.py",
)
LONG = 400
SHORTER = {"model.py": 350}


def test_the_files_are_found():
    assert ROOT / "model.py" in FILES


def test_no_path_is_asked_for_its_kind():
    """Kinds of paths register with single dispatch, or say what they handle."""
    asked = [
        f"{file}: {ast.unparse(node)}"
        for file in FILES
        for node in nodes(file)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if re.search(r"\bGaussian\b", ast.unparse(node.args[1]))
    ]
    assert not asked


def test_no_variable_is_asked_for_its_name():
    asked = [
        f"{file}: {ast.unparse(node)}"
        for file in FILES
        if not file.relative_to(ROOT).as_posix().startswith(COMPARES)
        for node in nodes(file)
        if isinstance(node, ast.Compare)
        if re.search(r"\b(variable|noised)(\.name)?\s*[!=]=\s*['\"]", ast.unparse(node))
    ]
    assert not asked


def test_files_are_short():
    lengths = {f.relative_to(ROOT).as_posix(): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert not {name: lines for name, lines in lengths.items() if lines > SHORTER.get(name, LONG)}


def test_public_signatures_are_typed():
    """No ``**name: Any`` in the signatures of the class that users hold, but for what a report shows."""
    for node in nodes(ROOT / "model.py"):
        if (
            isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and node.args.kwarg is not None
        ):
            typed = ast.unparse(node.args.kwarg.annotation or ast.Constant("nothing"))
            assert typed != "Any" or node.name == "report", f"{node.name} has **{node.args.kwarg.arg}: Any"
