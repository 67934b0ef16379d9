"""Networks for functions: operations of a training step, and conditional log-likelihoods a minute.

    OMP_NUM_THREADS=1 python benchmarks/functions.py [flops likelihood] [--tasks 64] [--keep]

``flops`` counts the matrix products of a training step for each network, forward and twice that backward, and
needs no clock. The published network is bi-dimensional attention of 5 layers, width 64 and 8 heads, as in the
code of geometric neural diffusion processes; it is counted on our twin of it, and by the formula of its
layers, which must agree.

``likelihood`` times `conditional_log_prob` of 50 values given 10, 60 points in all, by the direct route (the
Runge-Kutta method in 10 steps, one fresh probe or two): the seconds that the processor worked, as those for
1,000 of them.
"""

import argparse
import time

import torch
from results import record

from noisefold.geometry import Graphs
from noisefold.nn import BiDimensionalAttention, EquivariantFieldNet, SetTransformer
from noisefold.nn.flops import count_flops
from noisefold.sample import ProbabilityFlow, conditional_log_prob
from noisefold.studies.functions.training import LEVELS, denoiser_of

CONTEXT, POINTS, FIELD = 10, 60, 648
WIDTH, LAYERS, HEADS = 64, 5, 8


def tasks(count, points, dim):
    """Graphs of random values and flags, as a network for completion sees them."""
    pos = 4 * torch.rand(count, points, dim) - 2
    x = torch.randn(count, points, dim)
    return Graphs.dense(pos, torch.cat([x, torch.zeros_like(x)], -1))


def published(points, dim):
    """Operations of a forward pass of the published network for one function, by its layers.

    A layer attends among n points for each of d coordinates and among d coordinates for each of n points,
    each with four maps of w columns to w and the products of queries, keys and values; one map takes the sum
    of both to 2 w columns. Before stands a map of the two columns and a flag, after it one to w and one to d.
    """
    tokens, w = points * dim, WIDTH
    maps = 2 * tokens * (2 * 4 * w * w + 2 * w * w)
    attention = 4 * tokens * points * w + 4 * tokens * dim * w
    ends = 2 * tokens * (1 + 2 * dim) * w + 2 * points * (w * w + w * dim)
    return LAYERS * (maps + attention) + ends


def flops():
    """Operations of a training step for one function, by network."""
    rows = {}
    cases = {
        "line, 60 points": (
            POINTS,
            1,
            {"SetTransformer(absolute=False)": SetTransformer(1, 2, 1, 64, 4, heads=4, absolute=False)},
        ),
        "plane, 648 points": (
            FIELD,
            2,
            {
                "SetTransformer": SetTransformer(2, 4, 2, 64, 4, heads=4),
                "EquivariantFieldNet": EquivariantFieldNet(2, 4),
            },
        ),
    }
    for case, (points, dim, nets) in cases.items():
        graphs, level = tasks(1, points, dim), torch.zeros(1)
        twin = BiDimensionalAttention(dim, 2 * dim, width=WIDTH, layers=LAYERS, heads=HEADS)
        counted, by_formula = count_flops(twin, graphs, level), published(points, dim)
        # What conditions on the noise level is a few vectors.
        assert abs(counted - by_formula) < 0.03 * counted, (counted, by_formula)
        rows[case] = {"published": 3 * counted}
        rows[case] |= {name: 3 * count_flops(net, graphs, level) for name, net in nets.items()}
        for name, value in rows[case].items():
            share = value / rows[case]["published"]
            print(f"  {case:<18} {name:<32} {value / 1e6:8.0f} million, {share:.2f} of the published")
    return rows


def likelihood(count):
    """Seconds of conditional log-likelihoods of 50 values given 10."""
    torch.manual_seed(0)
    denoiser = denoiser_of(SetTransformer(1, 2, 1, 64, 4, heads=4, absolute=False).eval())
    graphs = tasks(count, POINTS, 1)
    graphs = graphs.replace(x=graphs.x[:, :1])
    known = (torch.arange(POINTS) < CONTEXT).repeat(count)
    ends, kept = (LEVELS.high, LEVELS.low), {}
    for probes in (1, 2):
        method = ProbabilityFlow(probes=probes, exact_below=12, log_snr=ends)
        conditional_log_prob(denoiser, graphs[:2], known[: 2 * POINTS], route="direct", method=method)
        start = time.process_time()
        conditional_log_prob(denoiser, graphs, known, route="direct", method=method)
        seconds = (time.process_time() - start) * 1000 / count
        print(
            f"  1,000 log-likelihoods of 50 values given 10, {probes} probe(s): {seconds:.0f} seconds of one "
            f"core, {seconds / 2:.0f} of two"
        )
        kept[f"seconds of one core for 1,000, {probes} probes"] = seconds
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=("flops", "likelihood"), help="flops, likelihood")
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    ways = {"flops": flops, "likelihood": lambda: likelihood(options.tasks)}
    kept = {f"functions {name}": ways[name]() for name in options.parts}
    if options.keep:
        record(kept)


if __name__ == "__main__":
    main()
