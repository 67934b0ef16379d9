r"""How far and how coarsely to look on a user's own data, at each level of noise.

The variogram of the data gives a correlation; the correlation gives the information that the sum over the k
nearest noisy nodes holds on a node's clean value, and so the k of the greatest information
(`noisefold.theory`). Beside the schedule of these k stand the paper's, two fixed ones of the same budget, and
a node alone: each is measured by the share of the clean variance which the sum over the nodes it reaches
explains,

.. math:: 1 - e^{-2 I(k)}, \qquad k = r N / s,

a mean over nodes. This is the theory of plain sums, and no promise for a trained network.

The data are those that ``noisefold train`` learns from: nine tenths of the graphs; of a tissue its training
cells, in the units the network sees. A tissue is cut into patches that do not overlap, so that intervals are
not made narrow by counting cells twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from noisefold.configuration import encode
from noisefold.data.source import HELD_OUT, DataSource
from noisefold.data.tissue import Expression
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.domains import Request, domain_of
from noisefold.files import atomic_text
from noisefold.geometry import Graphs
from noisefold.geometry.correlation import Correlation, Nested
from noisefold.geometry.correlation_fit import Fit
from noisefold.geometry.variogram import Variogram
from noisefold.nn.adaptive import Exponential, Fixed, Information
from noisefold.nn.adaptive.schedule import Schedule
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.experiment import Result, Run
from noisefold.studies.neighbors import range_of_data_report as report
from noisefold.studies.neighbors.range_of_data_report import ALONE, FIXED, OWN, PAPER, WIDE
from noisefold.theory import fit_correlation, point_information, variogram

__all__ = ["SIGNALS", "graphs_of", "make", "measure", "stem_of"]

SIGNALS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_GRAPHS, _NODES, _MOST, _LADDER = 8, 128, 128, 48
_TRIED = 5  # lengths within the interval: the best k need not rise with the length


def make(run: Run[Any], source: str, centres: int) -> list[Path]:
    """Measure a file, a folder, a pattern, or "shapes" for procedural ones, and write the files."""
    result = measure(graphs_of(DataSource(source), run.seed), centres, run.seed)
    config = run.out / f"{run.scale}.yaml"
    table = report.table(result, source, config)
    files = run.write({"source": source, "seed": run.seed, **result}, table, report.figure(result))
    atomic_text(config, yaml.safe_dump({"net": report.net_of(result)}, sort_keys=False))
    return [*files, config]


def stem_of(source: str) -> str:
    """Return the name of a data set, for its folders."""
    return slug(Path(re.split(r"[*?[]", source)[0]).stem) or "data"


def graphs_of(source: DataSource, seed: int) -> Graphs:
    """Return what `noisefold train` would learn from, in the units that its network sees but for a scale."""
    train = source.divided(HELD_OUT, seed)[0]
    if not isinstance(train.modality, SpatialTranscriptomics):
        return train
    transform = Expression.fit(train, train.modality.values)
    return transform.apply(train.modality.patches(train, 0.0)).replace(modality=None)


def measure(graphs: Graphs, centres: int, seed: int = 0) -> Result:
    """Return variogram, correlation, schedule, and the variance that each schedule explains.

    Parameters
    ----------
    graphs
        The data.
    centres
        Nodes from which the variogram is measured.
    seed
        Of the choice of nodes and graphs.

    Returns
    -------
    dict
        Plain data: ``variogram`` and ``fit`` with 95 % intervals, lengths in the unit of the positions;
        ``schedule`` as a configuration; ``nodes`` N, for which ``levels`` has a row for each signal level:
        ``snr``, ``neighbours`` (the k of the greatest information, with the least and the greatest over the
        interval of the length, ``low`` and ``high``), and by schedule ``levels`` [range, resolution] and
        ``explained``.

    Raises
    ------
    ValueError
        If the data have no values that vary, or too few nodes to see a correlation.
    """
    variable = "pos" if graphs.x is None else "x"
    measured = variogram(graphs, variable, centres=centres, seed=seed)
    fit = fit_correlation(measured)
    schedule = Information.from_correlation(fit.correlation, graphs, seed=seed)
    whole = int(graphs.sizes.double().median())
    nodes = min(whole, domain_of(graphs).recipe(graphs, Request()).plan["training"]["nodes"] or whole)
    coarsest, one_to_one = Exponential()(0.0, nodes), Exponential()(1.0, nodes)
    schedules: dict[str, Schedule] = {
        OWN: schedule,
        PAPER: Exponential(),
        FIXED: Fixed(*one_to_one),
        WIDE: Fixed(*coarsest),
    }
    clouds = _clouds(graphs, nodes, seed)
    best, explained = _explained(fit.correlation, clouds, schedules)
    others = [_explained(c, clouds, {})[0] for c in _within(fit, measured)]
    rows = []
    for i, u in enumerate(SIGNALS):
        span = [best[i], *(shares[i] for shares in others)]
        rows.append(
            {
                "signal": u,
                "snr": (u / (1 - u)) ** 2,
                "neighbours": round(best[i] * nodes, 1),
                "low": round(min(span) * nodes, 1),
                "high": round(max(span) * nodes, 1),
                "levels": {name: list(one(u, nodes)) for name, one in schedules.items()},
                "explained": {name: shares[i] for name, shares in explained.items()},
            }
        )
    return {
        "data": str(graphs),
        "variable": variable,
        "nodes": nodes,
        "dimensions": {"pos_dim": graphs.dim, "features": graphs.features},
        "variogram": {
            key: getattr(measured, key).tolist() for key in ("distance", "value", "low", "high", "pairs")
        },
        "fit": _plain(fit),
        "schedule": encode(schedule),
        "levels": rows,
    }


def _plain(fit: Fit) -> Result:
    """Return a fit as plain data; an end of the interval that is open is None."""
    c = fit.correlation
    return {
        "family": fit.family,
        "length": fit.length,
        "low": fit.low if fit.low > 0 else None,
        "high": fit.high if math.isfinite(fit.high) else None,
        "correlation": encode(c),
        "shared": c.share,
        "own": 1 - c.share - c.floor,
        "floor": c.floor,
        "residual": fit.residual,
        "residuals": fit.residuals,
    }


def _within(fit: Fit, measured: Variogram) -> list[Nested]:
    """Return correlations for lengths within the interval, all else as fitted; open ends are cut off."""
    low = max(fit.low, float(measured.distance[0]) / 3)
    high = min(fit.high, float(measured.distance[-1]) * 3)
    lengths = [low * (high / low) ** (i / (_TRIED - 1)) for i in range(_TRIED)]
    bases = [replace(fit.correlation.base, length=length) for length in lengths]  # type: ignore[type-var]
    return [replace(fit.correlation, base=base) for base in bases]


def _clouds(graphs: Graphs, nodes: int, seed: int) -> list[Tensor]:
    """Return positions of at most eight graphs, of at most so many nodes each, as training has them."""
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randperm(len(graphs), generator=generator)[:_GRAPHS].sort().values.tolist()
    clouds = [graphs.pos[graphs.ptr[i] : graphs.ptr[i + 1]] for i in pick]
    return [pos[torch.randperm(len(pos), generator=generator)[:nodes]] for pos in clouds]


def _explained(
    correlation: Correlation, clouds: list[Tensor], schedules: Mapping[str, Schedule]
) -> tuple[list[float], dict[str, list[float]]]:
    """Return the best share of the nodes at each level, and the variance that each schedule explains."""
    signal = torch.tensor(SIGNALS, dtype=torch.float64)
    snr = (signal / (1 - signal)) ** 2
    ladder = torch.logspace(-math.log10(max(map(len, clouds))), 0, _LADDER, dtype=torch.float64)
    total = torch.zeros(len(snr), _LADDER, dtype=torch.float64)
    explained = {name: torch.zeros(len(snr), dtype=torch.float64) for name in (*schedules, ALONE)}
    for pos in clouds:
        n = len(pos)
        reached = {ALONE: torch.ones(len(snr), dtype=torch.int64)}
        for name, one in schedules.items():
            r, s = one(signal, n)
            reached[name] = (r * n / s).round().long().clamp(1, n)
        steps = (ladder * n).round().long().clamp(min=1)
        counts = torch.cat([steps, *reached.values()]).unique()
        some = torch.arange(n)[:: max(1, n * len(clouds) // _NODES)]
        told = point_information(correlation, pos, snr, counts=counts, nodes=some, most=_MOST)
        total += told.mean(0)[:, torch.searchsorted(counts, steps)]
        for name, k in reached.items():
            at = told[:, torch.arange(len(snr)), torch.searchsorted(counts, k)]
            explained[name] -= torch.expm1(-2 * at).mean(0) / len(clouds)
    return ladder[total.argmax(1)].tolist(), {name: shares.tolist() for name, shares in explained.items()}
