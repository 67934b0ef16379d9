"""Syntax trees of the package, parsed once for all tests that read them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src" / "noisefold"
FILES = sorted(ROOT.rglob("*.py"))
# What no test of the frame asks about; most of a tree.
_PLAIN = (ast.Constant, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """Return the nodes of a file, wherever in it, but for operators, contexts and bare constants."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if not isinstance(node, _PLAIN))
