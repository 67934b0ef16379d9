"""One run of a study: its scale is checked here, and its numbers, table and figure are written here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from matplotlib.figure import Figure

from noisefold.files import atomic_text, check_out, staged
from noisefold.runs import machine
from noisefold.studies.kit.cache import cached

__all__ = ["Experiment", "Result", "Run", "provenance", "save_figure", "written"]

S = TypeVar("S")
Result = dict[str, Any]


def provenance(command: str) -> dict[str, str | None]:
    """Return the command, the commit of the checkout (None outside one), the device and the software."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {"command": command, "commit": found.stdout.strip() or None, **machine()}


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure as PNG, whole or not at all."""
    with staged(path) as part:
        figure.savefig(part, dpi=dpi, bbox_inches="tight", format="png")


@dataclass(frozen=True)
class Run(Generic[S]):
    """One run of a study.

    Parameters
    ----------
    command
        What follows ``noisefold study``, but for the scale.
    name, scale, size, seed
        The study, the name of its scale, what that name stands for, and the first seed.
    out
        Folder of the result.
    data
        Name or file of other data than the study's own.
    extra
        Files written beside the numbers, the table and the main figure.
    """

    command: str
    name: str
    scale: str
    size: S
    seed: int
    out: Path
    data: str | None = None
    extra: list[Path] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Folder of trainings and cached parts, one for each scale."""
        return self.out / self.scale

    def seeds(self, count: int) -> list[int]:
        """Return so many seeds, from the first one on."""
        return list(range(self.seed, self.seed + count))

    def cached(self, name: str, make: Callable[[], Any], **plan: Any) -> Any:
        """Return a part of the result that is made once for this size, seed and plan; see `cached`."""
        plan = {"size": repr(self.size), "seed": self.seed, **plan}
        return cached(self.folder / f"{name}.json", plan, make)

    def save(self, name: str, figure: Figure) -> Path:
        """Save a further figure beside the main one."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.scale}-{name}.png"
        save_figure(figure, path, dpi=110)
        self.extra.append(path)
        return path

    def write(self, result: Result, table: str, figure: Figure, folder: Path | None = None) -> list[Path]:
        """Write the numbers as JSON, the table as Markdown and the figure; return all files of the run."""
        folder = folder or self.out
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.scale}.{ending}" for ending in ("json", "md", "png")]
        made = provenance(f"noisefold study {self.command} --scale {self.scale}")
        whole = {"made": made, "name": self.name, "scale": self.scale, **result}
        atomic_text(paths[0], json.dumps(whole, indent=1))
        atomic_text(paths[1], table + "\n")
        save_figure(figure, paths[2], dpi=150)
        return [*paths, *self.extra]


@dataclass(frozen=True)
class Experiment(Generic[S]):
    """A study that can be run.

    Parameters
    ----------
    name
        Its name on the command line.
    scales
        What each of its scales stands for, smallest first.
    make
        Makes the files of a run.
    place
        ``place(data)`` gives the command and the folder of a run on other data; None if it takes none.
    one_core
        Whether it computes on one core, so that measured costs are costs of a core.
    """

    name: str
    scales: Mapping[str, S]
    make: Callable[[Run[S]], list[Path]]
    place: Callable[[str], tuple[str, str]] | None = None
    one_core: bool = True

    def begin(self, out: Path, scale: str, seed: int = 0, data: str | None = None) -> Run[S]:
        """Check what was asked for.

        Raises
        ------
        ValueError
            If the study has no such scale or takes no other data, or nothing can be written to `out`.
        """
        if scale not in self.scales:
            raise ValueError(
                f"study {self.name} has no scale {scale!r}; scale must be one of {', '.join(self.scales)}."
            )
        command = self.name
        if data is not None:
            if self.place is None:
                raise ValueError(f"study {self.name} has its own data and takes no other, got {data!r}.")
            command, folder = self.place(data)
            out = out / folder
        check_out(out, folder=True)
        return Run(command, self.name, scale, self.scales[scale], seed, out, data)

    def run(self, out: Path, scale: str, seed: int = 0, data: str | None = None) -> list[Path]:
        """Run the study, or go on with it, and return the files that it wrote."""
        with _one_thread() if self.one_core else nullcontext():
            return self.make(self.begin(out, scale, seed, data))


def written(
    measure: Callable[[Run[S]], Result], table: Callable[[Result], str], figure: Callable[[Result], Figure]
) -> Callable[[Run[S]], list[Path]]:
    """Return a ``make`` of `Experiment` that measures, and writes the numbers, a table and a figure."""

    def make(run: Run[S]) -> list[Path]:
        result = measure(run)
        return run.write(result, table(result), figure(result))

    return make


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
