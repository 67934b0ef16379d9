"""Train on built-in shapes, generate, and say how good the result is.

A few minutes on two cores; `--small` takes seconds and shows only that everything runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import noisefold as nf


def main(out: Path, small: bool) -> None:
    count, points, steps, draws = (64, 48, 20, 8) if small else (2000, 256, 900, 100)
    train = nf.data.shapes(count, points=points, seed=0)
    test = nf.data.shapes(2 * draws, points=points, seed=1)
    print(train)

    model = nf.Model.for_data(train, width=32, latents=32, latent_width=64, blocks=1)
    print(model)
    model.fit(train, val=test, out=out, resume=True, steps=steps, batch=32, lr=2e-3, ema=0.99)

    clouds = model.sample(draws, labels="chair", steps=25, seed=0)
    print("written:", nf.save(clouds, out / "chairs.npz"))
    print(model.evaluate(test, train=train, draws=draws, steps=25))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/example-shapes"))
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
