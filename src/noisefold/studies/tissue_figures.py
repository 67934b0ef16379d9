"""Tables, the figure and the maps of the study of tissues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisefold.report.data.projection import Names
from noisefold.report.figures.field_maps import completion_maps
from noisefold.sample.completion import Completion

__all__ = ["figure", "maps", "table"]

_Result = Mapping[str, Any]
_ASKED = {"CRPS": 3, "energy": 3, "RMSE": 3, "cover 50 %": 2, "cover 90 %": 2}
_STAGES = {"marginal-W1": 3, "spots": 3, "Moran-W1": 3, "variogram": 3}
_HEADS = {
    "marginal-W1": "marginal W1 (lower)",
    "spots": "energy distance of spots (lower)",
    "Moran-W1": "Moran's I, W1 (lower)",
    "variogram": "variogram (lower)",
}
# Okabe and Ito's colours, with a marker each for print.
_LOOKS = {
    "network": ("#0072B2", "o"),
    "its start": ("#56B4E9", "D"),
    "kriging": ("#D55E00", "s"),
    "nearest cells": ("#E69F00", "^"),
    "k-NN in expression": ("#009E73", "v"),
    "regression on genes": ("#CC79A7", "P"),
    "regression on genes and place": ("0.45", "X"),
}


def table(result: _Result) -> str:
    """Markdown: for each tissue what it is, and a table for each question."""
    parts = [
        "CRPS, energy score and RMSE in standard deviations of each gene among the training cells, after the "
        "logarithm where the values are counts; 95 % intervals from leaving out blocks of cells [low, high]. "
        "Its start: draws of the prediction that the network begins with, value by value. Moran's I of the "
        "held-out cells: how much a drawn value is like those of the six nearest ones (mean ± standard error "
        "over blocks)."
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


def _lines(rows: Iterable[Sequence[str]]) -> str:
    head, *rest = rows
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rest))


def _number(score: Mapping[str, Any], decimals: int, sign: str = "") -> str:
    text = f"{score['value']:{sign}.{decimals}f}"
    if score["low"] is None:
        return text
    return f"{text} [{score['low']:{sign}.{decimals}f}, {score['high']:{sign}.{decimals}f}]"


def _question(asked: _Result) -> str:
    real = asked["moran"]["truth"]
    rows = [
        ["", *_ASKED, f"Moran's I (truth {real[0]:.2f} ± {real[1]:.2f})", "CRPS of the network less this"]
    ]
    for name, found in asked["rows"].items():
        over = asked["over"].get(name)
        rows.append(
            [
                name,
                *(_number(found["scores"][m], d) for m, d in _ASKED.items()),
                "{:.2f} ± {:.2f}".format(*asked["moran"][name]),
                "" if over is None else _number(over["CRPS"], 4, "+"),
            ]
        )
    return _lines(rows)


def _stages(found: _Result) -> str:
    rows = [["", *_HEADS.values()]]
    for name, scores in found["scores"].items():
        rows.append([name, *(_number(scores[m], d) if m in scores else "" for m, d in _STAGES.items())])
    return _lines(rows)


def figure(result: _Result) -> Figure:
    """Left the CRPS of every question over that of the mean, right the coverage of intervals."""
    asked = {
        f"{name}\n{question}": found
        for name, tissue in result["tissues"].items()
        for question, found in tissue.get("questions", {}).items()
    }
    picture = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = picture.subplots(1, 2, width_ratios=(1.6, 1))
    _errors(left, asked)
    _coverage(right, asked)
    picture.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    return picture


def _errors(panel: Axes, asked: _Result) -> None:
    for k, (row, (colour, marker)) in enumerate(_LOOKS.items()):
        for i, found in enumerate(asked.values()):
            scale = found["rows"]["mean"]["scores"]["CRPS"]["value"]
            score = found["rows"][row]["scores"]["CRPS"]
            ends = [[(score["value"] - score["low"]) / scale], [(score["high"] - score["value"]) / scale]]
            panel.errorbar(
                i + (k - (len(_LOOKS) - 1) / 2) * 0.11,
                score["value"] / scale,
                yerr=ends,
                color=colour,
                marker=marker,
                markersize=5,
                capsize=2,
                linestyle="none",
                label=row if i == 0 else None,
            )
    panel.axhline(1, color="0.4", linewidth=1)
    panel.set_xticks(range(len(asked)), list(asked))
    panel.set(ylabel="CRPS over that of the mean", ylim=(0, None))
    panel.grid(axis="y", color="0.9")
    panel.set_title("what is missing, drawn (95 % intervals over blocks of cells)", fontsize=10)


def _coverage(panel: Axes, asked: _Result) -> None:
    for row, (colour, marker) in _LOOKS.items():
        points = [found["rows"][row]["scores"] for found in asked.values()]
        panel.plot(
            [p["cover 50 %"]["value"] for p in points],
            [p["cover 90 %"]["value"] for p in points],
            color=colour,
            marker=marker,
            linestyle="none",
            markersize=6,
        )
    panel.axhspan(0.8, 0.97, color="0.93", zorder=0)
    panel.axhline(0.9, color="0.5", linewidth=0.8)
    panel.axvline(0.5, color="0.5", linewidth=0.8)
    panel.set(xlabel="truths within 50 % intervals", ylabel="truths within 90 % intervals")
    panel.set_title("calibration, a point for each question", fontsize=10)


def maps(
    out: Path, shown: Completion, names: Sequence[str], genes: Sequence[str], question: str
) -> list[Path]:
    """Maps of the graph with the most hidden nodes, a picture for each gene."""
    hidden = [int((~k).any(1).sum()) for k in shown.graphs.unpack(shown.known)]
    graph = hidden.index(max(hidden))
    paths = []
    for gene in genes:
        picture = completion_maps(
            shown, gene, graph=graph, names=Names(tuple(names), values=f"level of {gene}, sd")
        )
        paths.append(out / f"{question}-{gene}.png")
        picture.savefig(paths[-1], dpi=110, bbox_inches="tight")
    return paths
