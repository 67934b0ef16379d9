"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from noisefold.files import atomic_text
from noisefold.train.board import Board

__all__ = ["Log", "read_log"]


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a log; a last line that was cut off by a kill is left out."""
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


class Log:
    """Keeps entries, and appends them to a file if there is one.

    Parameters
    ----------
    path
        The file, or None.
    writes
        Whether this process writes it; the others only read what was there.
    """

    def __init__(self, path: Path | None, writes: bool = True) -> None:
        self.path, self.writes = path, writes and path is not None
        self.entries: list[dict[str, Any]] = []
        self.board: Board | None = None

    def begin(self, step: int, board: bool = False) -> None:
        """Take up the file as it was when this step was done, without later entries.

        Parameters
        ----------
        step
            Steps done so far.
        board
            Whether to mirror the entries to TensorBoard, in ``tensorboard/`` beside the file.
        """
        if self.path is None:
            return
        if self.writes and board:
            self.board = Board(self.path.parent / "tensorboard", step)
        self.entries = [e for e in read_log(self.path) if e["step"] <= step]
        if self.writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_text(self.path, "".join(json.dumps(e) + "\n" for e in self.entries))

    def add(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        self.entries.append(entry)
        if self.path is not None and self.writes:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
            except OSError as error:  # a write does not say to which file
                error.filename = error.filename or str(self.path)
                raise
        if self.board is not None:
            self.board.add(entry)

    def sync(self) -> None:
        """Put everything on the disk, so that no checkpoint is ahead of its log."""
        if self.path is not None and self.writes:
            with self.path.open("a", encoding="utf-8") as file:
                os.fsync(file.fileno())
        if self.board is not None:
            self.board.sync()

    def close(self) -> None:
        """End what is open."""
        if self.board is not None:
            self.board.close()
