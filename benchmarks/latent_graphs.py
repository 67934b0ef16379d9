"""Large graphs by latent vectors: how much of graphs the vectors give back, and how near samples are.

    python benchmarks/latent_graphs.py geometric
    python benchmarks/latent_graphs.py communities
    python benchmarks/latent_graphs.py ego.npz

prints, for a model trained for `--steps` steps on one thread, the dimensions chosen, the share of edges that
are given back (recall) and right (precision), and a table of squared MMDs to held-out graphs: of the model's
samples, of training graphs that were encoded and decoded, of training graphs as they are and of random graphs
of the same density. Times are of the processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

import noisefold as nf
from noisefold.geometry.pair_strata import simple_edges


def graph_of(n: int, pairs: np.ndarray) -> nf.Graphs:
    """Return one graph with edges ``[e, 2]``."""
    edges = torch.from_numpy(np.ascontiguousarray(pairs.T)).long()
    return nf.Graphs(torch.zeros(n, 0), edge_index=torch.cat([edges, edges.flip(0)], 1))


def geometric(count: int, least: int, most: int, seed: int) -> nf.Graphs:
    """Random geometric graphs in the unit square, of mean degree about 10."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(count):
        n = int(np.exp(rng.uniform(np.log(least), np.log(most))))
        tree = cKDTree(rng.random((n, 2)))
        out.append(graph_of(n, tree.query_pairs(np.sqrt(10 / (np.pi * n)), output_type="ndarray")))
    return nf.Graphs.collate(out)


def communities(count: int, least: int, most: int, seed: int) -> nf.Graphs:
    """Block models of 3 to 8 communities of unequal sizes: mean degree 8 within and 2 between them."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(count):
        n, k = int(np.exp(rng.uniform(np.log(least), np.log(most)))), int(rng.integers(3, 9))
        block = rng.choice(k, n, p=rng.dirichlet([10] * k))
        i, j = np.triu_indices(n, 1)
        own = block[i] == block[j]
        size = np.bincount(block, minlength=k)
        edge = rng.random(len(i)) < np.where(own, 8 / size[block[i]], 2 / n)
        out.append(graph_of(n, np.stack([i[edge], j[edge]], 1)))
    return nf.Graphs.collate(out)


def sets(name: str, graphs: int, least: int, most: int) -> tuple[nf.Graphs, nf.Graphs]:
    """Return training and test graphs."""
    makers = {"geometric": geometric, "communities": communities}
    if name in makers:
        return makers[name](graphs, least, most, 0), makers[name](graphs, least, most, 1)
    train, test = nf.data.graph_set(Path(name), "train"), nf.data.graph_set(Path(name), "val")
    return train[:graphs], test[:graphs]


def given_back(graphs: nf.Graphs, made: nf.Graphs) -> tuple[float, float]:
    """Return recall and precision of the edges."""
    own, again = ((e[0] * graphs.num_nodes + e[1]) for e in (simple_edges(graphs), simple_edges(made)))
    both = float(torch.isin(own, again).sum())
    return both / len(own), both / max(1, len(again))


def main() -> None:
    """Run one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help='"geometric", "communities", or a .npz file with a split')
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--graphs", type=int, default=10)
    parser.add_argument("--nodes", type=int, nargs=2, default=(500, 5000))
    parser.add_argument("--sample", type=int, default=20, help="steps of sampling")
    asked, clock = parser.parse_args(), time.process_time
    torch.set_num_threads(1)
    train, test = sets(asked.data, asked.graphs, *asked.nodes)
    print(f"{asked.data}: {train}, test {test}", flush=True)

    start = clock()
    model = nf.Model.for_data(train, variable="pos")
    transform = model.transform
    print(f"{clock() - start:.0f} s to fit {transform.decoder}", flush=True)
    start = clock()
    points = transform.once(train)
    decoded = transform.drawn(points, range(len(train)))
    recall, precision = given_back(train, decoded)
    print(f"{clock() - start:.0f} s to encode; recall {recall:.2f}, precision {precision:.2f}", flush=True)
    start = clock()
    model.fit(points, steps=asked.steps)  # what has places already keeps them
    print(f"{clock() - start:.0f} s for {asked.steps} steps", flush=True)
    start = clock()
    large = model.sample(1, nodes=5000, steps=asked.sample)
    edges = large.edge_index.shape[1] // 2
    print(f"{clock() - start:.1f} s for one graph of 5000 nodes and {edges} edges", flush=True)
    start = clock()
    made = model.sample_for(test, steps=asked.sample)
    print(f"{clock() - start:.1f} s for {len(made)} samples of {made.num_nodes} nodes", flush=True)
    names = ["degree", "clustering", "orbit"]
    names += [] if max(test.sizes.max(), train.sizes.max()) > 1000 else ["spectrum"]
    rows = {"model": made, "decoded": decoded[: len(made)]}
    print(nf.eval.score_graphs(rows, test, train, metrics=names, resamples=20), flush=True)


if __name__ == "__main__":
    main()
