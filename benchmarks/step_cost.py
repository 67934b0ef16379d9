"""Where the time of one training step and one sampling step goes, beside the floor of operations and bytes.

    OMP_NUM_THREADS=1 python benchmarks/step_cost.py [CASE ...] [--repeats 3] [--keep]

Parts of a step are seconds of the processor, medians over steps; operations are those of one step under
torch.profiler, whose own time is left out by taking shares. The floor is the counted operations of matrix
products at the speed of one large product, and, beside it, the bytes that all other operations read and write
at the speed of a copy: an upper bound of their traffic, since what stays in the cache moves for less.

``--keep`` writes the results to ``docs/results/benchmarks.json``.
"""

import argparse
import statistics
import time
import warnings
from collections import Counter

import torch
from results import record
from shapes import STEPS, Moved, Ours
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from noisefold.geometry import Graphs
from noisefold.nn import Latents, SetTransformer
from noisefold.nn.flops import count_flops
from noisefold.nn.linear import onednn_enabled, set_onednn
from noisefold.train.objective import batch_loss

# Batch, nodes, columns of features, network.
CASES = {
    "Latents 64 x 400": (64, 400, 0, Latents),
    "Latents 16 x 400": (16, 400, 0, Latents),
    "SetTransformer 64 x 100": (64, 100, 3, lambda: SetTransformer(2, 3, 3)),
}
# The first group of which a word is in an operation's name.
GROUPS = {
    "attention": ("attention", "softmax"),
    "matrix products": ("mm", "linear", "matmul"),
    "norms": ("norm",),
    "activations": ("gelu", "silu", "sigmoid"),
    "optimiser and average": ("foreach", "optimizer", "lerp"),
    "random numbers": ("normal_", "uniform_", "random_", "rand"),
    "copies": ("copy", "cat", "clone", "index", "gather", "fill", "zero", "contiguous"),
}
OTHER = "other element by element"


def made(name):
    """The network of a case in training, and a batch of its data to sample."""
    batch, nodes, features, make = CASES[name]
    torch.manual_seed(0)
    data = Graphs.dense(
        torch.rand(nodes, 2).expand(2 * batch, -1, -1) if features else torch.randn(2 * batch, nodes, 3),
        torch.randn(2 * batch, nodes, features) if features else None,
    )
    return Ours(make(), data, batch=batch, variable="x" if features else "pos"), data[:batch]


def parts(ours):
    """Take a training step as `noisefold.train` does, and return the seconds of its parts."""
    took, at = {}, time.process_time()

    def done(part):
        nonlocal at
        now = time.process_time()
        took[part], at = now - at, now

    ours.net.train()
    batch = ours.batches(ours.steps)
    done("batching")
    loss = batch_loss(ours.denoiser, batch.graphs, batch.streams, batch.quantiles, ours.settings.coupling)
    loss = loss[0].mean()
    done("noise, forward pass and loss")
    ours.optimizer.zero_grad()
    loss.backward()
    done("backward pass")
    torch.nn.utils.clip_grad_norm_(ours.net.parameters(), ours.settings.clip)
    done("clipping")
    ours.optimizer.step()
    done("optimiser")
    ours.average.update(ours.net, ours.steps)
    done("moving average")
    ours.steps += 1
    # Again, alone: drawn inside the forward pass.
    fresh = ours.batches(ours.steps)
    like = ours.denoiser.variable.read(fresh.graphs)
    at = time.process_time()
    fresh.streams.normal(fresh.graphs.sizes, like.shape[1], like)
    done("of it, drawing noise")
    return took


def medians(rows):
    return {key: 1e3 * statistics.median(row[key] for row in rows) for key in rows[0]}


def operations(step):
    """Share of each group of operations in one step."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    spent = Counter()
    for event in found.key_averages():
        name = event.key.lower()
        spent[next((g for g, words in GROUPS.items() if any(w in name for w in words)), OTHER)] += (
            event.self_cpu_time_total
        )
    return {group: microseconds / spent.total() for group, microseconds in spent.most_common()}


def flops_of_training(ours):
    """Operations of the matrix products of a training step."""
    before = onednn_enabled()
    set_onednn(False)  # PyTorch counts neither its products nor those of fused attention
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            ours.loss().backward()
    finally:
        set_onednn(before)
    return counter.get_total_flops()


def moved_by(step):
    """Bytes that all other operations of a step read and write."""
    with Moved() as moved:
        step()
    return moved.bytes


def median(way, repeats=5):
    rows = []
    for _ in range(repeats + 1):
        start = time.process_time()
        way()
        rows.append(time.process_time() - start)
    return statistics.median(rows[1:])


def speeds():
    """GFLOP/s of one large product in both precisions, and GB/s of a copy."""
    a, b = torch.randn(1_024, 1_024), torch.randn(1_024, 1_024)
    low = torch.randn(256, 256, dtype=torch.bfloat16)
    large = torch.randn(2**24)
    copy = torch.empty_like(large)
    return {
        "gflop_per_s": 2 * 1.024**3 / median(lambda: a @ b),
        "gflop_per_s_bfloat16": 2 * 0.256**3 / median(lambda: low @ low, 1),
        "gigabytes_per_s": 2 * 4 * 2**24 / 1e9 / median(lambda: copy.copy_(large)),
    }


def measured(name, repeats, speed):
    """Both steps of a case."""
    ours, graphs = made(name)
    parts(ours)
    training = medians([parts(ours) for _ in range(repeats)])
    times = torch.linspace(0.01, 0.99, len(graphs))
    sampling = 1e3 * median(lambda: ours.sample(graphs, times), repeats)
    out = {}
    predicted = count_flops(ours.net, graphs, ours.denoiser.path.log_snr(times))
    total = sum(v for k, v in training.items() if not k.startswith("of it"))
    for kind, step, took, flops in (
        ("training", ours.train, total, flops_of_training(ours)),
        ("sampling", lambda: ours.sample(graphs, times), sampling, predicted),
    ):
        moved = moved_by(step)
        out[kind] = {
            "ms": took,
            "operations": operations(step),
            "gflop": flops / 1e9,
            "gigabytes": moved / 1e9,
            "products_ms": 1e-6 * flops / speed["gflop_per_s"],
            "rest_ms": 1e-6 * moved / speed["gigabytes_per_s"],
        }
    out["training"]["parts_ms"] = training
    return out


def show(name, found):
    for kind, row in found.items():
        reached = row["gflop"] / row["ms"] * 1e3
        print(
            f"{name}, {kind}: {row['ms']:.0f} ms, {row['gflop']:.2f} GFLOP ({reached:.0f} GFLOP/s); floor "
            f"{row['products_ms']:.0f} ms of products, {row['rest_ms']:.0f} ms for {row['gigabytes']:.2f} GB"
        )
        print("  " + ", ".join(f"{group} {100 * share:.0f} %" for group, share in row["operations"].items()))
        if "parts_ms" in row:
            print("  " + ", ".join(f"{part} {took:.1f} ms" for part, took in row["parts_ms"].items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(CASES)}; all by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    speed = speeds()
    print(", ".join(f"{key} {value:.3g}" for key, value in speed.items()), f"; Euler, 1 of {STEPS} steps")
    kept = {"step cost speeds": speed}
    for name in options.cases or CASES:
        found = measured(name, options.repeats, speed)
        show(name, found)
        kept[f"step cost {name}"] = found
    if options.keep:
        record(kept)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
