"""Put a convolution of PyTorch Geometric inside dynamic message passing.

A name is enough for a convolution that is built from its channels; a function of the width builds any other.
Only the name can be written to a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch_geometric.nn as pyg

import noisefold as nf


def main(out: Path, small: bool) -> None:
    count, points, steps, width = (32, 64, 8, 16) if small else (1000, 256, 600, 64)
    data = nf.data.shapes(count, points=points, families=("chair", "table"), seed=0)

    def heads(width: int) -> pyg.TransformerConv:
        return pyg.TransformerConv(width, width // 4, heads=4)

    for conv in ("SAGEConv", heads):
        net = nf.nn.DMP(pos_dim=3, width=width, layers=2, conv=conv, classes=2)
        model = nf.Model(net)
        model.fit(data, steps=steps, batch=16, warmup=5)
        made = model.sample(4, labels=["chair", "table"], steps=10)
        name = conv if isinstance(conv, str) else "TransformerConv"
        print(name, made, f"{model.num_parameters:,} parameters")
        try:
            model.save_pretrained(out / name)
            print("  saved to", out / name)
        except ValueError as error:
            print("  not saved:", error)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/example-pyg"))
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
