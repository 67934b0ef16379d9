"""The graph transformer: symmetries, batches, one layer written out, skipped levels, types and errors."""

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.configuration import decode, encode
from noisefold.geometry import Graphs
from noisefold.geometry.pairs import pack, pair_index, pair_ptr, pairs_to_edges, unpack
from noisefold.nn import GraphTransformer
from noisefold.nn.defaults import default_graph_net
from noisefold.noise import Discrete
from noisefold.noise.schedule import signal_level
from noisefold.noise.variable import Types
from noisefold.testing import (
    assert_batch_independent,
    assert_finite_gradients,
    assert_input_gradients,
    perturbed,
)

SMALL = {"width": 16, "pair_width": 8, "layers": 2, "heads": 2, "walks": 4}
FULL = {**SMALL, "features": 1, "classes": 2, "triangle": 3, "spectrum": 2}
SHAPES = [
    nx.empty_graph(0),
    nx.empty_graph(1),
    nx.empty_graph(2),
    nx.complete_graph(2),
    nx.empty_graph(5),
    *(nx.cycle_graph(n) for n in (3, 4, 5, 6, 9)),
    *(nx.complete_graph(n) for n in (3, 5, 8)),
    nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(4)),
    nx.disjoint_union(nx.complete_graph(4), nx.empty_graph(2)),
    nx.star_graph(6),
    nx.path_graph(7),
    nx.grid_graph((3, 3)),
    nx.petersen_graph(),
    nx.barbell_graph(4, 1),
]


def made(
    shapes: list[nx.Graph] = SHAPES, node_states: int = 3, pair_states: int = 3, seed: int = 0
) -> Graphs:
    """Graphs of these shapes with random types of nodes and edges, and a flag."""
    random = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *(len(g) for g in shapes)]).cumsum(0)
    n, p = int(ptr[-1]), int(pair_ptr(ptr)[-1])
    there = torch.zeros(len(shapes), 10, 10)
    for i, shape in enumerate(shapes):
        there[i, : len(shape), : len(shape)] = torch.from_numpy(nx.to_numpy_array(shape)) if len(shape) else 0
    kinds = pack(there, ptr).long() * torch.randint(1, pair_states, (p,), generator=random)
    index, kind = pairs_to_edges(kinds, ptr)
    return Graphs(
        torch.zeros(n, 0),
        torch.randint(0, 2, (n, 1), generator=random).float(),
        ptr,
        edge_index=index,
        edge_type=kind,
        node_type=torch.randint(node_states, (n,), generator=random),
    )


def levels(graphs: Graphs) -> tuple[Tensor, Tensor]:
    """Log-SNRs from pure noise to clean, and labels, unconditional among them."""
    count = len(graphs)
    return torch.linspace(-12, 12, count), torch.arange(count) % 3 - 1


def network(seed: int = 0, **options: object) -> GraphTransformer:
    torch.manual_seed(seed)
    return perturbed(GraphTransformer(3, 3, **{**FULL, **options}))


class Rows(nn.Module):
    """Both logits as rows of the nodes, ``[n, 6]``, for the public checks."""

    def __init__(self, net: GraphTransformer) -> None:
        super().__init__()
        self.net = net

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None) -> Tensor:
        out = self.net(graphs, log_snr, label)
        i, j = pair_index(graphs.ptr)
        # Pairs are summed at their nodes, with one weight at the first and another at the last.
        sums = out.pairs.new_zeros(graphs.num_nodes, 3)
        return torch.cat([out.nodes, sums.index_add(0, i, out.pairs).index_add(0, j, -2 * out.pairs)], dim=1)


@pytest.mark.parametrize("shapes", [SHAPES, [nx.cycle_graph(9), nx.path_graph(9)]], ids=["ragged", "uniform"])
@pytest.mark.parametrize("options", [{}, {"triangle": 0, "spectrum": 0, "walks": 0}], ids=["full", "plain"])
@pytest.mark.parametrize("check", [assert_batch_independent, assert_finite_gradients, assert_input_gradients])
def test_battery(check, shapes, options):
    graphs = made(shapes)
    torch.manual_seed(1)
    # float32 has 1e-7, and sums of a few layers of it stay within 1e-5.
    close = {"tolerance": 1e-5} if check is assert_batch_independent else {}
    how = {}
    if check is assert_input_gradients:
        # Numbers in place of flags, so that no nodes are equal and no maximum is attained twice.
        how = {"variable": "x"}
        graphs = graphs.replace(x=torch.randn(graphs.num_nodes, 1))
    check(Rows(network(**options)), graphs, *levels(graphs), **close, **how)


