import itertools

import pytest
import torch
from network_battery import ALL, CLOSE

from crossed import crossed
from noisefold.configuration import decode, encode
from noisefold.geometry.coarsen import Voxel
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.neighbor_rules import KNN
from noisefold.nn import DMP
from noisefold.nn.adaptive import Exponential, Fixed, Learned, Linear
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.network import Details
from noisefold.nn.norms import Rows
from noisefold.noise.schedule import VE, VP, Cosine, signal_level
from noisefold.noise.schedule import Linear as Flow
from noisefold.testing import assert_batch_independent, assert_finite_gradients, example_batch, perturbed

NETWORKS = {
    "default": {},
    "gcn": {"conv": "gcn"},
    "edge": {"conv": "edge", "details": Details(inner_norm=True)},
    "heads": {"heads": 4, "adaptive": Linear()},
    "voxel": {"coarsening": Voxel(), "aggregate": "sum"},
    "time": {"embedding": "time", "details": Details(residual=False, activation="relu", shared_gate=True)},
    "no norm": {"norm": "none"},
    "pyg": {"conv": "TransformerConv"},
    "knn": {"adaptive": Fixed(), "neighbors": "knn"},
    "full": {"adaptive": Fixed(), "neighbors": "full"},
    "learned": {"adaptive": Learned()},
}
MORE = {"pos_dim": 2, "features": 3, "out_dim": 3, "classes": 4}


def named(value):
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("name", "check"), crossed(list(NETWORKS), ALL), ids=named)
def test_battery(name, check):
    torch.manual_seed(0)
    net = perturbed(DMP(width=16, layers=2, **NETWORKS[name]))
    if check is assert_finite_gradients and name in ("knn", "full"):
        # A node that is its own supernode has no offset from it.
        check(net, *example_batch(), idle=("offset.weight", "length.weight"))
    else:
        check(net, *example_batch())


@pytest.mark.parametrize(("embedding", "check"), crossed(["film", "time"], ALL), ids=named)
def test_battery_with_features_and_classes(embedding, check):
    torch.manual_seed(0)
    net = perturbed(DMP(width=16, layers=2, embedding=embedding, **MORE))
    check(net, *example_batch((1, 2, 3, 30, 64), dim=2, features=3, classes=4))


def test_battery_on_graphs_of_one_size():
    torch.manual_seed(0)
    net = perturbed(DMP(width=16, layers=2))
    graphs, log_snr, _ = example_batch((40, 40, 40, 40))
    assert graphs.uniform == 40
    assert_batch_independent(net, graphs, log_snr)


@pytest.mark.parametrize("make", [DMP.paper, DMP.published], ids=["paper", "published"])
@pytest.mark.parametrize("variable", ["pos", "x"])
def test_paper_networks_in_training_and_evaluation(make, variable):
    torch.manual_seed(0)
    net = make(variable, width=16)
    dim, features = (3, 0) if variable == "pos" else (2, 3)
    graphs, log_snr, _ = example_batch(dim=dim, features=features)
    before = net(graphs, log_snr)
    assert_finite_gradients(net, graphs, log_snr)
    net.eval()
    assert_batch_independent(net, graphs, log_snr)
    assert before.shape == (graphs.num_nodes, 3)


# -- against the paper, written out plainly --------------------------------------------------------------


def voxels(pos, s):
    """Appendix B.1.1: each axis of the bounding box in s^(1/d) parts; numbers of the occupied."""
    d = pos.shape[1]
    parts = max(k for k in range(1, s + 1) if k**d <= s)
    low, high = pos.amin(0), pos.amax(0)
    index = ((pos - low) / (high - low) * parts).long().clamp(max=parts - 1)
    number = sum(index[:, i] * parts**i for i in range(d))
    return torch.unique(number, return_inverse=True)[1]


def edges_by_hand(centre, k):
    """Every node's k nearest, itself among them: (source, target)."""
    near = torch.cdist(centre, centre).argsort(dim=1, stable=True)[:, : min(k, len(centre))]
    target = torch.arange(len(centre)).repeat_interleave(near.shape[1])
    return torch.stack([near.flatten(), target])


