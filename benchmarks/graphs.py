"""Training steps on discrete graphs: packed pairs against dense ``[n, n]`` matrices in plain PyTorch.

    OMP_NUM_THREADS=1 python benchmarks/graphs.py [planar qm9] [--repeats 9] [--keep]

A step is forward and backward, structural features included, with the same features in all ways. They run in
turn within one process. Times are those that the processor worked, not those that passed, since the machine
may be shared:

- ``packed``: `noisefold.nn.GraphTransformer`;
- ``dense``: the same function with the same weights on ``[g, n, n, c]``, with `torch.nn.functional` alone. It
  is first seen to give the same logits;
- ``digress``: the layer of DiGress with a score for every column, from the equations of its paper, of the
  same widths and depth. It is another function.
"""

import argparse
import statistics
import time

import torch
from results import record
from torch import nn
from torch.nn import functional

from noisefold.geometry import Graphs
from noisefold.geometry.pairs import edges_to_pairs, pair_index, pairs_to_edges
from noisefold.nn import GraphTransformer
from noisefold.nn.graph_transformer.features import CYCLES, cycle_counts, random_walks
from noisefold.testing import perturbed

SIZES = {
    "planar": {"graphs": 8, "nodes": 64, "states": (1, 2), "width": 64, "pair_width": 32, "layers": 4},
    "qm9": {"graphs": 128, "nodes": 9, "states": (4, 4), "width": 96, "pair_width": 32, "layers": 5},
}
HEADS = 4


def random_graphs(count, nodes, node_states, pair_states, density=0.1):
    ptr = torch.arange(count + 1) * nodes
    pairs = count * nodes * (nodes - 1) // 2
    kinds = torch.randint(1, pair_states, (pairs,)) * (torch.rand(pairs) < density)
    index, kind = pairs_to_edges(kinds, ptr)
    types = torch.randint(node_states, (count * nodes,))
    return Graphs(torch.zeros(count * nodes, 0), ptr=ptr, edge_index=index, edge_type=kind, node_type=types)


