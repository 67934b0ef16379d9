r"""Tables of scores that say what they mean, and intervals for scores that compare two sets.

A score :math:`\theta` of n samples is itself random. Its interval is :math:`\theta \pm 1.96\,s`, with s from
the delete-half jackknife: over random halves of m = floor(n / 2) samples, drawn without replacement,

.. math:: s^2 = \frac{m}{n - m}\, \mathrm{Var}_{\text{halves}}\,[\theta_m].

The bootstrap must not be used here. It repeats samples, and a repeated sample has a neighbour at distance
zero (nearest-neighbour accuracy) and leaves others out (coverage, minimum matching distance). For two normal
samples in 2 and 6 dimensions, apart by 0 to 2.5 or of different width, n = 30 and 100, its 95 % interval of
1-NNA holds the expectation in 65 to 82 % of cases, a binomial one in 81 to 93 %, for these samples are not
independent, and random halves hold 1-NNA, coverage and MMD in 92 to 99 %. Halves are exact for means and err
on the wide side, by up to 40 %, for statistics of nearest neighbours.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.geometry.notebook import data_frame, table_html

__all__ = ["Metric", "Score", "Scores", "half_sampled", "share_score"]


@dataclass(frozen=True)
class Metric:
    """What a score measures.

    Parameters
    ----------
    name
        Short name, the head of its column.
    best
        What is good: ``"higher"``, ``"lower"``, or the number a perfect model comes nearest to.
    meaning
        One sentence: what is measured, and what a good value says.
    unit
        Unit of the value; empty for a share or a pure number.
    bounds
        Smallest and largest value possible; intervals are cut to it.

    Raises
    ------
    ValueError
        If `best` is none of the above, or the bounds are not in order.
    """

    name: str
    best: str | float
    meaning: str
    unit: str = ""
    bounds: tuple[float, float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        if isinstance(self.best, str) and self.best not in ("higher", "lower"):
            raise ValueError(f"best must be 'higher', 'lower' or a number, got {self.best!r}.")
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds must be (smaller, larger), got {self.bounds}.")

    @property
    def direction(self) -> str:
        """``"higher"``, ``"lower"`` or, for instance, ``"near 0.5"``."""
        return self.best if isinstance(self.best, str) else f"near {self.best:g}"


@dataclass(frozen=True)
class Score:
    """A value with its 95 % interval; without `low` and `high`, a value known exactly.

    Raises
    ------
    ValueError
        If only one end is given, or the value lies outside its interval.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"low and high must be given together, got {self.low} and {self.high}.")
        if self.low is not None and self.high is not None and not self._holds(self.low, self.high):
            raise ValueError(f"value must lie in its interval, got {self.value}, [{self.low}, {self.high}].")

    def _holds(self, low: float, high: float) -> bool:
        return math.isnan(self.value) or low <= self.value <= high

    def __float__(self) -> float:
        return self.value

    def format(self, decimals: int = 3) -> str:
        """Return ``value [low, high]`` with this many decimals."""
        value = f"{self.value:.{decimals}f}"
        if self.low is None or self.high is None:
            return value
        return f"{value} [{self.low:.{decimals}f}, {self.high:.{decimals}f}]"

    def __str__(self) -> str:
        return self.format()


