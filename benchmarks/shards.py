"""Memory and throughput of training from shards: ``python benchmarks/shards.py FOLDER --gigabytes 8``.

1. Clouds of 1,000 points are written to FOLDER, some at a time; ``noisefold convert`` makes shards of them.
2. ``noisefold train`` takes some steps from the shards, in its own process. Printed are, of `convert` and of
   `train`, the most resident memory that it had (VmHWM: all pages, also those of mapped files and
   libraries), the most anonymous memory (RssAnon: what the system cannot take back), and the most pages of
   files (RssFile), which are page cache that the process maps; each with what it was before the work began.
3. A part of the clouds is trained on from shards and in memory, in turn. Printed are the ratios of the median
   steps in a second of processor time, of every repetition.

FOLDER takes twice that size while this runs, and the folder for temporary files (TMPDIR) once.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from noisefold.data.shards import open_shards, write_shards
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model

POINTS, TOGETHER, PART = 1000, 2000, 20_000
NET = {"width": 64, "blocks": 2}
SMALL = ("net.width=64", "net.blocks=2", "training.batch=16", "training.validate_every=1000000")


def status(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{name}:\s+(\d+)", text)
    return int(found.group(1)) / 1024 if found else float("nan")


def write_clouds(folder: Path, gigabytes: float) -> None:
    """Clouds on ellipsoids, some in each file."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for i in range(round(gigabytes * 1e9 / (12 * POINTS * TOGETHER))):
        points = torch.nn.functional.normalize(torch.randn(TOGETHER, POINTS, 3, generator=generator), dim=-1)
        points *= 0.5 + torch.rand(TOGETHER, 1, 3, generator=generator)
        np.save(folder / f"{i:04d}.npy", points.numpy())


def watched(words: list[str]) -> None:
    """Run a command line of noisefold, and print its memory."""
    from noisefold.cli import main

    parts = ("RssAnon", "RssFile")
    before = {part: status(part) for part in parts}
    most, done = dict(before), threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for part in parts:
                most[part] = max(most[part], status(part))

    threading.Thread(target=watch, daemon=True).start()
    sys.argv = ["noisefold", *words]
    begun = time.process_time()
    try:
        main()
    except SystemExit as error:
        if error.code:
            raise
    done.set()
    told = "; ".join(f"{part} {before[part]:.0f} MB before, {most[part]:.0f} MB at most" for part in parts)
    print(
        f"{words[0]}: {status('VmHWM'):.0f} MB resident at most; {told}; "
        f"{time.process_time() - begun:.0f} s of processor time",
        flush=True,
    )


def rate(data: Graphs, steps: int) -> float:
    """Median steps in a second of processor time."""
    times: list[float] = []
    model = Model.for_data(data, **NET)
    model.fit(data, steps=steps, batch=16, on_step=lambda _: times.append(time.process_time()))
    return 1 / float(torch.tensor(times).double().diff()[2:].median())


def main() -> None:
    """Write, train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.command:
        watched(given.command)
        return
    clouds, shards, run = (given.folder / name for name in ("clouds", "shards", "run"))
    here = [sys.executable, __file__, str(given.folder), "--command"]
    if not shards.exists():
        if not clouds.exists():
            write_clouds(clouds, given.gigabytes)
        subprocess.run([*here, "convert", str(clouds), str(shards)], check=True)
    options = [word for entry in (*SMALL, f"training.steps={given.steps}") for word in ("-o", entry)]
    subprocess.run([*here, "train", str(shards), "--out", str(run), *options], check=True)
    data = open_shards(shards)
    print(f"{len(data):,} clouds, {data.num_nodes * 12 / 1e9:.1f} GB")
    held = data[: min(PART, len(data))]
    part = given.folder / "part"
    if not part.exists():
        write_shards([held], part)
    mapped = open_shards(part)
    ratios = [rate(mapped, given.steps) / rate(held, given.steps) for _ in range(given.repetitions)]
    listed = ", ".join(f"{r:.3f}" for r in sorted(ratios))
    print(f"throughput from shards over in memory: median {np.median(ratios):.3f} of {listed}")


if __name__ == "__main__":
    main()