class Features(nn.Module):
    """Dense features ``[g, n, a]``, ``[g, n, n, b]`` and ``[g, c]`` of graphs of one size: `Structure`'s."""

    def __init__(self, node_states, pair_states, walks=12):
        super().__init__()
        self.states, self.walks = (node_states, pair_states), walks
        self.columns = node_states + 5 + walks, pair_states + 1 + walks, 6

    def forward(self, graphs):
        g, n = len(graphs), graphs.uniform
        kinds = torch.zeros(g, n, n, dtype=torch.long)
        i, j = pair_index(graphs.ptr)
        packed = edges_to_pairs(graphs.edge_index, graphs.edge_type, graphs.ptr)
        kinds[i // n, i % n, j % n] = kinds[i // n, j % n, i % n] = packed
        exact = (kinds > 0).double()
        degree, cycles = exact.sum(-1), cycle_counts(exact)
        near = exact.float()
        powers = (random_walks(near, self.walks) * n).log1p()
        types = functional.one_hot(graphs.node_type.view(g, n), self.states[0])
        returns = powers.diagonal(dim1=-2, dim2=-1).permute(1, 2, 0)
        nodes = torch.cat([types, degree[..., None].log1p(), cycles.log1p(), returns], -1)
        pairs = torch.cat(
            [
                functional.one_hot(kinds, self.states[1]),
                (near @ near)[..., None].log1p(),
                powers.permute(1, 2, 3, 0),
            ],
            -1,
        )
        counts = torch.stack([torch.full((g,), n).double(), degree.sum(1) / 2], 1)
        totals = cycles.sum(1) / cycles.new_tensor(CYCLES)
        return nodes.float(), pairs.float(), torch.cat([counts.log1p(), totals.log1p()], 1).float()


class Dense(nn.Module):
    """A `GraphTransformer` on graphs of one size, its pairs in ``[g, n, n, c]``."""

    def __init__(self, net):
        super().__init__()
        self.net, self.features = net, Features(net.node_states, net.pair_states)

    def forward(self, graphs, log_snr):
        net = self.net
        h, e, y = self.features(graphs)
        h = stock(net.lift_nodes)(h)
        e, y = stock(net.lift_pairs)(e), stock(net.lift_graphs)(y) + net.condition(log_snr, None)
        for layer in net.layers:
            h, e, y = self.layer(layer, h, e, y)
        return net.head(film(net.norm, h, y)), net.head_pairs(net.norm_pairs(e))

    @staticmethod
    def layer(layer, h, e, y):
        (g, n, width), heads = h.shape, layer.heads
        off = 1 - torch.eye(n)
        parts = stock(layer.from_nodes)(film(layer.norm, h, y)).split(
            [width] * 3 + [layer.out_pairs.in_features], -1
        )
        q, k, v = (part.view(g, n, heads, -1).transpose(1, 2) for part in parts[:3])
        seen = layer.norm_pairs(e)
        scale, shift = (
            (stock(layer.from_pairs)(seen) * off[..., None]).permute(0, 3, 1, 2).split([heads] * 2, 1)
        )
        scores = (q @ k.mT) * q.shape[-1] ** -0.5 * (1 + scale) + shift
        back = (scores + scores.mT).permute(0, 2, 3, 1)
        z = stock(layer.lift_pairs)(torch.cat([seen, back], -1)) + parts[3][:, :, None] + parts[3][:, None]
        z = functional.relu(z)
        around = (z * off[..., None]).sum(2) / n
        e = e + stock(layer.out_pairs)(z)
        values = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        h = h + stock(layer.out_nodes)(torch.cat([values, around], -1))
        h = h + stock(layer.mlp)(film(layer.norm_mlp, h, y))
        return h, e, y + stock(layer.pool)(torch.cat([h.mean(1), h.amax(1)], -1))


def measure(ways, repeats, warm=2):
    """Median milliseconds that the processor worked on each way, taken in turn."""
    times = {name: [] for name in ways}
    for i in range(repeats + warm):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if i >= warm:
                times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def film(norm, h, y):
    scale, shift = norm.to_scale_shift(y)[:, None].chunk(2, -1)
    return norm.norm(h) * (1 + scale) + shift


def stock(module):
    """The function of linear maps and perceptrons, without the library's own choice of products."""
    if isinstance(module, nn.Sequential):
        return lambda x: stock(module[2])(functional.gelu(stock(module[0])(x)))
    return lambda x: functional.linear(x, module.weight, module.bias)


class Pool(nn.Module):
    """Mean, least, greatest and standard deviation of all but the last dimension, then a linear map."""

    def __init__(self, width, out):
        super().__init__()
        self.out = nn.Linear(4 * width, out)

    def forward(self, x):
        x = x.flatten(1, -2)
        return self.out(torch.cat([x.mean(1), x.amin(1), x.amax(1), x.std(1)], -1))


class DiGressLayer(nn.Module):
    """Scores of every column, FiLM of scores by pairs and of all by graphs; norms after residuals."""

    def __init__(self, dx, de, dy, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.x_out = (nn.Linear(dx, dx) for _ in range(4))
        self.e_mul, self.e_add, self.e_out = nn.Linear(de, dx), nn.Linear(de, dx), nn.Linear(dx, de)
        self.y_mul, self.y_add, self.yx_mul, self.yx_add = (nn.Linear(dy, dx) for _ in range(4))
        self.y_y, self.x_y, self.e_y = nn.Linear(dy, dy), Pool(dx, dy), Pool(de, dy)
        self.y_out = nn.Sequential(nn.Linear(dy, dy), nn.ReLU(), nn.Linear(dy, dy))
        self.ff = nn.ModuleList(
            nn.Sequential(nn.Linear(w, 2 * w), nn.ReLU(), nn.Linear(2 * w, w)) for w in (dx, de, dy)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(w) for w in (dx, de, dy, dx, de, dy))

    def forward(self, x, e, y):
        def spread(values):
            return values[:, None, None]

        scale = (x.shape[-1] / self.heads) ** -0.5
        scores = self.q(x)[:, :, None] * self.k(x)[:, None] * scale
        scores = scores * (1 + self.e_mul(e)) + self.e_add(e)
        new_e = self.e_out(spread(self.y_add(y)) + (1 + spread(self.y_mul(y))) * scores)
        attended = (scores.softmax(2) * self.v(x)[:, None]).sum(2)
        new_x = self.x_out(self.yx_add(y)[:, None] + (1 + self.yx_mul(y)[:, None]) * attended)
        new_y = self.y_out(self.y_y(y) + self.x_y(x) + self.e_y(e))
        values = [
            norm(a + b) for norm, a, b in zip(self.norms, (x, e, y), (new_x, new_e, new_y), strict=False)
        ]
        return [norm(a + ff(a)) for norm, a, ff in zip(self.norms[3:], values, self.ff, strict=True)]


class DiGress(nn.Module):
    """Perceptrons in and out, layers between; logits of pairs are made symmetric."""

    def __init__(self, node_states, pair_states, width, pair_width, layers):
        super().__init__()
        self.features = Features(node_states, pair_states)
        a, b, c = self.features.columns

        def perceptron(i, o, w):
            return nn.Sequential(nn.Linear(i, w), nn.ReLU(), nn.Linear(w, o), nn.ReLU())

        self.lifts = nn.ModuleList(
            perceptron(i, w, 2 * w) for i, w in ((a, width), (b, pair_width), (c + 1, width))
        )
        self.layers = nn.ModuleList(DiGressLayer(width, pair_width, width, HEADS) for _ in range(layers))
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(w, 2 * w), nn.ReLU(), nn.Linear(2 * w, o))
            for w, o in ((width, node_states), (pair_width, pair_states))
        )

    def forward(self, graphs, log_snr):
        x, e, y = self.features(graphs)
        x, e, y = (
            lift(v) for lift, v in zip(self.lifts, (x, e, torch.cat([y, log_snr[:, None]], 1)), strict=True)
        )
        for layer in self.layers:
            x, e, y = layer(x, (e + e.transpose(1, 2)) / 2, y)
        e = self.heads[1](e)
        return self.heads[0](x), (e + e.transpose(1, 2)) / 2


