"""The paper's network as a user of PyTorch Geometric would write it from appendix B.1.1.

What ours is timed against, with clouds of moving points and with features on points that stand still.

A data set's `__getitem__` noises one cloud, cuts it into voxels and finds the nearest voxels with scipy's k-d
tree; a `DataLoader` collates the graphs; every message concatenates what it gathered along its edge. Nothing
of noisefold is used but in `copy_weights`, which serves to show that both are one function.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks (arXiv 2507.09391).
"""

import itertools
import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATConv, GCNConv, MessagePassing
from torch_geometric.utils import scatter


class Cloud(Data):
    """A noisy cloud with its cells: `cell [n]` counts cells, and so does `edge_index`."""

    def __inc__(self, key, value, *args, **kwargs):
        return self.cells if key in ("cell", "edge_index") else super().__inc__(key, value, *args, **kwargs)


def schedule(u, n, curvature=10.0):
    """Range and resolution at signal level u, exponential."""
    r1 = math.ceil(round(n ** (1 / 3), 9))
    s0 = math.ceil(math.sqrt(r1 * n))
    s = round(s0 + (n - s0) * (math.exp(curvature * u) - 1) / (math.exp(curvature) - 1))
    return (s0 if s == s0 else min(s, round(r1 * n / s))), s


def voxels(pos, s):
    """Voxel of every node, each side of the bounding box in floor(s^(1/d)) parts; numbers of the occupied."""
    d = pos.shape[1]
    parts = math.floor(round(s ** (1 / d), 9))
    low, high = pos.min(0), pos.max(0)
    place = np.minimum(((pos - low) / (high - low) * parts).astype(np.int64), parts - 1)
    return np.unique(place @ parts ** np.arange(d), return_inverse=True)[1]


def build(pos, u):
    """Graph of one noisy cloud ``pos [n, d]`` at signal level u."""
    n, points = len(pos), pos.numpy()
    k, s = schedule(u, n)
    cell = np.arange(n) if s >= n else voxels(points, s)
    count = np.bincount(cell)
    columns = [np.bincount(cell, weights=column) / count for column in points.T]
    centre = np.stack(columns, 1).astype(np.float32)
    source = cKDTree(centre).query(centre, k=range(1, min(k, len(centre)) + 1))[1]
    target = np.repeat(np.arange(len(centre)), source.shape[1])
    return Cloud(
        pos=pos,
        u=torch.full((n, 1), u),
        cell=torch.from_numpy(cell),
        centre=torch.from_numpy(centre),
        edge_index=torch.from_numpy(np.stack([source.reshape(-1), target])),
        cells=len(centre),
    )


class Noisy(torch.utils.data.Dataset):
    """Clouds ``[g, n, d]``, noised anew whenever they are taken: flow matching, x_t = (1 - t) x_0 + t eps."""

    def __init__(self, clouds):
        self.clouds = clouds

    def __len__(self):
        return len(self.clouds)

    def __getitem__(self, index):
        clean, t = self.clouds[index], float(torch.rand(()).clamp(1e-3, 1 - 1e-3))
        noise = torch.randn_like(clean)
        data = build((1 - t) * clean + t * noise, 1 - t)
        data.velocity = noise - clean
        return data


class NoisyFields(torch.utils.data.Dataset):
    """Features ``[g, n, f]`` on points ``[n, d]``, noised anew; all points see all, listed once."""

    def __init__(self, pos, fields):
        n = len(pos)
        self.pos, self.fields, self.cell = pos, fields, torch.arange(n)
        self.edges = torch.stack([self.cell.repeat(n), self.cell.repeat_interleave(n)])

    def __len__(self):
        return len(self.fields)

    def __getitem__(self, index):
        clean, t = self.fields[index], float(torch.rand(()).clamp(1e-3, 1 - 1e-3))
        noise = torch.randn_like(clean)
        data = self.build((1 - t) * clean + t * noise, 1 - t)
        data.velocity = noise - clean
        return data

    def build(self, x, u):
        """Graph of one noisy field ``x [n, f]`` at signal level u, with a cell for every node."""
        n = len(x)
        return Cloud(
            pos=self.pos,
            x=x,
            u=torch.full((n, 1), u),
            cell=self.cell,
            centre=self.pos,
            edge_index=self.edges,
            cells=n,
        )


def mlp(*widths):
    layers = []
    for a, b in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


class Message(MessagePassing):
    """MLP of [linear(concat(h_i, h_j)), linear(p_i - p_j), linear(|p_i - p_j|)], summed."""

    def __init__(self, width, dim):
        super().__init__(aggr="sum")
        self.pair, self.offset = nn.Linear(2 * width, width), nn.Linear(dim, width)
        self.length, self.mlp = nn.Linear(1, width), mlp(3 * width, width, width)

    def forward(self, h, pos, edge_index):
        return self.propagate(edge_index, x=h, pos=pos, size=(h[0].shape[0], h[1].shape[0]))

    def message(self, x_i, x_j, pos_i, pos_j):
        offset = pos_i - pos_j
        length = offset.norm(dim=-1, keepdim=True)
        pair = self.pair(torch.cat([x_i, x_j], dim=-1))
        return self.mlp(torch.cat([pair, self.offset(offset), self.length(length)], dim=-1))


