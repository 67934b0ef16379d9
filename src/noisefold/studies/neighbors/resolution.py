"""Figures 4 and 10 of the NCGN paper: how coarsely a noisy shape may be looked at, by level of noise.

Shapes are procedural (`noisefold.data.shapes`). Noise is added to positions or to features (displacements
from the centre), pooling is by mean or maximum, and a noisy shape is seen in two ways: with noise added, as
in the paper, and at unit variance, as networks see it.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, https://arxiv.org/abs/2507.09391
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from matplotlib.figure import Figure

from noisefold.data import shapes
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY, outer_legend, panels
from noisefold.studies.kit.tables import markdown
from noisefold.theory import resolution

__all__ = ["STUDY", "figure", "measure", "table"]

_COLOURS = (BLUE, SKY, GREEN, ORANGE, RED, PINK, BLACK)


@dataclass(frozen=True)
class Scale:
    """Shapes, points of each, signal levels, and numbers of clusters."""

    shapes: int
    points: int
    signals: tuple[float, ...]
    clusters: tuple[int, ...]


SCALES = {
    "smoke": Scale(3, 32, (0.9, 0.5), (32, 8, 2)),
    "short": Scale(10, 128, (0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2), (128, 96, 64, 40, 24, 16, 10, 6, 3)),
}


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every view, noised variable and pooling.

    A row has ``mean`` and ``error`` of the distance by level and number of clusters, and ``best``, the number
    of clusters of the least distance by level, with the ends of its 95 % interval.
    """
    size = run.size
    data = shapes(size.shapes, points=size.points, seed=run.seed)
    rows = []
    for unit, variable, pooling in product((False, True), ("pos", "x"), ("mean", "max")):
        options = {"variable": variable, "pooling": pooling, "unit": unit, "seed": run.seed}
        found = resolution(data, size.signals, size.clusters, **options)  # type: ignore[arg-type]
        rows.append(
            {
                "view": "unit variance" if unit else "noise added",
                "variable": variable,
                "pooling": pooling,
                "mean": found.mean.tolist(),
                "error": found.error.tolist(),
                "best": found.best(),
            }
        )
    return {
        "seed": run.seed,
        "shapes": size.shapes,
        "points": size.points,
        "signals": list(size.signals),
        "clusters": list(size.clusters),
        "rows": rows,
    }


def table(result: Result) -> str:
    """Return the best number of clusters by level of noise, with its interval."""
    intro = (
        f"Number of clusters nearest to the clean shape, with its 95 % interval over "
        f"{result['shapes']} shapes of {result['points']} points."
    )
    rows = [
        [row["view"], row["variable"], row["pooling"], *("{} [{}, {}]".format(*b) for b in row["best"])]
        for row in result["rows"]
    ]
    levels = [f"u = {u:g}" for u in result["signals"]]
    return f"{intro}\n\n{markdown(['view', 'noised', 'pooling', *levels], rows)}"


def figure(result: Result) -> Figure:
    """Draw distance against the number of clusters, one line for each level of noise; the best are marked."""
    picture, grid = panels(2, 4, 12, 6, sharex=True)
    clusters = result["clusters"]
    for panel, row in zip(grid.flat, result["rows"], strict=True):
        lines = zip(_COLOURS, result["signals"], row["mean"], row["error"], row["best"], strict=False)
        for colour, u, mean, error, best in lines:
            panel.errorbar(clusters, mean, yerr=error, color=colour, linewidth=1.2, label=f"u = {u:g}")
            panel.plot(best[0], mean[clusters.index(best[0])], "o", color=colour)
        panel.set(xscale="log", yscale="log")
        panel.set_title(f"{row['view']}\n{row['variable']}, {row['pooling']}", fontsize=9)
        panel.grid(color="0.9", which="both")
    outer_legend(picture, [grid[0, 0]], "right center", title="signal level")
    picture.supxlabel("number of clusters")
    picture.supylabel("Gromov-Wasserstein distance [standard deviations of the data]")
    return picture


STUDY = Experiment("resolution", SCALES, written(measure, table, figure), one_core=False)
