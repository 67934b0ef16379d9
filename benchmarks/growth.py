"""How processor time and memory grow with the number of nodes, of every network, of completion and of scores.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [ROW ...] [--limit 20] [--keep]
    python benchmarks/growth.py --show

Each size of each row runs in a forked process of its own, after the smallest size once to warm up. Seconds
are those of the processor, the median of three where they are short; memory is the peak above what the
process held before. A row ends where the next size is foretold to take more than ``--limit`` seconds, or took
more than 6 GB of memory; the exponent of its last two sizes foretells the rest. Networks have their defaults
and predict one graph at u = 0.98, where the graphs of adaptive networks have most edges (`DMP.paper`, whose
schedule is reversed: at u = 0.02).

``--keep`` writes ``docs/results/growth.json``, and ``--show`` prints its table and draws
``docs/pictures/growth.png``.
"""

import argparse
import json
import math
import multiprocessing
import resource
import statistics
import time
import warnings
from pathlib import Path

import torch
from matplotlib import colormaps
from results import FILE, record

from noisefold import eval as scores
from noisefold import nn
from noisefold.data import planar
from noisefold.geometry import Graphs
from noisefold.geometry.lattice import pixel_positions
from noisefold.nn.adaptive import Exponential
from noisefold.report.figures.style import LIGHT, SMALL, dress, labels, new_figure
from noisefold.studies.kit.experiment import save_figure

KEPT = FILE.with_name("growth.json")
PICTURE = FILE.parents[1] / "pictures" / "growth.png"
LOG_SNR, GIGABYTES = 8.0, 6
DECADES = (1_000, 10_000, 100_000, 1_000_000)
QUADRATIC = (316, 1_000, 3_162, 10_000, 100_000)


def cloud(n, features=0, dim=3):
    return Graphs.dense(torch.randn(1, n, dim), torch.randn(1, n, features) if features else None)


def image(n):
    pos = pixel_positions(math.isqrt(n), math.isqrt(n))
    return Graphs(pos, torch.randn(len(pos), 1))


def discrete(n):
    edges = planar(1, nodes=n).edge_index
    return Graphs(torch.zeros(n, 0), edge_index=edges)


def forward(make, graphs, log_snr=LOG_SNR):
    """Build a network and return how it predicts a graph of n nodes."""

    def build(n):
        net, data = make().eval(), graphs(n)
        return lambda: net(data, torch.full((1,), log_snr))

    return build


def kriging_residual(n):
    net = nn.KrigingResidual(nn.SetTransformer(2, 12, 3), 3, 2)
    net.learn(Graphs.dense(torch.randn(4, 100, 2), torch.randn(4, 100, 3)))
    known = (torch.arange(n) % 2).float()[:, None].expand(n, 3)
    data = Graphs(torch.randn(n, 2), torch.cat([torch.randn(n, 3), known], 1))
    # Training mode: in evaluation the posterior of a graph is kept from one call to the next.
    return lambda: net(data, torch.full((1,), LOG_SNR))


def kriging(n):
    fitted = scores.Kriging(sample=64).fit(cloud(300, 1, 2))
    data, known = cloud(n, 1, 2), torch.arange(n) % 2 == 0
    return lambda: fitted.draw(data, known, draws=4)


def clouds(metric):
    """Score sets of n clouds of 400 points."""

    def build(n):
        sets = [Graphs.dense(torch.randn(n, 400, 3)) for _ in range(2)]
        return lambda: scores.score_clouds(*sets, metrics=(metric,), resamples=0)

    return build


def nearest_neighbours(n):
    a, b, c = (torch.rand(n, n, dtype=torch.float64) for _ in range(3))
    return lambda: scores.one_nna(a, b, c)


def chamfer(n):
    a, b = cloud(n), cloud(n)
    return lambda: scores.chamfer_matrix(a, b)


def transport(n):
    a, b = cloud(n), cloud(n)
    return lambda: scores.emd_matrix(a, b, workers=1)


def fields(n):
    pos = torch.rand(n, 2)
    sets = [Graphs.dense(pos.expand(8, -1, -1), torch.randn(8, n, 3)) for _ in range(2)]
    return lambda: scores.score_fields(*sets, resamples=0)


def graphs(n):
    sets = [planar(4, nodes=n, seed=i) for i in range(3)]
    return lambda: scores.score_graphs(*sets, resamples=0)


ROWS = {
    "Latents": (forward(nn.Latents, cloud), DECADES),
    "DMP": (forward(nn.DMP, cloud), DECADES),
    "DMP, range 10": (forward(lambda: nn.DMP(adaptive=Exponential(range=10)), cloud), DECADES),
    "DMP.paper": (forward(nn.DMP.paper, cloud, -LOG_SNR), DECADES),
    "EGNN": (forward(nn.EGNN, cloud), DECADES),
    "EquivariantFieldNet": (forward(nn.EquivariantFieldNet, lambda n: cloud(n, 2, 2)), DECADES),
    "DiT, pixels": (forward(nn.DiT, image), (1_024, 10_000, 99_856, 1_000_000)),
    "SetTransformer": (forward(lambda: nn.SetTransformer(2, 1, 1), lambda n: cloud(n, 1, 2)), QUADRATIC),
    "KrigingResidual": (kriging_residual, QUADRATIC),
    "GraphTransformer": (forward(lambda: nn.GraphTransformer(1, 2), discrete), (32, 100, 316, 1_000)),
}
NETWORKS = tuple(ROWS)
ROWS |= {
    "Kriging jointly, cells": (kriging, (316, 1_000, 3_162)),
    "Kriging cell by cell, cells": (kriging, (10_000, 100_000, 1_000_000)),
    "1-NNA-CD, clouds of 400 points": (clouds("1-NNA-CD"), (10, 32, 100, 1_000, 10_000)),
    "1-NNA from distances, clouds": (nearest_neighbours, (100, 1_000, 10_000)),
    "Chamfer of two clouds, points": (chamfer, DECADES),
    "EMD of two clouds, points": (transport, (100, 316, 1_000, 3_162, 10_000)),
    "score_fields, nodes of 16 fields": (fields, DECADES),
    "score_graphs, nodes of 12 graphs": (graphs, (32, 100, 316, 1_000)),
}