@dataclass(frozen=True)
class Scores:
    """A table of scores: rows (a model, its references) by metrics.

    ``scores["model", "MMD-CD"]`` is one `Score`, ``scores["model"]`` a row; ``print(scores)`` shows the table
    and says what every row and column means.

    Parameters
    ----------
    metrics
        The columns.
    table
        For each row, the scores by name of metric; a cell may be missing.
    about
        For each row, what it is, in one sentence.
    note
        What holds for the whole table, such as the unit of length.

    Raises
    ------
    ValueError
        If two metrics share a name, or a row has a score of an unknown metric.
    """

    metrics: tuple[Metric, ...]
    table: Mapping[str, Mapping[str, Score]]
    about: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        names = [m.name for m in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"metrics must have different names, got {', '.join(names)}.")
        for row, cells in self.table.items():
            for name in cells:
                if name not in names:
                    raise ValueError(f"row {row!r} has a score {name!r}; the metrics are {', '.join(names)}.")
        for row in self.about:
            if row not in self.table:
                raise ValueError(f"about names a row {row!r}; the rows are {', '.join(self.table)}.")

    # -- what it holds ---------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, in order."""
        return tuple(self.table)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the metrics, in order."""
        return tuple(m.name for m in self.metrics)

    @overload
    def __getitem__(self, key: str) -> Mapping[str, Score]: ...
    @overload
    def __getitem__(self, key: tuple[str, str]) -> Score: ...
    def __getitem__(self, key: str | tuple[str, str]) -> Mapping[str, Score] | Score:
        row = key if isinstance(key, str) else key[0]
        if row not in self.table:
            raise KeyError(f"row {row!r} does not exist; there are {', '.join(self.rows)}.")
        cells = self.table[row]
        if isinstance(key, str):
            return cells
        if key[1] not in cells:
            raise KeyError(f"row {row!r} has no score {key[1]!r}; it has {', '.join(cells)}.")
        return cells[key[1]]

    # -- showing ---------------------------------------------------------------------------------------

    def decimals(self, name: str) -> int:
        """Return the decimals that show two digits of the typical half-width, at most six.

        Without intervals, they show three digits of the smallest value.
        """
        cells = [row[name] for row in self.table.values() if name in row]
        widths = [(c.high - c.low) / 2 for c in cells if c.low is not None and c.high is not None]
        positive = sorted(w for w in widths if w > 0)
        if positive:
            digits, scale = 1, positive[(len(positive) - 1) // 2]
        else:
            values = [abs(c.value) for c in cells if c.value != 0 and math.isfinite(c.value)]
            digits, scale = 2, min(values, default=1.0)
        return min(max(digits - math.floor(math.log10(scale)), 0), 6)

    def _column(self, name: str) -> list[str]:
        decimals = self.decimals(name)
        return [row[name].format(decimals) if name in row else "-" for row in self.table.values()]

    def _legend(self) -> list[tuple[str, str]]:
        columns = [
            (m.name, f"{m.meaning} Best: {m.direction}." + (f" Unit: {m.unit}." if m.unit else ""))
            for m in self.metrics
        ]
        return [*self.about.items(), *columns]

    def _notes(self) -> list[str]:
        return ["[low, high] is a 95 % interval.", *([self.note] if self.note else [])]

    def text(self, width: int = 110) -> str:
        """Return the table in lines of at most this many characters; columns that do not fit stand below."""
        names = ["", "best", *self.rows]
        blocks: list[list[list[str]]] = []
        for metric in self.metrics:
            column = _aligned([metric.name, metric.direction, *self._column(metric.name)])
            if not blocks or sum(len(c[0]) + 2 for c in blocks[-1]) + len(column[0]) > width:
                blocks.append([_aligned(names)])
            blocks[-1].append(column)
        lines = []
        for block in blocks:
            rules = ["  ".join("-" * len(c[0]) for c in block)]
            body = ["  ".join(cells) for cells in zip(*block, strict=True)]
            lines += [*body[:2], *rules, *body[2:], ""]
        legend = self._legend()
        pad = max((len(name) for name, _ in legend), default=0) + 2
        for name, sentence in legend:
            lines += textwrap.wrap(
                sentence, width, initial_indent=name.ljust(pad), subsequent_indent=" " * pad
            )
        return "\n".join(line.rstrip() for line in [*lines, *self._notes()])

    def __str__(self) -> str:
        return self.text()

    def markdown(self) -> str:
        """Return the table as GitHub Markdown, with the meanings as a list below it."""
        head = ["", *(f"{m.name} ({m.direction}{', ' + m.unit if m.unit else ''})" for m in self.metrics)]
        body = zip(self.rows, *(self._column(name) for name in self.columns), strict=True)
        table = ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body]]
        legend = [f"**{name}**: {sentence}" for name, sentence in self._legend()]
        return "\n".join([*table, "", *(f"- {line}" for line in [*legend, *self._notes()])])

    def _repr_html_(self) -> str:
        head = ["metric", "best", *self.rows]
        lines = [[m.name, m.direction, *self._column(m.name)] for m in self.metrics]
        return table_html("Scores", head, lines, [*(f"{k}: {v}" for k, v in self._legend()), *self._notes()])

    def to_pandas(self) -> Any:
        """Return a data frame with columns (metric, "value" | "low" | "high"); NaN where there is none.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        columns = {
            (name, part): [_cell(cells.get(name), part) for cells in self.table.values()]
            for name in self.columns
            for part in ("value", "low", "high")
        }
        return data_frame(columns, self.rows)

    # -- writing and reading ---------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; numbers that JSON does not know (inf, nan) become strings."""
        return {
            "note": self.note,
            "metrics": [
                {**asdict(m), "bounds": [_plain(b) for b in m.bounds], "best": m.best} for m in self.metrics
            ],
            "rows": {
                row: {
                    "about": self.about.get(row, ""),
                    "scores": {k: {a: _plain(b) for a, b in asdict(s).items()} for k, s in cells.items()},
                }
                for row, cells in self.table.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scores:
        """Return the table that `to_dict` wrote.

        Raises
        ------
        ValueError
            If a part is missing or unknown.
        """
        try:
            metrics = tuple(
                Metric(**{**m, "bounds": tuple(float(b) for b in m["bounds"])}) for m in data["metrics"]
            )
            table = {
                row: {
                    name: Score(float(s["value"]), _number(s["low"]), _number(s["high"]))
                    for name, s in part["scores"].items()
                }
                for row, part in data["rows"].items()
            }
            about = {row: part["about"] for row, part in data["rows"].items() if part.get("about")}
        except (KeyError, TypeError) as error:
            raise ValueError(f"data is not a table of scores written by Scores.to_dict ({error}).") from error
        return cls(metrics, table, about, data.get("note", ""))


def _cell(score: Score | None, part: str) -> float:
    value = None if score is None else getattr(score, part)
    return math.nan if value is None else float(value)


def _aligned(cells: Sequence[str]) -> list[str]:
    width = max(len(c) for c in cells)
    return [c.ljust(width) for c in cells]


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def half_sampled(
    statistic: Callable[..., float],
    sizes: Sequence[int],
    *,
    resamples: int = 200,
    seed: int = 0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Score:
    r"""Return a statistic of some samples with its 95 % interval from random halves (delete-half jackknife).

    Parameters
    ----------
    statistic
        Takes one int64 tensor of indices for each set, such as ``(rows_a, rows_b)``, and returns the score of
        these samples. It sees no index twice.
    sizes
        Number of samples of each set, at least 2 each and all equal.
    resamples
        Number of random halves; 0 gives no interval.
    seed
        Of the halves.
    bounds
        The interval is cut to this range.

    Returns
    -------
    Score
        The value on all samples, with :math:`\pm 1.96\,s` as in the module's text.

    Raises
    ------
    ValueError
        If the sizes differ, or there are too few samples or resamples.

    References
    ----------
    Shao and Wu, A general theory for jackknife variance estimation, Annals of Statistics 1989.
    """
    if len(set(sizes)) != 1 or sizes[0] < 2:
        raise ValueError(f"sizes must be equal and at least 2, got {tuple(sizes)}; cut the larger sets.")
    if resamples < 0 or resamples == 1:
        raise ValueError(f"resamples must be 0 or at least 2, got {resamples}.")
    n, m = sizes[0], sizes[0] // 2
    value = statistic(*(torch.arange(n) for _ in sizes))
    if resamples == 0:
        return Score(value)
    generator = torch.Generator().manual_seed(seed)

    def half() -> Tensor:
        return torch.randperm(n, generator=generator)[:m]

    draws = torch.tensor([statistic(*(half() for _ in sizes)) for _ in range(resamples)], dtype=torch.float64)
    reach = 1.96 * float(draws.std()) * math.sqrt(m / (n - m))
    if not math.isfinite(value) or not math.isfinite(reach):
        return Score(value)
    return Score(value, min(max(value - reach, bounds[0]), value), max(min(value + reach, bounds[1]), value))


def share_score(flags: Sequence[bool] | NDArray[np.bool_]) -> Score:
    r"""Return the share of flags with Wilson's 95 % interval.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927),
    https://doi.org/10.1080/01621459.1927.10502953.
    """
    n, p, z = len(flags), float(np.mean(flags)), 1.96
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Score(p, max(min(centre - reach, p), 0.0), min(max(centre + reach, p), 1.0))