def test_permutation_equivariance():
    graphs, net = made(), network()
    log_snr, label = levels(graphs)
    keys = torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(3))
    order = (keys + graphs.batch).argsort()
    place = order.argsort()
    moved = graphs.replace(
        x=graphs.x[order], node_type=graphs.node_type[order], edge_index=place[graphs.edge_index]
    )
    with torch.no_grad():
        out, other = net(graphs, log_snr, label), net(moved, log_snr, label)
    local = order - graphs.ptr[graphs.batch]
    whole = unpack(out.pairs, graphs.ptr)
    renumbered = [whole[g][mine][:, mine] for g, mine in enumerate(local.split(graphs.sizes.tolist()))]
    expected = torch.cat(
        [dense[tuple(torch.triu_indices(len(dense), len(dense), 1))] for dense in renumbered]
    )
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(other.nodes, out.nodes[order], **close)
    torch.testing.assert_close(other.pairs, expected, **close)
    assert not torch.allclose(other.pairs, out.pairs, **close)


def test_one_layer_by_hand():
    """One layer with one head on one graph, its pairs in a full matrix."""
    net = network(layers=1, heads=1, walks=2, triangle=2, spectrum=0).double()
    graphs = made([nx.barbell_graph(3, 1)])
    level, label = torch.tensor([0.7], dtype=torch.float64), torch.tensor([1])
    n, layer, off = 7, net.layers[0], 1 - torch.eye(7, dtype=torch.float64)

    def film(norm, h):
        scale, shift = norm.to_scale_shift(y)[0].chunk(2)
        return functional.layer_norm(h, h.shape[-1:]) * (1 + scale) + shift

    with torch.no_grad():
        kinds = unpack(Types().read(graphs).pairs, graphs.ptr)[0]
        near = (kinds > 0).double()
        degree = near.sum(1)
        walk = near / (degree[:, None] * degree).sqrt()
        walks = torch.stack([walk, walk @ walk], -1).mul(n).log1p()
        third = (near @ near @ near).diagonal() / 2
        cycles = torch.stack([third, *[torch.zeros(n).double()] * 3], 1)  # two triangles on a path
        flag = graphs.x.double()
        structure = torch.cat([degree[:, None].log1p(), cycles.log1p(), walks.diagonal().T], 1)
        h = net.lift_nodes(torch.cat([functional.one_hot(graphs.node_type, 3), structure, flag], 1))
        common = (near @ near)[..., None].log1p()
        e = net.lift_pairs(
            torch.cat([functional.one_hot(kinds, 3), common, walks, (flag * flag.T)[..., None]], -1)
        )
        totals = torch.tensor([[n, degree.sum() / 2, 2, 0, 0, 0]], dtype=torch.float64).log1p()
        y = net.lift_graphs(totals) + net.condition(level, label)

        q, k, v, a = layer.from_nodes(film(layer.norm, h)).split([16, 16, 16, 16], 1)
        seen = layer.norm_pairs(e)
        u, b, left, right = (layer.from_pairs(seen) * off[..., None]).split([1, 1, 2, 2], -1)
        scores = (1 + u[..., 0]) * (q @ k.T) / 4 + b[..., 0]
        triangle = torch.einsum("ikr,kjr->ijr", left, right) + torch.einsum("ikr,kjr->ijr", right, left)
        z = torch.cat([seen, (scores + scores.T)[..., None], triangle / n], -1)
        z = (layer.lift_pairs(z) + a[:, None] + a).relu()
        e = e + layer.out_pairs(z)
        h = h + layer.out_nodes(torch.cat([scores.softmax(1) @ v, (z * off[..., None]).sum(1) / n], 1))
        h = h + layer.mlp(film(layer.norm_mlp, h))
        y = y + layer.pool(torch.cat([h.mean(0), h.amax(0)])[None])
        nodes, pairs = net.head(film(net.norm, h)), net.head_pairs(net.norm_pairs(e))
        out = net(graphs, level, label)
    # The same sums in float64 in another order.
    torch.testing.assert_close(out.nodes, nodes, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.pairs, pairs[tuple(torch.triu_indices(n, n, 1))], rtol=1e-10, atol=1e-10)


def test_the_answer_follows_all_inputs():
    graphs, net = made(), network()
    log_snr, label = levels(graphs)
    with torch.no_grad():
        out = net(graphs, log_snr, label).pairs
        for other in (
            net(graphs, log_snr - 1, label),
            net(graphs, log_snr, 1 - label.abs()),
            net(graphs.replace(x=1 - graphs.x), log_snr, label),
            net(graphs.replace(node_type=2 - graphs.node_type), log_snr, label),
            net(graphs.replace(edge_type=1 - graphs.edge_type), log_snr, label),
        ):
            assert not torch.allclose(out, other.pairs)
        unconditional = net(graphs, log_snr, torch.full_like(label, -1)).pairs
        torch.testing.assert_close(net(graphs, log_snr).pairs, unconditional, rtol=0, atol=0)


def test_untrained_logits_are_zero():
    graphs = made()
    out = GraphTransformer(3, 3, **FULL)(graphs, *levels(graphs))
    assert out.nodes.shape == (graphs.num_nodes, 3)
    assert out.pairs.shape == (int(pair_ptr(graphs.ptr)[-1]), 3)
    assert not out.nodes.any()
    assert not out.pairs.any()


