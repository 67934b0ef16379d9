r"""Scores of posterior draws: are they sharp, and is their spread right?

The draws are of values that were unknown to who drew them. Their CRPS and energy score
(`noisefold.eval.scoring_rules`) judge sharpness and spread at once. A central interval at level L is
*calibrated* if it holds the truth in a share L of cases; of two calibrated predictions the one with narrow
intervals is better.

Errors are those of a delete-a-group jackknife, because values of one graph go wrong together. The groups are
graphs, or blocks of neighbouring cells where there are few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.eval.scoring_rules import crps_sorted, energy_score, interval_of, ranks_of
from noisefold.geometry import Balanced, Graphs
from noisefold.geometry.variogram import half_width

__all__ = ["PosteriorScores", "score_posterior", "tabulate"]

_GROUPS = 20
_BINS = 20
_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class PosteriorScores:
    """Scores of posterior draws, with what is needed to compare them with those of others.

    Parameters
    ----------
    metrics
        CRPS, energy, RMSE (of the mean of the draws), and for each level the coverage ("cover 90 %") and the
        mean width ("width 90 %") of its central intervals.
    scores
        Their values with 95 % intervals.
    features
        The same, but energy, for each feature alone, ``[f]``; NaN where a feature has no unknown value.
    ranks
        Share of truths in each of 20 equal parts of rank among the draws, ``[20]``; all .05 if calibrated.
    sums
        For each group and metric the sum over its unknown values, ``[groups, metrics + 2]``; the last column
        counts values, the last but one the vectors of the energy score.
    names
        Names of the features, or empty.
    draws
        Number of draws.
    """

    metrics: tuple[Metric, ...]
    scores: Mapping[str, Score]
    features: Mapping[str, Tensor]
    ranks: Tensor
    sums: Tensor
    names: tuple[str, ...]
    draws: int

    def __getitem__(self, name: str) -> Score:
        if name not in self.scores:
            raise KeyError(f"there is no score {name!r}; there are {', '.join(self.scores)}.")
        return self.scores[name]

    def __str__(self) -> str:
        return str(tabulate({"draws": self}))

    @property
    def values(self) -> int:
        """Number of the unknown values that were scored."""
        return int(self.sums[:, -1].sum())

    @property
    def curve(self) -> tuple[Tensor, Tensor]:
        """Levels 0.1, 0.2, ..., 1 and the share of truths in the central interval of each, from the ranks."""
        half = _BINS // 2
        folded = self.ranks[:half].flip(0) + self.ranks[half:]
        return torch.arange(1, half + 1, dtype=torch.float64) / half, folded.cumsum(0)

    def minus(self, other: PosteriorScores, name: str) -> Score:
        """Return the difference to the score of other draws for the same truths, with its 95 % interval.

        Errors that both make together cancel, so that this interval is narrower than those of the two scores.

        Raises
        ------
        ValueError
            If the two do not score the same values in the same groups.
        """
        same = self.metrics == other.metrics and self.sums.shape == other.sums.shape
        if not same or not torch.equal(self.sums[:, -2:], other.sums[:, -2:]):
            raise ValueError(
                "other must score the same unknown values, in the same groups, by these metrics."
            )
        self[name]
        k = list(self.scores).index(name)
        value, parts = (
            _value(f(self.sums), k, name) - _value(f(other.sums), k, name)
            for f in (lambda sums: sums.sum(0), _left_out)
        )
        reach = float(half_width(parts[:, None]))
        return Score(float(value), float(value) - reach, float(value) + reach)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; NaN becomes None."""
        return {
            "draws": self.draws,
            "values": self.values,
            "scores": {k: asdict(s) for k, s in self.scores.items()},
            "units": {m.name: m.unit for m in self.metrics},
            "ranks": self.ranks.tolist(),
            "names": list(self.names),
            "features": {
                k: [None if math.isnan(v) else v for v in t.tolist()] for k, t in self.features.items()
            },
        }


