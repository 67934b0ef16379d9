"""Latent vectors of graphs: the decoder against a sum over pairs, the strata against all pairs, inference on
graphs whose vectors are known."""

import math

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold.configuration import decode, encode
from noisefold.geometry import LatentPositions, PairDecoder
from noisefold.geometry import pair_decoder as module
from noisefold.geometry.latent_fit import _start, fitted
from noisefold.geometry.pair_strata import PairStrata, simple_edges

DECODER = PairDecoder((1.5, 0.5), 0.7, -0.2, growth=0.3, contraction=0.4)


def vectors(n, seed=0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def probabilities(z):
    """The formula, pair by pair in float64."""
    z, n = z.double().numpy(), len(z)
    level = -0.2 + 0.3 * math.log(n / 100)
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            step = (z[i, :2] - z[j, :2]) * np.array([1.5, 0.5]) * (n / 100) ** 0.2
            out[i, j] = 1 / (1 + np.exp(-(level + 0.7 * (z[i, 2] + z[j, 2]) - step @ step)))
    return out


def discs(sizes=(60, 80, 100), seed=0):
    """Random geometric graphs, of mean degree about 8."""
    rng, parts = np.random.default_rng(seed), []
    for n in sizes:
        place = rng.random((n, 2))
        apart = np.square(place[:, None] - place[None]).sum(2)
        edges = torch.from_numpy(np.stack(np.nonzero(np.triu(apart < 8 / (np.pi * n), 1))))
        parts.append(nf.Graphs(torch.zeros(n, 0), edge_index=torch.cat([edges, edges.flip(0)], 1)))
    return nf.Graphs.collate(parts)


@pytest.mark.parametrize("block", [1 << 20, 40])
def test_blocks_are_the_matrix_of_the_formula(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    z = vectors(17)
    found = torch.zeros(17, 17)
    for first, logits in DECODER.logits(z):
        assert logits.numel() <= max(block, 17)
        found[first : first + len(logits), first:] = torch.sigmoid(logits)
    assert np.abs(found.numpy() - probabilities(z)).max() < 1e-6
    assert DECODER.expected(z) == pytest.approx(probabilities(z).sum(), rel=1e-6)


def test_pairs_are_drawn_with_their_probabilities():
    z, draws = vectors(6), 800
    count = torch.zeros(6, 6)
    for seed in range(draws):
        i, j = DECODER.edges(z, seed)
        assert (i < j).all()
        count[i, j] += 1
    want = torch.from_numpy(probabilities(z)).float()
    # Five standard errors of a share, for all 15 pairs.
    assert ((count / draws - want).abs() < 5 * (want * (1 - want) / draws).sqrt() + 1e-9).all()


def test_the_expected_number_of_edges_is_kept_within_a_range():
    z = vectors(200)
    usual = DECODER.expected(z)
    assert torch.equal(DECODER.edges(z, 0), DECODER.edges(z, 0, 0.9 * usual, 1.1 * usual))
    for least, most, want in ((2 * usual, 3 * usual, 2 * usual), (0.1 * usual, 0.5 * usual, 0.5 * usual)):
        found = np.mean([DECODER.edges(z, seed, least, most).shape[1] for seed in range(20)])
        assert found == pytest.approx(want, abs=5 * (want / 20) ** 0.5 + 0.002 * want)


def test_strata_stand_for_all_pairs():
    graphs = discs((40, 400))
    strata = PairStrata.of(graphs)
    edges = simple_edges(graphs)
    assert torch.equal(strata.edges, edges)
    values = torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = {tuple(p) for p in edges.T.tolist()}
    total, seen = [], set()
    for step in range(10):
        pairs, weight = strata.turn(step)
        assert (pairs[0] < pairs[1]).all()
        assert (graphs.batch[pairs[0]] == graphs.batch[pairs[1]]).all()
        assert not known & {tuple(p) for p in pairs.T.tolist()}
        total.append(float((weight * values[pairs[0]] * values[pairs[1]]).sum()))
        seen |= {tuple(p) for p in pairs.T.tolist()}
    want = 0.0
    for a, b in ((0, 40), (40, 440)):
        v = values[a:b]
        want += float((v.sum() ** 2 - v.square().sum()) / 2)
    want -= float((values[edges[0]] * values[edges[1]]).sum())
    assert np.mean(total) == pytest.approx(want, rel=0.02)  # the pools are parts of all pairs
    assert len(seen) > 0.9 * (40 * 39 / 2 - (edges[0] < 40).sum())


def test_geometric_graphs_are_found_again():
    graphs = discs((40, 60, 80))
    found = fitted(graphs, 2, 100)
    transform = LatentPositions(found.decoder, steps=100)
    made = transform.drawn(transform.apply(graphs), [0, 1, 2])
    own, again = ({tuple(p) for p in simple_edges(g).T.tolist()} for g in (graphs, made))
    both = len(own & again)
    # Of random pairs, as many as the graphs have edges, one in ten would be an edge.
    assert both / len(own) > 0.6
    assert both / len(again) > 0.6
    assert len(again) == pytest.approx(len(own), rel=0.15)


def test_small_components_leave_the_start_of_the_large_one_as_it_is():
    ring = nx.cycle_graph(60)
    more = nx.disjoint_union_all([ring, *[nx.path_graph(2)] * 3])
    one, several = (_start(nf.Graphs.from_networkx(g), 2)[:60, :2] for g in (ring, more))
    assert (one.std(0) - 1).abs().max() < 0.05
    angle = torch.atan2(several[:, 1], several[:, 0] - several[:, 0].mean())
    # About a circle, as a cycle's eigenvectors are: steps between neighbours all have one length.
    steps = (several - several.roll(1, 0)).norm(dim=1)
    assert angle.unique().numel() > 50
    assert steps.std() < 0.2 * steps.mean()


def test_dimensions_are_chosen_by_the_bound():
    place = np.sort(np.random.default_rng(0).random(60))
    edges = torch.from_numpy(np.stack(np.nonzero(np.triu(np.abs(place[:, None] - place) < 0.06, 1))))
    graphs = nf.Graphs(torch.zeros(60, 0), edge_index=torch.cat([edges, edges.flip(0)], 1))
    few, many = (fitted(graphs, d, 50).bound for d in (2, 6))
    assert few > many + 0.05  # points on a line: four more axes cost more than they say
    for tried in ((2, 6), (6, 2)):
        assert len(LatentPositions.fit(graphs, tried, steps=100).decoder.scales) == 2


def test_vectors_of_a_graph_do_not_depend_on_others():
    graphs = discs((30, 50))
    transform = LatentPositions(DECODER, steps=5)
    both, alone = transform.apply(graphs), transform.apply(graphs[1])
    assert (both.pos[30:] - alone.pos).abs().max() < 1e-3
    assert both.edge_index is None
    assert torch.equal(transform.apply(both).pos, both.pos)


def test_numbers_of_edges_of_the_data_are_kept():
    graphs = discs((50, 100, 200))
    fit = LatentPositions.fit(graphs, 2, steps=5)
    counts = torch.bincount(graphs.batch[simple_edges(graphs)[0]]).double()
    left = counts.log() - fit.slope * graphs.sizes.double().log() - fit.intercept
    assert [fit.least, fit.most] == pytest.approx([float(left.min()), float(left.max())])
    assert abs(fit.slope - 1) < 0.3
    assert decode(encode(fit)) == fit


@pytest.mark.parametrize("graphs", ["no edges", "one node", "isolated"])
def test_degenerate_graphs_have_vectors(graphs):
    none = torch.empty(2, 0, dtype=torch.int64)
    data = {
        "no edges": nf.Graphs(torch.zeros(5, 0), edge_index=none),
        "one node": nf.Graphs(torch.zeros(1, 0), edge_index=none),
        "isolated": nf.Graphs(torch.zeros(4, 0), edge_index=torch.tensor([[0, 1], [1, 0]])),
    }[graphs]
    transform = LatentPositions(DECODER, steps=3)
    points = transform.apply(data)
    assert points.pos.shape == (data.num_nodes, 3)
    assert points.pos.isfinite().all()
    assert transform.undo(points).num_nodes == data.num_nodes
    with pytest.raises(ValueError, match="dim"):
        LatentPositions.fit(data, 0)


def test_graphs_without_edges_have_no_decoder():
    with pytest.raises(ValueError, match="edges"):
        LatentPositions.fit(nf.Graphs(torch.zeros(5, 0), edge_index=torch.empty(2, 0, dtype=torch.int64)))
    with pytest.raises(ValueError, match="scales"):
        PairDecoder((), 1.0, 0.0)