def one(build, size, small, pipe):
    """Send seconds and megabytes of one size, or None where the memory is not enough."""
    with torch.no_grad():
        torch.manual_seed(0)
        build(small)()
        try:
            run = build(size)
            before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            most = before + GIGABYTES * 2**30
            held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + most - before, resource.RLIM_INFINITY))
            times = []
            while len(times) < 3 and sum(times) < 0.2:
                start = time.process_time()
                run()
                times.append(time.process_time() - start)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            return pipe.send(None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return pipe.send((statistics.median(times), max(peak, 0) / 2**20))


def measured(name, limit):
    """Seconds and megabytes of a row by size, and what stopped it."""
    build, sizes = ROWS[name]
    context, found = multiprocessing.get_context("fork"), {"size": [], "seconds": [], "megabytes": []}
    for size in sizes:
        if len(found["size"]) > 1 and foretold(found, size) > limit:
            break
        ours, theirs = context.Pipe()
        process = context.Process(target=one, args=(build, size, sizes[0], theirs))
        process.start()
        theirs.close()
        try:
            answer = ours.recv()
        except EOFError:
            raise SystemExit(f"{name} failed at {size}.") from None
        process.join()
        if answer is None:
            found["too much memory at"] = size
            print(f"  {name} {size}: more than {GIGABYTES} GB", flush=True)
            break
        for key, value in zip(found, (size, *answer), strict=False):
            found[key].append(float(f"{value:.4g}") if key != "size" else value)
        print(f"  {name} {size}: {answer[0]:.4g} s, {answer[1]:.0f} MB", flush=True)
    return found


def exponent(row, key="seconds"):
    """Local exponent of the last two sizes."""
    (a, b), (p, q) = row["size"][-2:], row[key][-2:]
    return math.log(max(q, 1e-9) / max(p, 1e-9)) / math.log(b / a)


def foretold(row, size):
    """Seconds at a size by the exponent of the last two, at least linear."""
    return row["seconds"][-1] * (size / row["size"][-1]) ** max(exponent(row), 1)


def power(n):
    digits = math.log10(n)
    return f"10{'⁰¹²³⁴⁵⁶'[round(digits)]}" if abs(digits - round(digits)) < 0.02 else f"{n:,}"


def table(rows):
    """The rows in Markdown: seconds and memory by size."""
    lines = [
        "| | seconds by size | exponent | memory at the largest | exponent |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        cells = [f"{power(n)}: {s:.2g}" for n, s in zip(row["size"], row["seconds"], strict=True)]
        left = [n for n in ROWS[name][1] if n > row["size"][-1]]
        stopped = row.get("too much memory at")
        if stopped:
            cells.append(f"{power(stopped)}: over {GIGABYTES} GB")
        elif left:
            cells.append(f"*{power(left[-1])}: {foretold(row, left[-1]):,.2g}*")
        large = row["megabytes"][-1]
        memory = f"{large / 1024:.1f} GB" if large > 1024 else f"{large:.0f} MB"
        grows = f"{exponent(row, 'megabytes'):.1f}" if row["megabytes"][-2] > 20 else ""
        lines.append(f"| {name} | {', '.join(cells)} | {exponent(row):.2f} | {memory} | {grows} |")
    return "\n".join(lines)


def draw(rows):
    """Draw seconds by size: networks on the left, completion and scores on the right."""
    figure = new_figure(9.5, 4.0, LIGHT)
    axes = figure.subplots(1, 2)
    for place, names in zip(axes, (NETWORKS, [n for n in ROWS if n not in NETWORKS]), strict=True):
        dress(place, LIGHT)
        place.set(xscale="log", yscale="log")
        for i, name in enumerate(n for n in names if n in rows):
            row, color = rows[name], colormaps["tab10"](i)
            (line,) = place.plot(row["size"], row["seconds"], "o-", color=color, markersize=3, linewidth=1.2)
            line.set_label(name)
            last = next((n for n in reversed(ROWS[name][1]) if n > row["size"][-1]), None)
            if last is not None:
                ends = (row["size"][-1], last), (row["seconds"][-1], foretold(row, last))
                place.plot(*ends, ":", color=color, linewidth=1)
        place.set_ylim(top=1e5)
        place.legend(frameon=False, fontsize=SMALL, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    labels(axes[0], LIGHT, "nodes (tokens, pixels)", "seconds of one core for a forward pass")
    labels(axes[1], LIGHT, "size, see the names", "seconds of one core")
    save_figure(figure, PICTURE, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"some of {', '.join(ROWS)}; all by default")
    parser.add_argument("--limit", type=float, default=20)
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    parser.add_argument("--show", action="store_true", help="print and draw what is kept")
    options = parser.parse_args()
    if options.show:
        rows = {name: row for name, row in json.loads(KEPT.read_text()).items() if name in ROWS}
        rows = {name: rows[name] for name in ROWS if name in rows}
        print(table(rows))
        draw(rows)
        return
    for name in options.rows or ROWS:
        row = measured(name, options.limit)
        if options.keep:
            record({name: row}, KEPT)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
