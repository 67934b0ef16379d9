"""Matrices are factorised in geometry/gp.py alone, whose functions raise one clear ValueError; read from the
syntax trees.
"""

import ast
from collections.abc import Iterable

import numpy as np
import pytest
import torch

from noisefold.geometry.gp import pseudo_inverse, svd
from syntax import FILES, ROOT, nodes

CORE = ROOT / "geometry" / "gp.py"
# What of the linalg modules never fails on a finite matrix, or only applies a factor. Sparse systems are
# solved for Tutte embeddings alone, whose Laplacian has an inverse on every connected graph. The Lanczos
# iteration of sparse matrices gives what has converged where it stops early.
HARMLESS = {"norm", "vector_norm", "matrix_norm", "det", "qr", "solve_triangular", "spsolve"}
HARMLESS |= {"eigsh", "ArpackNoConvergence"}
# Factorisations that stand beside the linalg modules.
NAMES = {
    "cholesky",
    "cholesky_ex",
    "cholesky_inverse",
    "cholesky_solve",
    "cho_factor",
    "cho_solve",
    "eigvalsh",
    "inverse",
    "lstsq",
    "lu_factor",
    "pinverse",
    "slogdet",
    "svd",
    "triangular_solve",
}
MODULES = {"torch", "np", "numpy", "scipy"}


def dotted(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    return [*dotted(node.value), node.attr] if isinstance(node, ast.Attribute) else []


def made(source: str) -> Iterable[ast.AST]:
    return ast.walk(ast.parse(source))


def factorisations(tree: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in tree:
        if isinstance(node, ast.Attribute):
            path = dotted(node)
            inside = "linalg" in path[:-1] and path[-1] not in HARMLESS
            if inside or (path and path[0] in MODULES and path[-1] in NAMES):
                found.add(".".join(path))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            parts = node.module.split(".")
            outside = parts[0] in MODULES
            names = {alias.name for alias in node.names}
            if outside and "linalg" in parts:
                found |= {f"{node.module}.{name}" for name in names - HARMLESS}
            elif outside:
                found |= {f"{node.module}.{name}" for name in names & (NAMES | {"linalg"})}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if "linalg" in alias.name.split(".")}
    return found


def test_no_factorisation_outside_the_core():
    found = {f.relative_to(ROOT).as_posix(): factorisations(nodes(f)) for f in FILES if f != CORE}
    assert not {name: calls for name, calls in found.items() if calls}


def test_the_core_is_there():
    assert "torch.linalg.cholesky_ex" in factorisations(nodes(CORE))


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.linalg.cholesky(a)",
        "import torch\nf = torch.linalg.eigh",
        "import torch\ntorch.cholesky_solve(b, a)",
        "import numpy as np\nnp.linalg.inv(a)",
        "from scipy.linalg import cho_factor",
        "from scipy import linalg",
        "import scipy.linalg as sl",
        "from torch import svd",
        "import torch\ntorch.svd(a)",
    ],
)
def test_every_form_is_seen(source):
    assert factorisations(made(source))


def test_norms_are_not_meant():
    assert not factorisations(made("import numpy as np, torch\nnp.linalg.norm(a)\ntorch.linalg.det(a)"))


def test_pseudo_inverse():
    """Of full and of lower rank, tall, wide and in batches: that of NumPy, in float64."""
    random = torch.Generator().manual_seed(0)
    full = torch.randn(3, 5, 4, generator=random, dtype=torch.float64)
    low = full @ full.new_tensor([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    for matrix in (full, full.mT, low, low @ low.mT, torch.zeros(2, 3, 3).double()):
        truth = torch.from_numpy(np.linalg.pinv(matrix.numpy(), rcond=1e-12))
        torch.testing.assert_close(pseudo_inverse(matrix), truth, rtol=1e-9, atol=1e-9)


def test_singular_values_of_what_is_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        svd(torch.full((2, 2), float("nan")))