def twin_output(net, graphs, log_snr):
    """The paper's network on one graph after the other, with structures found by hand."""
    twin_module = pytest.importorskip("paper_twin")
    twin = twin_module.Twin(net).eval()
    u, out = signal_level(log_snr), []
    for i, graph in enumerate(graphs):
        n = graph.num_nodes
        k, s = net.adaptive(float(u[i]), n)
        assignment = torch.arange(n) if s == n else voxels(graph.pos, s)
        m = int(assignment.max()) + 1
        centre = torch.stack([graph.pos[assignment == j].mean(0) for j in range(m)])
        values = graph.pos if graph.x is None else torch.cat([graph.x, graph.pos], 1)
        pairs = edges_by_hand(centre, k)
        out.append(twin(values, graph.pos, u[i].expand(n, 1), assignment, pairs))
    return torch.cat(out)


def trained_statistics(net, graphs, log_snr):
    """Batch norms with running means and variances that are not those of their start."""
    net.train()
    for _ in range(3):
        net(graphs, log_snr)
    return net.eval()


VARIANTS = [
    (conv, aggregate, details)
    for conv, (aggregate, details) in itertools.product(
        ("gcn", "gat"),
        [
            ("sum", Details(inner_norm=True, unit_start=False)),
            ("mean", Details("relu", True, shared_norm=True, shared_gate=True, unit_start=False)),
        ],
    )
]


@pytest.mark.parametrize(("variant", "variable"), crossed(VARIANTS, ["pos", "x"]), ids=str)
def test_equals_a_twin_of_the_paper(variant, variable):
    conv, aggregate, details = variant
    torch.manual_seed(0)
    net = DMP.paper(variable, conv=conv, aggregate=aggregate, details=details)
    dim, features = (3, 0) if variable == "pos" else (2, 3)
    graphs, log_snr, _ = example_batch((100, 64, 30, 100, 150, 80), dim=dim, features=features)
    trained_statistics(perturbed(net), graphs, log_snr).double()
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()
    with torch.no_grad():
        # The same sums in another order, in float64.
        torch.testing.assert_close(
            net(graphs, log_snr), twin_output(net, graphs, log_snr), rtol=1e-9, atol=1e-9
        )
        single = net.float()(graphs.to(dtype=torch.float32), log_snr)
        torch.testing.assert_close(
            single.double(), twin_output(net.double(), graphs, log_snr), rtol=1e-4, atol=1e-4
        )


