"""A grid of panels, each the map of one field in a window shared by its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from noisefold.report.data.projection import Numbers, Projection
from noisefold.report.figures.style import LIGHT, SMALL, TEXT, ColorScale, Paper, dress, labels, new_figure

__all__ = ["PanelGrid"]

_WIDTH, _WIDEST, _TALLEST, _FREE = (
    8.9,
    2.7,
    2.7,
    0.72,
)  # inches; of panels without equal axes, height by width
_BAR = 1.6  # most length of a colour scale, inches
_BLANK = 0.6  # diameter of a blank dot: a small error is nearly as pale, and must not be taken for one


class PanelGrid:
    """Panels in rows and columns, laid out by matplotlib.

    Parameters
    ----------
    rows
        The window of each row: any projection seen in it.
    columns
        Panels in a row.
    titles
        One above each column.
    names
        One beside each row, or none.
    paper
        Colours.
    labelled
        Rows with numbers and the name of their axis below them; default the last.
    """

    def __init__(
        self,
        rows: Sequence[Projection],
        columns: int,
        titles: Sequence[str],
        names: Sequence[str] = (),
        *,
        paper: Paper = LIGHT,
        labelled: Sequence[int] | None = None,
    ) -> None:
        self.paper = paper
        room = min((_WIDTH - 1.2) / columns - 0.2, _WIDEST)
        sizes = [_size(row, room) for row in rows]
        heights = [h for _, h in sizes]
        feet = {len(rows) - 1} if labelled is None else set(labelled)
        width = min(max(w for w, _ in sizes) * columns + 0.2 * (columns - 1) + 1.3, _WIDTH)
        height = sum(heights) + 0.2 * (len(rows) - 1) + 0.35 * len(feet) + 0.7
        self.figure = new_figure(width, height, paper, "compressed")
        self.axes: list[list[Axes]] = self.figure.subplots(
            len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights}
        ).tolist()
        for r, (line, window) in enumerate(zip(self.axes, rows, strict=True)):
            for c, axes in enumerate(line):
                self._open(axes, window, c == 0, r in feet, names[r] if names else "")
        for axes, title in zip(self.axes[0], titles, strict=False):
            axes.set_title(title, fontsize=TEXT, color=paper.ink, pad=5, parse_math=False)

    def fill(self, row: int, column: int, places: Projection, values: Numbers, scale: ColorScale) -> None:
        """Draw values ``[n]`` at their places; nodes whose value is NaN are left blank."""
        axes, known, grid = self.axes[row][column], np.isfinite(values), places.grid
        look: dict[str, Any] = {"cmap": scale.colors, "norm": scale.norm, "rasterized": True}
        if grid is not None:
            if not known.all():
                axes.add_patch(_hatched(grid.columns, grid.rows, self.paper))
            shown = np.ma.masked_invalid(values[grid.node])
            axes.pcolormesh(grid.columns, grid.rows, shown, zorder=2, **look)
            return
        for chosen, size in ((~known, _BLANK), (known, 1.0)):
            rows = places.order[chosen[places.order]]
            if len(rows):
                width = np.full(len(rows), size * places.dot)
                dots = EllipseCollection(
                    width, width, np.zeros(len(rows)), units="x", offsets=places.xy[rows], linewidths=0,
                    offset_transform=axes.transData, facecolors=self.paper.blank, **look,
                )  # fmt: skip
                if size == 1:
                    dots.set_array(values[rows])
                axes.add_collection(dots, autolim=False)

    def write(self, row: int, column: int, text: str) -> None:
        """Write a word in the middle of a panel."""
        axes = self.axes[row][column]
        box = {"facecolor": self.paper.ground, "edgecolor": "none", "alpha": 0.85, "pad": 2.5}
        axes.text(
            0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL,
            color=self.paper.ink, bbox=box, zorder=5,
        )  # fmt: skip

    def color_bar(self, panels: Sequence[Axes], scale: ColorScale, label: str, location: str) -> None:
        """Add a colour scale to the right of panels, or below them ("bottom")."""
        right = location == "right"
        length = self.figure.get_figheight()
        if not right:
            length = self.figure.get_figwidth() * len(panels) / sum(len(line) for line in self.axes)
        shrink = min(0.9, _BAR / length)
        bar = self.figure.colorbar(
            scale.mappable, ax=list(panels), location=location, extend=scale.extend, extendfrac=0.04,
            shrink=shrink, aspect=shrink * length / 0.1, pad=0.02 if right else 0.04,
        )  # fmt: skip
        bar.ax.set_label("scale")
        bar.outline.set_visible(False)
        bar.locator = MaxNLocator(4 if right else 3, steps=[1, 2, 2.5, 5, 10])
        bar.update_ticks()
        bar.ax.tick_params(colors=self.paper.ink, labelsize=SMALL, length=2, pad=2)
        bar.set_label(label, size=SMALL, color=self.paper.ink, labelpad=2, parse_math=False)

    def _open(self, axes: Axes, window: Projection, first: bool, last: bool, name: str) -> None:
        axes.set(xlim=(window.low[0], window.high[0]), ylim=(window.low[1], window.high[1]))
        axes.set_aspect("equal" if window.equal else "auto")
        if not window.equal:
            axes.set_box_aspect(_FREE)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        dress(axes, self.paper)
        vertical = bool(window.labels[1])
        axes.tick_params(labelleft=first and vertical, left=vertical, labelbottom=last)
        beside = "\n".join(part for part in (name, window.labels[1]) if part)
        labels(axes, self.paper, window.labels[0] if last else "", beside if first else "")


def _size(window: Projection, room: float) -> tuple[float, float]:
    """Return the width and height of a panel, in inches."""
    across, up = (end - start for end, start in zip(window.high, window.low, strict=True))
    if not window.equal:
        return room, _FREE * room
    inches = min(room / across, _TALLEST / up)
    return inches * across, max(inches * up, 0.25)


def _hatched(columns: Numbers, rows: Numbers, paper: Paper) -> Rectangle:
    return Rectangle(
        (columns[0], rows[0]), columns[-1] - columns[0], rows[-1] - rows[0], facecolor=paper.blank,
        edgecolor=paper.faint, hatch="/////", linewidth=0, zorder=1,
    )  # fmt: skip
