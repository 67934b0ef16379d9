"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noisefold.train.checkpoint import atomic_text

__all__ = ["Log", "read_log"]


def read_log(path: Path) -> list[dict[str, Any]]:
    """Entries of a log; a last line that was cut off by a kill is left out."""
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


class Log:
    """Appends entries to a file and keeps them; without a file only keeps them.

    Parameters
    ----------
    path
        The file, or None.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []

    def rewind(self, step: int) -> None:
        """Take up the file as it was when this step was done; later entries are dropped."""
        if self.path is None:
            return
        self.entries = [e for e in read_log(self.path) if e["step"] <= step]
        atomic_text(self.path, "".join(json.dumps(e) + "\n" for e in self.entries))

    def add(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        self.entries.append(entry)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