class Layer(nn.Module):
    def __init__(self, width, dim, conv):
        super().__init__()
        self.coarsen, self.uncoarsen = Message(width, dim), Message(width, dim)
        # Every node is in the list as a neighbour of its own.
        self.conv = GATConv(width, width) if conv == "gat" else GCNConv(width, width, add_self_loops=False)
        self.gate = nn.Linear(2 * width, width)
        self.norm, self.mlp = nn.BatchNorm1d(width), mlp(width, width, width)

    def forward(self, h, coarse, data, up, down):
        coarse = self.coarsen((h, coarse), (data.pos, data.centre), up)
        coarse = self.conv(coarse, data.edge_index)
        spread = self.uncoarsen((coarse, h), (data.centre, data.pos), down)
        gate = torch.sigmoid(self.gate(torch.cat([h, spread], dim=-1)))
        h = gate * h + (1 - gate) * spread
        return h + self.mlp(nn.functional.gelu(self.norm(h))), coarse


class Network(nn.Module):
    """Dynamic message passing with GAT or GCN, batch norm and voxels; it predicts features if it has any."""

    def __init__(self, dim=3, width=64, layers=3, conv="gat", features=0):
        super().__init__()
        inputs = features + dim + 1
        self.lift_nodes, self.lift_cells = (mlp(inputs, width, width, width) for _ in range(2))
        self.layers = nn.ModuleList(Layer(width, dim, conv) for _ in range(layers))
        self.project = mlp(width, width, width, features or dim)

    def forward(self, data):
        values = (data.pos, data.u) if data.x is None else (data.x, data.pos, data.u)
        nodes = torch.cat(values, dim=-1)
        h = self.lift_nodes(nodes)
        coarse = self.lift_cells(scatter(nodes, data.cell, reduce="mean"))
        each = torch.arange(len(data.cell))
        up, down = torch.stack([each, data.cell]), torch.stack([data.cell, each])
        for layer in self.layers:
            h, coarse = layer(h, coarse, data, up, down)
        return self.project(h)


class Trainer:
    """Steps of plain Adam on batches of a loader that never ends."""

    def __init__(self, net, data, batch, lr=1e-4):
        self.net, self.optimizer = net.train(), torch.optim.Adam(net.parameters(), lr=lr)
        self.loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)

    def step(self):
        try:
            data = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            data = next(self.batches)
        loss = (self.net(data) - data.velocity).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


@torch.no_grad()
def sample_step(net, values, times, dt, build=build):
    """One step of Euler, from ``times [g]`` to dt less, for ``values [g, n, d]``, graphs built anew."""
    built = [build(value, 1 - float(t)) for value, t in zip(values, times, strict=True)]
    loader = DataLoader(built, batch_size=len(values))
    velocity = net.eval()(next(iter(loader)))
    return values - dt * velocity.view_as(values)


def copy_weights(dmp, net):
    """Give a `Network` the weights and moments of a `noisefold.nn.DMP.paper` of the same sizes."""

    def sequence(ours):
        parts = [ours.linears[0]]
        for norm, linear in zip(ours.norms, list(ours.linears)[1:], strict=True):
            parts += [norm, linear]
        return parts

    def load(ours, theirs):
        weights = ours.state_dict()
        if isinstance(theirs, GCNConv):
            weights = {"lin.weight": weights["linear.weight"], "bias": weights["linear.bias"]}
        theirs.load_state_dict(weights)

    def message(ours):
        return [ours.pair, ours.offset, ours.length, *sequence(ours.mlp)]

    def stock(module):
        return [m for m in module.modules() if isinstance(m, nn.Linear | nn.BatchNorm1d)]

    pairs = [(sequence(getattr(dmp, name)), stock(getattr(net, name))) for name in ("project",)]
    pairs += [(sequence(getattr(dmp, n).mlp), stock(getattr(net, n))) for n in ("lift_nodes", "lift_cells")]
    for ours, theirs, gate in zip(dmp.layers, net.layers, dmp.gates, strict=True):
        pairs += [
            (message(ours.coarsen.message), stock(theirs.coarsen)),
            (message(ours.uncoarsen.message), stock(theirs.uncoarsen)),
            ([ours.conv, gate.linear, ours.norm.norm], [theirs.conv, theirs.gate, theirs.norm]),
            (sequence(ours.mlp), stock(theirs.mlp)),
        ]
    for ours, theirs in pairs:
        for a, b in zip(ours, theirs, strict=True):
            load(a, b)