def test_gradients_equal_the_twin():
    twin_module = pytest.importorskip("paper_twin")
    torch.manual_seed(0)
    net = perturbed(DMP.paper(width=16, norm="none")).double()
    graphs, log_snr, _ = example_batch((60, 90))
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()
    coarse = net.coarse_graph(graphs, log_snr)
    twin = twin_module.Twin(net)
    u = signal_level(log_snr)[graphs.batch, None]
    weight = torch.randn(150, 3).double()
    (net(graphs, log_snr) * weight).sum().backward()
    pairs = torch.stack([coarse.source, coarse.target])
    (twin(graphs.pos, graphs.pos, u, coarse.assignment, pairs) * weight).sum().backward()
    for ours, theirs in (
        (net.lift_nodes.mlp.linears[0], twin.lift_nodes[0]),
        (net.lift_cells.mlp.linears[2], twin.lift_cells[6]),
        (net.layers[0].coarsen.message.pair, twin.coarsen[0].pair),
        (net.layers[1].coarsen.message.offset, twin.coarsen[1].offset),
        (net.layers[2].uncoarsen.message.length, twin.uncoarsen[2].length),
        (net.layers[1].conv.lin, twin.conv[1].lin),
        (net.gates[0].linear, twin.gate[0]),
        (net.project.linears[2], twin.project[6]),
    ):
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("conv", ["gat", "gcn"])
@pytest.mark.parametrize("sizes", [(30, 30), (20, 64, 20)])
@pytest.mark.parametrize("adaptive", [Fixed(), Exponential()], ids=repr)
def test_complete_graphs_equal_their_listed_edges(monkeypatch, adaptive, sizes, conv):
    torch.manual_seed(0)
    net = perturbed(DMP(width=8, layers=2, conv=conv, adaptive=adaptive, neighbors="full")).double()
    graphs, log_snr, _ = example_batch(sizes)
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()

    def run():
        out = net(graphs, log_snr)
        return out, *torch.autograd.grad(out.sin().sum(), list(net.parameters()), allow_unused=True)

    ours = run()
    for name in ("mean", "attend"):
        monkeypatch.setattr(Adjacency, name, lambda self, *a, n=name: getattr(self.sparse, n)(*a))
    # Sums of at most 64 terms in another order, through two layers.
    for a, b in zip(ours, run(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# -- what the options mean --------------------------------------------------------------------------------


def test_settings_of_the_paper():
    pos, x = DMP.paper(), DMP.paper("x")
    assert (pos.arguments["width"], x.arguments["width"]) == (64, 32)
    assert (pos.features, x.features, x.pos_dim) == (0, 3, 2)
    assert isinstance(pos.coarsening, Voxel)
    assert pos.adaptive == Exponential()
    assert len(pos.layers) == len(pos.gates) == 3
    norms = [m for m in pos.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    # Two in each lift and in the projection; in each of three layers one of its own and one in three MLPs.
    assert len(norms) == 3 * 2 + 3 * 4
    assert len({id(m) for m in norms}) == len(norms)
    published = DMP.published()
    assert published.adaptive == Exponential(range=7, reverse=True)
    assert len(published.gates) == 1
    assert len(published.lift_nodes.mlp.norms) == 1
    assert DMP.published("x").adaptive == Exponential()


@pytest.mark.parametrize("path", [Flow(), VP(), Cosine(), VE()], ids=repr)
def test_coarsens_at_high_noise_on_every_path(path):
    net = DMP(width=8, layers=1)
    graphs = Graphs.dense(torch.randn(6, 100, 3))
    t = torch.linspace(0.02, 0.98, 6)
    coarse = net.coarse_graph(graphs, path.log_snr(t))
    supernodes = torch.bincount(coarse.graph, minlength=6)
    degree = coarse.ptr.diff()
    reach = torch.stack([degree[coarse.graph == g][0] for g in range(6)])
    assert (supernodes.diff() <= 0).all()
    assert (reach.diff() >= 0).all()
    assert supernodes[0] > supernodes[-1]
    assert supernodes[-1] == reach[-1] == 23  # ceil(sqrt(5 * 100)): all see all
    reverse = DMP(width=8, layers=1, adaptive=Exponential(reverse=True)).coarse_graph(graphs, path.log_snr(t))
    assert (torch.bincount(reverse.graph, minlength=6).diff() >= 0).all()


@pytest.mark.parametrize("name", ["knn", "full", "long-short", "random", "radius"])
@pytest.mark.parametrize("paper", [None, "pos"])
def test_baselines_ignore_the_noise(name, paper):
    torch.manual_seed(0)
    net = DMP.baseline(name, radius=0.5 if name == "radius" else None, paper=paper, width=8, layers=2).eval()
    graphs, log_snr, _ = example_batch((30, 64))
    a, b = net.coarse_graph(graphs, log_snr), net.coarse_graph(graphs, -log_snr)
    assert a.num_supernodes == graphs.num_nodes
    assert torch.equal(a.source, b.source)
    assert torch.equal(a.target, b.target)
    degree = a.ptr.diff()
    if name in ("knn", "long-short", "random"):
        assert torch.equal(degree, torch.tensor([4] * 94))  # ceil of the cube roots of 30 and 64
    if name == "full":
        assert torch.equal(degree, graphs.sizes[a.graph])
    assert_batch_independent(perturbed(net), graphs, log_snr)


def test_a_neighbor_rule_replaces_the_range():
    net = DMP(width=8, layers=1, neighbors=KNN(3, loop=True))
    graphs, log_snr, _ = example_batch((30, 64))
    assert set(net.coarse_graph(graphs, log_snr).ptr.diff().tolist()) == {3}


def test_initial_prediction_is_zero_by_default():
    graphs, log_snr, _ = example_batch()
    assert not DMP(width=8)(graphs, log_snr).any()
    assert DMP(width=8, details=Details(zero_head=False))(graphs, log_snr).any()
    assert DMP.paper(width=8)(graphs, log_snr).any()


def test_initial_variance_of_linear_maps():
    torch.manual_seed(0)
    for net, factor in ((DMP(), 1.0), (DMP.paper(), 1 / 3)):
        for part in (net.lift_nodes.mlp, net.layers[0].mlp, net.layers[1].coarsen.message, net.gates[0]):
            for m in part.modules():
                if isinstance(m, torch.nn.Linear) and m.weight.numel() > 4000:
                    # The variance of 4,096 uniform draws is within 5 % of its own at four standard errors.
                    assert abs(m.weight.var() * m.in_features / factor - 1) < 0.06
    h, c = torch.randn(6, 64), torch.randn(6, 64)
    rows = Rows(torch.arange(6))
    for layer in DMP().layers:
        torch.testing.assert_close(layer.norm(h, c, rows), torch.nn.functional.layer_norm(h, (64,)))


def test_gradient_in_the_positions():
    torch.manual_seed(0)
    net = perturbed(DMP(width=8, layers=2, conv="edge")).double()
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(12, 3, dtype=torch.float64, generator=generator).requires_grad_()
    level = torch.tensor([3.0], dtype=torch.float64)
    # Supernodes and edges do not change within the differences' steps of 1e-6.
    assert torch.autograd.gradcheck(lambda p: net(Graphs(p), level), (pos,))


def test_infinite_log_snr():
    torch.manual_seed(0)
    net = perturbed(DMP(width=8, layers=1))
    graphs = Graphs.dense(torch.randn(2, 30, 3))
    out = net(graphs, torch.tensor([-torch.inf, torch.inf]))
    assert torch.isfinite(out).all()
    # Waves stand still beyond 20; the schedule is within rounding of its ends there.
    torch.testing.assert_close(out, net(graphs, torch.tensor([-30.0, 30.0])), **CLOSE)


@pytest.mark.parametrize("name", ["default", "edge", "time", "no norm", "pyg", "learned"])
def test_runs_in_mixed_precision(name):
    torch.manual_seed(0)
    net = perturbed(DMP(width=16, layers=2, **NETWORKS[name]))
    graphs, log_snr, _ = example_batch()
    exact = net(graphs, log_snr)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(graphs, log_snr)
    # Eight bits a number, some twenty layers one after the other.
    assert (out - exact).abs().max() < 0.1 * exact.abs().max()
    out.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("conv", ["gat", "gcn", "edge"])
def test_memory_per_edge(conv):
    width, nodes = 32, 400
    net = DMP(width=width, layers=1, conv=conv, details=Details(zero_head=False))
    graphs, log_snr = Graphs(torch.randn(nodes, 3)), torch.tensor([30.0])
    edges = net.coarse_graph(graphs, log_snr).source.numel()
    assert edges == 8 * nodes
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net(graphs, log_snr)
    # The widest row of a node is two of width, side by side, in the gate.
    assert max(sizes) <= (edges * width if conv == "edge" else 2 * width * nodes)


class TestLearnedSchedule:
    def nets(self):
        torch.manual_seed(0)
        net = perturbed(DMP(width=8, layers=2, adaptive=Learned()))
        return net, *example_batch((60, 80, 100), seed=4)[:2]

    def test_training_computes_what_evaluation_computes(self):
        net, graphs, _ = self.nets()
        log_snr = torch.tensor([1.0, 3.0, 5.0])
        assert torch.equal(net.train()(graphs, log_snr), net.eval()(graphs, log_snr))

    def test_gradient_is_the_difference_of_the_neighbouring_resolutions(self):
        net, graphs, _ = self.nets()
        log_snr = torch.tensor([1.0, 3.0, 5.0])
        schedule, u = net.adaptive, signal_level(log_snr)
        weight = torch.randn(graphs.num_nodes, 3)
        (net(graphs, log_snr) * weight).sum().backward()
        grads = {n: p.grad.clone() for n, p in schedule.named_parameters()}
        schedule.zero_grad()
        with torch.no_grad():
            here = net._predict(graphs, log_snr, None, schedule(u, graphs.sizes))
            r, s, _ = schedule.neighbour(u, graphs.sizes)
            there = net._predict(graphs, log_snr, None, (r, s))
        upward = torch.where(s > schedule(u, graphs.sizes)[1], 1.0, -1.0)
        change = torch.stack([v.sum() for v in graphs.unpack((there - here) * weight)]) * upward
        (schedule.fraction(u) * (schedule.rungs - 1) * change).sum().backward()
        for name, p in schedule.named_parameters():
            assert grads[name].any()
            torch.testing.assert_close(grads[name], p.grad, rtol=1e-4, atol=1e-6)

    def test_training_moves_it_and_keeps_it_monotone(self):
        net, graphs, _ = self.nets()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        before = net.adaptive.fraction(torch.linspace(0, 1, 101)).detach()
        target = torch.randn(graphs.num_nodes, 3)
        for _ in range(5):
            optimizer.zero_grad()
            (net(graphs, torch.tensor([1.0, 3.0, 5.0])) - target).square().mean().backward()
            optimizer.step()
        after = net.adaptive.fraction(torch.linspace(0, 1, 101)).detach()
        assert (after - before).abs().max() > 1e-3
        assert (after.diff() >= 0).all()
        assert after[0] == 0
        assert after[-1] == 1


# -- errors and files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DMP(embedding="sine"), "embedding must be"),
        (lambda: DMP(neighbors="near"), "neighbors must be"),
        (lambda: DMP(norm="group"), "norm must be"),
        (lambda: DMP.paper("both"), "variable must be"),
        (lambda: DMP.baseline("near"), "name must"),
        (lambda: DMP.baseline("radius"), "radius must"),
        (lambda: DMP.baseline("knn", radius=1.0), "radius must"),
        (lambda: DMP(width=8)(Graphs(torch.zeros(3, 2)), torch.zeros(1)), "pos_dim=3"),
        (lambda: DMP(width=8, features=2)(Graphs(torch.zeros(3, 3)), torch.zeros(1)), "features=2"),
    ],
)
def test_bad_choices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", [*NETWORKS, "paper", "published", "radius"])
def test_configuration_round_trip(name):
    if name == "radius":
        net = DMP.baseline("radius", radius=0.5, width=8)
    elif name in NETWORKS:
        net = DMP(width=8, **NETWORKS[name])
    else:
        net = getattr(DMP, name)(width=8)
    perturbed(net)
    written = encode(net)
    again = decode(written)
    assert encode(again) == written
    again.load_state_dict(net.state_dict())
    graphs, log_snr, _ = example_batch((10, 20))
    torch.testing.assert_close(again.eval()(graphs, log_snr), net.eval()(graphs, log_snr), rtol=0, atol=0)


def test_a_function_for_a_convolution_cannot_be_written():
    net = DMP(width=8, conv=lambda width: torch.nn.Identity())
    with pytest.raises(ValueError, match="cannot be written"):
        encode(net)


def test_no_tensor_is_in_the_state_twice():
    for net in (DMP(width=8), DMP.published(width=8)):
        pointers = [v.data_ptr() for v in net.state_dict().values() if v.numel()]
        assert len(set(pointers)) == len(pointers)


def test_initial_gates():
    """With no weights but the beginning, a gate mixes the state and what came back in this proportion."""
    net = DMP(width=8, layers=2, details=Details(keep=0.9))
    h, spread = torch.randn(2, 5, 8)
    for gate in net.gates:
        torch.nn.init.zeros_(gate.linear.weight)
        torch.testing.assert_close(gate(h, spread), 0.9 * h + 0.1 * spread)


@pytest.mark.parametrize("keep", [0.0, 1.0, -1.0])
def test_keep_out_of_range_is_refused(keep):
    with pytest.raises(ValueError, match=r"keep must lie in \(0, 1\)"):
        Details(keep=keep)
