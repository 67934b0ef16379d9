"""Several graphs in one turning scene: browsers keep only a few WebGL scenes alive.

Graphs stand on a table that is seen in parallel projection. The scene fits a plot of its own ratio of width
to height, whatever its size. Coordinates are int16 in steps of 1/3000 of a display unit, colours one byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.display import Array, Cloud, ViewScale, clouds_of, dot_size, pick, short_name
from noisefold.geometry.graph_drawing import MOST_NODES, drawings_of, has_no_places
from noisefold.geometry.graph_figure import graph_figure

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = ["HEIGHT", "MOST", "STEPS", "Table", "color_bytes", "show_graphs", "table_of", "turning_figure"]

# Graphs in each row of the table. The lengths of neighbouring rows differ,
# so that graphs at the back show in the gaps of the row before them.
_ROWS: tuple[tuple[int, ...], ...] = (
    (), (1,), (2,), (1, 2), (1, 2, 1), (2, 1, 2), (1, 2, 3), (2, 3, 2), (3, 2, 3), (2, 3, 4), (3, 4, 3),
)  # fmt: skip
MOST = len(_ROWS) - 1
_TURN, _TILT, _ACROSS, _DEEP, _FLAT_DEEP, _REACH = 0.44, 0.52, 2.4, 2.9, 2.75, 2.4
STEPS = 3000  # of a coordinate in one display unit
HEIGHT = 400  # pixels of a turning figure, for which its points are sized


@dataclass(frozen=True)
class Table:
    """Places for graphs that are shown in one scene, and the camera's frame.

    Parameters
    ----------
    centres
        Middle of each graph, ``[k, 2]``, in display units.
    flat
        Whether the scene is seen from above and does not turn.
    ratio
        Width of the scene by its height.
    scale
        Half-heights of the scene that one display unit takes.
    reach
        Half-width of the scene's box, in display units.
    """

    centres: NDArray[np.float64]
    flat: bool
    ratio: float
    scale: float
    reach: float

    def place(self, k: int, points: Array) -> dict[str, NDArray[np.int16]]:
        """Return coordinates of graph k in the scene, turned so that its side shows."""
        c, s = (1.0, 0.0) if self.flat else (math.cos(_TURN), math.sin(_TURN))
        x, y, z = points.T
        across, back = self.centres[k]
        axes = {"x": c * x + s * y + across, "y": c * y - s * x + back, "z": z}
        return {k: np.clip(np.round(v * STEPS), -32767, 32767).astype(np.int16) for k, v in axes.items()}

    def layout(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the plotly layout: a scene in parallel projection, names below the graphs."""
        eye = {"x": 0.0, "y": 0.0, "z": 2.0}
        if not self.flat:
            eye = {"x": 0.0, "y": -2 * math.cos(_TILT), "z": 2 * math.sin(_TILT)}
        wide, deep = 2 * self.reach * self.scale, 2 * _REACH * self.scale
        labels = [
            {
                "x": STEPS * x,
                "y": STEPS * (y - 1.05 * self.flat),
                "z": 0 if self.flat else -1.1 * STEPS,
                "text": escape(short_name(name), quote=False),
                "showarrow": False,
                "yanchor": "top",
                "yshift": 0 if self.flat else -9,
            }
            for (x, y), name in zip(self.centres.tolist(), names, strict=True)
            if name
        ]
        ends = {"xaxis": self.reach, "yaxis": self.reach, "zaxis": _REACH}
        scene = {
            **{k: {"visible": False, "range": [-STEPS * end, STEPS * end]} for k, end in ends.items()},
            "aspectmode": "manual",
            "aspectratio": {"x": wide, "y": wide, "z": deep},
            "dragmode": "pan" if self.flat else "turntable",
            "camera": {
                "projection": {"type": "orthographic"},
                "up": {"x": 0, "y": int(self.flat), "z": int(not self.flat)},
                "eye": eye,
            },
            "annotations": labels,
        }
        space = {"l": 0, "r": 0, "t": 0, "b": 0}
        return {"scene": scene, "margin": space, "showlegend": False, "uirevision": "kept"}


def table_of(count: int, flat: bool) -> Table:
    """Return places for up to `MOST` graphs."""
    rows, deep = _ROWS[count], _FLAT_DEEP if flat else _DEEP
    centres = np.array(
        [
            ((k - (length - 1) / 2) * _ACROSS, ((len(rows) - 1) / 2 - row) * deep)
            for row, length in enumerate(rows)
            for k in range(length)
        ]
    ).reshape(-1, 2)
    radius = float(np.linalg.norm(centres, axis=1).max(initial=0.0))
    across, up = 2 * radius + 2.1, 2 * radius * math.sin(_TILT + 0.1) + 2.5
    if flat:
        across, up = (max(rows, default=1) - 1) * _ACROSS + 2.3, (len(rows) - 1) * deep + 2.7
    return Table(centres, flat, across / up, 1.94 / up, radius + _REACH)


def color_bytes(cloud: Cloud) -> NDArray[np.uint8]:
    """Return the places of a cloud's points on the colour scale, ``[m]``, from 0 to 255."""
    return np.round(cloud.color * 255).astype(np.uint8)


def turning_figure(clouds: Sequence[Cloud], flat: bool, noun: str = "graph") -> Any:
    """Return a plotly figure in which graphs turn under the mouse (or shift, if they are flat)."""
    from plotly.graph_objects import Figure

    table = table_of(len(clouds), flat)
    traces = []
    for k, cloud in enumerate(clouds):
        about = [f"{noun} {cloud.number}", cloud.name, f"{cloud.total:,} node{'s' * (cloud.total != 1)}"]
        size = max(1.6 * dot_size(len(cloud.points)) * table.scale * HEIGHT / 2, 1.5)
        traces.append(
            {
                "type": "scatter3d",
                "mode": "markers",
                **table.place(k, cloud.points),
                "hoverinfo": "text",
                "text": "<br>".join(escape(part, quote=False) for part in about if part),
                "marker": {"size": size, "color": color_bytes(cloud), "coloraxis": "coloraxis", "opacity": 1},
            }
        )
    layout = table.layout([c.name for c in clouds])
    colors = {"cmin": 0, "cmax": 255, "showscale": False}
    return Figure(traces, {**layout, "coloraxis": colors, "height": HEIGHT})


def show_graphs(graphs: Graphs, count: int = MOST, points: int = 1200) -> Any:
    """Return the turning figure of the first few graphs, of each class in turn; flat without positions.

    Raises
    ------
    ValueError
        If there is no graph, or `count` is out of its range.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"count must be from 1 to {MOST}, got {count}.")
    if len(graphs) == 0:
        raise ValueError("graphs must hold at least one graph to show, got none.")
    chosen = pick(graphs, count)
    if has_no_places(graphs):
        return graph_figure(drawings_of(graphs, chosen, min(points, MOST_NODES)), graphs)
    clouds = clouds_of(graphs, chosen, ViewScale.of(graphs[chosen]), points)
    figure = turning_figure(clouds, graphs.dim < 3)
    return figure.update_layout(coloraxis_colorscale="Viridis")
