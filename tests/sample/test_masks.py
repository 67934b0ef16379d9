"""Masks of the usual questions: what they call known, on a grid whose answer can be read off."""

import pytest
import torch

from noisefold.data import limb_bud
from noisefold.geometry import Graphs
from noisefold.sample import masks

# Two graphs of (space, time): 3 places x 4 times, and 2 places x 3 times, times first.
GRAPHS = Graphs.ragged(
    [
        torch.cartesian_prod(torch.arange(4.0), torch.arange(3.0)).flip(1),
        torch.cartesian_prod(torch.tensor([5.0, 7.0, 8.0]), torch.arange(2.0)).flip(1),
    ],
    [torch.ones(12, 3), torch.ones(6, 3)],
)
TIME, PLACE = GRAPHS.pos[:, 1], GRAPHS.pos[:, 0]


def test_time_is_the_last_coordinate_of_the_limb_bud():
    graphs = limb_bud(2, times=[0, 5, 10], positions=4, cache=False)
    known = masks.forecast(graphs)
    assert known.sum() == 2 * 4
    assert bool((graphs.pos[known, 1] == 0).all())


def test_forecast_knows_the_first_times_of_each_graph():
    assert masks.forecast(GRAPHS).tolist() == ((TIME == 0) | (TIME == 5)).tolist()
    assert masks.forecast(GRAPHS, 2).tolist() == ((TIME <= 1) | (TIME == 5) | (TIME == 7)).tolist()
    assert masks.forecast(GRAPHS, axis=0).tolist() == (PLACE == 0).tolist()


def test_interpolation_knows_both_ends():
    assert masks.interpolation(GRAPHS).tolist() == torch.isin(TIME, torch.tensor([0.0, 3, 5, 8])).tolist()


def test_features_hides_columns():
    assert masks.features(GRAPHS, 1).all(0).tolist() == [True, False, True]
    assert masks.features(GRAPHS, [0, 2]).any(0).tolist() == [False, True, False]


def test_region_hides_a_ball():
    known = masks.region(GRAPHS, [1.0], 0.5, axes=[0])
    assert known.tolist() == (PLACE != 1).tolist()
    known = masks.region(GRAPHS, [0.0, 0.0], 1.0)
    assert (~known).sum() == 3


@pytest.mark.parametrize(("hidden", "counts"), [(0.25, (3, 2)), (0.001, (1, 1)), (0.999, (11, 5))])
def test_nodes_hides_a_share_of_each_graph(hidden, counts):
    known = masks.nodes(GRAPHS, hidden)
    assert tuple(int((~part).sum()) for part in GRAPHS.unpack(known)) == counts
    assert torch.equal(masks.nodes(GRAPHS[:1], hidden), known[:12])
    assert not torch.equal(masks.nodes(GRAPHS, 0.5, seed=1), masks.nodes(GRAPHS, 0.5))


def test_knockout_holds_a_gene_at_zero():
    graphs, known = masks.knockout(GRAPHS, 2)
    assert known.all(0).tolist() == [False, False, True]
    assert known.any(0).tolist() == [False, False, True]
    assert graphs.x.sum(0).tolist() == [18, 18, 0]
    assert bool((GRAPHS.x == 1).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: masks.forecast(GRAPHS, 0), "first must be at least 1, got 0"),
        (lambda: masks.forecast(GRAPHS, 3), "graph 1 has 3 times, and at least 4 are needed"),
        (lambda: masks.forecast(GRAPHS, axis=2), "axis must be a coordinate of 2-D positions, got 2"),
        (lambda: masks.interpolation(GRAPHS, axis=0), "graph 1 has 2 times, and at least 3 are needed"),
        (lambda: masks.features(GRAPHS, 3), "feature 3 is not among the 3 features"),
        (lambda: masks.features(GRAPHS, [0, 1, 2]), "hidden names all 3 features"),
        (lambda: masks.knockout(GRAPHS.replace(x=None), 0), "the graphs have no features"),
        (lambda: masks.region(GRAPHS, [0.0], 1.0), "centre must have 2 coordinates, one for each axis"),
        (lambda: masks.region(GRAPHS, [9.0, 9.0], 1.0), "no node lies within radius 1.0"),
        (lambda: masks.nodes(GRAPHS, 1.0), r"hidden must lie in \(0, 1\), got 1.0"),
        (lambda: masks.forecast(GRAPHS[[]]), "at least one graph"),
    ],
)
def test_misuse_is_said_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
