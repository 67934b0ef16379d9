"""Figures 4 and 10 of the paper: how coarsely a noisy shape may be looked at, by level of noise.

On the procedural shapes of `noisefold.data.shapes`. Noise on positions or on features (displacements from the
centre), mean or max pooling, and two ways to look at a noisy shape: with noise added, as in the paper, and at
unit variance, as networks see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from noisefold.data.shapes import shapes
from noisefold.studies.study import Study, keep
from noisefold.theory import resolution

__all__ = ["DESCRIPTION", "NAME", "RESOLUTION", "SCALES", "figure", "run", "table"]

NAME = "resolution"
DESCRIPTION = "distance of noised, coarse-grained shapes from the clean ones (figures 4 and 10)"
SCALES = ("smoke", "short")
_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#000000")


@dataclass(frozen=True)
class _Scale:
    shapes: int
    points: int
    signals: tuple[float, ...]
    clusters: tuple[int, ...]


_SIZES = {
    "smoke": _Scale(3, 32, (0.9, 0.5), (32, 8, 2)),
    "short": _Scale(10, 128, (0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2), (128, 96, 64, 40, 24, 16, 10, 6, 3)),
}


def run(scale: str, seed: int = 0) -> dict[str, Any]:
    """Run the study.

    Parameters
    ----------
    scale
        "smoke" or "short".
    seed
        Of the shapes and of the noise.

    Returns
    -------
    dict
        Plain data: settings, and one of ``rows`` for every way to look, noised variable and pooling, with
        ``mean`` and ``error`` of the distance by level and number of cells, and ``best`` by level, with the
        ends of its interval.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    if scale not in _SIZES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = _SIZES[scale]
    data = shapes(size.shapes, points=size.points, seed=seed)
    rows = []
    for unit, variable, pooling in product((False, True), ("pos", "x"), ("mean", "max")):
        found = resolution(
            data, size.signals, size.clusters, variable=variable, pooling=pooling, unit=unit, seed=seed
        )
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
        "name": NAME,
        "scale": scale,
        "seed": seed,
        "shapes": size.shapes,
        "points": size.points,
        "signals": list(size.signals),
        "clusters": list(size.clusters),
        "rows": rows,
    }


def table(result: dict[str, Any]) -> str:
    """Markdown: the best number of cells by level of noise, with its interval."""
    signals = result["signals"]
    lines = [
        f"Number of cells nearest to the clean shape, with its 95 % interval over "
        f"{result['shapes']} shapes of {result['points']} points.",
        "",
        f"| view | noised | pooling |{''.join(f' u = {u:g} |' for u in signals)}",
        f"| --- | --- | --- |{' --- |' * len(signals)}",
    ]
    for row in result["rows"]:
        cells = " | ".join(f"{best} [{low}, {high}]" for best, low, high in row["best"])
        lines.append(f"| {row['view']} | {row['variable']} | {row['pooling']} | {cells} |")
    return "\n".join(lines)


def figure(result: dict[str, Any]) -> Figure:
    """Distance against the number of cells, one line for each level of noise; the best are marked."""
    picture = Figure(figsize=(12, 6), layout="constrained")
    panels = picture.subplots(2, 4, sharex=True)
    for panel, row in zip(panels.flatten(), result["rows"], strict=True):
        for colour, u, mean, error, best in zip(
            _COLOURS, result["signals"], row["mean"], row["error"], row["best"], strict=False
        ):
            panel.errorbar(
                result["clusters"], mean, yerr=error, color=colour, linewidth=1.2, label=f"u = {u:g}"
            )
            panel.plot(best[0], mean[result["clusters"].index(best[0])], "o", color=colour)
        panel.set(xscale="log", yscale="log")
        panel.set_title(f"{row['view']}\n{row['variable']}, {row['pooling']}", fontsize=9)
        panel.grid(color="0.9", which="both")
    handles = panels[0, 0].get_legend_handles_labels()
    picture.legend(*handles, loc="outside right center", frameon=False, title="signal level")
    picture.supxlabel("number of cells")
    picture.supylabel("Gromov-Wasserstein distance [standard deviations of the data]")
    return picture


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


RESOLUTION = Study(DESCRIPTION, SCALES, _study)
