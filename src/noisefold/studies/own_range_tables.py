"""What the study of a user's own range says: the table, what to know first, and the lines to train with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from noisefold.configuration import decode
from noisefold.studies.own_range import ALONE, FIXED, OWN, PAPER, WIDE, interval_of, net_of, stem_of

__all__ = ["flat", "lines_to_use", "table", "warnings"]

_NAMES = (OWN, PAPER, FIXED, WIDE, ALONE)
_FLAT = """**Nothing to follow.** Neighbours have {:.0f} % of the variance in common by their distance, too
little to ask for more than the range of clean data at any level. If that is a surprise: do graphs, groups
or stages lie over each other in one space? The fitted length means nothing then."""
_OPEN = """**The length is not determined**: its interval is open, since the data do not reach far enough,
or not near enough, to tell it. The schedule is one of many that fit as well."""
_PLACES = """**Positions are noised, and there the theory does not hold**: half the mean squared difference
of two places is a parabola of their distance whatever the shapes, no correlation of a field. The narrow
interval says only that all shapes agree on the parabola. On chairs such a schedule lost to the coarsest
fixed one by .016 ± .004 of a loss of 1.47 (study schedules)."""
_START = """**It is a start, not a promise.** On the limb bud such a schedule tied the best fixed one (+.014
± .026 of a loss of .89) and beat every other by .09 to .18 (study schedules); on chairs, where positions
are noised, it lost by .016."""
_NEEDS = """**It needs `nn.DMP`**, the network that follows a schedule, in the place of the one that
`noisefold train` takes by itself. Train the fixed one beside it, with `-o net.kind=nn.DMP -o
net.adaptive.kind=adaptive.Fixed`, and compare the held-out losses. The theory is of plain sums; a network
weighs its neighbours."""
_COLUMNS = """For graphs of {} nodes. Neighbours: how many, the node among them, tell most (in brackets the
fewest and the most over the interval of the length). Range and resolution: what follows, on the budget of
all schedules; messages reach range x nodes / resolution."""
_EXPLAINS = """Explains: share of the clean variance that the plain sum over the nodes in reach explains.
Where a node alone explains more, its neighbours are of no use to a sum; a network, which also sees the node
itself, need not lose by them."""


def flat(result: Mapping[str, Any]) -> bool:
    """Whether the schedule is the same at every level: neighbours tell too little for a longer range."""
    return len({tuple(row["levels"][OWN]) for row in result["levels"]}) == 1


def lines_to_use(result: Mapping[str, Any], source: str, config: Path) -> tuple[str, str, str]:
    """The schedule as Python, as a command with the file, and as a command alone; a line each."""
    given, schedule = result["dimensions"], decode(result["schedule"])
    out = given["features"] if result["variable"] == "x" else given["pos_dim"]
    sizes = ", ".join(f"{k}={v}" for k, v in {**given, "out_dim": out}.items())
    table = f"{tuple(schedule.log_snr)}, {tuple(schedule.share)}"
    python = f"net = nf.nn.DMP({sizes}, adaptive=nf.adaptive.Information({table}))"
    train = shlex.join(["noisefold", "train", source, "--out", f"runs/{stem_of(source)}"])
    part = yaml.safe_dump(net_of(result), default_flow_style=True, width=10**9).strip()
    return (
        python,
        f"{train} --config {shlex.quote(str(config))}",
        f"{train} -o {shlex.quote(f'net={part}')}",
    )


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What to know before following the schedule, a paragraph each."""
    fit, said = result["fit"], []
    if flat(result):
        said.append(_FLAT.format(100 * fit["shared"]))
    elif fit["low"] is None or fit["high"] is None:
        said.append(_OPEN)
    said += [_PLACES if result["variable"] == "pos" else _START, _NEEDS]
    return [_line(text) for text in said]


def _line(text: str) -> str:
    return " ".join(text.split())


def table(result: Mapping[str, Any], source: str, config: Path) -> str:
    """Markdown: correlation, ranges by level, comparisons, warnings, and the lines to use."""
    fit, what = result["fit"], "positions" if result["variable"] == "pos" else "features"
    lines = [
        f"Data: {source}, {result['data']}; {what} are noised.",
        "",
        f"Correlation: {fit['family']}, length {interval_of(fit)} (95 %) in the unit of the "
        f"positions; shared by distance {fit['shared']:.2f}, each node's own {fit['own']:.2f}, common to a "
        f"graph {fit['floor']:.2f}; residual {fit['residual']:.3f} of the variance.",
        "",
        _line(_COLUMNS.format(result["nodes"])),
        "",
        _row("signal", "SNR", "neighbours", "range", "resolution", *(f"{n}: explains" for n in _NAMES)),
        _row(*["---"] * (5 + len(_NAMES))),
    ]
    for row in result["levels"]:
        lines.append(
            _row(
                f"{row['signal']:g}",
                f"{row['snr']:.2g}",
                f"{row['neighbours']:.0f} [{row['low']:.0f}, {row['high']:.0f}]",
                *(str(v) for v in row["levels"][OWN]),
                *(f"{100 * row['explained'][name]:.1f} %" for name in _NAMES),
            )
        )
    means = [sum(r["explained"][n] for r in result["levels"]) / len(result["levels"]) for n in _NAMES]
    lines.append(_row("mean", "", "", "", "", *(f"{100 * m:.1f} %" for m in means)))
    lines += ["", _line(_EXPLAINS), ""]
    lines += [f"- {said}" for said in warnings(result)]
    python, filed, alone = lines_to_use(result, source, config)
    lines += ["", "To train with it:", "", "```console", f"$ {filed}", "```", "", "or without the file:", ""]
    lines += ["```console", f"$ {alone}", "```", "", "or in Python:", "", "```python", python, "```"]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
