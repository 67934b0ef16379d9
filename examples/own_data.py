"""Bring your own meshes: a folder with one folder of files for each class is all it takes.

The meshes here are cylinders and boxes of random proportions, written by trimesh in your stead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import trimesh

import noisefold as nf


def write_meshes(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("box", "cylinder"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            width, height = rng.uniform(10, 20), rng.uniform(20, 60)
            mesh = (
                trimesh.creation.box(extents=(width, width, height))
                if name == "box"
                else trimesh.creation.cylinder(radius=width / 2, height=height)
            )
            mesh.export(folder / name / f"{i:03d}.ply")


def main(out: Path, small: bool) -> None:
    count, points, steps = (8, 64, 20) if small else (200, 512, 1000)
    write_meshes(out / "meshes", count)

    data = nf.load(out / "meshes", points=points)  # points uniform by area on every mesh
    print(data, data.classes)
    train, test = data.split(0.8, seed=0)

    model = nf.Model.for_data(train, width=32, latents=16, latent_width=64, rounds=1)
    model.fit(train, val=test, steps=steps, batch=16, ema=0.99)
    model.save_pretrained(out / "model")

    again = nf.Model.from_pretrained(out / "model")
    made = again.sample(4, labels=["box", "cylinder"], nodes=300, seed=1)
    assert torch.equal(made.pos, model.sample(4, labels=["box", "cylinder"], nodes=300, seed=1).pos)
    low, high = made.pos.amin(0), made.pos.amax(0)
    print(f"generated in the meshes' own units: from {low.round().tolist()} to {high.round().tolist()}")
    nf.save(made, out / "samples.npz")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/example-own-data"))
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
