"""Progress on a terminal: rate and time left; silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["Advance", "progress"]

Advance = Callable[[int, str], None]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="dim")


@contextmanager
def progress(what: str, total: int, start: int = 0, show: bool = True) -> Iterator[Advance]:
    """Show a bar for work of `total` units, `start` of them done; yields ``advance(units, note)``.

    Quiet where standard error is not a terminal, or if `show` is false.
    """
    if not show or not sys.stderr.isatty():
        yield lambda units, note: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=start, note="")

        def advance(units: int, note: str) -> None:
            bar.update(task, advance=units, note=note)

        yield advance
