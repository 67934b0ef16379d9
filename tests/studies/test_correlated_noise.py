"""Range under structured noise: what the theory asks for, how excess is measured, and the study."""

import json
from itertools import pairwise

import pytest
import torch

from noisefold.geometry.correlation import Stationary
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.model import Model
from noisefold.nn import DMP
from noisefold.noise.source import Streams
from noisefold.studies.neighbors import correlated_noise as noise
from noisefold.studies.neighbors.correlated_noise import DATA, NOISES, SIGNALS, ByLevel, lattice, predicted
from noisefold.theory import GaussianProcess


@pytest.fixture(scope="module")
def theory():
    return {name: predicted(6, correlation) for name, correlation in NOISES.items()}


def test_white_noise_wants_more_range_where_it_is_strong_and_long_noise_less(theory):
    white, longer = theory["white"]["reach"], theory["longer"]["reach"]
    assert all(far >= near for far, near in pairwise(white[:6]))
    assert white[0] > 2 * white[5]
    # Up to u = .8: beyond, what neighbours add is less than a hundredth.
    assert all(near <= far for near, far in pairwise(longer[:8]))
    assert longer[7] > 2 * longer[0]
    assert theory["longer"]["sum"] == theory["as the data"]["sum"] == [1] * 9
    assert theory["as the data"]["reach"] == [1] * 9


@pytest.mark.parametrize("name", list(NOISES))
def test_all_nodes_leave_the_oracle_s_error(theory, name):
    process = GaussianProcess(Stationary(DATA)).on(Graphs(lattice(6)), noise.path_of(NOISES[name]))
    for u, row in zip(SIGNALS, theory[name]["variance"], strict=True):
        exact = process.posterior_covariance(torch.tensor(1 - u, dtype=torch.float64)).diagonal().mean()
        # The oracle adds 1e-10 of white noise to both covariances, whose condition is some 1e3.
        assert row[-1] == pytest.approx(float(exact), rel=1e-6)
        assert row[0] == pytest.approx((1 - u) ** 2 / (u**2 + (1 - u) ** 2))
        assert all(less <= more * (1 + 1e-12) for more, less in pairwise(row))


@pytest.mark.parametrize("name", ["white", "longer"])
def test_a_network_that_looks_at_no_neighbour_has_the_excess_of_range_one(theory, name):
    """It answers zero, the best linear estimate of a node alone; 300 fields, within 5 standard errors."""
    path, process, fields = noise.path_of(NOISES[name]), GaussianProcess(Stationary(DATA)), 300
    graphs = Graphs.dense(lattice(6).expand(fields, -1, -1))
    data = graphs.replace(x=process.on(graphs, path).sample(1, Streams(0, range(fields)))).to(
        dtype=torch.float32
    )
    scaling = Scaling((0.0, 0.0), 1.0, (0.0,), (1.0,))
    model = Model(DMP(2, 1, 1, width=8, layers=1), path, variable="x", summary=DataSummary(scaling))
    found = noise.excess(model, process, data, 1)
    for value, told in zip(found, noise.over_optimum(theory[name], 1), strict=True):
        # A field of this length has no fewer than 4 independent squares: relative error sqrt(2 / 4 / 300).
        assert value == pytest.approx(told, rel=5 * (2 / 4 / fields) ** 0.5)


def test_ranges_by_level():
    rule = ByLevel((0.2, 0.8), (30, 5))
    signal, nodes = torch.tensor([0.0, 0.4, 0.6, 1.0]), torch.tensor([20, 64, 64, 64])
    reach, resolution = rule(signal, nodes)
    assert reach.tolist() == [20, 30, 5, 5]
    assert torch.equal(resolution, nodes)
    assert rule(0.3, 64) == (30, 64)


@pytest.mark.slow
def test_the_study_leaves_all_rows_and_goes_on(tmp_path, monkeypatch):
    run = noise.STUDY.begin(tmp_path, "smoke")
    result = noise.measure(run)
    assert json.loads(json.dumps(result)) == result
    assert list(result["rows"]) == list(noise.TRAINED)
    for rows in result["rows"].values():
        assert list(rows) == [
            "range 5",
            "range 16",
            "range by the theory",
            "exponential",
            "exponential reversed",
        ]
        assert all(len(seeds) == 2 and len(seeds[0]) == len(SIGNALS) for seeds in rows.values())
    assert noise.table(result).count("| longer |") == 1 + 3 + 5
    assert len(noise.figure(result).axes) == 8
    monkeypatch.setattr(noise, "_trained", lambda *_: pytest.fail("trained again"))
    assert noise.measure(run) == result
