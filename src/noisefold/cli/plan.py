"""``noisefold plan``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from noisefold.cli.options import Data, ForCompletion, Seed
from noisefold.cli.output import say
from noisefold.cli.reading import Reading, reads_data

__all__ = ["plan", "seconds_in"]

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@reads_data
def plan(
    data: Data,
    *,
    budget: Annotated[str, typer.Option(help="Time that a training may take, as 30m, 2h or 90s.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the configuration here, as YAML for train --config.")
    ] = None,
    pilot: Annotated[
        str | None, typer.Option(help="Time for short trainings; default a tenth of the budget, 3m at most.")
    ] = None,
    hold_out: Annotated[float, typer.Option(help="Share of the data kept for validation.")] = 0.1,
    seed: Seed = 0,
    reading: Reading,
    for_completion: ForCompletion = False,
) -> None:
    """Foretell what a training of a given time will bring, from short ones on this machine and these data."""
    import yaml

    from noisefold.domains import Request
    from noisefold.files import atomic_text, check_out
    from noisefold.outlook import outlook

    if out is not None:
        check_out(out)
    seconds = seconds_in(budget, "--budget")
    short = None if pilot is None else seconds_in(pilot, "--pilot")
    source = reading.source(data)
    learned, held = source.divided(hold_out, seed)
    if held is None:
        raise ValueError("a plan measures the loss on held-out data; give --hold-out a share above 0.")
    request = Request(for_completion, seed=seed)
    found = outlook(learned, held, seconds, pilot=short, request=request, tell=say)
    text = yaml.safe_dump(found.configuration(), sort_keys=False)
    best, loss = found.best, found.best.loss
    say(
        f"best: width x {best.factor:g} for {best.steps} steps of {found.training.batch} graphs; held-out "
        f"loss {loss.median:.4g}, 90 % [{loss.low:.4g}, {loss.high:.4g}]"
    )
    if out is None:
        say(text.rstrip())
    else:
        atomic_text(out, text)
        same = "" if reading == Reading() else ", with the same options of the data"
        say(f"next: noisefold train {data} --config {out} --out RUN{same}")


def seconds_in(text: str, option: str) -> float:
    """Return the seconds of a time such as 90s, 30m, 2h or 1.5h; a bare number is of seconds.

    Raises
    ------
    ValueError
        If it is no such time.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|m|min|h|d)?\s*", text.lower())
    if found is None or float(found[1]) <= 0:
        raise ValueError(f"{option} must be a time such as 90s, 30m or 2h, got {text!r}.")
    return float(found[1]) * _UNITS[found[2] or "s"]
