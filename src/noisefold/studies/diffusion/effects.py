"""Effect sizes with intervals over seeds, from the rows of the factorial design.

Unbounded measures are compared on a logarithmic scale: det and w2 in doublings (log2), clipped at 2^10 up and
down, since diverged trajectories end anywhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.studies.diffusion.factorial import ORACLE
from noisefold.studies.diffusion.measures import MEASURES, RATIOS
from noisefold.studies.diffusion.samplers import SAMPLERS
from noisefold.studies.kit.statistics import digits, interval

__all__ = ["FACTORS", "SCALED", "find", "noise_effects", "sampler_effects", "shares"]

FACTORS = ("target", "sampler", "noise", "schedule", "start")
SCALED = {"det": "log2 det", "w2": "log2 w2"}
_CUT = 10.0

Row = dict[str, Any]


def find(rows: Sequence[Row], **wanted: str) -> Row:
    """Return the row with these factors.

    Raises
    ------
    LookupError
        If there is none.
    """
    for row in rows:
        if all(row[key] == value for key, value in wanted.items()):
            return row
    raise LookupError(f"no row has {wanted}.")


def _values(row: Row, measure: str) -> list[float]:
    return [math.nan if v is None else v for v in row[measure]]


def _scaled(row: Row, measure: str) -> NDArray[np.float64]:
    """Return a measure's values by seed on the scale it is compared on; missing ones at its end."""
    values = _values(row, measure)
    if measure not in SCALED:
        return np.array([1.0 if math.isnan(v) and measure == "balance" else np.nan_to_num(v) for v in values])
    logs = [_CUT if math.isnan(v) else math.log2(max(v, 1e-300)) for v in values]
    return np.asarray(np.clip(logs, -_CUT, _CUT))


def noise_effects(rows: Sequence[Row]) -> list[Row]:
    """Return paired differences of each kind of noise from random noise (Q1).

    A difference is taken between trials that are otherwise equal and averaged over the design; its interval
    is over seeds. The margin is the variation by seeds alone: the mean over the design of the standard
    deviation over seeds. Kinds are equivalent if the whole interval lies within the margin.
    """
    learnt = [r for r in rows if r["target"] != ORACLE]
    base = [r for r in learnt if r["noise"] == "gaussian"]
    out = []
    others = [kind for kind in dict.fromkeys(r["noise"] for r in learnt) if kind != "gaussian"]
    for kind, measure in product(others, MEASURES):
        gaps, spreads = [], []
        for row in base:
            other = find(learnt, **{**{f: row[f] for f in FACTORS}, "noise": kind})
            gaps.append(_scaled(other, measure) - _scaled(row, measure))
            spreads.append(float(_scaled(row, measure).std(ddof=1)) if len(row[measure]) > 1 else math.nan)
        told = interval(np.stack(gaps).mean(0).tolist())
        margin = statistics.fmean(spreads)
        within = -margin <= told.low and told.high <= margin
        name = SCALED.get(measure, measure)
        out.append(
            {"noise": kind, "measure": name, **told.plain(), "margin": digits(margin), "equivalent": within}
        )
    return out


def shares(rows: Sequence[Row]) -> list[Row]:
    """Return the share of each measure's variance over the design that each factor explains (Q2).

    The design is balanced, so that main effects, interactions and seeds add up to 1. Intervals are those of
    the shares found with one seed left out at a time (jackknife).
    """
    learnt = [r for r in rows if r["target"] != ORACLE]
    levels = {f: list(dict.fromkeys(r[f] for r in learnt)) for f in FACTORS}
    shape = tuple(len(v) for v in levels.values())
    out = []
    for measure in MEASURES:
        table = np.empty((*shape, len(learnt[0][measure])))
        for row in learnt:
            table[tuple(levels[f].index(row[f]) for f in FACTORS)] = _scaled(row, measure)
        whole = _decomposed(table)
        count = table.shape[-1]
        row = {"measure": SCALED.get(measure, measure)}
        for name, value in whole.items():
            entry: dict[str, float | None] = {"share": digits(value, 3)}
            if count > 2:
                left = np.array([_decomposed(np.delete(table, i, -1))[name] for i in range(count)])
                entry["error"] = digits(float(np.sqrt((count - 1) * left.var())), 2)
            row[name] = entry
        out.append(row)
    return out


def _decomposed(table: NDArray[np.float64]) -> dict[str, float]:
    """Return the shares of the sum of squares: factors, two interactions, the other ones, seeds."""
    axes = range(len(FACTORS))
    grand = table.mean()
    total = float(((table - grand) ** 2).mean()) or 1.0

    def of(*kept: int) -> NDArray[np.float64]:
        left = tuple(a for a in (*axes, len(FACTORS)) if a not in kept)
        return np.asarray(table.mean(axis=left, keepdims=True))

    main = {name: float(((of(a) - grand) ** 2).mean()) / total for a, name in enumerate(FACTORS)}
    pairs = {}
    for a, b in ((0, 1), (1, 4)):
        joint = of(a, b) - of(a) - of(b) + grand
        pairs[f"{FACTORS[a]} x {FACTORS[b]}"] = float((joint**2).mean()) / total
    design = float(((table.mean(-1) - grand) ** 2).mean()) / total
    rest = design - sum(main.values()) - sum(pairs.values())
    return {**main, **pairs, "other interactions": rest, "seeds": 1 - design}


def sampler_effects(rows: Sequence[Row], noise: str = "gaussian", schedule: str = "cosine") -> list[Row]:
    """Return every measure by target (or the oracle), sampler and start, with intervals over seeds (Q2)."""
    out = []
    for row in rows:
        if row["noise"] == noise and row["schedule"] == schedule:
            told = {}
            for m in MEASURES:
                told[m] = interval(_values(row, m), ratio=m in RATIOS).plain()
            out.append({key: row[key] for key in ("target", "sampler", "start")} | told)
    return sorted(
        out, key=lambda r: (r["start"] != "normal", r["target"] != ORACLE, SAMPLERS.index(r["sampler"]))
    )
