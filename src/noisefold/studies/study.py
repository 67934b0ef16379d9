"""What a study is: something that can be run again at several scales and leaves its results as files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from noisefold.runs import machine
from noisefold.train.checkpoint import atomic_text

__all__ = ["Study", "keep", "provenance"]


@dataclass(frozen=True)
class Study:
    """A study.

    Parameters
    ----------
    description
        One sentence.
    scales
        Sizes it can be run at, smallest first.
    run
        ``run(folder, scale, seed)`` returns the files it wrote.
    on
        The same study on other data, by their name or file; None if it has its own data alone.
    """

    description: str
    scales: tuple[str, ...]
    run: Callable[[Path, str, int], list[Path]]
    on: Callable[[str], Study] | None = None


def provenance(command: str) -> dict[str, str | None]:
    """What a result was made with: command, commit of the checkout (None outside one), device, software."""
    here = Path(__file__).parent
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return {"command": command, "commit": found.stdout.strip() or None, **machine()}


def keep(out: Path, name: str, scale: str, result: dict[str, Any], table: str, figure: Figure) -> list[Path]:
    """Write a result as JSON, a Markdown table and a picture."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{scale}.{ending}" for ending in ("json", "md", "png")]
    made = provenance(f"noisefold study {name} --scale {scale}")
    atomic_text(paths[0], json.dumps({"made": made, **result}, indent=1))
    atomic_text(paths[1], table + "\n")
    figure.savefig(paths[2], dpi=150, bbox_inches="tight")
    return paths
