"""Tables, figure and maps of the study of tissues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisefold.report.data.projection import Names
from noisefold.report.figures.field_maps import completion_maps
from noisefold.sample import Completion
from noisefold.studies.kit.experiment import Result, save_figure
from noisefold.studies.kit.plots import marks, outer_legend, panels
from noisefold.studies.kit.tables import markdown, with_interval

__all__ = ["figure", "maps", "table"]

_ASKED = {"CRPS": 3, "energy": 3, "RMSE": 3, "cover 50 %": 2, "cover 90 %": 2}
_STAGES = {
    "marginal-W1": "marginal W1 (lower)",
    "spots": "energy distance of spots (lower)",
    "Moran-W1": "Moran's I, W1 (lower)",
    "variogram": "variogram (lower)",
}
_LOOKS = marks(
    {
        "network": "o #0072B2",
        "its start": "D #56B4E9",
        "kriging": "s #D55E00",
        "nearest cells": "^ #E69F00",
        "k-NN in expression": "v #009E73",
        "regression on genes": "P #CC79A7",
        "regression on genes and place": "X 0.45",
    }
)


def table(result: Result) -> str:
    """Return for each tissue what it is, and a table for each question."""
    parts = [
        "CRPS, energy score and RMSE in standard deviations of each gene among the training cells, after the "
        "logarithm where the values are counts; 95 % intervals from leaving out blocks of cells [low, high]. "
        "Its start: independent draws from the prediction that the network begins with. Moran's I of the "
        "held-out cells: spatial autocorrelation of the draws with the six nearest cells (mean ± standard "
        "error over blocks)."
    ]
    for found in result["tissues"].values():
        parts += [f"\n## {found['title']}\n", found["about"]]
        if "questions" not in found:
            parts += ["", _stages(found)]
            continue
        spent = found["training"]
        parts.append(
            f"{found['parameters']:,} parameters, {spent['steps']} steps in {spent['seconds']:.0f} s of one "
            f"core; {found['draws']} draws of {found['sample_steps']} solver steps."
        )
        for name, asked in found["questions"].items():
            parts += [f"\n### {name}: {result['questions'][name]}\n", _question(asked)]
        if found["whole"]:
            whole = found["whole"]
            parts.append(
                f"\nOne posterior draw of {whole['cells']:,} cells x {whole['genes']} genes, a fifth of "
                f"the genes hidden: {whole['cpu']:.0f} s of one core."
            )
    return "\n".join(parts)


def _question(asked: Mapping[str, Any]) -> str:
    rows = []
    for name, found in asked["rows"].items():
        scores = [with_interval([found["scores"][m]], d) for m, d in _ASKED.items()]
        over = asked["over"].get(name)
        gap = "" if over is None else with_interval([over["CRPS"]], 4, sign="+")
        rows.append([name, *scores, "{:.2f} ± {:.2f}".format(*asked["moran"][name]), gap])
    truth = "Moran's I (truth {:.2f} ± {:.2f})".format(*asked["moran"]["truth"])
    return markdown(["", *_ASKED, truth, "CRPS of the network less this"], rows)


def _stages(found: Mapping[str, Any]) -> str:
    rows = [
        [name, *(with_interval([scores[m]], 3) if m in scores else "" for m in _STAGES)]
        for name, scores in found["scores"].items()
    ]
    return markdown(["", *_STAGES.values()], rows)


def figure(result: Result) -> Figure:
    """Draw left the CRPS of every question over that of the mean, right the coverage of intervals."""
    asked = {
        f"{name}\n{question}": found["rows"]
        for name, tissue in result["tissues"].items()
        for question, found in tissue.get("questions", {}).items()
    }
    picture, (left, right) = panels(1, 2, 11, 4.8, width_ratios=(1.6, 1))
    _errors(left, asked)
    _coverage(right, asked)
    outer_legend(picture, [left], "lower center", ncols=4, fontsize=9)
    return picture


def _errors(panel: Axes, asked: Mapping[str, Any]) -> None:
    for k, (row, look) in enumerate(_LOOKS.items()):
        for i, rows in enumerate(asked.values()):
            scale = rows["mean"]["scores"]["CRPS"]["value"]
            value, low, high = (rows[row]["scores"]["CRPS"][end] / scale for end in ("value", "low", "high"))
            x = i + (k - (len(_LOOKS) - 1) / 2) * 0.11
            look = {**look, "label": row if i == 0 else None}
            ends = [[value - low], [high - value]]
            panel.errorbar(x, value, yerr=ends, markersize=5, capsize=2, linestyle="none", **look)
    panel.axhline(1, color="0.4", linewidth=1)
    panel.set_xticks(range(len(asked)), list(asked))
    panel.set(ylabel="CRPS over that of the mean", ylim=(0, None))
    panel.grid(axis="y", color="0.9")
    panel.set_title("missing values, drawn (95 % intervals over blocks of cells)", fontsize=10)


def _coverage(panel: Axes, asked: Mapping[str, Any]) -> None:
    for row, look in _LOOKS.items():
        half, most = (
            [rows[row]["scores"][f"cover {level} %"]["value"] for rows in asked.values()]
            for level in (50, 90)
        )
        panel.plot(half, most, linestyle="none", markersize=6, **look)
    panel.axhspan(0.8, 0.97, color="0.93", zorder=0)
    panel.axhline(0.9, color="0.5", linewidth=0.8)
    panel.axvline(0.5, color="0.5", linewidth=0.8)
    panel.set(xlabel="truths within 50 % intervals", ylabel="truths within 90 % intervals")
    panel.set_title("calibration, a point for each question", fontsize=10)


def maps(
    out: Path, shown: Completion, names: Sequence[str], genes: Sequence[str], question: str
) -> list[Path]:
    """Draw maps of the graph with the most hidden nodes, a picture for each gene; return their files."""
    hidden = [int((~k).any(1).sum()) for k in shown.graphs.unpack(shown.known)]
    graph = hidden.index(max(hidden))
    paths = []
    for gene in genes:
        picture = completion_maps(
            shown, gene, graph=graph, names=Names(tuple(names), values=f"level of {gene}, sd")
        )
        paths.append(out / f"{question}-{gene}.png")
        save_figure(picture, paths[-1], dpi=110)
    return paths
