"""Training and sampling of clouds of 400 points, against PyTorch Geometric, and of clouds of up to 10^6.

    OMP_NUM_THREADS=1 python benchmarks/shapes.py [train sample graphs floor linear large] [--repeats 7]
        [--keep]

All ways run in turn within one process, so that a ratio compares like with like on a busy machine. The stock
way is `stock.py`; that it computes what ours does is checked before anything is timed. Peak memory is that of
a process of its own. ``--keep`` writes the results to ``docs/results/benchmarks.json``.
"""

import argparse
import multiprocessing
import resource
import time
import warnings

import numpy as np
import stock
import torch
from results import measure, record
from scipy.spatial import cKDTree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.loader import DataLoader

from noisefold.geometry import KNN, Graphs
from noisefold.nn import DMP, Denoiser, Latents
from noisefold.nn.adaptive import Exponential
from noisefold.nn.linear import linear, onednn_enabled, set_onednn
from noisefold.noise import Gaussian, Linear, Target
from noisefold.train.batches import Batches
from noisefold.train.ema import EMA
from noisefold.train.objective import batch_loss
from noisefold.train.settings import Training

BATCH, NODES, CLOUDS, STEPS = 128, 400, 512, 50
PARTS = ("train", "sample", "graphs", "floor")
# Rows, columns in and columns out of linear maps.
PRODUCTS = ((51_200, 64, 64), (51_200, 64, 256), (51_200, 256, 64), (8_192, 128, 256))
SIZES = (1_000, 10_000, 100_000, 1_000_000)
# By default the range on clean data, and with it the edges of a node, grows as the cube root of the size.
NETWORKS = {"DMP": DMP, "DMP range 10": lambda: DMP(adaptive=Exponential(range=10)), "Latents": Latents}


class Ours:
    """A network of ours, trained as `noisefold.train` does: AdamW, clipped gradients, averaged weights."""

    def __init__(self, net, data, batch=BATCH, low=False, variable="pos"):
        self.denoiser = Denoiser(net, Gaussian(Linear()), Target(), variable)
        self.low, self.settings = low, Training()
        self.net, self.batches = net, Batches(data, batch, seed=0)
        self.optimizer, self.average, self.steps = torch.optim.AdamW(net.parameters()), EMA(net, 0.999), 0

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.low)

    def loss(self):
        batch = self.batches(self.steps)
        with self.autocast():
            each, _ = batch_loss(
                self.denoiser, batch.graphs, batch.streams, batch.quantiles, self.settings.coupling
            )
        return each.mean()

    def train(self):
        self.net.train()
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip)
        self.optimizer.step()
        self.average.update(self.net, self.steps)
        self.steps += 1

    @torch.no_grad()
    def sample(self, graphs, t):
        """One step of Euler with every graph at its own time ``t [g]``."""
        self.net.eval()
        state = self.denoiser.variable.read(graphs)
        with self.autocast():
            clean = self.denoiser(graphs, state, t)
        # On the path (1 - t) x0 + t eps the velocity eps - x0 is (x - x0) / t.
        return state - (state - clean) / t[graphs.batch, None] / STEPS


def networks(data):
    """The stock network and ours, in the order in which they are timed."""
    paper = DMP.paper(conv="gat")
    theirs = stock.Network()
    stock.copy_weights(paper, theirs)
    check_same(paper, theirs, data)
    return theirs, {
        "paper f32": Ours(paper, data),
        "paper bf16": Ours(DMP.paper(conv="gat"), data, low=True),
        "Latents f32": Ours(Latents(), data),
        "Latents bf16": Ours(Latents(), data, low=True),
    }


def check_same(ours, theirs, data):
    """Stop unless both networks give the same for the same clouds and weights, batch norm in training too."""
    graphs, t = data[:16], torch.linspace(0.001, 0.999, 16)
    built = [stock.build(p, 1 - float(s)) for p, s in zip(graphs.unpack(), t, strict=True)]
    compare(ours, theirs, graphs, t, built)


def compare(ours, theirs, graphs, t, built):
    """Stop unless both networks give the same for graphs at times ``t [g]``, built for the stock one too."""
    together = next(iter(DataLoader(built, batch_size=len(built))))
    log_snr = Gaussian(Linear()).log_snr(t)
    for training in (True, False):
        ours.train(training), theirs.train(training)
        with torch.no_grad():
            torch.testing.assert_close(ours(graphs, log_snr), theirs(together), rtol=1e-4, atol=1e-4)


