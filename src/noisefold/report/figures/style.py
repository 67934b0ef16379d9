"""The look of all figures: colours of light and dark paper, colour scales, axes, pictures as PNG.

Colours are told apart without seeing red and green apart: viridis for values, cividis for spreads, purple to
orange around zero for errors.
"""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from noisefold.report.data.projection import Numbers, color_limits

__all__ = ["DARK", "LIGHT", "SMALL", "TEXT", "ColorScale", "Paper", "dress", "labels", "new_figure", "png"]

SMALL, TEXT = 7.5, 8.5  # sizes of text, points
_EDGE = 8  # pixels around what is drawn


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
class ColorScale:
    """A colour map with its ends.

    Parameters
    ----------
    colors
        The colour map.
    low, high
        Values at its ends.
    extend
        Which ends values exceed: "neither", "min", "max" or "both".
    """

    colors: Colormap
    low: float
    high: float
    extend: str = "neither"

    @classmethod
    def values(cls, values: Numbers, shown: Numbers | None = None) -> ColorScale:
        """Return the scale from the 1 % to the 99 % quantile; `shown` is all that is drawn with it."""
        return cls._of("viridis", *color_limits(values), values if shown is None else shown)

    @classmethod
    def spread(cls, values: Numbers) -> ColorScale:
        """Return the scale of values that are not negative, from zero."""
        return cls._of("cividis", 0.0, max(color_limits(values)[1], 1e-12), values)

    @classmethod
    def error(cls, values: Numbers) -> ColorScale:
        """Return the scale with zero in the middle."""
        high = max(color_limits(np.abs(values))[1], 1e-12)
        return cls._of("PuOr_r", -high, high, values)

    @classmethod
    def _of(cls, name: str, low: float, high: float, shown: Numbers) -> ColorScale:
        finite = shown[np.isfinite(shown)]
        ends = (bool((finite < low).any()), bool((finite > high).any()))
        extend = {(True, False): "min", (False, True): "max", (True, True): "both"}.get(ends, "neither")
        return cls(colormaps[name], low, high, extend)

    @property
    def norm(self) -> Normalize:
        """From values to [0, 1]."""
        return Normalize(self.low, self.high, clip=True)

    @property
    def mappable(self) -> ScalarMappable:
        """The scale as matplotlib takes it."""
        return ScalarMappable(self.norm, self.colors)


def new_figure(width: float, height: float, paper: Paper = LIGHT, layout: Any = "constrained") -> Figure:
    """Return an empty figure of this many inches; none touches the state of pyplot."""
    figure = Figure(figsize=(width, height), dpi=140, facecolor=paper.ground, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, paper: Paper, *, legend: dict[str, Any] | None = None) -> None:
    """Give axes thin lines and small numbers, and a legend where its place is given."""
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set(color=paper.faint, linewidth=0.6)
    axes.tick_params(colors=paper.ink, labelsize=SMALL, length=2, width=0.6, pad=2)
    if legend is not None:
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=paper.ink, **legend)


def labels(axes: Axes, paper: Paper, x: str = "", y: str = "") -> None:
    """Label both axes; names are taken as they are, without mathematics."""
    axes.set_xlabel(x, fontsize=TEXT, color=paper.ink, labelpad=2, parse_math=False)
    axes.set_ylabel(y, fontsize=TEXT, color=paper.ink, labelpad=2, parse_math=False)


def png(figure: Figure, colors: int = 256) -> str:
    """Return a figure, cut to what is drawn, as PNG in base64; few colours make it a third of the size."""
    canvas: Any = FigureCanvasAgg(figure)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A class's name may be in a script that the font lacks; the page itself shows it.
        warnings.filterwarnings("ignore", "Glyph")
        canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    ground = Image.new("RGB", image.size, to_hex(figure.get_facecolor()))
    left, top, right, bottom = ImageChops.difference(image, ground).getbbox() or (0, 0, *image.size)
    box = (
        max(left - _EDGE, 0),
        max(top - _EDGE, 0),
        min(right + _EDGE, image.width),
        min(bottom + _EDGE, image.height),
    )
    image.crop(box).quantize(colors).save(file, format="png", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
