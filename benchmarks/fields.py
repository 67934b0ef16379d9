"""Features on 100 nodes that all see each other, against PyTorch Geometric: steps of training and sampling.

    OMP_NUM_THREADS=1 python benchmarks/fields.py [gat gcn attention] [--repeats 5] [--keep]
    OMP_NUM_THREADS=2 python benchmarks/fields.py whole [--keep]

The sizes are those of the limb bud: 10 times at 10 places, three genes, here random numbers. The network is
the paper's with a cell for every node and a complete graph. The stock way lists the 10,000 edges of a graph
once for all steps (`stock.py`); ours lists none. All ways run in turn within one process, and are first seen
to be one function.

``attention`` times the default network for fields beside torch's own transformer of the same blocks, width
and heads, which knows neither positions nor noise and so is no equal, only a measure. ``whole`` is all of
2,000 fields in 50 steps, with the seconds that the processor worked beside those that passed: on a busy
machine only the former can be trusted. ``--keep`` writes the results to ``docs/results/benchmarks.json``.
"""

import argparse
import functools
import time
import warnings

import stock
import torch
from results import record
from shapes import STEPS, Ours, against_stock, compare, show

from noisefold import Model
from noisefold.geometry import Graphs
from noisefold.nn import DMP, SetTransformer
from noisefold.sample import DPMSolver

BATCH, SIDE, GENES, WIDTH, GRAPHS, FIELDS = 64, 10, 3, 64, 256, 2000
PRECISIONS = ("bfloat16", "float32")


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
    make = functools.partial(Ours, data=data, batch=BATCH, variable="x")
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


class Plain(torch.nn.Module):
    """torch's transformer with the blocks, width and heads of `SetTransformer`, on the features alone."""

    def __init__(self, width=128, blocks=4, heads=4):
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.lift, self.head = torch.nn.Linear(GENES, width), torch.nn.Linear(width, GENES)
        self.blocks = torch.nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)

    def forward(self, graphs, log_snr, label=None):
        h = self.lift(graphs.x).view(len(graphs), -1, self.lift.out_features)
        return self.head(self.blocks(h)).flatten(0, 1)


def attention(repeats):
    """Both steps of the default network; sampling has all graphs at one time, as it is."""
    data = Graphs.dense(grid().expand(GRAPHS, -1, -1), torch.randn(GRAPHS, SIDE * SIDE, GENES))
    make = functools.partial(Ours, data=data, batch=BATCH, variable="x")
    ways = {"stock f32": make(Plain()), "stock bf16": make(Plain(), low=True)}
    ways |= {f"ours {n}": make(SetTransformer(2, GENES, GENES), low=n == "bf16") for n in ("f32", "bf16")}
    yield "train", against_stock({n: o.train for n, o in ways.items()}, repeats)
    graphs, times = data[:BATCH], torch.full((BATCH,), 0.5)
    steps = {n: functools.partial(o.sample, graphs, times) for n, o in ways.items()}
    yield "sample", against_stock(steps, repeats)


def whole():
    """Seconds that 2,000 fields of 100 nodes take in 50 steps."""
    frame = Graphs.dense(grid()[None].expand(8, -1, -1), torch.randn(8, SIDE * SIDE, GENES))
    model = Model(SetTransformer(2, GENES, GENES), variable="x").fit(frame, steps=1)
    passed, worked = {}, {}
    for precision in PRECISIONS:
        draw = functools.partial(model.sample, like=frame[0], solver=DPMSolver(), precision=precision)
        draw(BATCH, steps=2)
        start = time.perf_counter(), time.process_time()
        draw(FIELDS, steps=STEPS)
        passed[precision] = time.perf_counter() - start[0]
        worked[precision] = time.process_time() - start[1]
        print(
            f"  {precision:<9} {passed[precision]:>6.1f} s, processor {worked[precision]:>6.1f} s", flush=True
        )
    return {"threads": torch.get_num_threads(), "seconds": passed, "processor_seconds": worked}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", default=("gat", "gcn", "attention"), help="gat, gcn, attention, whole"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads; {BATCH} graphs of {SIDE**2} nodes, width {WIDTH}; medians")
    kept = {}
    for part in options.parts:
        if part == "whole":
            print(f"{FIELDS} fields in {STEPS} steps")
            kept["fields whole"] = whole()
            continue
        steps = attention(options.repeats) if part == "attention" else measured(part, options.repeats)
        for step, result in steps:
            show(f"full {part} {step}", result)
            kept[f"fields full {part} {step}"] = result
    if options.keep:
        record(kept)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
