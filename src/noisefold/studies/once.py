"""Parts of a study that are made once and kept, so that a study which was killed goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noisefold.train.checkpoint import atomic_text

__all__ = ["once"]


def once(file: Path, plan: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """What is kept in a file, or else what `make` gives, which is then kept.

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
        If what is kept was made after another plan.
    """
    # Through JSON, so that what is compared with a file has the file's types.
    asked = json.loads(json.dumps(plan))
    if not file.is_file():
        made = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_text(file, json.dumps({"plan": asked, "result": made}))
    kept = json.loads(file.read_text(encoding="utf-8"))
    if kept["plan"] != asked:
        raise ValueError(
            f"{file} was made with other data or settings than this study has now; remove it or choose "
            "another out."
        )
    return kept["result"]
