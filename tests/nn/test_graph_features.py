"""Structural features against enumeration and NumPy, and maps between nodes and pairs by hand."""

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold.nn.graph_transformer.features import CYCLES, cycle_counts, laplacian_spectrum, random_walks
from noisefold.nn.graph_transformer.pair_layout import PairLayout
from noisefold.nn.graph_transformer.structure import Structure

# Ragged, with an empty graph, a single node and a single pair.
SIZES = torch.tensor([4, 1, 0, 5, 2])
PTR = torch.tensor([0, 4, 5, 5, 10, 12])
PAIRS = [
    (base + i, base + j)
    for base, n in zip(PTR.tolist(), SIZES.tolist(), strict=False)
    for i in range(n)
    for j in range(i + 1, n)
]


def enumerated(graph: nx.Graph) -> torch.Tensor:
    """Cycles of each length through each node, one path after the other."""
    counts = torch.zeros(len(graph), len(CYCLES), dtype=torch.float64)

    def extend(path: list[int]) -> None:
        if len(path) >= 3 and path[0] in graph[path[-1]]:
            counts[path[0], len(path) - 3] += 0.5  # each cycle is found in both directions
        if len(path) < max(CYCLES):
            for node in graph[path[-1]]:
                if node not in path:
                    extend([*path, node])

    for start in graph:
        extend([start])
    return counts


def adjacency(graph: nx.Graph) -> torch.Tensor:
    return torch.from_numpy(nx.to_numpy_array(graph))


def padded(graphs: list[nx.Graph]) -> torch.Tensor:
    m = max(len(graph) for graph in graphs)
    return torch.stack(
        [torch.nn.functional.pad(adjacency(g), (0, m - len(g), 0, m - len(g))) for g in graphs]
    )


def test_cycles_are_those_of_enumeration():
    random = np.random.default_rng(0)
    sizes, densities = random.integers(1, 11, 50), random.uniform(0.1, 0.7, 50)
    graphs = [
        nx.gnp_random_graph(int(n), p, seed=i) for i, (n, p) in enumerate(zip(sizes, densities, strict=True))
    ]
    counts = cycle_counts(padded(graphs))
    for graph, found in zip(graphs, counts, strict=True):
        assert torch.equal(found[: len(graph)], enumerated(graph))
        assert not found[len(graph) :].any()


def test_cycles_of_a_complete_graph():
    """Dense enough that counts pass the integers of float32."""
    n = 40
    found = cycle_counts(adjacency(nx.complete_graph(n)))
    expected, cycles = [], n - 1
    for length in CYCLES:
        cycles *= n - length + 1
        expected.append(cycles / 2)
    assert found[0].tolist() == expected
    assert (found == found[0]).all()


def test_random_walks_are_powers():
    graphs = [nx.path_graph(5), nx.disjoint_union(nx.cycle_graph(3), nx.empty_graph(1))]
    for graph, walks in zip(graphs, random_walks(padded(graphs), 4).transpose(0, 1), strict=True):
        n = len(graph)
        step = adjacency(graph)
        step /= step.sum(1, keepdim=True).clamp(min=1)
        for k, found in enumerate(walks, start=1):
            power = torch.linalg.matrix_power(step, k)
            # float64 sums in another order.
            torch.testing.assert_close(found[:n, :n] ** 2, power * power.T, rtol=1e-12, atol=1e-15)
            assert not found[n:].any()


def test_spectrum_is_that_of_numpy():
    graphs = [nx.cycle_graph(6), nx.disjoint_union(nx.path_graph(3), nx.complete_graph(4)), nx.empty_graph(2)]
    found = laplacian_spectrum(padded(graphs), torch.tensor([len(g) for g in graphs]), 4)
    for graph, values in zip(graphs, found, strict=True):
        n = min(len(graph), 4)
        expected = np.linalg.eigvalsh(nx.normalized_laplacian_matrix(graph).toarray())[:n]
        np.testing.assert_allclose(values[:n].numpy(), expected, atol=1e-12)  # of symmetric float64 matrices
        assert (values[n:] == 2).all()


