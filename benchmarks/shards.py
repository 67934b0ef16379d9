"""Memory and throughput of training from shards: ``python benchmarks/shards.py FOLDER --gigabytes 8``.

Clouds of 1,000 points are written to FOLDER, if it is not there, and a small network is trained on them, and
on a part of them in memory. Printed are the anonymous memory that training from shards adds, and both rates.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import torch

from noisefold.data.shards import open_shards, write_shards
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model

POINTS, TOGETHER = 1000, 2000
NET = {"width": 64, "blocks": 2}


def status(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{name}:\s+(\d+)", text)
    return int(found.group(1)) / 1024 if found else float("nan")


def clouds(gigabytes: float):
    """Clouds on ellipsoids, some at a time."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(round(gigabytes * 1e9 / (12 * POINTS * TOGETHER))):
        points = torch.nn.functional.normalize(torch.randn(TOGETHER, POINTS, 3, generator=generator), dim=-1)
        yield Graphs.dense(points * (0.5 + torch.rand(TOGETHER, 1, 3, generator=generator)))


def rate(model: Model, data: Graphs, steps: int) -> tuple[float, float]:
    """Median steps in a second of processor time, and seconds of it before the first."""
    times = [time.process_time()]
    model.fit(data, steps=steps, batch=16, on_step=lambda _: times.append(time.process_time()))
    each = torch.tensor(times).double().diff()
    return 1 / float(each[2:].median()), float(each[0])


def main() -> None:
    """Write, train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    if not given.folder.exists():
        write_shards(clouds(given.gigabytes), given.folder)
    data = open_shards(given.folder)
    held = data[:2000]
    in_memory, _ = rate(Model.for_data(held, **NET), held, given.steps)
    del held
    before = status("RssAnon")
    on_disk, begin = rate(Model.for_data(data, **NET), data, given.steps)
    size = data.num_nodes * 12 / 1e9
    print(f"{len(data):,} clouds, {size:.1f} GB; {begin:.0f} s to measure and check them")
    print(
        f"anonymous memory {status('RssAnon'):.0f} MB, {status('RssAnon') - before:.0f} MB more than before"
    )
    print(
        f"{on_disk:.2f} steps per second of processor time from shards, {in_memory:.2f} in memory: "
        f"ratio {on_disk / in_memory:.2f}"
    )


if __name__ == "__main__":
    main()
