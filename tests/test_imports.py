"""The order of the layers, read from the syntax trees: imports run downwards; some things stay outside."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from syntax import FILES, ROOT, nodes

# What each layer may use besides itself; "" is the package's own __init__, which only gives names.
LOWEST = {"configuration", "progress", "errors", "files", "interrupt", "tensor_files"}
NOISE = LOWEST | {"geometry", "arguments"}
CHAIN = NOISE | {"noise", "nn", "sample"}
DATA = CHAIN | {"train", "data", "eval", "theory"}
MODEL = DATA | {"pretrained", "domains", "report", "model_state", "model"}
ALLOWED = {
    "configuration": set(),
    "progress": {"configuration"},
    "errors": set(),
    "files": set(),
    "interrupt": set(),
    "tensor_files": {"files", "interrupt"},
    "arguments": LOWEST | {"geometry"},
    "geometry": LOWEST,
    "noise": NOISE,
    "nn": NOISE | {"noise"},
    "sample": NOISE | {"noise", "nn"},
    "train": CHAIN,
    "data": NOISE,
    "eval": NOISE,
    "theory": CHAIN,
    "pretrained": CHAIN | {"train"},
    "testing": CHAIN | {"theory"},
    "domains": DATA,
    "model_state": DATA | {"pretrained", "domains"},
    "model": MODEL - {"model"},
    "report": DATA,
    "distillation": MODEL,
    "outlook": MODEL,
    "runs": MODEL,
    "studies": MODEL | {"distillation", "outlook", "report", "runs"},
    "cli": MODEL | {"distillation", "outlook", "report", "runs", "studies"},
    "__main__": {"cli"},
    "": MODEL | {"distillation", "outlook", "runs", "testing"},
}
MODULES = {"pot": "ot", "pillow": "PIL", "pyyaml": "yaml"}  # distributions whose module has another name
PICKLING = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
PICKLING_CALLS = {"torch.save", "torch.load", "torch.package"}


def layer(module: str) -> str:
    """Layer of a module of the package: "noise" for "noisefold.noise.schedule", "" for "noisefold"."""
    return module.split(".")[1] if "." in module else ""


def own_layer(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Every imported module, wherever in the file; of ``from noisefold import nn``, "noisefold.nn"."""
    return tuple(_imported(file))


def _imported(file: Path) -> Iterator[str]:
    package = ["noisefold", *file.relative_to(ROOT).parts[:-1]]
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [] if node.level == 0 else package[: len(package) - node.level + 1]
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "noisefold":
                yield from (f"noisefold.{alias.name}" for alias in node.names)
            else:
                yield module


def dotted(node: ast.expr) -> str:
    """ "torch.save" for the expression torch.save; "" for what is no dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def test_the_files_are_found():
    assert {"configuration.py", "noise/schedule.py", "sample/solver.py"} <= {
        f.relative_to(ROOT).as_posix() for f in FILES
    }


def test_every_file_is_of_a_known_layer():
    """A file that is not belongs into `ALLOWED`."""
    assert not [file for file in FILES if own_layer(file) not in ALLOWED]


def test_imports_run_downwards():
    above = {}
    for file in FILES:
        mine = own_layer(file)
        used = {layer(name) for name in imported(file) if name.split(".")[0] == "noisefold"}
        above[file.relative_to(ROOT).as_posix()] = used - ALLOWED[mine] - {mine}
    assert not {name: layers for name, layers in above.items() if layers}


def test_the_order_has_no_circle():
    """Layers can be taken away one by one, each using only those already gone."""
    left = {name: set(below) for name, below in ALLOWED.items()}
    while left:
        free = {name for name, below in left.items() if not below & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in free}


def assert_nothing_pickled(file):
    assert not {name.split(".")[0] for name in imported(file)} & PICKLING
    names = {dotted(n) for n in nodes(file) if isinstance(n, ast.Attribute)}
    names |= {
        f"{n.module}.{alias.name}"
        for n in nodes(file)
        if isinstance(n, ast.ImportFrom)
        for alias in n.names
        if n.level == 0
    }
    assert not names & PICKLING_CALLS
    for node in nodes(file):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def test_what_is_declared_is_imported():
    project = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}
    used = {name.split(".")[0] for file in FILES for name in imported(file)}
    assert not {MODULES.get(name, name) for name in declared} - used


def test_nothing_is_pickled():
    for file in FILES:
        assert_nothing_pickled(file)


def test_accelerate_stays_in_its_file():
    users = [f for f in FILES if "accelerate" in {name.split(".")[0] for name in imported(f)}]
    assert users == [ROOT / "train" / "device.py"]


def test_tensor_files_are_read_and_written_in_one_place():
    """So that every reader has the guard of `read_tensors`."""
    users = [f for f in FILES if "safetensors" in {name.split(".")[0] for name in imported(f)}]
    assert users == [ROOT / "tensor_files.py"]


def made(source: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is not there, with this content; its name is its own, since what is read is kept."""
    monkeypatch.setattr(Path, "read_text", lambda self, **_: source)
    return ROOT / "sample" / f"made_{source.encode().hex()}.py"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import torch\nimport noisefold.model", ["torch", "noisefold.model"]),
        ("from noisefold import nn, noise as n", ["noisefold.nn", "noisefold.noise"]),
        ("def f():\n    from noisefold.cli import main", ["noisefold.cli"]),
        ("from ..train import loop\nfrom . import grid", ["noisefold.train", "noisefold.sample"]),
        ("if False:\n    from ..model import Model", ["noisefold.model"]),
    ],
)
def test_the_reader_sees_every_form_of_import(source, names, monkeypatch):
    assert list(imported(made(source, monkeypatch))) == names


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    import dill",
        "import torch\ntorch.save(1, 'x')",
        "import torch\nread = torch.load",
        "from torch import load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
    ],
)
def test_the_reader_sees_every_form_of_pickling(source, monkeypatch):
    with pytest.raises(AssertionError):
        assert_nothing_pickled(made(source, monkeypatch))
