"""The table and the figure of the study of conditioning."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

__all__ = ["figure", "table"]


def table(result: dict[str, Any]) -> str:
    """Markdown: a table for every law."""
    head = (
        "| method | cost | mean | covariance | variance | 50 % | 90 % |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    lines = [
        "Errors of the posterior's mean and covariance over their size, total variance over the exact one, "
        "coverage of two intervals with its standard error, and passes through the denoiser, forwards and "
        f"backwards. {result['draws']} draws for each of some truths; exact draws err by chance alone."
    ]
    for law in dict.fromkeys(row["law"] for row in result["rows"]):
        lines += [f"\n### {law}\n", head]
        for row in result["rows"]:
            if row["law"] == law:
                cover = [f"{row[f'cover{k}']:.1%} ± {row[f'cover{k}_error']:.1%}" for k in (50, 90)]
                numbers = [f"{row[k]:.3f}" for k in ("mean", "covariance", "variance")]
                lines.append(f"| {' | '.join([row['method'], str(row['cost']), *numbers, *cover])} |")
    return "\n".join(lines)


_LOOKS = {
    "exact": ("#FFFFFF", "o"),
    "prior": ("#999999", "o"),
    "replacement": ("#E69F00", "s"),
    "repaint": ("#56B4E9", "v"),
    "Langevin": ("#CC79A7", "P"),
    "scalar": ("#F0E442", "X"),
    "rows": ("#D55E00", "D"),
    "full": ("#0072B2", "^"),
    "told": ("#000000", "*"),
}


_COSTS = (10, 20, 50, 100, 200, 400)
_LEAST, _MOST = 1e-3, 5.0


def figure(result: dict[str, Any]) -> Figure:
    """Errors of mean and covariance against cost, a column for every law; those outside stand on the rim."""
    laws = list(dict.fromkeys(row["law"] for row in result["rows"]))
    picture = Figure(figsize=(3.2 * len(laws) + 1, 6.2), layout="constrained")
    panels = picture.subplots(2, len(laws), sharex=True, sharey="row", squeeze=False)
    for row in result["rows"]:
        column = laws.index(row["law"])
        family = row["method"].split()[0]
        colour, marker = _LOOKS[family]
        for panel, key in zip(panels[:, column], ("mean", "covariance"), strict=True):
            panel.plot(
                max(row["cost"], _COSTS[0]),
                min(max(row[key], _LEAST), _MOST),
                marker,
                color=colour,
                label=family,
                markeredgecolor="0.3",
            )
    for key, limit, line in (("mean", 0.02, panels[0]), ("covariance", 0.05, panels[1])):
        for panel in line:
            panel.axhline(limit, color="0.4", linestyle=":")
            panel.set(xscale="log", yscale="log", ylim=(0.8 * _LEAST, 1.3 * _MOST))
            panel.set_xticks(_COSTS, ["0", *(str(c) for c in _COSTS[1:])])
            panel.minorticks_off()
            panel.grid(which="major", color="0.9")
        line[0].set_ylabel(f"error of the {key}")
    for panel, law in zip(panels[0], laws, strict=True):
        panel.set_title(law)
    handles: dict[str, Any] = {}
    for panel in panels.flatten():
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    picture.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
    picture.supxlabel("passes through the denoiser, forwards and backwards")
    return picture
