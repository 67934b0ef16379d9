"""What sections of a page are made of: headings, lists of terms, pictures."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

__all__ = ["Section", "png", "section", "terms"]


@dataclass(frozen=True)
class Section:
    """A piece of the page.

    Parameters
    ----------
    html
        Its text and figures.
    scenes, curves
        What the script draws, by name of the figure.
    """

    html: str
    scenes: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)


def section(heading: str, lead: str, body: str) -> str:
    """A heading, what is to be known first, and the rest, which is HTML."""
    opening = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(heading)}</h2>{opening}{body}</section>"


def terms(pairs: Mapping[str, str], kind: str) -> str:
    """A list of terms with their values, in the style of this name."""
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in pairs.items())
    return f'<dl class="{kind}">{rows}</dl>'


def png(figure: Figure, colors: int = 96) -> str:
    """A picture in base64, of few colours: a third of the size of one of all."""
    drawn, file = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        # A name of a class in a script that the font lacks; the page itself shows it.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(colors).save(file, format="png", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
