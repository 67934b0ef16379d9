"""Table and figure of the study of conditioning."""

from __future__ import annotations

from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import marks, outer_legend, panels
from noisefold.studies.kit.tables import markdown

__all__ = ["figure", "table"]

_LOOKS = marks(
    {
        "exact": "o #FFFFFF",
        "prior": "o #999999",
        "replacement": "s #E69F00",
        "repaint": "v #56B4E9",
        "Langevin": "P #CC79A7",
        "scalar": "X #F0E442",
        "rows": "D #D55E00",
        "full": "^ #0072B2",
        "told": "* #000000",
    }
)
_COSTS = (10, 20, 50, 100, 200, 400)
_LEAST, _MOST = 1e-3, 5.0


def table(result: Result) -> str:
    """Return a table for every distribution."""
    head = ["method", "cost", "mean", "covariance", "variance", "50 %", "90 %"]
    parts = [
        "Errors of the posterior mean and covariance over their size, total variance over the exact one, "
        "coverage of two intervals with its standard error, and passes through the denoiser, forwards and "
        f"backwards. {result['draws']} draws for each of some truths; exact draws err by chance alone."
    ]
    for name in dict.fromkeys(row["law"] for row in result["rows"]):
        rows = [
            [
                *(row["method"], row["cost"]),
                *(f"{row[k]:.3f}" for k in ("mean", "covariance", "variance")),
                *(f"{row[f'cover{k}']:.1%} ± {row[f'cover{k}_error']:.1%}" for k in (50, 90)),
            ]
            for row in result["rows"]
            if row["law"] == name
        ]
        parts += [f"\n### {name}\n", markdown(head, rows)]
    limits = list(dict.fromkeys(row["limit"] for row in result["functions"]))
    cells = {(row["way"], row["limit"]): row for row in result["functions"]}
    rows = [
        [way, cells[way, limits[0]]["evaluations"], *(_errors(cells[way, limit]) for limit in limits)]
        for way in dict.fromkeys(row["way"] for row in result["functions"])
    ]
    parts += [
        "\n### functions, by limiting noise\n",
        "Largest error of the posterior mean, its error over its size, and that of the covariance, by exact "
        "propagation; inf: the steps diverge.\n",
        markdown(["way", "evaluations", *limits], rows),
    ]
    return "\n".join(parts)


def _errors(row: Result) -> str:
    values = [row[key] for key in ("largest", "relative", "covariance")]
    return "inf" if None in values else "; ".join(f"{value:.2g}" for value in values)


def figure(result: Result) -> Figure:
    """Draw errors of mean and covariance against cost, clipped, a column for every distribution."""
    names = list(dict.fromkeys(row["law"] for row in result["rows"]))
    size = (3.2 * len(names) + 1, 6.2)
    picture, grid = panels(2, len(names), *size, sharex=True, sharey="row", squeeze=False)
    for row in result["rows"]:
        family = row["method"].split()[0]
        look = {**_LOOKS[family], "linestyle": "none", "markeredgecolor": "0.3", "label": family}
        for panel, key in zip(grid[:, names.index(row["law"])], ("mean", "covariance"), strict=True):
            panel.plot(max(row["cost"], _COSTS[0]), min(max(row[key], _LEAST), _MOST), **look)
    for key, limit, line in (("mean", 0.02, grid[0]), ("covariance", 0.05, grid[1])):
        for panel in line:
            panel.axhline(limit, color="0.4", linestyle=":")
            panel.set(xscale="log", yscale="log", ylim=(0.8 * _LEAST, 1.3 * _MOST))
            panel.set_xticks(_COSTS, ["0", *(str(c) for c in _COSTS[1:])])
            panel.minorticks_off()
            panel.grid(which="major", color="0.9")
        line[0].set_ylabel(f"error of the {key}")
    for panel, name in zip(grid[0], names, strict=True):
        panel.set_title(name)
    outer_legend(picture, grid.flat, "right upper")
    picture.supxlabel("passes through the denoiser, forwards and backwards")
    return picture
