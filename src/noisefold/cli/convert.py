"""``noisefold convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from noisefold.cli.options import Data, Genes, Group, Points, Pos, Seed, Time, Values, names_of
from noisefold.cli.output import say

__all__ = ["convert"]


def convert(
    data: Data,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    points: Points = None,
    seed: Seed = 0,
    pos: Pos = None,
    x: Values = "X",
    genes: Genes = None,
    group: Group = None,
    time: Time = None,
) -> None:
    """Write data of any size as a folder that training maps instead of reading."""
    from noisefold.data.convert import convert as write
    from noisefold.data.formats.h5ad import is_tissue

    asked: dict[str, Any] = {"pos": names_of(pos), "genes": names_of(genes), "group": group, "time": time}
    parts = {name: value for name, value in asked.items() if value}
    if is_tissue(Path(data)):
        parts["x"] = x
    say(write(data, out, points=points, seed=seed, **parts))
