"""Images on a page: rows of them with names, and their path from noise under a slider."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from plotly.graph_objects import Figure as PlotlyFigure

from noisefold.data.images.write import grid_of, png_bytes
from noisefold.report.figures.interactive import with_slider
from noisefold.report.figures.style import SMALL, Paper, new_figure

__all__ = ["image_path_figure", "image_rows"]

Array = NDArray[Any]
_LONGEST = 12  # letters of a name


def image_rows(
    rows: Sequence[Sequence[Array]],
    paper: Paper,
    *,
    names: Sequence[str] = (),
    heads: Sequence[str] = (),
    notes: Sequence[Sequence[str]] = (),
    size: float = 0.75,
) -> Figure:
    """Draw images ``[h, w, c]`` in rows, pixels as squares.

    Parameters
    ----------
    rows
        Images of each row, which may differ in number.
    paper
        Colours of the figure.
    names, heads
        A name beside each row, and above each column; none if empty.
    notes
        A line below each image; none if empty.
    size
        Side of the square each is drawn in, inches.
    """
    columns = max(len(row) for row in rows)
    tall = size + (0.17 if notes else 0.03)
    left, top = (0.9 if names else 0.02), (0.2 if heads else 0.02)
    width, height = left + columns * (size + 0.03), top + len(rows) * tall + 0.02
    figure = new_figure(width, height, paper, None)
    # One for all, in inches: axes of their own take a tenth of a second each.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()

    def text(x: float, y: float, words: str, **how: Any) -> None:
        axes.text(x, y, words, color=paper.ink, parse_math=False, **{"size": SMALL, **how})

    for i, row in enumerate(rows):
        bottom = height - top - i * tall - size
        if names:
            text(left - 0.08, bottom + size / 2, _short(names[i]), ha="right", va="center")
        for j, image in enumerate(row):
            x = left + j * (size + 0.03)
            shown, (wide, high) = _eight_bits(image), _box(image, size)
            axes.imshow(
                shown[:, :, 0] if shown.shape[2] == 1 else shown, cmap="gray", vmin=0, vmax=255,
                extent=(x, x + wide, bottom + size - high, bottom + size), interpolation="nearest",
            )  # fmt: skip
            if notes:
                text(x + size / 2, bottom - 0.02, notes[i][j], ha="center", va="top", size=SMALL - 1)
            if heads and i == 0:
                text(x + size / 2, height - top + 0.03, heads[j], ha="center", va="bottom")
    axes.set(xlim=(0, width), ylim=(0, height), aspect="auto")
    return figure


def image_path_figure(moments: Sequence[Sequence[Array]], signal: Sequence[float]) -> PlotlyFigure:
    """Return images on their way from noise to data, one frame for each moment, under a slider.

    Parameters
    ----------
    moments
        Images ``[h, w, c]`` at each moment.
    signal
        Signal level of each moment.
    """
    grids = [grid_of(images, len(images)) for images in moments]
    height, width = grids[-1].shape[:2]
    traces = [{"type": "image", "source": _uri(grid), "hoverinfo": "skip"} for grid in grids]
    frames = [{"name": str(m), "data": [trace]} for m, trace in enumerate(traces)]
    hidden = {"visible": False, "fixedrange": True}
    layout = {
        "xaxis": {**hidden, "range": [0, width]},
        "yaxis": {**hidden, "range": [height, 0], "scaleanchor": "x"},
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        "height": 240,
        "dragmode": False,
    }
    return with_slider(PlotlyFigure([traces[-1]], layout), [f"{100 * u:.0f} %" for u in signal], frames)


def _box(image: Array, size: float) -> tuple[float, float]:
    """Return width and height of an image in a square of a size."""
    height, width = image.shape[:2]
    return size * width / max(height, width), size * height / max(height, width)


def _eight_bits(image: Array) -> Array:
    return np.rint(image / 257).astype(np.uint8) if image.dtype == np.uint16 else image


def _uri(grid: Array) -> str:
    return f"data:image/png;base64,{base64.b64encode(png_bytes(_eight_bits(grid))).decode('ascii')}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"
