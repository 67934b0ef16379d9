"""Small commands of every kind that writes, and the process that runs them."""

from __future__ import annotations

import hashlib
import json
import os
import select
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import command_server
import h5py
import numpy as np
from safetensors import safe_open

from noisefold.data import load, save, shapes
from noisefold.train import read_log

NET = ["net.width=8", "net.latents=2", "net.latent_width=8", "net.rounds=1", "net.blocks=1", "net.heads=2"]
CHORES = ["checkpoint_every=1", "log_every=1", "validate_every=3", "warmup=1", "batch=2"]
OPTIONS = [w for entry in (*NET, *(f"training.{c}" for c in CHORES)) for w in ("-o", entry)]
STEPS = 6

# Of each command its words, run in a folder beside ``data`` and ``model``.
COMMANDS = {
    "train": f"train ../data/clouds.npz --out run --steps {STEPS} --points 16 --resume".split() + OPTIONS,
    "sample": ["sample", "../model", "-n", "40", "--nodes", "200", "--steps", "1", "--out", "made.npz"],
    "complete": [
        "complete",
        "../model",
        "../data/holes.npz",
        "--steps",
        "1",
        "--draws",
        "30",
        "--out",
        "filled.npz",
    ],
    "convert": ["convert", "../data/many.npz", "shards"],
    "report": ["report", "../model", "--draws", "2", "--steps", "2", "--out", "page.html"],
    "evaluate": ["evaluate", "../model", "../data/clouds.npz", "--steps", "1", "--json", "scores.json"],
    "demo": ["demo", "--out", "demo", "--steps", "3", "--draws", "4"],
    "study": ["study", "resolution", "--out", "studies"],
}
RESULTS = {
    "train": ("run/",),
    "sample": ("made.npz",),
    "complete": ("filled.npz",),
    "convert": ("shards/",),
    "report": ("page.html",),
    "evaluate": ("scores.json",),
    "demo": ("demo/model", "demo/shipped.npz"),  # its page says how long it took
    "study": ("studies/",),
}
"""Of each command what it writes and what is a function of its words alone."""


class Server:
    """Runs commands one after another, each in a process of its own."""

    def __init__(self) -> None:
        # A fork of this process, which has imported what an interpreter of its own would import for seconds.
        wanted, asked = os.pipe()
        told, answered = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            try:
                os.close(asked)
                os.close(told)
                with os.fdopen(wanted) as requests, os.fdopen(answered, "w") as answers:
                    command_server.serve(requests, answers)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(wanted)
        os.close(answered)
        self.requests, self.answers = os.fdopen(asked, "w"), os.fdopen(told)
        self._answer()

    def _answer(self) -> str:
        line = self.answers.readline()
        assert line, "the server has ended"
        return line

    def close(self) -> None:
        """End the process."""
        self.requests.close()
        os.waitpid(self.process, 0)
        self.answers.close()

    def run(
        self,
        folder: Path,
        name: str,
        disturb: Callable[[int, Callable[[], bool]], None] | None = None,
        limit: int = 0,
    ) -> Ended:
        """Run a command in a folder; `disturb` is given its process and what tells whether it still runs."""
        folder.mkdir(parents=True, exist_ok=True)
        request = json.dumps([str(folder), limit, COMMANDS[name]])
        self.requests.write(request + "\n")
        self.requests.flush()
        number = int(self._answer())
        if disturb is not None:
            disturb(number, lambda: not select.select([self.answers], [], [], 0)[0])
        return Ended(*json.loads(self._answer()))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    seconds: float
    said: str


def prepare(folder: Path) -> None:
    """Make the data."""
    clouds = shapes(16, points=24).replace(label=None, classes=())
    holes = clouds[:4]
    pos = holes.pos.clone()
    pos[::3] = float("nan")
    save(clouds, folder / "data" / "clouds.npz")
    save(holes.replace(pos=pos), folder / "data" / "holes.npz")
    save(shapes(400, points=100), folder / "data" / "many.npz")


def state(folder: Path) -> dict[str, str]:
    """Digests of all files of a folder, with the log without its times."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name == "metrics.jsonl":
            data = repr([{k: v for k, v in e.items() if k != "seconds"} for e in read_log(path)]).encode()
        if path.name not in ("state.json", "manifest.json"):  # these hold times
            found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


def assert_whole(folder: Path) -> None:
    """Every file that has its final name can be read from its first to its last byte."""
    for path in (p for p in folder.rglob("*") if p.is_file()):
        if any(part.startswith(".staged-") for part in path.relative_to(folder).parts):
            continue
        match path.suffix:
            case ".json":
                json.loads(path.read_text())
            case ".npz":
                with np.load(path) as arrays:
                    assert all(arrays[name] is not None for name in arrays)
            case ".npy":
                np.load(path)
            case ".safetensors":
                with safe_open(path, "np") as tensors:
                    assert all(tensors.get_tensor(name) is not None for name in tensors.keys())  # noqa: SIM118
            case ".html":
                assert path.read_text().rstrip().endswith("</html>")
            case ".h5ad":
                h5py.File(path).close()
            case ".jsonl":
                lines = path.read_text().split("\n")
                assert len(read_log(path)) >= len(lines) - 1  # the last may be torn, and is dropped
            case ".yaml":
                assert path.read_bytes().endswith(b"\n")
            case ".png":
                assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
            case ".svg":
                assert path.read_text().rstrip().endswith("</svg>")
            case ".md" | ".csv":
                assert path.read_bytes().endswith(b"\n")
            case "" | ".lock":
                assert path.name == ".lock"
            case other:
                raise AssertionError(f"{path} has an ending that is not looked into: {other}")
    if (folder / "shards").exists():
        assert len(load(folder / "shards")) == 400
    steps = [p for p in folder.glob("run/checkpoints/*") if p.name.isdecimal()]
    for step in steps:
        for name, entry in json.loads((step / "manifest.json").read_text()).items():
            assert hashlib.sha256((step / name).read_bytes()).hexdigest() == entry["sha256"], step / name


def leftovers(folder: Path) -> list[Path]:
    """What writers have left that did not end by themselves."""
    return [p for p in folder.rglob("*") if p.name.startswith(".staged-") or p.name == ".lock"]


def staged(folder: Path) -> bool:
    """Whether something is being written in a folder, or in one below it."""
    return any(n.startswith(".staged-") for _, below, files in os.walk(folder) for n in (*below, *files))
