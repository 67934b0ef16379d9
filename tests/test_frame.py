"""The frame, read from the syntax trees: what is noised, and how, is decided where it belongs."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "noisefold"
FILES = sorted(ROOT.rglob("*.py"))
EACH = pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
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


def nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


@EACH
def test_no_path_is_asked_for_its_kind(file):
    """Kinds of paths register with single dispatch, or say what they handle."""
    for node in nodes(file):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            assert not re.search(r"\bGaussian\b", ast.unparse(node.args[1])), ast.unparse(node)


@EACH
def test_no_variable_is_asked_for_its_name(file):
    name = file.relative_to(ROOT).as_posix()
    if name.startswith(COMPARES):
        return
    for node in nodes(file):
        if isinstance(node, ast.Compare):
            text = ast.unparse(node)
            assert not re.search(r"\b(variable|noised)(\.name)?\s*[!=]=\s*['\"]", text), text


@EACH
def test_files_are_short(file):
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= SHORTER.get(file.relative_to(ROOT).as_posix(), LONG), f"{file} has {lines} lines"


@EACH
def test_public_signatures_are_typed(file):
    """No ``**name: Any`` in the signatures of the class that users hold, but for what a report shows."""
    if file.name != "model.py":
        return
    for node in nodes(file):
        if (
            isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and node.args.kwarg is not None
        ):
            typed = ast.unparse(node.args.kwarg.annotation or ast.Constant("nothing"))
            assert typed != "Any" or node.name == "report", f"{node.name} has **{node.args.kwarg.arg}: Any"