def test_maps_by_hand():
    layout, random = PairLayout(PTR), torch.Generator().manual_seed(0)
    nodes = torch.randn(12, 3, generator=random, dtype=torch.float64)
    pairs = torch.randn(len(PAIRS), 3, generator=random, dtype=torch.float64)
    assert layout.pairs.tolist() == [list(pair) for pair in PAIRS]
    for k, (i, j) in enumerate(PAIRS):
        torch.testing.assert_close(layout.ends(nodes)[k], nodes[i] + nodes[j])
    for i in range(12):
        mine = [k for k, pair in enumerate(PAIRS) if i in pair]
        torch.testing.assert_close(layout.incident(pairs)[i], pairs[mine].sum(0))
    matrices = layout.unpack(pairs)
    assert matrices.shape == (3, 5, 5, 5)
    full, packed = torch.zeros_like(matrices), torch.randn(3, 5, 5, 5, generator=random, dtype=torch.float64)
    for k, (i, j) in enumerate(PAIRS):
        g = int(layout.pair_graph[k])
        a, b = i - int(PTR[g]), j - int(PTR[g])
        full[:, g, a, b] = full[:, g, b, a] = pairs[k]
        torch.testing.assert_close(layout.pack(packed)[k], packed[:, g, a, b] + packed[:, g, b, a])
    assert torch.equal(matrices, full)
    assert torch.equal(layout.upper(matrices), pairs)
    assert torch.equal(layout.rows(layout.padded(nodes)), nodes)


@pytest.mark.parametrize("ptr", [[0, 3, 4, 4, 6], [0, 3, 6]], ids=["ragged", "uniform"])
def test_derivatives_of_the_maps(ptr):
    layout = PairLayout(torch.tensor(ptr))
    n, p, (g, m) = ptr[-1], len(layout.pairs), (len(ptr) - 1, layout.size)
    for function, shape in (
        (layout.ends, (n, 2)),
        (layout.incident, (p, 2)),
        (layout.unpack, (p, 2)),
        (layout.pack, (1, g, m, m)),
        (layout.padded, (n, 2)),
        (layout.rows, (g, m, 2)),
    ):
        value = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(function, value)
        assert torch.autograd.gradgradcheck(function, value)


def test_features_of_ragged_graphs():
    """Of a triangle with a tail, beside smaller graphs."""
    layout = PairLayout(torch.tensor([0, 1, 5, 7]))
    tailed = [(1, 2), (1, 3), (2, 3), (3, 4)]
    edges = torch.tensor([tuple(pair) in tailed for pair in layout.pairs.tolist()])
    structure = Structure(2, 3)
    nodes, pairs, graphs = structure(layout, edges, torch.zeros((), dtype=torch.float64))
    assert tuple(f.shape[1] for f in (nodes, pairs, graphs)) == structure.columns
    torch.testing.assert_close(nodes[:, 0].expm1(), torch.tensor([0, 2, 2, 3, 1, 0, 0]).double())
    torch.testing.assert_close(nodes[:, 1].expm1(), torch.tensor([0, 1, 1, 1, 0, 0, 0]).double())
    # Return in two steps: through each neighbour, and back by one of its edges.
    back = torch.tensor(
        [0, 1 / 4 + 1 / 6, 1 / 4 + 1 / 6, (1 / 2 + 1 / 2 + 1) / 3, 1 / 3, 0, 0], dtype=torch.float64
    )
    torch.testing.assert_close(nodes[:, -1].expm1(), 4 * back)
    common = {(1, 2): 1, (1, 3): 1, (2, 3): 1, (1, 4): 1, (2, 4): 1}
    expected = torch.tensor([common.get(tuple(pair), 0) for pair in layout.pairs.tolist()]).double()
    torch.testing.assert_close(pairs[:, 0].expm1(), expected)
    assert torch.equal(pairs[:, 1] > 0, edges)
    torch.testing.assert_close(
        graphs[:, :4].expm1(), torch.tensor([[1, 0, 0, 0], [4, 4, 1, 0], [2, 0, 0, 0]]).double()
    )
    # A zero eigenvalue, up to rounding, for each component.
    assert (graphs[:, 6:] < 1e-12).sum(1).tolist() == [1, 1, 2]
