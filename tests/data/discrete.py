"""Small graphs of all kinds, and whether two data sets are the same but for codes and orders of edges."""

from collections import Counter

import torch

from noisefold.geometry.graphs import Graphs


def graph(edges, n, directed=False, **fields):
    """One graph of edges (i, j), both directions unless it is directed."""
    ends = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)
    rows = torch.arange(len(ends))
    if not directed:
        back = (ends[:, 0] != ends[:, 1]).nonzero()[:, 0]
        ends, rows = torch.cat([ends, ends[back].flip(1)]), torch.cat([rows, back])
    for name in ("edge_type", "edge_attr"):
        if name in fields:
            fields[name] = torch.as_tensor(fields[name])[rows]
    fields = {"pos": torch.zeros(n, 0), **fields}
    return Graphs(edge_index=ends.T.contiguous(), **fields)


RING = graph([(0, 1), (1, 2), (2, 3), (3, 0)], 5)
CASES = {
    "ring and an isolated node": RING,
    "one node": graph([], 1),
    "no edges": graph([], 4),
    "self-loops": graph([(0, 0), (0, 1), (2, 2)], 4),
    "multi-edges": graph([(0, 1), (1, 0), (0, 1), (2, 1), (3, 3), (3, 3)], 4),
    "two nodes, edge of the first": graph([(0, 0)], 2),
    "directed": graph([(0, 1), (1, 0), (1, 2), (3, 1), (2, 2)], 4, directed=True),
    "complete": graph([(i, j) for j in range(8) for i in range(j)], 8),
    "several": Graphs.collate([RING, graph([(2, 0)], 3), graph([], 1)]),
}
TYPED = graph(
    [(0, 1), (1, 2), (2, 3)],
    5,
    x=torch.tensor([[0.1, -2.0], [1e-7, 3.0], [0.25, 1.0], [1e12, 0.0], [3.0, 4.0]]),
    feature_names=("heat", "load"),
    node_type=torch.tensor([1, 0, 0, 1, 2]),
    node_types=("N & <co>", "C\"'", "Ö [1]"),
    edge_type=[0, 1, 1],
    edge_types=("single", "2"),
    edge_attr=torch.tensor([[0.5], [1.0 / 3], [-2.0]]),
)


def content(graphs):
    """What graphs hold, by names, edges as a multiset."""
    out = []
    for g in graphs:
        kinds = [[]] * 0 if g.edge_index is None else g.edge_index.T.tolist()
        types = _named(g.edge_type, g.edge_types, len(kinds))
        weights = [None] * len(kinds) if g.edge_attr is None else map(tuple, g.edge_attr.tolist())
        edges = Counter(zip(map(tuple, kinds), types, weights, strict=True))
        label = None if g.label is None else _named(g.label, g.classes, 1)[0]
        features = None if g.x is None else g.x.tolist()
        nodes = _named(g.node_type, g.node_types, g.num_nodes)
        out.append((g.pos.tolist(), features, g.feature_names, nodes, edges, label))
    return out


def _named(codes, names, n):
    if codes is None:
        return [None] * n
    return [names[k] if names else str(k) for k in codes.tolist()]
