"""Options that say how data are read, the same ones for every command that reads data anew.

typer takes options from the signature of a command. `reads_data` makes one that has the fields of `Reading`,
so that they are named in one place.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from noisefold.cli.lists import names_of
from noisefold.cli.options import (
    Classes,
    Genes,
    Group,
    Hydrogens,
    Label,
    Level,
    Mask,
    Patch,
    Points,
    Pos,
    PropertyNames,
    Size,
    Skip,
    Time,
    Values,
    Vector,
    size_of,
)

if TYPE_CHECKING:
    from noisefold.data.source import DataSource

__all__ = ["Reading", "reads_data"]

_LISTS = ("classes", "pos", "genes", "level", "vector", "properties")


@dataclass(frozen=True)
class Reading:
    """How data are read, as it stood on the command line; see `noisefold.data.source.DataSource`."""

    points: Points = None
    classes: Classes = None
    pos: Pos = None
    x: Values = None
    genes: Genes = None
    group: Group = None
    time: Time = None
    patch: Patch = 200
    label: Label = None
    skip: Skip = False
    hydrogens: Hydrogens = False
    properties: PropertyNames = None
    size: Size = None
    level: Level = None
    vector: Vector = None
    mask: Mask = None

    def source(self, data: str) -> DataSource:
        """Return where data are and how they are read."""
        from noisefold.data.source import DataSource

        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        given |= {name: names_of(given[name], option=f"--{name}") for name in _LISTS}
        given |= {"x": names_of(self.x, option="--x") or "X", "size": size_of(self.size)}
        return DataSource(data, **given)


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Reading` in the place of its parameter ``reading``."""
    hints = get_type_hints(Reading, include_extras=True)
    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        options = (
            own.replace(name=f.name, default=f.default, annotation=hints[f.name]) for f in fields(Reading)
        )
        shown += options if parameter.name == "reading" else [own]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        reading = Reading(**{f.name: given.pop(f.name, f.default) for f in fields(Reading)})
        command(**given, reading=reading)

    run.__dict__["__signature__"] = inspect.Signature(shown)
    run.__annotations__ = {p.name: p.annotation for p in shown}
    return run
