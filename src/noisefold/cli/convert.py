"""``noisefold convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from noisefold.cli.lists import names_of
from noisefold.cli.options import (
    Data,
    Genes,
    Group,
    Hydrogens,
    Level,
    Points,
    Pos,
    Seed,
    Skip,
    Time,
    Values,
    Vector,
)
from noisefold.cli.output import say

__all__ = ["convert"]


def convert(
    data: Data,
    out: Annotated[Path, typer.Argument(help="Folder to make, or a file such as graphs.g6.")],
    points: Points = None,
    pos: Pos = None,
    x: Values = None,
    genes: Genes = None,
    group: Group = None,
    time: Time = None,
    seed: Seed = 0,
    skip: Skip = False,
    hydrogens: Hydrogens = False,
    level: Level = None,
    vector: Vector = None,
) -> None:
    """Write data as a folder that training maps, for data larger than memory, or in another format."""
    from noisefold.data.convert import convert as converted

    places, values = names_of(pos, option="--pos"), names_of(x, option="--x")
    named: dict[str, Any] = {
        "pos": None if places is None else places[0] if len(places) == 1 else list(places),
        "x": None if values is None else values[0] if len(values) == 1 else list(values),
        "genes": names_of(genes, option="--genes"),
        "group": group,
        "time": time,
        "skip": skip or None,
        "hydrogens": hydrogens or None,
        "level": names_of(level, option="--level"),
        "vector": names_of(vector, option="--vector"),
    }
    given = {k: v for k, v in named.items() if v is not None}
    say(converted(data, out, points=points, seed=seed, **given))
