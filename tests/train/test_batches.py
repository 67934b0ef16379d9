"""Batches are a function of (seed, step), shared without overlap, and visit everything once a pass."""

from __future__ import annotations

import pytest
import torch
from tiny_training import data

from noisefold.geometry.graphs import Graphs
from noisefold.train.batches import Batches


def _numbered(graphs: int, nodes: int) -> Graphs:
    """Graph g has the positions (g, node)."""
    place = torch.stack(torch.meshgrid(torch.arange(graphs), torch.arange(nodes), indexing="ij"), dim=-1)
    return Graphs.dense(place.float(), label=torch.arange(graphs))


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("nodes", [None, 7, 11])
def test_parts_of_a_batch_are_the_whole(world: int, nodes: int | None) -> None:
    graphs = data()
    whole = Batches(graphs, 8, seed=3, nodes=nodes)
    parts = [Batches(graphs, 8, seed=3, nodes=nodes, rank=r, world=world) for r in range(world)]
    for step in (0, 1, 5):
        batch = whole(step)
        normals = batch.streams.normal(batch.graphs.sizes, 2, batch.graphs.pos).split(
            batch.graphs.sizes.tolist()
        )
        for rank, part in enumerate(p(step) for p in parts):
            mine = range(rank, 8, world)
            assert torch.equal(part.quantiles, batch.quantiles[list(mine)])
            own = part.streams.normal(part.graphs.sizes, 2, part.graphs.pos).split(part.graphs.sizes.tolist())
            for k, place in enumerate(mine):
                assert torch.equal(part.graphs[k].pos, batch.graphs[place].pos)
                assert torch.equal(part.graphs[k].label, batch.graphs[place].label)
                assert torch.equal(own[k], normals[place])


def test_every_pass_visits_every_graph_once_in_a_new_order() -> None:
    batches = Batches(data(graphs=7), 3, seed=0)
    seen = torch.cat([batches(step).graphs.label for step in range(14)])
    passes = seen.reshape(6, 7)
    assert torch.equal(passes.sort(dim=1).values, torch.arange(7).expand(6, 7))
    assert len({tuple(p) for p in passes.tolist()}) == 6


def test_a_batch_larger_than_the_data_goes_round() -> None:
    seen = Batches(data(graphs=3), 9, seed=0)(0).graphs.label
    assert torch.equal(seen.reshape(3, 3).sort(dim=1).values, torch.arange(3).expand(3, 3))


def test_batches_do_not_depend_on_what_was_asked_before() -> None:
    forwards, backwards = Batches(data(), 4, seed=2, nodes=6), Batches(data(), 4, seed=2, nodes=6)
    first = [forwards(s) for s in range(6)]
    second = [backwards(s) for s in reversed(range(6))][::-1]
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.graphs.pos, b.graphs.pos)
        assert torch.equal(a.quantiles, b.quantiles)


def test_seeds_and_steps_give_other_batches() -> None:
    graphs = data(graphs=50)
    labels = [Batches(graphs, 8, seed=s)(k).graphs.label.tolist() for s in (0, 1) for k in (0, 1)]
    assert len({tuple(x) for x in labels}) == 4


def test_graphs_are_thinned_anew_each_time() -> None:
    batches = Batches(_numbered(2, 30), 2, seed=0, nodes=10)
    subsets: dict[int, list[frozenset[float]]] = {0: [], 1: []}
    for step in range(5):
        for graph in batches(step).graphs:
            assert graph.num_nodes == 10
            number = int(graph.label)
            assert bool((graph.pos[:, 0] == number).all())
            subsets[number].append(frozenset(graph.pos[:, 1].tolist()))
    for sets in subsets.values():
        assert all(len(s) == 10 for s in sets)
        assert len(set(sets)) == 5


def test_a_graph_does_not_depend_on_those_beside_it() -> None:
    edges = torch.tensor([[0, 4], [1, 3]])
    graphs = Graphs.collate([_numbered(1, n).replace(edge_index=edges) for n in (5, 6, 20)])
    mixed = Batches(graphs, 3, seed=0, nodes=6).part(0, range(3))
    for place in range(3):
        alone = Batches(graphs, 3, seed=0, nodes=6).part(0, range(place, place + 1)).graphs
        assert torch.equal(alone.pos, mixed.graphs[place].pos)
        assert alone.edge_index is None
    assert mixed.graphs.edge_index is None


def test_edges_stay_where_nothing_is_thinned() -> None:
    graphs = _numbered(3, 5).replace(edge_index=torch.tensor([[0, 5, 10], [1, 6, 12]]))
    edges = Batches(graphs, 3, seed=0, nodes=5)(0).graphs.edge_index
    assert edges is not None
    assert edges.shape == (2, 3)


def test_every_node_is_taken_equally_often() -> None:
    batches = Batches(_numbered(1, 12), 50, seed=0, nodes=3)
    taken = torch.cat([batches(step).graphs.pos[:, 1] for step in range(40)]).long()
    counts = torch.bincount(taken, minlength=12).double()
    # 2,000 draws with probability 1/4: standard deviation 19.4, of which 5 are allowed.
    assert float((counts - 500).abs().max()) < 97


def test_smaller_graphs_stay_whole() -> None:
    graphs = data()
    for graph in Batches(graphs, 10, seed=0, nodes=9)(0).graphs:
        whole = graphs[int(graph.label)]
        assert graph.num_nodes == min(9, whole.num_nodes)
        rows = {tuple(p) for p in whole.pos.tolist()}
        assert {tuple(p) for p in graph.pos.tolist()} <= rows


@pytest.mark.parametrize("size", [1, 4, 9])
def test_quantiles_are_stratified(size: int) -> None:
    batches = Batches(data(), size, seed=0)
    quantiles = torch.stack([batches(step).quantiles for step in range(200)])
    assert torch.equal((quantiles * size).floor().long(), torch.arange(size).expand(200, size))
    # Within its bin a quantile is uniform: the mean of 200 size of them deviates by .289 / sqrt(200 size).
    inside = quantiles * size - torch.arange(size)
    assert abs(float(inside.mean()) - 0.5) < 5 * 0.289 / (200 * size) ** 0.5


def test_processes_must_divide_the_batch() -> None:
    with pytest.raises(ValueError, match="batch must be a positive multiple of the 3 processes, got 4"):
        Batches(data(), 4, seed=0, world=3)
