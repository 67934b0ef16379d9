"""Completion on the sphere where data are odd: few points, coincident ones, gaps, and very many."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisefold.data import FunctionSamples
from noisefold.geometry.geographic import unit_vectors
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn import SetTransformer


def field(lat: object, lon: object) -> Graphs:
    pos = torch.from_numpy(unit_vectors(np.ravel(lat), np.ravel(lon))).float()
    return Graphs(pos, pos[:, :1] + pos[:, 2:].square(), modality=FunctionSamples("sphere"))


@pytest.fixture(scope="module")
def model() -> Model:
    random = np.random.default_rng(0)
    places = [
        (np.degrees(np.arcsin(random.uniform(-1, 1, 30))), random.uniform(0, 360, 30)) for _ in range(6)
    ]
    data = Graphs.collate([field(lat, lon) for lat, lon in places])
    made = Model(SetTransformer(3, 2, 1, width=8, blocks=1, heads=1), variable="x", for_completion=True)
    made.fit(data, steps=2, batch=4)
    return made


LAT = np.array([90.0, 90.0, 12.0, 12.0, -40.0, -90.0, 0.0, 0.0])
LON = np.array([0.0, 77.0, 180.0, -180.0, 359.0, 5.0, 10.0, 20.0])


@pytest.mark.parametrize("context", [[], [4], [0, 1], [2], range(8)], ids=str)
def test_context_of_any_size(model: Model, context: list[int]) -> None:
    """Poles of two longitudes and both sides of the antimeridian are coincident points."""
    graphs = field(LAT, LON)
    known = torch.zeros(8, dtype=torch.bool)
    known[list(context)] = True
    hidden = graphs.replace(x=graphs.x.masked_fill(~known[:, None], torch.nan))
    done = model.complete(hidden, known, draws=3, steps=2)
    assert bool(done.values.isfinite().all())
    assert torch.equal(done.values[:, known], graphs.x[known].expand(3, -1, -1))
    assert bool((done.std[~known] > 0).all())


def test_coincident_points_have_one_position() -> None:
    pos = field(LAT, LON).pos
    for a, b in ((0, 1), (2, 3)):
        torch.testing.assert_close(pos[a], pos[b], atol=1e-7, rtol=0)


def test_contradicting_values_at_one_place_are_both_kept(model: Model) -> None:
    graphs = field(LAT, LON)
    x = graphs.x.clone()
    x[2], x[3] = 5.0, -5.0
    known = torch.tensor([False, False, True, True, False, False, False, False])
    done = model.complete(graphs.replace(x=x), known, draws=2, steps=2)
    assert done.values[:, 2:4, 0].tolist() == [[5.0, -5.0]] * 2


def test_a_known_value_that_is_missing_is_refused(model: Model) -> None:
    graphs = field(LAT, LON)
    with pytest.raises(ValueError, match="known"):
        model.complete(
            graphs.replace(x=torch.full_like(graphs.x, torch.nan)), torch.ones(8, dtype=torch.bool)
        )


def test_ten_thousand_targets_in_tiles(model: Model) -> None:
    """All longitudes at each pole are there, so that tiles have coincident points."""
    lat, lon = np.meshgrid(np.linspace(90, -90, 80), np.arange(0, 360, 2.88), indexing="ij")
    graphs = field(lat, lon)
    assert graphs.num_nodes == 10_000
    known = torch.zeros(10_000, dtype=torch.bool)
    known[::40] = True
    model.tile = 500
    try:
        done = model.complete(graphs, known, draws=1, steps=1)
    finally:
        model.tile = None
    assert bool(done.values.isfinite().all())
    assert torch.equal(done.values[0, known], graphs.x[known])
