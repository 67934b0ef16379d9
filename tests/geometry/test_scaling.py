"""Standardisation: unit data, exact return, and shapes that keep their proportions."""

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import Graphs
from noisefold.geometry.scaling import Scaling


def data(n: int = 500, features: int = 3) -> Graphs:
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(n, 2, generator=generator, dtype=torch.float64) * torch.tensor([10.0, 1.0]) + 100
    x = (
        torch.randn(n, features, generator=generator, dtype=torch.float64) * torch.logspace(-3, 3, features)
        - 5
    )
    return Graphs(pos, x if features else None, torch.tensor([0, n // 3, n]))


def test_fit_measures_the_data():
    graphs = data()
    scaling = Scaling.fit(graphs)
    assert scaling.pos_mean == pytest.approx(graphs.pos.mean(0).tolist(), rel=1e-14)
    assert scaling.pos_scale == pytest.approx(float((graphs.pos - graphs.pos.mean(0)).square().mean().sqrt()))
    assert scaling.x_mean == pytest.approx(graphs.x.mean(0).tolist(), rel=1e-14)
    assert scaling.x_scale == pytest.approx(graphs.x.std(0, correction=0).tolist(), rel=1e-14)


def test_applied_data_are_standard():
    out = Scaling.fit(data()).apply(data())
    # Rounding of positions near 100 with a spread of 7: 1e-13 or so.
    torch.testing.assert_close(out.pos.mean(0), torch.zeros(2).double(), rtol=0, atol=1e-12)
    assert float(out.pos.square().mean()) == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(out.x.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-10)
    torch.testing.assert_close(out.x.std(0, correction=0), torch.ones(3).double(), rtol=1e-10, atol=0)


def test_positions_keep_their_proportions():
    graphs = data()
    out = Scaling.fit(graphs).apply(graphs)
    ratio = torch.pdist(graphs.pos[:20]) / torch.pdist(out.pos[:20])
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize("features", [0, 3])
def test_undo_brings_back(dtype, close, features):
    graphs = data(features=features)
    graphs = graphs.replace(pos=graphs.pos.to(dtype), x=None if graphs.x is None else graphs.x.to(dtype))
    scaling = Scaling.fit(graphs)
    back = scaling.undo(scaling.apply(graphs))
    assert back.pos.dtype == dtype
    # Relative to the largest value: adding the mean costs one rounding of it.
    torch.testing.assert_close(back.pos, graphs.pos, rtol=0, atol=close * float(graphs.pos.abs().max()))
    if features:
        torch.testing.assert_close(back.x, graphs.x, rtol=0, atol=close * float(graphs.x.abs().max()))
    assert torch.equal(back.ptr, graphs.ptr)


def test_constant_variables_keep_scale_one():
    graphs = Graphs(torch.full((4, 2), 3.0), torch.tensor([[5.0, 1.0], [5.0, 2.0], [5.0, 3.0], [5.0, 4.0]]))
    scaling = Scaling.fit(graphs)
    assert scaling.pos_scale == 1
    assert scaling.x_scale[0] == 1
    out = scaling.apply(graphs)
    assert out.pos.abs().max() == 0
    assert out.x[:, 0].abs().max() == 0


def test_one_node_is_a_data_set():
    scaling = Scaling.fit(Graphs(torch.tensor([[1.0, 2.0]])))
    assert scaling == Scaling((1.0, 2.0), 1.0)


def test_is_written_and_read():
    scaling = Scaling.fit(data())
    assert decode(encode(scaling)) == scaling


@pytest.mark.parametrize(
    ("graphs", "says"),
    [
        (Graphs(torch.zeros(0, 3)), "hold no nodes"),
        (Graphs(torch.tensor([[0.0, float("nan")]])), "pos holds NaN"),
        (Graphs(torch.zeros(2, 2), torch.tensor([[0.0], [float("inf")]])), "x holds NaN or infinite"),
    ],
)
def test_fit_refuses_bad_data(graphs, says):
    with pytest.raises(ValueError, match=says):
        Scaling.fit(graphs)


@pytest.mark.parametrize(
    "graphs",
    [Graphs(torch.zeros(2, 3)), Graphs(torch.zeros(2, 2), torch.zeros(2, 1))],
)
@pytest.mark.parametrize("name", ["apply", "undo"])
def test_refuses_graphs_of_another_shape(graphs, name):
    with pytest.raises(ValueError, match="2-D positions with 3 features, got"):
        getattr(Scaling.fit(data()), name)(graphs)


@pytest.mark.parametrize("name", ["apply", "undo"])
def test_graphs_without_features_have_their_positions_scaled_alike(name):
    graphs, scaling = data(), Scaling.fit(data())
    bare = getattr(scaling, name)(graphs.replace(x=None))
    assert bare.x is None
    assert torch.equal(bare.pos, getattr(scaling, name)(graphs).pos)
