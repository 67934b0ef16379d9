"""``noisefold study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noisefold.cli.options import Seed
from noisefold.cli.output import console, say

__all__ = ["study"]


def study(
    name: Annotated[str, typer.Argument(help='A study, or "list".')],
    source: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Other data, for studies that take them: a name or a file."),
    ] = None,
    scale: Annotated[str, typer.Option(help="smoke, short or paper.")] = "smoke",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/studies"),
    data: Annotated[str | None, typer.Option(help="The same as DATA.")] = None,
    seed: Seed = 0,
) -> None:
    """Run one of the studies behind the documentation's tables and figures; some on data of your own."""
    from noisefold.studies import STUDIES

    if name == "list":
        for known, item in STUDIES.items():
            scales = ", ".join(item.scales)
            console.print(f"[bold]{known:12}[/] {item.description} [dim]({scales})[/]", highlight=False)
        return
    if name not in STUDIES:
        raise ValueError(f"study {name!r} is unknown; known are {', '.join(STUDIES)}.")
    if source is not None and data is not None:
        raise ValueError(f"data were named twice, {source!r} and --data {data!r}; name them once.")
    other = source if data is None else data
    if other is not None and not STUDIES[name].takes_data:
        taking = ", ".join(known for known, item in STUDIES.items() if item.takes_data)
        raise ValueError(f"study {name} has its own data and takes no other, got {other!r}; {taking} do.")
    for path in STUDIES[name].run(out / name, scale, seed, other):
        say(str(path))