def measured(name, repeats):
    """Milliseconds of a step by each way."""
    sizes = dict(SIZES[name])
    count, nodes, states = (sizes.pop(key) for key in ("graphs", "nodes", "states"))
    graphs, log_snr = random_graphs(count, nodes, *states), torch.linspace(-6, 6, count)
    packed = perturbed(GraphTransformer(*states, heads=HEADS, **sizes), 0.02)
    dense, digress = Dense(packed), DiGress(*states, **sizes)
    ours, (of_nodes, of_pairs) = packed(graphs, log_snr), dense(graphs, log_snr)
    i, j = pair_index(graphs.ptr)
    close = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(ours.nodes.view_as(of_nodes), of_nodes, **close)
    torch.testing.assert_close(ours.pairs, of_pairs[i // nodes, i % nodes, j % nodes], **close)

    def step(net):
        out = net(graphs, log_snr)
        of_nodes, of_pairs = (out.nodes, out.pairs) if net is packed else out
        (of_nodes.square().mean() + of_pairs.square().mean()).backward()

    ways = {"packed": packed, "dense": dense, "digress": digress}
    times = measure({way: lambda net=net: step(net) for way, net in ways.items()}, repeats)
    ratios = {way: times[way] / times["packed"] for way in ("dense", "digress")}
    return {"ms_per_step": times, "times_faster_than": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", metavar="planar|qm9", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    results = {f"graphs {name}": measured(name, options.repeats) for name in options.sizes}
    for name, result in results.items():
        print(name)
        for way, value in result["ms_per_step"].items():
            ratio = result["times_faster_than"].get(way)
            print(
                f"  {way:8} {value:8.1f} ms a step"
                + (f", packed is {ratio:.2f} times as fast" if ratio else "")
            )
    if options.keep:
        record(results)


if __name__ == "__main__":
    main()
