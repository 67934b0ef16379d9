import pytest
import torch

from noisefold.nn.dmp.convolution import GAT, GCN, EdgeConv, convolution
from noisefold.nn.dmp.message import Coarsen, Message, Uncoarsen
from noisefold.nn.dmp.pooling import Pooling
from noisefold.nn.dmp.sparse_graph import SparseGraph

pyg = pytest.importorskip("torch_geometric.nn")
# float64: the composed maps reorder sums of some tens of terms.
EXACT = {"rtol": 1e-11, "atol": 1e-11}


def plain_message(message, h_i, h_j, p_i, p_j):
    """The message of the paper for one pair of nodes, one linear map after the other."""
    pair = message.pair(torch.cat([h_i, h_j]))
    offset = message.offset(p_i - p_j)
    length = message.length((p_i - p_j).norm()[None])
    return message.mlp(torch.cat([pair, offset, length])[None])[0]


def some_edges(m=6, seed=0, dim=3):
    """A graph with loops, every node its own neighbour."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randn(m, dim, generator=generator).double()
    adjacency = (torch.rand(m, m, generator=generator) < 0.5) | torch.eye(m, dtype=torch.bool)
    target, source = adjacency.nonzero().unbind(1)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), adjacency.sum(1).cumsum(0)])
    offset = pos[target] - pos[source]
    return pos, SparseGraph(source, target, ptr, torch.cat([offset, offset.norm(dim=1, keepdim=True)], 1))


@pytest.fixture
def supernodes():
    torch.manual_seed(0)
    assignment = torch.tensor([2, 0, 0, 1, 2, 2, 1])
    pos, h, coarse = (torch.randn(n, d).double() for n, d in ((7, 3), (7, 8), (3, 8)))
    centre = torch.stack([pos[assignment == i].mean(0) for i in range(3)])
    offset = centre[assignment] - pos
    offset = torch.cat([offset, offset.norm(dim=1, keepdim=True)], 1)
    return pos, centre, h, coarse, offset, Pooling.of(assignment, 3)


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("aggregate", ["mean", "sum"])
def test_coarsen_is_the_message_to_the_supernodes(supernodes, aggregate, activation, norm):
    pos, centre, h, coarse, offset, pooling = supernodes
    layer = Coarsen(8, 3, activation, norm, aggregate).double()
    out = layer(h, offset, coarse, pooling)
    for i in range(3):
        sent = [
            plain_message(layer.message, coarse[i], h[j], centre[i], pos[j])
            for j in (pooling.assignment == i).nonzero()[:, 0]
        ]
        expected = torch.stack(sent).sum(0) / (len(sent) if aggregate == "mean" else 1)
        torch.testing.assert_close(out[i], expected, **EXACT)


def test_uncoarsen_is_the_message_to_the_nodes(supernodes):
    pos, centre, h, coarse, offset, pooling = supernodes
    layer = Uncoarsen(8, 3, "gelu", "none").double()
    out = layer(h, offset, coarse, pooling)
    for j, i in enumerate(pooling.assignment.tolist()):
        expected = plain_message(layer.message, h[j], coarse[i], pos[j], centre[i])
        torch.testing.assert_close(out[j], expected, **EXACT)


def test_edge_conv_is_the_mean_message_along_edges():
    torch.manual_seed(0)
    pos, edges = some_edges()
    layer, h = EdgeConv(8, 3, "gelu", "none").double(), torch.randn(6, 8).double()
    out = layer(h, edges)
    for i in range(6):
        near = edges.source[edges.target == i]
        sent = [plain_message(layer.message, h[i], h[j], pos[i], pos[j]) for j in near]
        torch.testing.assert_close(out[i], torch.stack(sent).mean(0), **EXACT)


def test_parameters_of_the_message():
    message = Message(8, 3)
    shapes = {k: tuple(p.shape) for k, p in message.named_parameters() if k.endswith("weight")}
    assert shapes == {
        "pair.weight": (8, 16),
        "offset.weight": (8, 3),
        "length.weight": (8, 1),
        "mlp.linears.0.weight": (8, 24),
        "mlp.linears.1.weight": (8, 8),
    }


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_gat_equals_pyg(heads):
    torch.manual_seed(0)
    _, edges = some_edges()
    ours = GAT(8, heads).double()
    torch.nn.init.normal_(ours.bias)
    theirs = pyg.GATConv(8, 8 // heads, heads=heads).double()
    theirs.load_state_dict(ours.state_dict())
    h = torch.randn(6, 8).double()
    torch.testing.assert_close(ours(h, edges), theirs(h, torch.stack([edges.source, edges.target])), **EXACT)


def test_gat_with_large_logits():
    _, edges = some_edges()
    layer = GAT(4).double()
    with torch.no_grad():
        layer.att_src.fill_(1e4)
    assert torch.isfinite(layer(torch.randn(6, 4).double(), edges)).all()


def test_gcn_is_a_mean_and_a_linear_map():
    torch.manual_seed(0)
    _, edges = some_edges()
    layer, h = GCN(8).double(), torch.randn(6, 8).double()
    out = layer(h, edges)
    for i in range(6):
        expected = layer.linear(h[edges.source[edges.target == i]].mean(0))
        torch.testing.assert_close(out[i], expected, **EXACT)


@pytest.mark.parametrize("conv", ["gcn", "gat", "edge"])
def test_derivatives(conv):
    torch.manual_seed(0)
    _, edges = some_edges()
    layer = convolution(conv, 4, 3).double()
    h = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: layer(v, edges), (h,))
    assert torch.autograd.gradgradcheck(lambda v: layer(v, edges), (h,))


@pytest.mark.parametrize("name", ["TransformerConv", "SAGEConv", "GATv2Conv", "GraphConv", "ClusterGCNConv"])
def test_convolutions_of_pyg_by_name_or_function(name):
    torch.manual_seed(0)
    _, edges = some_edges()
    h = torch.randn(6, 8)
    named = convolution(name, 8, 3)
    built = convolution(lambda width: getattr(pyg, name)(width, width), 8, 3)
    built.load_state_dict(named.state_dict())
    stock = named.conv(h, torch.stack([edges.source, edges.target]))
    torch.testing.assert_close(named(h, edges), stock)
    torch.testing.assert_close(built(h, edges), stock)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: convolution("gta", 8, 3), "conv must"),
        (lambda: convolution("Linear", 8, 3), "conv must"),
        (lambda: convolution("GINConv", 8, 3), "conv 'GINConv'"),
        (lambda: convolution("ChebConv", 8, 3), "conv 'ChebConv'"),
        (lambda: convolution("gcn", 8, 3, heads=2), "heads must"),
        (lambda: convolution("gat", 8, 3, heads=3), "heads must"),
        (lambda: Coarsen(8, 3, "gelu", "none", "max"), "aggregate must"),
    ],
)
def test_bad_choices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_convolution_of_another_width_is_refused():
    _, edges = some_edges()
    conv = convolution(lambda width: pyg.GATConv(width, width, heads=2), 8, 3)
    with pytest.raises(ValueError, match="conv must"):
        conv(torch.randn(6, 8), edges)
