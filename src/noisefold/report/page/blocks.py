"""What sections of a page are made of: plain data, which the template turns into escaped HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from matplotlib.figure import Figure

from noisefold.report.figures.style import DARK, LIGHT, Paper, png

__all__ = ["Block", "Code", "Interactive", "Picture", "Section", "Terms"]


@dataclass(frozen=True)
class Block:
    """A part of a section; `kind` names its macro in the template."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Interactive(Block):
    """A plotly figure, with a still picture for paper and for browsers that cannot draw it.

    Parameters
    ----------
    name
        Its id on the page.
    heading, alt, caption
        Text above, for readers that see no pictures, and below.
    figure
        The plotly figure.
    still
        The picture, as PNG in base64.
    ratio
        Width by height of a figure that is drawn by WebGL; 0 for curves.
    turns_with
        Figures of one group turn together.
    """

    kind = "interactive"
    name: str
    heading: str
    alt: str
    caption: str
    figure: Any
    still: str
    ratio: float = 0.0
    turns_with: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """The figure as plain data with typed arrays in base64, without plotly's own template."""
        figure: dict[str, Any] = self.figure.to_dict()
        figure["layout"].pop("template", None)
        return figure


@dataclass(frozen=True)
class Picture(Block):
    """A picture, drawn for light and for dark screens; paper gets the light one.

    Parameters
    ----------
    heading, alt, caption
        As of `Interactive`.
    light, dark
        PNG in base64.
    """

    kind = "picture"
    heading: str
    alt: str
    caption: str
    light: str
    dark: str

    @classmethod
    def of(cls, heading: str, alt: str, caption: str, draw: Callable[[Paper], Figure]) -> Picture:
        """Draw both."""
        return cls(heading, alt, caption, png(draw(LIGHT)), png(draw(DARK)))


@dataclass(frozen=True)
class Terms(Block):
    """A list of terms with their values; `style` is a class of the style sheet."""

    kind = "terms"
    pairs: Mapping[str, str]
    style: str


@dataclass(frozen=True)
class Code(Block):
    """Code, behind a summary that opens it if there is one."""

    kind = "code"
    text: str
    summary: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, what must be known first, and blocks, side by side in up to `columns`."""

    heading: str
    lead: str = ""
    blocks: Sequence[Block] = field(default_factory=tuple)
    columns: int = 1
    hint: str = ""
