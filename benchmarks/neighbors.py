"""Edges of the k nearest nodes, and balanced cells, against scipy's k-d tree called for every graph.

    OMP_NUM_THREADS=2 python benchmarks/neighbors.py [--large] [--repeats 9]

Both ways run in turn within one process, so that a ratio compares like with like on a busy machine. The stock
way is that of a data loader: one `cKDTree` a graph, k + 1 neighbours of each node, the node itself dropped,
edges stacked and shifted.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree

from noisefold.geometry import KNN, Balanced

CASES = [(128, 400, 8), (128, 200, 14), (128, 100, 28), (128, 53, 52), (16, 2_000, 8), (1, 20_000, 8)]
LARGE = [(1, 100_000, 8), (1, 1_000_000, 8)]


def stock(pos: torch.Tensor, ptr: torch.Tensor, k: int) -> torch.Tensor:
    parts = []
    bounds = ptr.tolist()
    for a, b in itertools.pairwise(bounds):
        points = pos[a:b].numpy()
        index = cKDTree(points).query(points, k=k + 1)[1][:, 1:]
        target = np.repeat(np.arange(b - a), index.shape[1])
        parts.append(torch.from_numpy(np.stack([index.reshape(-1), target])) + a)
    return torch.cat(parts, 1)


def measure(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each way, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if i:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def ways(graphs: int, nodes: int, k: int) -> dict[str, Callable[[], object]]:
    pos, ptr = torch.randn(graphs * nodes, 3), torch.arange(graphs + 1) * nodes
    cells = max(1, round((k * nodes) ** 0.5))
    return {
        "stock": lambda: stock(pos, ptr, k),
        "KNN": lambda: KNN(k)(pos, ptr),
        "Balanced": lambda: Balanced()(pos, ptr, cells),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="clouds of 1e5 and 1e6 nodes too")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads; normal clouds in space, float32; medians in milliseconds")
    print("  graphs x nodes   k     stock       KNN  ratio  us/node  Balanced")
    for graphs, nodes, k in CASES + (LARGE if options.large else []):
        took = measure(ways(graphs, nodes, k), options.repeats if nodes < 50_000 else 3)
        ratio, each = took["stock"] / took["KNN"], 1e3 * took["KNN"] / (graphs * nodes)
        print(
            f"{graphs:>6} x {nodes:>7} {k:>3} {took['stock']:>9.2f} {took['KNN']:>9.2f} {ratio:>6.1f} "
            f"{each:>8.2f} {took['Balanced']:>9.2f}"
        )


if __name__ == "__main__":
    main()