def train(data, repeats):
    """A step: noise, graphs, forward, backward, optimiser."""
    theirs, ours = networks(data)
    trainer = stock.Trainer(theirs, stock.Noisy(data.pos.view(-1, NODES, 3)), BATCH)
    return against_stock({"stock f32": trainer.step} | {n: o.train for n, o in ours.items()}, repeats)


def sample(data, repeats):
    """A step of Euler for 64 clouds whose times cover the whole way."""
    theirs, ours = networks(data)
    graphs, times = data[:64], torch.linspace(0.01, 0.99, 64)
    clouds = graphs.pos.view(64, NODES, 3)
    ways = {"stock f32": lambda: stock.sample_step(theirs, clouds, times, 1 / STEPS)}
    ways |= {n: lambda o=o: o.sample(graphs, times) for n, o in ours.items()}
    return against_stock(ways, repeats)


def graphs(data, repeats):
    """Edges from the 8 nearest in 128 clouds of 400, and in one of 10^5."""
    pos, ptr = data[:BATCH].pos, data[:BATCH].ptr
    large = torch.randn(100_000, 3)

    def tree(points):
        return cKDTree(points).query(points, k=9)[1][:, 1:]

    def all_trees():
        found = [tree(cloud) + i * NODES for i, cloud in enumerate(pos.view(BATCH, NODES, 3).numpy())]
        return np.stack([np.concatenate(found).reshape(-1), np.repeat(np.arange(len(pos)), 8)])

    small = {"stock": all_trees, "ours": lambda: KNN(8)(pos, ptr)}
    one = torch.tensor([0, len(large)])
    big = {"stock 1e5": lambda: tree(large.numpy()), "ours 1e5": lambda: KNN(8)(large, one)}
    took = measure(small, repeats) | measure(big, max(3, repeats // 3))
    return {"ms": took, "ratio": {"ours": took["stock"] / took["ours"]}}


def against_stock(ways, repeats):
    took = measure(ways, repeats, warm=2)
    return {"ms": took, "ratio": {n: took["stock f32"] / v for n, v in took.items() if n != "stock f32"}}


class Moved(TorchDispatchMode):
    """Counts the bytes that operations read and write, those of matrix products aside."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function._schema.name
        if not function.is_view and not any(word in name for word in ("mm", "linear", "empty", "detach")):
            values = (*args, *(out if isinstance(out, tuple | list) else (out,)))
            self.bytes += sum(t.numel() * t.element_size() for t in values if isinstance(t, torch.Tensor))
        return out


def product_flops(x, weight, *args, out_shape=None, **kwargs):
    return 2 * x[0] * x[1] * weight[0]


def floor(data, repeats):
    """What a step would take if products ran as fast as they do alone, and the rest as fast as a copy."""
    out = {}
    for name, low in (("paper f32", False), ("paper bf16", True)):
        ours = Ours(DMP.paper(conv="gat"), data, low=low)
        ours.train()
        special = {torch.ops.mkldnn._linear_pointwise: product_flops} if onednn_enabled() else {}
        with FlopCounterMode(display=False, custom_mapping=special) as counter, Moved() as moved:
            ours.loss().backward()
        x = torch.randn(BATCH * NODES, 64, dtype=torch.bfloat16 if low else torch.float32)
        weight, copy = x[:64].clone(), torch.empty_like(x)
        alone = {
            "forward": lambda x=x, w=weight: linear(x, w),
            "to input": lambda x=x, w=weight: linear(x, w.t()),
            "to weight": lambda x=x: x.t() @ x,
            "copy": lambda x=x, c=copy: c.copy_(x),
        }
        with torch.no_grad():
            took = measure(alone, 5 * repeats)
        products = sum(took[k] for k in ("forward", "to input", "to weight"))
        rate = 3 * 2 * x.numel() * 64 / products / 1e6
        memory = 2 * x.numel() * x.element_size() / took["copy"] / 1e6
        gflop, gigabytes = counter.get_total_flops() / 1e9, moved.bytes / 1e9
        out[name] = {
            "gflop": gflop,
            "gflop_per_s": rate,
            "gigabytes": gigabytes,
            "gigabytes_per_s": memory,
            "products_ms": 1e3 * gflop / rate,
            "rest_ms": 1e3 * gigabytes / memory,
        }
    return out


def libraries(data, repeats):
    """Linear maps and whole steps with oneDNN's float32 products, and with torch's own (MKL)."""
    if not onednn_enabled():
        print("  this build of torch has no oneDNN operator")
        return {"ms": {}, "ratio": {}}

    def switched(enabled, function):
        def way():
            set_onednn(enabled)
            try:
                function()
            finally:
                set_onednn(True)

        return way

    def product(rows, a, b):
        x, weight = torch.randn(rows, a), torch.randn(b, a)
        return lambda: linear(x, weight)

    graphs, times = data[:64], torch.linspace(0.01, 0.99, 64)
    ways = {f"{n} x {a} -> {b}": product(n, a, b) for n, a, b in PRODUCTS}
    for name, make in (("paper", lambda: DMP.paper(conv="gat")), ("Latents", Latents)):
        ours = Ours(make(), data)
        ways[f"{name} sample"] = lambda o=ours: o.sample(graphs, times)
        ways[f"{name} train"] = ours.train
    kept = {"ms": {}, "ratio": {}}
    for name, way in ways.items():
        few = repeats if "train" in name or "sample" in name else 5 * repeats
        took = measure({"mkl": switched(False, way), "onednn": switched(True, way)}, few, warm=2)
        kept["ms"] |= {f"{name}, {library}": ms for library, ms in took.items()}
        kept["ratio"][name] = took["mkl"] / took["onednn"]
        print(f"  {name:<20} oneDNN {kept['ratio'][name]:.2f} times as fast as MKL", flush=True)
    return kept


def large(repeats):
    """Microseconds a node and peak memory by the size of the cloud, each in a process of its own."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for name in NETWORKS:
        for nodes in SIZES:
            for training in (True, False):
                if training and nodes > 100_000:
                    continue
                with context.Pool(1) as pool:
                    rows.append(pool.apply(one_size, (name, nodes, training, repeats)))
                print(
                    "  {network:<12} {step:<7} {graphs:>3} x {nodes:>8} {us_per_node:>7.2f} us/node "
                    "{peak_mb:>7.0f} MB".format(**rows[-1]),
                    flush=True,
                )
    return {"rows": rows}


def one_size(name, nodes, training, repeats):
    """Small clouds come as batches of 10^5 nodes, so that all sizes have work to spread costs over."""
    torch.manual_seed(0)
    graphs = max(1, 100_000 // nodes)
    data = Graphs.dense(torch.randn(graphs, nodes, 3))
    ours = Ours(NETWORKS[name](), data, batch=graphs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = torch.linspace(0.01, 0.99, graphs) if graphs > 1 else torch.tensor([0.5])
    took = []
    for _ in range(1 if nodes > 100_000 else max(2, repeats // 2)):
        start = time.perf_counter()
        ours.train() if training else ours.sample(data, times)
        took.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    step = "train" if training else "sample"
    return {
        "network": name,
        "step": step,
        "graphs": graphs,
        "nodes": nodes,
        "us_per_node": 1e6 * min(took) / (graphs * nodes),
        "peak_mb": peak / 1024,
    }


def show(name, result):
    print(name)
    for way, value in result.get("ms", {}).items():
        ratio = result["ratio"].get(way)
        print(f"  {way:<14} {value:>9.1f} ms" + (f"  {ratio:>5.2f} times as fast as stock" if ratio else ""))
    if name == "floor":
        for way, f in result.items():
            print(
                f"  {way:<14} products {f['gflop']:.1f} GFLOP at {f['gflop_per_s']:.0f} GFLOP/s: "
                f"{f['products_ms']:.0f} ms; the rest {f['gigabytes']:.1f} GB at "
                f"{f['gigabytes_per_s']:.0f} GB/s: {f['rest_ms']:.0f} ms"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"some of {', '.join(PARTS)}, linear, large")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    data = Graphs.dense(torch.randn(CLOUDS, NODES, 3))
    print(f"{torch.get_num_threads()} threads; {BATCH} clouds of {NODES} points, width 64; medians")
    kept = {}
    for part in options.parts:
        if part == "large":
            kept["large"] = large(options.repeats)
            continue
        if part == "linear":
            kept[part] = libraries(data, options.repeats)
            continue
        kept[part] = {"train": train, "sample": sample, "graphs": graphs, "floor": floor}[part](
            data, options.repeats
        )
        show(part, kept[part])
    if options.keep:
        record({f"shapes {name}": result for name, result in kept.items()})


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
