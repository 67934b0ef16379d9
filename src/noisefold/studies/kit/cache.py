"""Parts of a study that are made once and kept under their plan, so that a killed study goes on.

Several processes may run a study side by side: `claimed` gives a folder to one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noisefold.files import atomic_text

__all__ = ["cached", "claimed", "plain", "read", "slug"]


def cached(file: Path, plan: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Return what is kept in a file, or else what `make` returns, which is then kept.

    Parameters
    ----------
    file
        JSON; its folders are made.
    plan
        All that the result follows from, as plain data.
    make
        Makes the result, as plain data.

    Raises
    ------
    ValueError
        If what is kept was made under another plan.
    """
    asked = plain(plan)
    if not file.is_file():
        made = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_text(file, json.dumps({"plan": asked, "result": made}, indent=1))
    kept = read(file)
    if kept["plan"] != asked:
        raise ValueError(
            f"{file} was made with other networks, data or settings than this study has now; remove "
            f"{file.parent} or choose another --out."
        )
    return kept["result"]


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back, so that it can be compared with what a file holds."""
    return json.loads(json.dumps(value))


def read(file: Path) -> dict[str, Any]:
    """Read a JSON file."""
    out: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return out


def slug(name: str) -> str:
    """Return a name as a folder can have it: lower case, letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Tell whether this process alone may work in a folder while the context lasts.

    The system releases the claim of a process that died, however it died; no claim can be left behind.
    """
    import fcntl  # POSIX only: the package can be imported where there is none

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "claim").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