def score_posterior(
    draws: Tensor,
    truth: Tensor,
    known: Tensor,
    graphs: Graphs,
    *,
    levels: Sequence[float] = (0.5, 0.9),
    scale: Tensor | None = None,
    names: Sequence[str] = (),
    unit: str = "",
    seed: int = 0,
) -> PosteriorScores:
    """Score draws of what was unknown against the truth.

    Parameters
    ----------
    draws
        ``[m, n, f]``, at least 2, such as `Completion.values`.
    truth
        ``[n, f]``.
    known
        Which nodes ``[n]`` or entries ``[n, f]`` were given; only the others are scored.
    graphs
        The graphs whose nodes these are. They are the groups of the jackknife and the vectors of the energy
        score; where fewer than 20 have unknown values, blocks of neighbouring nodes are, 20 at least.
    levels
        Of the central intervals.
    scale
        Divide each feature by this, ``[f]``: standard deviations make features comparable.
    names
        Names of the features.
    unit
        Name of the unit of the (divided) values, for tables.
    seed
        Of the order of ties in ranks.

    Raises
    ------
    ValueError
        If shapes do not fit, nothing is unknown, values are not finite, or draws are too few for a level.
    """
    mask = _unknown(draws, truth, known, graphs)
    group = _groups(graphs, mask.any(1))
    metrics = _metrics(levels, unit)
    divisor = torch.ones(truth.shape[1]) if scale is None else scale.detach().cpu()
    row, column = mask.nonzero(as_tuple=True)
    order = group[row].argsort(stable=True)
    row, column = row[order], column[order]
    count, features = int(group.max()) + 1, truth.shape[1]
    sums = torch.zeros(count, len(metrics) + 2, dtype=torch.float64)
    by_feature = torch.zeros(features, len(metrics) + 2, dtype=torch.float64)
    ranks = torch.zeros(_BINS, dtype=torch.float64)
    sample, target = draws.detach().cpu(), truth.detach().cpu()
    step = max(1, _BLOCK // len(draws))
    for part, start in enumerate(range(0, len(row), step)):
        i, j = row[start : start + step], column[start : start + step]
        x, y = sample[:, i, j].double() / divisor[j], target[i, j].double() / divisor[j]
        terms = _terms(x, y, levels)
        sums.index_add_(0, group[i], terms)
        by_feature.index_add_(0, j, terms)
        place = (ranks_of(x, y, seed + part) * _BINS).long().clamp(max=_BINS - 1)
        ranks += torch.bincount(place, minlength=_BINS)
    ends = torch.bincount(group[row], minlength=count).cumsum(0).tolist()
    for g, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        i, j = row[start:end], column[start:end]
        sums[g, 1] = energy_score(sample[:, i, j].double() / divisor[j], target[i, j].double() / divisor[j])
    sums[:, -2] = 1
    return PosteriorScores(
        metrics,
        {m.name: _score(sums, k, m) for k, m in enumerate(metrics)},
        {m.name: _value(by_feature, k, m.name) for k, m in enumerate(metrics) if m.name != "energy"},
        ranks / len(row),
        sums,
        tuple(names),
        len(draws),
    )


def tabulate(rows: Mapping[str, PosteriorScores], about: Mapping[str, str] | None = None) -> Scores:
    """Return one table of the scores of several predictions for the same unknown values.

    Raises
    ------
    ValueError
        If they do not have the same metrics.
    """
    first = next(iter(rows.values()))
    if any(s.metrics != first.metrics for s in rows.values()):
        raise ValueError("rows must have the same levels and units, to stand in one table.")
    note = f"{first.values} unknown values; {', '.join(f'{n}: {s.draws} draws' for n, s in rows.items())}."
    return Scores(first.metrics, {n: s.scores for n, s in rows.items()}, about or {}, note)


def _metrics(levels: Sequence[float], unit: str) -> tuple[Metric, ...]:
    """Return the columns, in the order of `_terms`."""
    crps_ = (
        "Continuous ranked probability score: the mean error of the draws, less what their spread excuses."
    )
    energy_ = (
        "Energy score of all unknown values of a graph or block together: sees whether draws hang together."
    )
    out = [
        Metric("CRPS", "lower", crps_, unit, (-math.inf, math.inf)),
        Metric("energy", "lower", energy_, unit, (-math.inf, math.inf)),
        Metric("RMSE", "lower", "Root mean square error of the mean of the draws.", unit),
    ]
    for level in levels:
        name = f"{100 * level:.3g} %"
        text = f"Share of truths in the central {name} interval of the draws."
        out.append(Metric(f"cover {name}", level, text, bounds=(0.0, 1.0)))
        text = (
            f"Mean width of the central {name} interval: of two that cover as they should, the narrower wins."
        )
        out.append(Metric(f"width {name}", "lower", text, unit))
    return tuple(out)


def _terms(x: Tensor, y: Tensor, levels: Sequence[float]) -> Tensor:
    """Return what each value adds to the sums, ``[values, metrics + 2]``; energy and its count stay 0."""
    ordered = x.sort(0).values
    zero = torch.zeros_like(y)
    columns = [crps_sorted(ordered, y), zero, (ordered.mean(0) - y).square()]
    for level in levels:
        low, high = interval_of(ordered, level)
        columns += [((low <= y) & (y <= high)).double(), high - low]
    return torch.stack([*columns, zero, torch.ones_like(y)], 1)


def _value(sums: Tensor, k: int, name: str) -> Tensor:
    """Return the metric from sums ``[..., metrics + 2]``."""
    mean = sums[..., k] / sums[..., -2 if name == "energy" else -1]
    return mean.clamp(min=0).sqrt() if name == "RMSE" else mean


def _left_out(sums: Tensor) -> Tensor:
    """Return the sums of all groups but one, ``[groups, metrics + 2]``."""
    return sums.sum(0) - sums


def _score(sums: Tensor, k: int, metric: Metric) -> Score:
    value = float(_value(sums.sum(0), k, metric.name))
    if len(sums) < 2:
        return Score(value)
    reach = float(half_width(_value(_left_out(sums), k, metric.name)[:, None]))
    return Score(
        value, min(max(value - reach, metric.bounds[0]), value), min(value + reach, metric.bounds[1])
    )


def _unknown(draws: Tensor, truth: Tensor, known: Tensor, graphs: Graphs) -> Tensor:
    """Return the mask of what is scored, ``[n, f]``."""
    shape = tuple(truth.shape)
    if truth.ndim != 2 or draws.ndim != 3 or tuple(draws.shape[1:]) != shape or len(draws) < 2:
        raise ValueError(
            f"draws must be [m, n, f], m >= 2, and truth [n, f]; got {list(draws.shape)} and {list(shape)}."
        )
    if known.dtype != torch.bool or tuple(known.shape) not in (shape[:1], shape):
        raise ValueError(f"known must be bool {list(shape[:1])} or {list(shape)}, got {list(known.shape)}.")
    if graphs.num_nodes != shape[0]:
        raise ValueError(f"graphs must have the {shape[0]} nodes of truth, got {graphs.num_nodes}.")
    mask = ~known.cpu()
    mask = mask if mask.ndim == 2 else mask[:, None].expand(shape).clone()
    if not bool(mask.any()):
        raise ValueError("known says that nothing was unknown; there is nothing to score.")
    for name, values in (("draws", draws), ("truth", truth[None])):
        if not bool(values.isfinite().all(0).cpu()[mask].all()):
            raise ValueError(f"{name} must be finite where values are unknown; mark others as known.")
    return mask


def _groups(graphs: Graphs, chosen: Tensor) -> Tensor:
    """Return the group of each chosen node, 0, 1, ..., ``[n]``: its graph, or a block of its graph."""
    batch = graphs.batch.cpu()
    mine = batch[chosen].unique(return_inverse=True)[1]
    many = int(mine.max()) + 1
    if many < _GROUPS:
        ptr = torch.cat([mine.new_zeros(1), torch.bincount(mine).cumsum(0)])
        cells = Balanced()(graphs.pos.detach().cpu()[chosen], ptr, -(-_GROUPS // many))
        mine = cells.assignment.unique(return_inverse=True)[1]
    group = torch.zeros_like(batch)
    group[chosen] = mine
    return group
