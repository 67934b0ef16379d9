"""What the scores of graphs cost, and how far their intervals can be trusted.

    OMP_NUM_THREADS=1 python benchmarks/graph_scores.py [--sets 60] [--keep]

Everything is drawn from the generators in `noisefold.data`, so that no file is needed:

- ``seconds``: processor time of the whole table for 40 generated graphs against 40 test and 128 training
  graphs, with all five rows;
- ``intervals``: for many sets of 40 graphs from the true generator, the standard deviation of each score
  between sets, and that which the intervals say, on average;
- ``rewired``: share of SBM graphs that pass the check of validity, before and after a tenth of the edges are
  moved anywhere;
- ``near``: spectral distance to the nearest training graph of copies with some edges moved, relative to fresh
  graphs.
"""

import argparse
import time

import numpy as np
from results import record

from noisefold import data
from noisefold.data.formats.edge_lists import undirected
from noisefold.eval import GraphStatistics, nearest_spectra, score_graphs, valid_graphs
from noisefold.eval.graph_rows import Bench, Row

SCORES = ("ratio", "degree", "clustering", "orbit", "spectrum", "wavelet", "nearest")
CLASSES = {"planar": (data.planar, None), "tree": (data.tree, None), "sbm": (data.sbm, "sbm")}


def seconds(name):
    generator, check = CLASSES[name]
    sets = generator(40, seed=1), generator(40, seed=2), generator(128, seed=3)
    start = time.process_time()
    score_graphs(*sets, truth=generator, validity=check)
    return time.process_time() - start


def intervals(name, sets):
    generator, check = CLASSES[name]
    test, train = generator(40, seed=2), generator(128, seed=3)
    bench = Bench(GraphStatistics(test), GraphStatistics(train), train, check, False)
    found = {score: [] for score in SCORES}
    for k in range(sets):
        row = Row(bench, GraphStatistics(generator(40, seed=1000 + k)), 60, k)
        for score in SCORES:
            made = row.score(score)
            found[score].append((made.value, made.high - made.value))
    out = {}
    for score, values in found.items():
        value, reach = np.array(values).T
        if value.std() > 1e-9:
            out[score] = {"mean": value.mean(), "sd": value.std(ddof=1), "said": reach.mean() / 1.96}
    return out


def moved(graphs, share, rng):
    """Graphs with a share of their edges, one at least, moved to random pairs."""
    edges, counts = [], []
    for graph in graphs:
        ends = graph.edge_index.T.numpy()
        there = {tuple(e) for e in ends[ends[:, 0] < ends[:, 1]].tolist()}
        count = len(there)
        listed = sorted(there)
        for j in rng.choice(count, max(round(share * count), 1), replace=False):
            there.discard(listed[j])
        while len(there) < count:
            u, v = sorted(rng.choice(graph.num_nodes, 2, replace=False).tolist())
            there.add((u, v))
        edges.append(np.array(sorted(there)))
        counts.append(count)
    return undirected(graphs.sizes.tolist(), counts, np.concatenate(edges))


def rewired():
    graphs = data.sbm(100, seed=5)
    other = moved(graphs, 0.1, np.random.default_rng(0))
    return {"drawn": valid_graphs(graphs, "sbm").mean(), "rewired": valid_graphs(other, "sbm").mean()}


def near():
    train = data.planar(128, seed=0)
    known = GraphStatistics(train)
    fresh = nearest_spectra(GraphStatistics(data.planar(40, seed=1)), known).mean()
    rng = np.random.default_rng(0)
    edges = train.edge_index.shape[1] / 2 / len(train)
    return {
        str(count): nearest_spectra(GraphStatistics(moved(train[:40], count / edges, rng)), known).mean()
        / fresh
        for count in (1, 2, 4)
    }


def plain(found):
    """Nested results with ordinary floats."""
    return {k: plain(v) for k, v in found.items()} if isinstance(found, dict) else float(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="write to docs/results/benchmarks.json")
    arguments = parser.parse_args()
    found = {
        "seconds": {name: seconds(name) for name in CLASSES},
        "intervals": {name: intervals(name, arguments.sets) for name in CLASSES},
        "rewired": rewired(),
        "near": near(),
    }
    for part in ("seconds", "rewired", "near"):
        print(part, {name: round(float(value), 3) for name, value in found[part].items()})
    for name, scores in found["intervals"].items():
        for score, values in scores.items():
            print(name, score, {key: float(f"{value:.3g}") for key, value in values.items()})
    if arguments.keep:
        record({"graph_scores": plain(found)})


if __name__ == "__main__":
    main()