def test_infinite_log_snr():
    graphs, net = made([nx.path_graph(3)] * 2), network()
    out = net(graphs, torch.tensor([-torch.inf, torch.inf]))
    assert out.pairs.isfinite().all()


def test_skipped_levels():
    """Same answers above the threshold, zeros below it, and no work for them."""
    graphs, net = made(), network()
    log_snr, label = levels(graphs)
    skipping = GraphTransformer(**{**net.arguments, "skip_below": 0.3})
    skipping.load_state_dict(net.state_dict())
    above = signal_level(log_snr) >= 0.3
    rows = []
    skipping.layers[0].register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    with torch.no_grad():
        out, full = skipping(graphs, log_snr, label), net(graphs, log_snr, label)
    nodes = above[graphs.batch]
    pairs = torch.repeat_interleave(above, pair_ptr(graphs.ptr).diff())
    close = {"rtol": 1e-5, "atol": 1e-5}  # products of other shapes
    torch.testing.assert_close(out.nodes[nodes], full.nodes[nodes], **close)
    torch.testing.assert_close(out.pairs[pairs], full.pairs[pairs], **close)
    assert not out.nodes[~nodes].any()
    assert not out.pairs[~pairs].any()
    assert rows == [int(nodes.sum())]
    out = skipping(graphs, torch.full_like(log_snr, -9.0))
    assert not out.pairs.any()
    out.pairs.sum().backward()
    assert len(rows) == 1


def test_masked_pairs_are_no_edges():
    """A network with a mask state has the structural features of the edges that are left."""
    path, rest = nx.path_graph(6), torch.tensor([0, 1, 2, 3])
    graphs = made([path], pair_states=2)
    edges = graphs.replace(edge_type=(graphs.edge_index.amax(0) > 3).long())
    fewer = graphs.replace(
        edge_index=graphs.edge_index[:, graphs.edge_index.amax(0) <= 3],
        edge_type=None,
        node_type=graphs.node_type,
    )
    seen = {}
    for masked in (True, False):
        net = network(mask_state=masked)
        net.lift_nodes.register_forward_pre_hook(
            lambda module, inputs, masked=masked: seen.setdefault(masked, []).append(inputs[0])
        )
        net(edges, torch.zeros(1))
        net(fewer, torch.zeros(1))
    assert torch.equal(*seen[True])
    assert not torch.equal(seen[False][0][rest], seen[False][1][rest])


def test_bfloat16():
    graphs, net = made(), network()
    log_snr, label = levels(graphs)
    out = net(graphs, log_snr, label)
    with torch.autocast("cpu", torch.bfloat16):
        low = net(graphs, log_snr, label)
    (low.nodes.sum() + low.pairs.sum()).backward()
    assert low.nodes.dtype is low.pairs.dtype is torch.float32
    assert all(p.grad.isfinite().all() for p in net.parameters())
    # bfloat16 keeps eight bits, 4e-3, through a dozen products.
    assert (low.pairs - out.pairs).square().mean().sqrt() < 0.03 * out.pairs.square().mean().sqrt()


def test_configuration():
    net = GraphTransformer(3, 4, **FULL, skip_below=0.2)
    again = decode(encode(net))
    assert again.arguments == net.arguments
    again.load_state_dict(net.state_dict())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("heads", {"heads": 3}),
        ("pair_states", {"pair_states": 1}),
        ("pair_states", {"pair_states": 2, "mask_state": True}),
        ("node_states", {"node_states": 0}),
        ("walks", {"walks": -1}),
        ("skip_below", {"skip_below": 2.0}),
    ],
)
def test_bad_arguments(name, options):
    with pytest.raises(ValueError, match=name):
        GraphTransformer(**{"node_states": 3, "pair_states": 3, **SMALL, **options})


@pytest.mark.parametrize(
    ("name", "graphs"),
    [
        ("node_type", made(node_states=4)),
        ("edge_type", made(pair_states=4)),
        ("x", made().replace(x=None)),
    ],
    ids=["node_type", "edge_type", "x"],
)
def test_bad_graphs(name, graphs):
    with pytest.raises(ValueError, match=name):
        network()(graphs, levels(graphs)[0])


@pytest.mark.parametrize("noise", ["marginal", "absorbing"])
def test_default_network(noise):
    graphs = made().replace(node_types=("a", "b", "c"), edge_types=("s", "d"))
    graphs = graphs.replace(label=torch.arange(len(graphs)) % 2, classes=("p", "q"))
    net = default_graph_net(graphs, Discrete.fit(graphs, noise), for_completion=True, layers=1)
    states = 4 if noise == "absorbing" else 3
    found = {
        key: net.arguments[key] for key in ("node_states", "pair_states", "mask_state", "classes", "layers")
    }
    assert found == {
        "node_states": states,
        "pair_states": states,
        "mask_state": noise == "absorbing",
        "classes": 2,
        "layers": 1,
    }
    assert net(graphs, *levels(graphs)).pairs.shape[1] == states
