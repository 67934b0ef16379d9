"""Appendix B.1.1 of arXiv 2507.09391 written out plainly, with PyG, for one structure given from outside.

Nothing is composed, fused or grouped: every message concatenates what it gathered, and passes the linear maps
one after the other. Submodules are named as in `noisefold.nn.DMP`, so that weights can be copied.
"""

import copy

import torch
from torch import nn
from torch_geometric.nn import GATConv, MessagePassing


def mlp(source):
    """A stock sequence with copies of the layers of a noisefold MLP."""
    layers = []
    for i, linear in enumerate(source.linears):
        if i:
            norm = source.norms[min(i - 1, len(source.norms) - 1)]
            layers += [copy.deepcopy(norm), copy.deepcopy(source.activation)]
        layers.append(copy.deepcopy(linear))
    return nn.Sequential(*layers)


class Message(MessagePassing):
    """MLP of [linear(concat(h_i, h_j)), linear(p_i - p_j), linear(|p_i - p_j|)], summed or averaged."""

    def __init__(self, source, aggr):
        super().__init__(aggr=aggr)
        self.pair, self.offset = copy.deepcopy(source.pair), copy.deepcopy(source.offset)
        self.length, self.mlp = copy.deepcopy(source.length), mlp(source.mlp)

    def forward(self, h, pos, edge_index):
        return self.propagate(edge_index, x=h, pos=pos, size=(h[0].shape[0], h[1].shape[0]))

    def message(self, x_i, x_j, pos_i, pos_j):
        offset = pos_i - pos_j
        length = offset.norm(dim=-1, keepdim=True)
        pair = self.pair(torch.cat([x_i, x_j], dim=-1))
        return self.mlp(torch.cat([pair, self.offset(offset), self.length(length)], dim=-1))


class MeanConv(MessagePassing):
    """GCNConv with the paper's normalisation 1 / S."""

    def __init__(self, linear):
        super().__init__(aggr="mean")
        self.linear = copy.deepcopy(linear)

    def forward(self, x, edge_index):
        return self.linear(self.propagate(edge_index, x=x))


def stock_conv(source, width):
    """PyG's GATConv, or a mean over neighbours, with the weights of ours."""
    if hasattr(source, "att_src"):
        heads = source.att_src.shape[1]
        conv = GATConv(width, width // heads, heads=heads).to(source.att_src.dtype)
        conv.load_state_dict(source.state_dict())
        return conv
    return MeanConv(source.linear)


class Twin(nn.Module):
    """The paper's network with the weights of a `DMP` that has the raw time as an input."""

    def __init__(self, dmp):
        super().__init__()
        width = dmp.project.linears[0].in_features
        self.lift_nodes, self.lift_cells = mlp(dmp.lift_nodes.mlp), mlp(dmp.lift_cells.mlp)
        self.coarsen = nn.ModuleList(Message(m.coarsen.message, m.coarsen.aggregate) for m in dmp.layers)
        self.uncoarsen = nn.ModuleList(Message(m.uncoarsen.message, "sum") for m in dmp.layers)
        self.conv = nn.ModuleList(stock_conv(m.conv, width) for m in dmp.layers)
        self.gate = nn.ModuleList(
            copy.deepcopy(dmp.gates[i % len(dmp.gates)].linear) for i in range(len(dmp.layers))
        )
        self.norm = nn.ModuleList(copy.deepcopy(m.norm.norm) for m in dmp.layers)
        self.mlp = nn.ModuleList(mlp(m.mlp) for m in dmp.layers)
        self.residual = dmp.layers[0].residual
        self.project = mlp(dmp.project)

    def forward(self, values, pos, u, assignment, edge_index):
        """Prediction for nodes ``values [n, f + d]`` at ``pos [n, d]`` with signal ``u [n, 1]``."""
        m = int(assignment.max()) + 1
        nodes = torch.cat([values, u], dim=-1)
        count = torch.zeros(m, 1).to(pos).index_add(0, assignment, torch.ones_like(pos[:, :1]))
        mean = [torch.zeros(m, v.shape[1]).to(v).index_add(0, assignment, v) / count for v in (nodes, pos)]
        h, coarse, centre = self.lift_nodes(nodes), self.lift_cells(mean[0]), mean[1]
        each = torch.arange(len(assignment))
        up, down = torch.stack([each, assignment]), torch.stack([assignment, each])
        for k, conv in enumerate(self.conv):
            coarse = self.coarsen[k]((h, coarse), (pos, centre), up)
            coarse = conv(coarse, edge_index)
            spread = self.uncoarsen[k]((coarse, h), (centre, pos), down)
            gate = torch.sigmoid(self.gate[k](torch.cat([h, spread], dim=-1)))
            h = gate * h + (1 - gate) * spread
            out = self.mlp[k](nn.functional.gelu(self.norm[k](h)))
            h = h + out if self.residual else out
        return self.project(h)
