"""Features on 100 nodes that all see each other, against PyTorch Geometric: steps of training and sampling.

    OMP_NUM_THREADS=1 python benchmarks/fields.py [gat gcn] [--repeats 5] [--keep]

The sizes are those of the limb bud: 10 times at 10 places, three genes, here random numbers. The network is
the paper's with a cell for every node and a complete graph. The stock way lists the 10,000 edges of a graph
once for all steps (`stock.py`); ours lists none. All ways run in turn within one process, and are first seen
to be one function. ``--keep`` writes the results to ``docs/results/benchmarks.json``.
"""

import argparse
import functools
import warnings

import stock
import torch
from results import record
from shapes import STEPS, Ours, against_stock, compare, show

from noisefold.geometry import Graphs
from noisefold.nn import DMP

BATCH, SIDE, GENES, WIDTH, GRAPHS = 64, 10, 3, 64, 256


def grid():
    """Nodes ``[100, 2]``, place and time, in [0, 2] and [0, 1]."""
    return torch.cartesian_prod(torch.linspace(0, 1, SIDE), torch.linspace(0, 2, SIDE)).flip(1)


def network(conv):
    return DMP.baseline("full", paper="x", conv=conv, width=WIDTH)


def pair(conv, stocked, data):
    """The stock network, and the same of ours in two precisions."""
    theirs, ours = stock.Network(2, WIDTH, conv=conv, features=GENES), network(conv)
    stock.copy_weights(ours, theirs)
    graphs, t = data[:8], torch.linspace(0.001, 0.999, 8)
    fields = graphs.x.view(8, -1, GENES)
    built = [stocked.build(x, 1 - float(s)) for x, s in zip(fields, t, strict=True)]
    compare(ours, theirs, graphs, t, built)
    make = functools.partial(Ours, data=data, batch=BATCH, noised="x")
    return theirs, {"ours f32": make(ours), "ours bf16": make(network(conv), low=True)}


def measured(conv, repeats):
    """Both steps of a convolution."""
    pos, fields = grid(), torch.randn(GRAPHS, SIDE * SIDE, GENES)
    data, stocked = Graphs.dense(pos.expand(GRAPHS, -1, -1), fields), stock.NoisyFields(pos, fields)
    theirs, ours = pair(conv, stocked, data)
    trainer = stock.Trainer(theirs, stocked, BATCH)
    ways = {"stock f32": trainer.step} | {name: o.train for name, o in ours.items()}
    yield "train", against_stock(ways, repeats)
    graphs, times = data[:BATCH], torch.linspace(0.01, 0.99, BATCH)
    ways = {"stock f32": lambda: stock.sample_step(theirs, fields[:BATCH], times, 1 / STEPS, stocked.build)}
    ways |= {name: functools.partial(o.sample, graphs, times) for name, o in ours.items()}
    yield "sample", against_stock(ways, repeats)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("convolutions", nargs="*", default=("gat", "gcn"), help="gat, gcn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads; {BATCH} graphs of {SIDE**2} nodes, width {WIDTH}; medians")
    kept = {}
    for conv in options.convolutions:
        for step, result in measured(conv, options.repeats):
            show(f"full {conv} {step}", result)
            kept[f"fields full {conv} {step}"] = result
    if options.keep:
        record(kept)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
