"""The discrete path against products of its own kernels and Bayes' rule by enumeration."""

import itertools

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.noise import Categories, Classes, Discrete, Known, Streams, Types
from noisefold.noise.discrete import draw_classes, posterior_table, transition_matrix

F64 = torch.float64


def noises(classes):
    torch.manual_seed(classes)
    shares = torch.softmax(torch.randn(classes, dtype=F64), 0)
    return [shares, torch.full((classes,), 1 / classes, dtype=F64), torch.eye(classes, dtype=F64)[-1]]


def graphs_of(*graphs):
    return nf.Graphs.collate([nf.Graphs.from_networkx(g) for g in graphs])


def path_of(noise="marginal"):
    return Discrete((0.5, 0.3, 0.2), (0.7, 0.2, 0.1), noise)


def test_marginal_is_the_product_of_the_steps():
    keeps = torch.cos(torch.linspace(0, torch.pi / 2, 101, dtype=F64)) ** 2
    for noise in noises(4):
        product = torch.eye(4, dtype=F64)
        for early, late in itertools.pairwise(keeps[:-1]):
            product = product @ transition_matrix(float(late / early), noise)
            # 100 products of 4 x 4 matrices with rows that sum to 1: a few hundred roundings.
            assert (product - transition_matrix(float(late), noise)).abs().max() < 1e-12


@pytest.mark.parametrize("classes", [2, 6])
def test_posterior_is_bayes_rule(classes):
    for noise in noises(classes):
        for keep_s, keep_t in ((0.8, 0.3), (1.0, 0.5), (0.4, 0.0)):
            table = posterior_table(keep_s, keep_t, noise)
            assert not table.isnan().any()
            late = transition_matrix(keep_t, noise)
            step = transition_matrix(keep_t / keep_s, noise)
            early = transition_matrix(keep_s, noise)
            for x0 in range(classes):
                for xt in range(classes):
                    if late[x0, xt] == 0:
                        assert table[x0, xt].abs().max() == 0
                        continue
                    joint = torch.stack([early[x0, xs] * step[xs, xt] for xs in range(classes)])
                    assert (table[x0, xt] - joint / joint.sum()).abs().max() < 1e-12


@pytest.mark.parametrize("noise", ["marginal", "uniform", "absorbing"])
def test_noised_states_have_the_marginal_and_stay_so_when_noised_again(noise):
    path, g = path_of(noise), nf.Graphs(torch.zeros(300, 0))
    clean = Categories(torch.zeros(300, dtype=torch.int64), torch.ones(44_850, dtype=torch.int64))
    t, s = torch.tensor(0.6), torch.tensor(0.25)
    want = transition_matrix(0.4, path.noise_distribution.pairs)[1]
    direct = path.corrupt(clean, t, g, Streams(0, [0]))
    again = path.renoise(path.corrupt(clean, s, g, Streams(1, [0])), s, t, g, Streams(2, [0]))
    for state in (direct, again):
        found = torch.bincount(state.pairs, minlength=len(want)) / len(clean.pairs)
        assert (found - want).abs().max() < 4 * (0.25 / len(clean.pairs)) ** 0.5


def test_draws_never_take_a_class_of_probability_zero():
    p = torch.tensor([[0.0, 0.5, 0.5, 0.0]], dtype=F64).expand(44_850, 4)
    g = nf.Graphs(torch.zeros(300, 0))
    drawn = draw_classes(Categories(p[:300], p), g, Streams(0, [0]))
    assert set(drawn.pairs.tolist()) == {1, 2}


def test_a_graph_is_noised_the_same_in_any_batch():
    path = Discrete((1.0,), (0.6, 0.4))
    many = graphs_of(nx.cycle_graph(7), nx.path_graph(4), nx.star_graph(5))
    alone = many[[2]]
    t = torch.tensor([0.2, 0.9, 0.5])
    together = path.corrupt(Types().read(many), t, many, Streams(5, [0, 1, 2]))
    single = path.corrupt(Types().read(alone), t[2:], alone, Streams(5, [2]))
    assert torch.equal(together.pairs[-15:], single.pairs)


def test_fit_counts_shares_with_all_named_types():
    g = graphs_of(nx.path_graph(3)).replace(
        node_type=torch.tensor([0, 0, 2]), node_types=("C", "N", "O", "F"), edge_types=("single", "double")
    )
    path = Discrete.fit(g)
    # A type that is named and does not occur counts half a time.
    assert path.nodes == pytest.approx((2 / 4, 0.5 / 4, 1 / 4, 0.5 / 4))
    assert path.pairs == pytest.approx((1 / 3.5, 2 / 3.5, 0.5 / 3.5))
    lonely = Discrete.fit(graphs_of(nx.empty_graph(1)))
    assert lonely.pairs == pytest.approx((2 / 3, 1 / 3))


def test_times_and_levels_are_inverse():
    path = path_of()
    t = torch.linspace(0.01, 0.99, 50, dtype=F64)
    assert (path.time(path.log_snr(t)) - t).abs().max() < 1e-14
    assert (path.signal(t) - path.keep(t)).abs().max() < 1e-14
    assert path.log_snr(torch.tensor([0.0, 1.0])).isfinite().all()


