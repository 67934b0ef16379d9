"""Complete shapes of which one half is known: several answers for each, and how near they are to the truth.

The model was trained to make whole shapes and never to complete any. What is known is put into its states,
noised as they are, and every step is repeated until the rest agrees with it (RePaint).

The points of a cloud are independent draws from a shape, so the drawn ones lie on its known half too. Their
number is free; here there are twice as many as are known. Distances are from the whole filled-in cloud to the
true one; another cloud of the same shape has the distance that is due to its points alone. A minute or two.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import noisefold as nf

FAMILIES = ("chair", "airplane", "mug", "lamp")
SHOWN = 3
KNOWN, DRAWN, HIDDEN = "#333333", "#0072b2", "#d55e00"


def main(name: str, out: Path, small: bool) -> None:
    count, points, library, steps = (4, 48, 8, 2) if small else (12, 256, 400, 20)
    model = nf.Model.from_pretrained(name)
    truth = nf.data.shapes(count, points=3 * points, families=FAMILIES, seed=21)
    again = nf.data.shapes(count, points=6 * points, families=FAMILIES, seed=21).thin(
        3 * points, torch.rand(6 * count * points, generator=torch.Generator().manual_seed(0))
    )
    partial, known = halves(truth, points)
    filled = model.complete(partial, known, draws=SHOWN, steps=steps, seed=0)
    print(f"{model}\n{filled}")

    labels = [truth.classes[i] for i in truth.label]
    free = model.sample(count, nodes=3 * points, labels=labels, seed=0)
    others = nf.data.shapes(library, points=3 * points, families=FAMILIES, seed=0)
    rows = {
        "completions": torch.stack([distance(draw, truth) for draw in filled.draws]).mean(0),
        f"best of {SHOWN}": torch.stack([distance(draw, truth) for draw in filled.draws]).amin(0),
        f"nearest of {library} others": distance(others[nearest(partial, known, others)], truth),
        "free sample of the class": distance(free, truth),
        "known half alone": distance(kept(partial, known), truth),
        "the same shape again": distance(again, truth),
    }
    head = "Chamfer distance to the truth, squared lengths x 1000"
    print(f"{head:56}" + "".join(f"{f:>10}" for f in FAMILIES))
    for row, values in rows.items():
        means = [1e3 * float(values[[i for i, w in enumerate(labels) if w == f]].mean()) for f in FAMILIES]
        print(f"  {row:54}" + "".join(f"{m:10.1f}" for m in means))

    out.mkdir(parents=True, exist_ok=True)
    picture(partial, known, filled, truth).savefig(out / "completion.png", dpi=130)
    print("written:", out / "completion.png")


def halves(truth: nf.Graphs, points: int) -> tuple[nf.Graphs, Tensor]:
    """The foremost `points` of each cloud, and twice as many places to fill; and which are known."""
    parts = []
    for pos in truth.unpack():
        front = pos[pos[:, 1] < pos[:, 1].median()][:points]
        parts.append(torch.cat([front, torch.full((3 * points - len(front), 3), torch.nan)]))
    partial = nf.Graphs.ragged(parts, label=truth.label, classes=truth.classes)
    return partial, partial.pos[:, 0].isfinite()


def kept(partial: nf.Graphs, known: Tensor) -> nf.Graphs:
    pieces = zip(partial.unpack(), partial.unpack(known), strict=True)
    return nf.Graphs.ragged([pos[chosen] for pos, chosen in pieces])


def distance(a: nf.Graphs, b: nf.Graphs) -> Tensor:
    """Chamfer distance of each pair, ``[g]``."""
    return nf.eval.chamfer_matrix(a, b).diagonal()


def nearest(partial: nf.Graphs, known: Tensor, others: nf.Graphs) -> list[int]:
    """For each partial cloud the shape whose points come nearest to what is known of it."""
    away = [
        torch.stack([torch.cdist(pos, other).amin(1).square().mean() for other in others.unpack()])
        for pos in kept(partial, known).unpack()
    ]
    return [int(row.argmin()) for row in away]


def picture(partial: nf.Graphs, known: Tensor, filled: nf.sample.Completion, truth: nf.Graphs) -> Figure:
    """One row a family: what is known, three completions, the truth; all in one frame."""
    figure = Figure(figsize=(10, 2 * len(FAMILIES)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 2 * (2 + SHOWN)), ylim=(-2 * len(FAMILIES) - 0.3, 0.1), aspect="equal")
    axes.set_axis_off()
    masks, middles = partial.unpack(known), truth.unpack()
    for i in range(len(FAMILIES)):
        middle = (middles[i].amin(0) + middles[i].amax(0)) / 2
        reach = (middles[i] - middle).norm(dim=1).max()
        front = truth[i].pos[:, 1] < truth[i].pos[:, 1].median()
        cells = [(partial[i].pos, masks[i], KNOWN), *((d[i].pos, masks[i], DRAWN) for d in filled.draws)]
        for column, (pos, mask, color) in enumerate([*cells, (truth[i].pos, front, HIDDEN)]):
            p = (pos - middle) / reach
            across = p[:, 0] * 0.85 + p[:, 1] * 0.53
            up = p[:, 2] * 0.93 + (p[:, 1] * 0.85 - p[:, 0] * 0.53) * 0.37
            for part, ink in ((~mask, color), (mask, KNOWN)):
                x, y = across[part] + 2 * column + 1, up[part] - 2 * i - 1
                axes.scatter(x.numpy(), y.numpy(), s=4, c=ink, linewidths=0)
    for column, title in enumerate(["known", *["completed"] * SHOWN, "truth"]):
        axes.text(2 * column + 1, -2 * len(FAMILIES) - 0.2, title, ha="center", fontsize=10)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="noisefold/shapes")
    parser.add_argument("--out", type=Path, default=Path("runs/example-completion"))
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    main(arguments.model, arguments.out, arguments.small)
