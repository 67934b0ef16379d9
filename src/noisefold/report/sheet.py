"""A sheet of panels with a common scale of length, and the ways to fill them with a field.

Panels are placed in inches, so that nothing overlaps whatever the shape of a tissue. Colours are read without
seeing red and green apart: viridis for values, cividis for spreads, purple to orange around zero for errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from noisefold.report.fields import Numbers, Places, limits_of

__all__ = ["DARK", "ERROR", "LIGHT", "SPREAD", "VALUE", "Paper", "Scale", "Sheet", "dressed"]

VALUE, SPREAD, ERROR = colormaps["viridis"], colormaps["cividis"], colormaps["PuOr_r"]
_WIDTH = 8.9
_WIDEST, _TALLEST, _FREE = 2.7, 2.7, 0.72
_LEFT, _RIGHT, _GAP, _BETWEEN, _HEAD, _FOOT, _BAR = 0.62, 0.1, 0.16, 0.2, 0.3, 0.46, 0.52
_SMALL, _TEXT, _LINE = 7.5, 8.5, 0.15
_DIGIT = 0.065  # inches
_SHRUNK = 0.35  # area of a blank dot: a small error is nearly as pale, and must not be taken for one


@dataclass(frozen=True)
class Paper:
    """Colours of a figure.

    Parameters
    ----------
    ground, ink, faint
        Of the paper, of text, of lines.
    blank
        Of nodes that have no value.
    first, second
        Of curves.
    """

    ground: str
    ink: str
    faint: str
    blank: str
    first: str
    second: str


LIGHT = Paper("#ffffff", "#333333", "#8a8a8a", "#dcdfe3", "#0072b2", "#c65102")
DARK = Paper("#181f28", "#e6ebf1", "#7d8a98", "#36414d", "#56b4e9", "#f39a4d")


@dataclass(frozen=True)
class Scale:
    """A colour scale.

    Parameters
    ----------
    colors
        The colour map.
    low, high
        Its ends.
    beyond
        Whether there are values below, above.
    """

    colors: Colormap
    low: float
    high: float
    beyond: tuple[bool, bool] = (False, False)

    @classmethod
    def of(cls, values: Numbers, shown: Numbers | None = None) -> Scale:
        """For values from their 1 % to their 99 % quantile; `shown` is all that is to be drawn with it."""
        low, high = limits_of(values)
        return cls(VALUE, low, high, _beyond(values if shown is None else shown, low, high))

    @classmethod
    def spread(cls, values: Numbers) -> Scale:
        """For what is not below zero."""
        high = limits_of(values)[1]
        high = high if high > 0 else 1.0
        return cls(SPREAD, 0.0, high, _beyond(values, 0.0, high))

    @classmethod
    def error(cls, values: Numbers) -> Scale:
        """With zero in the middle."""
        high = limits_of(np.abs(values))[1]
        high = high if high > 0 else 1.0
        return cls(ERROR, -high, high, _beyond(values, -high, high))

    @property
    def norm(self) -> Normalize:
        """From values to [0, 1]."""
        return Normalize(self.low, self.high, clip=True)


class Sheet:
    """Panels in rows and columns, those of a row in one window.

    Parameters
    ----------
    rows
        The window of each row: any places seen in it.
    columns
        Panels in a row.
    titles
        One above each column.
    names
        One beside each row, or none.
    paper
        Colours.
    below, beside
        Whether there is room for colour scales below all rows, and to the right of each.
    labelled
        Rows with the name of their axis below them; default the last.
    """

    def __init__(
        self,
        rows: Sequence[Places],
        columns: int,
        titles: Sequence[str],
        names: Sequence[str] = (),
        *,
        paper: Paper = LIGHT,
        below: bool = False,
        beside: bool = False,
        labelled: Sequence[int] | None = None,
    ) -> None:
        self.paper, self.rows = paper, rows
        left = _LEFT + (0.22 if names else 0.0)
        right = 0.78 if beside else _RIGHT
        room = min((_WIDTH - left - right - (columns - 1) * _GAP) / columns, _WIDEST)
        sizes = [_size(row, room) for row in rows]
        wide = max(w for w, _ in sizes)
        feet = set([len(rows) - 1] if labelled is None else labelled)
        gaps = [_FOOT if r in feet else _BETWEEN for r in range(len(rows))]
        width = left + columns * wide + (columns - 1) * _GAP + right
        lines = max((title.count("\n") + 1 for title in titles if title), default=0)
        head = _HEAD + (lines - 1) * _LINE if lines else _RIGHT
        height = head + sum(h for _, h in sizes) + sum(gaps) + (_BAR if below else 0.06)
        self.width = width
        self.figure = Figure(figsize=(width, height), dpi=140, facecolor=paper.ground)
        FigureCanvasAgg(self.figure)
        self.axes: list[list[Axes]] = []
        self.foot = _BAR - 0.12
        top = height - head
        for r, (w, h) in enumerate(sizes):
            line = []
            for c in range(columns):
                x = left + c * (wide + _GAP) + (wide - w) / 2
                axes = self.figure.add_axes((x / width, (top - h) / height, w / width, h / height))
                self._window(axes, rows[r], c == 0, r in feet)
                line.append(axes)
            self.axes.append(line)
            if names:
                middle = (top - h / 2) / height
                self._text(0.13 / width, middle, names[r], rotation=90, va="center", ha="center")
            top -= h + gaps[r]
        for axes, title in zip(self.axes[0], titles, strict=False):
            axes.set_title(title, fontsize=_TEXT, color=paper.ink, pad=5, parse_math=False)

    def fill(self, row: int, column: int, places: Places, values: Numbers, scale: Scale) -> None:
        """Draw values ``[n]`` at their places; nodes whose value is NaN are left blank."""
        axes, known = self.axes[row][column], np.isfinite(values)
        if places.grid is not None:
            grid = places.grid
            if not known.all():
                axes.add_patch(_hatched(grid.columns, grid.rows, self.paper))
            shown = np.ma.masked_invalid(values[grid.node])
            axes.pcolormesh(
                grid.columns, grid.rows, shown, cmap=scale.colors, norm=scale.norm, rasterized=True, zorder=2
            )
            return
        # The unit of a dot's area is the square of a point, a 72nd of an inch.
        inches = axes.get_position().width * self.figure.get_figwidth()
        width = 72 * inches * places.dot / (axes.get_xlim()[1] - axes.get_xlim()[0])
        area = float(np.clip(width, 1.0, 12.0)) ** 2
        for chosen, blank in ((~known, True), (known, False)):
            rows = places.order[chosen[places.order]]
            if len(rows):
                shades = self.paper.blank if blank else scale.colors(scale.norm(values[rows]))
                at, size = places.xy[rows], _SHRUNK * area if blank else area
                axes.scatter(at[:, 0], at[:, 1], s=size, c=shades, linewidths=0, rasterized=True)

    def say(self, row: int, column: int, text: str) -> None:
        """A word in the middle of a panel."""
        axes = self.axes[row][column]
        box = {"facecolor": self.paper.ground, "edgecolor": "none", "alpha": 0.85, "pad": 2.5}
        axes.text(
            0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=_SMALL,
            color=self.paper.ink, bbox=box, zorder=5,
        )  # fmt: skip

    def bar_below(self, first: int, last: int, scale: Scale, label: str) -> None:
        """A colour scale below all rows, from one column to another."""
        left, right = self.axes[-1][first].get_position().x0, self.axes[-1][last].get_position().x1
        middle, height = (left + right) / 2, self.figure.get_figheight()
        width = min(right - left, 2.6 / self.figure.get_figwidth())
        box = (middle - width / 2, self.foot / height, width, 0.09 / height)
        self._bar(box, scale, label, "horizontal")

    def bar_beside(self, first: int, last: int, scale: Scale, label: str) -> None:
        """A colour scale to the right, for the rows from one to another."""
        upper, lower = self.axes[first][-1].get_position(), self.axes[last][-1].get_position()
        width = self.figure.get_figwidth()
        height = min(upper.y1 - lower.y0, 1.5 / self.figure.get_figheight())
        box = (upper.x1 + 0.1 / width, (upper.y1 + lower.y0 - height) / 2, 0.09 / width, height)
        self._bar(box, scale, label, "vertical")

    def _bar(self, box: tuple[float, float, float, float], scale: Scale, label: str, way: str) -> None:
        axes = self.figure.add_axes(box)
        axes.set_label("scale")
        extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[
            (int(scale.beyond[0]), int(scale.beyond[1]))
        ]
        mappable = ScalarMappable(scale.norm, scale.colors)
        bar = self.figure.colorbar(mappable, cax=axes, orientation=way, extend=extend, extendfrac=0.04)
        bar.outline.set_visible(False)
        bar.locator = MaxNLocator(4 if way == "vertical" else 3, steps=[1, 2, 2.5, 5, 10])
        bar.update_ticks()
        bar.ax.tick_params(colors=self.paper.ink, labelsize=_SMALL, length=2, pad=2)
        bar.set_label(label, size=_SMALL, color=self.paper.ink, labelpad=2)

    def _window(self, axes: Axes, places: Places, first: bool, last: bool) -> None:
        axes.set_xlim(places.low[0], places.high[0])
        axes.set_ylim(places.low[1], places.high[1])
        axes.set_xticks(_ticks(places.low[0], places.high[0], axes.get_position().width * self.width))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        dressed(axes, self.paper)
        axes.tick_params(labelleft=first and bool(places.labels[1]), left=bool(places.labels[1]))
        axes.tick_params(labelbottom=last)
        if first:
            axes.set_ylabel(places.labels[1], fontsize=_TEXT, color=self.paper.ink, labelpad=2)
        if last:
            axes.set_xlabel(places.labels[0], fontsize=_TEXT, color=self.paper.ink, labelpad=2)

    def _text(self, x: float, y: float, text: str, **where: Any) -> None:
        self.figure.text(x, y, text, fontsize=_TEXT, color=self.paper.ink, parse_math=False, **where)


def dressed(axes: Axes, paper: Paper) -> None:
    """The look of all panels: thin lines, small numbers."""
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set(color=paper.faint, linewidth=0.6)
    axes.tick_params(colors=paper.ink, labelsize=_SMALL, length=2, width=0.6, pad=2)


def _size(places: Places, room: float) -> tuple[float, float]:
    across, up = (end - start for end, start in zip(places.high, places.low, strict=True))
    if not places.equal:
        return room, _FREE * room
    inches = min(room / across, _TALLEST / up)
    return inches * across, max(inches * up, 0.25)


def _ticks(low: float, high: float, inches: float) -> list[float]:
    """As many numbers as stand side by side without meeting those of the next panel."""
    for count in (4, 3, 2, 1):
        values = np.asarray(MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high))
        wide = _DIGIT * max(len(f"{v:g}") for v in values)
        places = ((values - low) / (high - low) * inches).tolist()
        kept = [k for k, at in enumerate(places) if wide / 2 <= min(at, inches - at) + _GAP / 2]
        kept = [k for k in kept if 0 <= places[k] <= inches]
        if kept and (len(kept) < 2 or places[kept[1]] - places[kept[0]] > 1.3 * wide):
            return [float(values[k]) for k in kept]
    return []


def _hatched(columns: Numbers, rows: Numbers, paper: Paper) -> Rectangle:
    return Rectangle(
        (columns[0], rows[0]),
        columns[-1] - columns[0],
        rows[-1] - rows[0],
        facecolor=paper.blank,
        edgecolor=paper.faint,
        hatch="/////",
        linewidth=0,
        zorder=1,
    )


def _beyond(values: Numbers, low: float, high: float) -> tuple[bool, bool]:
    finite = values[np.isfinite(values)]
    return bool((finite < low).any()), bool((finite > high).any())