def test_types_come_back_as_they_were():
    g = graphs_of(nx.cycle_graph(4), nx.complete_graph(2))
    g = g.replace(node_type=torch.arange(6) % 3, edge_type=torch.zeros(10, dtype=torch.int64))
    back = Types().write(g, Types().read(g))
    order = torch.argsort(g.edge_index[1] * 6 + g.edge_index[0])
    assert torch.equal(back.edge_index, g.edge_index[:, order])
    assert torch.equal(back.node_type, g.node_type)
    bare = Types().write(g.replace(node_type=None, edge_type=None), Types().read(g))
    assert bare.node_type is None
    assert bare.edge_type is None
    absorbed = Types().read(g).map(lambda v: torch.where(v == 1, 2, v))
    assert torch.equal(Types().read(Types().write(bare, absorbed)).pairs, absorbed.pairs)


def test_known_classes_are_put_into_states_and_estimates():
    known = Known(
        Categories(torch.tensor([2, 0]), torch.tensor([1])),
        Categories(torch.tensor([True, False]), torch.tensor([True])),
    )
    state = Types().over(known, Categories(torch.tensor([1, 1]), torch.tensor([0])))
    assert state.nodes.tolist() == [2, 1]
    assert state.pairs.tolist() == [1]
    estimate = Types().over(known, Categories(torch.full((2, 3), 1 / 3), torch.full((1, 2), 0.5)))
    assert estimate.nodes[0].tolist() == [0, 0, 1]
    assert estimate.pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize("noise", ["marginal", "uniform", "absorbing"])
def test_zero_answer_is_the_posterior_of_independent_entries(noise):
    path, g = path_of(noise), graphs_of(nx.path_graph(4))
    state = path.corrupt(
        Categories(torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 2, 0, 0, 1])),
        torch.tensor([0.4]), g, Streams(0, [0]),
    )  # fmt: skip
    shares, t = path.shares, torch.tensor([0.4])
    zero = Categories(torch.zeros(4, len(shares.nodes)), torch.zeros(6, len(shares.pairs)))
    found = Classes().estimate(zero, state, t, path, g)
    for p, m, x, estimate in (
        (shares.nodes, path.noise_distribution.nodes, state.nodes, found.nodes),
        (shares.pairs, path.noise_distribution.pairs, state.pairs, found.pairs),
    ):
        joint = p[:, None] * transition_matrix(0.6, m)
        want = (joint / joint.sum(0).clamp(min=1e-300)).T[x]
        # float32 probabilities
        assert (estimate - want).abs().max() < 1e-6
    assert torch.allclose(Classes().baseline(state, t, path, g).pairs.float(), found.pairs, atol=1e-6)


def test_loss_is_the_weighted_cross_entropy_and_leaves_out_what_is_known():
    path, g = Discrete((1.0,), (0.6, 0.4)), graphs_of(nx.path_graph(3), nx.empty_graph(1))
    clean = Types().read(g)
    state, t = clean, torch.tensor([0.5, 0.5])
    zero = Categories(torch.zeros(4, 1), torch.zeros(3, 2, requires_grad=True))
    target = Classes(pair_weight=5)
    loss = target.loss(zero, clean, state, t, path, g, None)
    p = target.baseline(state, t, path, g).pairs.gather(1, clean.pairs[:, None])
    assert float(loss[0].detach()) == pytest.approx(float(-5 * p.log().mean()), rel=1e-6)
    assert loss[1] == 0
    mask = Categories(torch.ones(4, dtype=torch.bool), torch.tensor([True, True, False]))
    held = target.loss(zero, clean, state, t, path, g, Known(clean, mask))
    assert float(held[0].detach()) == pytest.approx(float(-5 * p[2].log()) / 3, rel=1e-6)
    loss.sum().backward()
    assert zero.pairs.grad.isfinite().all()


def test_guidance_of_one_is_the_conditional_estimate():
    p = torch.softmax(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), 1)
    both = Categories(p, p)
    assert torch.allclose(Classes().guided(both, 1.0).nodes, p[:3], atol=1e-6)
    sharper = Classes().guided(both, 3.0).nodes
    want = p[3:] * (p[:3] / p[3:]) ** 3
    assert torch.allclose(sharper, want / want.sum(1, keepdim=True), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"nodes": (0.5, 0.4), "pairs": (1.0,)}, "nodes"),
        ({"nodes": (1.0,), "pairs": (1.5, -0.5)}, "pairs"),
        ({"nodes": (1.0,), "pairs": (1.0,), "noise": "gaussian"}, "noise"),
        ({"nodes": (1.0,), "pairs": (1.0,), "margin": 0.0}, "margin"),
    ],
)
def test_bad_paths_are_refused_by_argument(arguments, name):
    with pytest.raises(ValueError, match=name):
        Discrete(**arguments)


def test_a_path_of_classes_refuses_a_variable_of_numbers():
    with pytest.raises(ValueError, match="variable"):
        path_of().check(nf.noise.Positions())
