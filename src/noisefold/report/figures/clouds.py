"""Point clouds on paper: contact sheets, and the path from noise to data.

Clouds are seen in the parallel projection of `noisefold.geometry.display`, far points first and fading into
the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from noisefold.geometry.display import Cloud, ViewScale, clouds_of, dot_size, project, short_name
from noisefold.geometry.graph_drawing import drawings_of, has_no_places
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.graph_path import graph_path
from noisefold.report.data.trajectory import CloudTrajectory, cloud_trajectory
from noisefold.report.figures.graph_panels import draw_graph_path, draw_graphs
from noisefold.report.figures.style import LIGHT, TEXT, new_figure

__all__ = ["contact_sheet", "draw_clouds", "draw_trajectory", "trajectory_strip"]

_SHOWN = 2000  # points of a cloud
_COLORS = colormaps["viridis"]
_CLOSE = ConstrainedLayoutEngine(w_pad=0, h_pad=0, wspace=0, hspace=0)
_FILL = 0.9  # of a panel: some points lie outside the unit ball


def contact_sheet(
    graphs: Graphs,
    columns: int = 5,
    titles: Sequence[str] | None = None,
    *,
    scale: ViewScale | None = None,
    size: float = 1.7,
) -> Figure:
    """Draw graphs side by side, in rows, all at the same scale.

    Parameters
    ----------
    graphs
        Graphs to draw; of more than three dimensions, the first three are seen, and graphs with edges and no
        positions are laid out.
    columns
        Graphs in a row.
    titles
        One line below each; default the names of their classes.
    scale
        Unit of length and of colour; default measured on these graphs.
    size
        Side of the square each is drawn in, inches.

    Raises
    ------
    ValueError
        If there are no graphs, or not one title for each.
    """
    if len(graphs) == 0:
        raise ValueError("graphs must hold at least one graph, got none.")
    if titles is not None and len(titles) != len(graphs):
        raise ValueError(f"titles must be one for each of the {len(graphs)} graphs, got {len(titles)}.")
    if has_no_places(graphs):
        drawings = drawings_of(graphs, range(len(graphs)))
        names = [d.name for d in drawings] if titles is None else list(titles)
        return draw_graphs(drawings, names, graphs, columns, size=size)
    clouds = clouds_of(graphs, range(len(graphs)), scale or ViewScale.of(graphs), _SHOWN)
    names = [c.name for c in clouds] if titles is None else list(titles)
    return draw_clouds(clouds, names, columns, flat=graphs.dim < 3, size=size)


def trajectory_strip(
    trajectory: Sequence[tuple[float, Graphs]], moments: int = 6, rows: int = 2, *, size: float = 1.7
) -> Figure:
    """Draw the path from noise to data: one row for each graph, one column for each moment.

    Parameters
    ----------
    trajectory
        Pairs (signal level u, graphs), as `Model.sample` hands them to `callback`.
    moments, rows
        Most moments, evenly chosen, and graphs.
    size
        Side of the square each is drawn in, inches.

    Raises
    ------
    ValueError
        If the trajectory is empty, or its graphs change their sizes.
    """
    if trajectory and has_no_places(trajectory[-1][1]):
        return draw_graph_path(graph_path(trajectory, rows, moments), moments, rows, size=size)
    return draw_trajectory(cloud_trajectory(trajectory, rows, moments, _SHOWN), moments, rows, size=size)


def draw_trajectory(path: CloudTrajectory, moments: int = 6, rows: int = 3, *, size: float = 1.7) -> Figure:
    """Draw a prepared path as `trajectory_strip` does."""
    chosen = path.evenly(moments)
    clouds = [path.at(k)[row] for row in range(min(rows, len(path.clouds))) for k in chosen]
    names = [""] * len(clouds)
    for column, k in enumerate(chosen):
        names[column - len(chosen)] = f"{100 * path.signal[k]:.0f} % signal"
    return draw_clouds(clouds, names, len(chosen), flat=path.flat, size=size)


def draw_clouds(
    clouds: Sequence[Cloud], names: Sequence[str], columns: int, *, flat: bool = False, size: float = 1.7
) -> Figure:
    """Draw prepared clouds as `contact_sheet` does."""
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}.")
    columns = min(columns, len(clouds))
    rows = -(-len(clouds) // columns)
    figure = new_figure(columns * size, rows * (size + (0.22 if any(names) else 0.0)), LIGHT, _CLOSE)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
        axes.set_axis_off()
    for axes, cloud, name in zip(panels, clouds, names, strict=False):
        xy, depth = project(cloud.points, flat)
        colors = _COLORS(0.92 * cloud.color)
        order = np.argsort(-depth, kind="stable")
        if len(depth) and not flat:  # far points fade into the paper
            low, high = np.quantile(depth, [0.02, 0.98])
            fade = 0.5 * np.clip((depth - low) / max(high - low, 1e-9), 0, 1)[:, None]
            colors[:, :3] = colors[:, :3] * (1 - fade) + fade
        places, width = _FILL * xy[order], 72 * size * dot_size(len(xy))
        axes.scatter(places[:, 0], places[:, 1], s=width**2, c=colors[order], linewidths=0, rasterized=True)
        axes.set_title(short_name(name), y=0, va="top", pad=-1, size=TEXT, color=LIGHT.ink, parse_math=False)
    return figure
