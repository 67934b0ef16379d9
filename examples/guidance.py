"""Ask for a class, and ask more or less firmly: classifier-free guidance.

With weight 1 the model samples what it learned of a class. Larger weights trade variety for typicality:
samples come nearer to real shapes of the class, and to each other.
"""

from __future__ import annotations

import argparse

import torch

import noisefold as nf


def main(name: str, family: str, small: bool) -> None:
    count, points, steps = (4, 64, 3) if small else (40, 256, 25)
    model = nf.Model.from_pretrained(name)
    real = nf.data.shapes(2 * count, points=points, families=(family,), seed=5)
    print(f"{model}\n{count} of class {family!r}, Chamfer distances, squared lengths x 1000")
    print(f"{'':12}{'to the nearest real one':>26}{'to each other':>18}")
    rows = {f"weight {w:g}": sample(model, w, count, points, family, steps) for w in (0.0, 1.0, 2.0, 4.0)}
    rows["real"] = real[:count]
    for row, clouds in rows.items():
        to_real = nf.eval.chamfer_matrix(clouds, real[count:]).amin(1).mean()
        apart = nf.eval.chamfer_matrix(clouds, clouds)[~torch.eye(count, dtype=torch.bool)].mean()
        print(f"{row:12}{1e3 * float(to_real):26.1f}{1e3 * float(apart):18.1f}")


def sample(model: nf.Model, weight: float, count: int, points: int, family: str, steps: int) -> nf.Graphs:
    return model.sample(count, nodes=points, labels=family, guidance=weight, steps=steps, seed=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="noisefold/shapes")
    parser.add_argument("--label", default="chair")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    main(arguments.model, arguments.label, arguments.small)
