"""The documentation against the code: names exist, snippets run, commands and configurations are understood.

Snippets run as they stand, with every training, data set and sample cut down to a few.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml

import noisefold as nf
from noisefold import cli, domains, runs, testing  # noqa: F401 (their names are looked up below noisefold)
from noisefold import model as model_module
from noisefold.domains import Request, domain_of
from noisefold.domains.plan import from_options
from noisefold.model import PACKAGED, Model
from noisefold.sample import default_steps

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WRITTEN = [*PAGES, *(p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if p.is_file())]
# Pages whose snippets take files right in the folder; for the others they stand in one folder for each class.
FLAT = ("index.md", "README.md")
# Pages whose snippets take seconds.
LONG = (
    "quickstart.md",
    "architecture.md",
    "scores.md",
    "index.md",
    "images.md",
    "functions.md",
    "graphs.md",
    "molecules.md",
)
TINY = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
FAMILIES = ("chair", "vase", "mug", "airplane")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def resolve(name: str) -> object:
    found: object = nf
    for part in name.split("."):
        found = getattr(found, part)
    return found


def names(page: Path) -> set[str]:
    """Dotted names below noisefold that a page speaks of."""
    text = page.read_text()
    roles = re.findall(r"\{(?:class|func|meth)\}`[^`]*?noisefold\.([\w.]+)>?`", text)
    return {name.rstrip(".") for name in [*roles, *re.findall(r"\bnf\.([A-Za-z_][\w.]*)", text)]}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_every_name_exists(page: Path) -> None:
    for name in names(page):
        resolve(name)


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(p.read_text() for p in (ROOT / "docs" / "api").glob("*.md"))
    listed = set(re.findall(r"auto(?:class|function|data):: (?:noisefold\.)?([\w.]+)", text))
    for package in ("geometry", "noise", "nn", "sample", "train", "data", "eval", "theory", "testing"):
        for name in resolve(package).__all__:
            shown = f"{package}.{name}" in listed or isinstance(resolve(f"{package}.{name}"), ModuleType)
            assert shown, f"docs/api does not show nf.{package}.{name}"


def test_every_example_of_a_command_is_understood() -> None:
    group = typer.main.get_command(cli.app)
    lines = [
        line.removeprefix("$ ").split("#")[0].strip()
        for page in WRITTEN
        for language in ("console", "sh")
        for block in blocks(page, language)
        for line in block.splitlines()
    ]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("noisefold ")]
    assert len(commands) > 5
    for words in commands:
        context = group.make_context("noisefold", list(words))
        name, command, rest = group.resolve_command(context, words)
        command.make_context(name, rest, parent=context)
    clouds = nf.data.shapes(8, points=16)
    tissue = clouds.replace(x=clouds.pos.clone(), label=None, classes=())
    asked = {
        ("--for-completion" in words, *(value for key, value in pairwise(words) if key == "-o"))
        for words in commands
    }
    for for_completion, *options in asked:
        changes = from_options(options)
        data = tissue if for_completion else clouds
        request = Request(for_completion, 1 if for_completion else None, changes=(changes,))
        Model.of_recipe(domain_of(data).recipe(data, request))


def test_every_configuration_can_be_built() -> None:
    data = nf.data.shapes(8, points=16)
    parts = [yaml.safe_load(block) for page in PAGES for block in blocks(page, "yaml")]
    assert parts
    for part in parts:
        Model.of_recipe(domain_of(data).recipe(data, Request(changes=(part,))))


@pytest.fixture
def cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few shapes, few points, few steps, few samples."""
    shapes, train, sample = nf.data.shapes, model_module.train, Model.sample

    def few_shapes(count: int = 24, points: int = 24, **rest) -> nf.Graphs:
        return shapes(min(count, 48), points=min(points, 24), **rest)

    def short(denoiser, data, settings, **rest):
        nodes = None if isinstance(data.modality, nf.data.Pictures) else 16
        less = replace(settings, steps=min(settings.steps, 2), batch=4, warmup=1, nodes=nodes)
        return train(denoiser, data, less, **rest)

    def few_samples(self, count: int, **rest) -> nf.Graphs:
        sizes = rest.get("nodes")
        if self.data.frames is None and rest.get("like") is None:
            rest["nodes"] = sizes if isinstance(sizes, list) and len(sizes) <= 2 else 24
        return sample(
            self, min(count, 8), **{**rest, "steps": default_steps(self.path, min(rest.get("steps", 2), 2))}
        )

    monkeypatch.setattr(nf.data, "shapes", few_shapes)
    monkeypatch.setattr(model_module, "train", short)
    monkeypatch.setattr(Model, "sample", few_samples)


def write_files(folder: Path, flat: bool) -> None:
    graphs = nf.data.shapes(48, points=40, families=FAMILIES)
    nf.save(graphs.replace(label=None, classes=()) if flat else graphs, folder / "shapes.ply")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, marks=pytest.mark.slow if p.name in LONG else [], id=p.name)
        for p in WRITTEN
        if blocks(p, "python")
    ],
)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_down: None) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, page.name in FLAT)
    Model.for_data(nf.data.shapes(20, families=FAMILIES), **TINY).save_pretrained(tmp_path / "packaged")
    monkeypatch.setitem(PACKAGED, "noisefold/shapes", tmp_path / "packaged")
    scope: dict[str, object] = {}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{page.name}, snippet {number}", "exec"), scope)
