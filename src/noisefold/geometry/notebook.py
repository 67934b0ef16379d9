"""What classes show of themselves in a notebook: escaped HTML, and tables for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from noisefold.geometry.display import ViewScale, clouds_of, dot_size, pick, project, short_name
from noisefold.geometry.graph_drawing import drawings_of, drawings_svg, has_no_places

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = ["data_frame", "graphs_html", "table_html"]

_VIRIDIS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#d0e11c")


def graphs_html(graphs: Graphs, count: int = 6, points: int = 160, size: int = 110) -> str:
    """Return graphs as escaped HTML: their summary and a small SVG of the first few, laid out if need be."""
    head = f'<div style="font-family:monospace">{escape(repr(graphs))}</div>'
    if len(graphs) == 0 or graphs.num_nodes == 0:
        return head
    some = graphs[pick(graphs, count)]
    if has_no_places(graphs):
        label = f"{len(some)} of {len(graphs)} graphs"
        return head + drawings_svg(drawings_of(some, range(len(some)), points), size, label)
    clouds, flat = clouds_of(some, range(len(some)), ViewScale.of(some), points), graphs.dim < 3
    parts = []
    for k, cloud in enumerate(clouds):
        xy, depth = project(cloud.points, flat)
        order = np.argsort(-depth, kind="stable")
        place = np.round((xy[order] * (0.45, -0.45) + (k + 0.5, 0.5)) * size, 1)
        shade = np.minimum(cloud.color[order] * len(_VIRIDIS), len(_VIRIDIS) - 1).astype(int)
        width = max(dot_size(len(xy)) * size, 1.5)
        for s, color in enumerate(_VIRIDIS):
            dots = "".join(f"M{x:g} {y:g}h0" for x, y in place[shade == s])
            if dots:
                parts.append(f'<path d="{dots}" stroke="{color}" stroke-width="{width:.1f}"/>')
        if cloud.name:
            label = escape(short_name(cloud.name))
            parts.append(f'<text x="{(k + 0.5) * size:g}" y="{size + 12}">{label}</text>')
    wide, tall = len(clouds) * size, size + 18
    return (
        f'{head}<svg width="{wide}" height="{tall}" viewBox="0 0 {wide} {tall}" role="img" '
        f'aria-label="{len(clouds)} of {len(graphs)} graphs" stroke-linecap="round" '
        f'font-size="11" text-anchor="middle" fill="currentColor">{"".join(parts)}</svg>'
    )


def table_html(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str] = ()
) -> str:
    """Return an escaped HTML table; the first cell of each row is its heading."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    below = "".join(f"<div><small>{escape(note)}</small></div>" for note in notes)
    return (
        f'<div style="font-family:monospace">{escape(title)}</div>'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>{below}"
    )


def data_frame(columns: Mapping[Any, Any], index: Sequence[Any] | None = None) -> Any:
    """Return a pandas data frame.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError("to_pandas needs pandas; install it with `pip install pandas`.") from error
    return DataFrame(dict(columns), index=index)
