"""Table and figure of the ablation of limiting noise and prediction."""

from __future__ import annotations

from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import log_ticks, marks, outer_legend, panels
from noisefold.studies.kit.tables import markdown

__all__ = ["figure", "table"]

_LOOKS = marks(
    {
        "residual": "* #000000",
        "S-score": "o #0072B2",
        "K-score": "s #E69F00",
        "score": "v #009E73",
        "data": "X #D55E00",
    }
)
_TITLES = {"line": "functions on the line, squared exponential", "plane": "divergence-free fields"}


def _number(value: float) -> str:
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:.3f}" if value < 10 else f"{value:.0f}" if value < 1e5 else f"{value:.0e}"


def _limits(rows: list[Result]) -> list[tuple[str, float | None]]:
    return list(dict.fromkeys((row["limit"], row["ratio"]) for row in rows))


def table(result: Result) -> str:
    """Return three tables for each scene: of limits, of exact answers and of networks."""
    parts = [
        f"Nats for each number. Path gap of networks after {result['steps']} steps of training, beside that "
        "of a residual network that answers 0. Amplification: what errors of 1 % of the exact answer cost. "
        "Gradient noise: variance of the gradient by the answer over its squared mean, at the answer 0. "
        "Sampler: divergence of 50 exact ancestral steps."
    ]
    for scene in dict.fromkeys(row["scene"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["scene"] == scene]
        cells = {(row["limit"], row["ratio"], row["prediction"]): row for row in rows}
        names = list(dict.fromkeys(row["prediction"] for row in rows))
        for key, title in (
            ("gap", "path gap of a network"),
            ("amplification", "amplification"),
            ("gradient_noise", "gradient noise"),
        ):
            own = ["condition", "sampler", "zero answer"] if key == "gap" else []
            body = []
            for limit, ratio in _limits(rows):
                line = [cells[limit, ratio, name] for name in names]
                first = line[0]
                extra = [f"{first['condition']:.3g}", _number(first["sampler"]), _number(first["zero"])]
                body.append(
                    [limit, ratio or "-", *(extra if own else []), *(_number(row[key]) for row in line)]
                )
            parts += [
                f"\n### {_TITLES[scene]}: {title}\n",
                markdown(["limit", "length ratio", *own, *names], body),
            ]
    return "\n".join(parts)


def figure(result: Result) -> Figure:
    """Draw the path gap of networks, and amplification, against the ratio, a column for each limit."""
    kinds = list(dict.fromkeys((r["scene"], r["limit"]) for r in result["rows"] if r["limit"] != "white"))
    picture, grid = panels(2, len(kinds), 2.6 * len(kinds) + 1, 6, sharey="row", squeeze=False)
    for column, (scene, limit) in enumerate(kinds):
        for name, look in _LOOKS.items():
            own = [r for r in result["rows"] if r["scene"] == scene and r["prediction"] == name]
            white = next(r for r in own if r["limit"] == "white")
            rows = sorted((r for r in own if r["limit"] == limit), key=lambda r: r["ratio"])
            for panel, key in zip(grid[:, column], ("gap", "amplification"), strict=True):
                panel.plot([r["ratio"] for r in rows], [r[key] for r in rows], label=name, **look)
                panel.axhline(white[key], color=look["color"], linestyle=":", linewidth=1)
        zero = sorted(
            (r for r in result["rows"] if (r["scene"], r["limit"]) == (scene, limit)),
            key=lambda r: r["ratio"],
        )
        grid[0, column].plot([r["ratio"] for r in zero], [r["zero"] for r in zero], color="0.6", label="zero")
        grid[0, column].set_title(f"{scene}: {limit}")
        for panel in grid[:, column]:
            panel.set(xscale="log", yscale="log")
            log_ticks(panel.xaxis, [r["ratio"] for r in zero])
            panel.grid(color="0.92")
    grid[0, 0].set_ylabel("path gap of a network")
    grid[1, 0].set_ylabel("amplification of errors of 1 %")
    outer_legend(picture, grid.flat, "right upper")
    picture.supxlabel("length-scale of the limit over that of the data; dotted: white limit")
    return picture
