"""Where networks look: weights that are those of the layers, distances with closed forms, and the study."""

import json

import pytest
import torch

from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn import DMP
from noisefold.nn.adaptive import Fixed
from noisefold.nn.dmp.convolution import GAT
from noisefold.noise.source import seeded
from noisefold.studies.networks import attention
from noisefold.studies.networks.attention import ScalarProduct, attended, gat_weights, look


def hidden(graphs=3, nodes=5, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(graphs * nodes, width, generator=generator, dtype=torch.float64)


def edges(graphs=3, nodes=5):
    """The complete graphs as a network builds them."""
    pos = torch.rand(graphs, nodes, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net = DMP(3, adaptive=Fixed(), neighbors="full")
    return net.coarse_graph(Graphs.dense(pos), torch.zeros(graphs, dtype=torch.float64)).adjacency


def test_gat_s_weights_are_those_it_uses():
    with seeded(0):
        conv = GAT(8).double()
    h = hidden()
    weight = gat_weights(conv, h, 5)
    told = (weight @ conv.lin(h).unflatten(0, (3, 5))).flatten(0, 1) + conv.bias
    # Sums of 5 numbers of order 1 in another order.
    assert torch.allclose(conv(h, edges()), told, rtol=1e-12, atol=1e-14)
    assert torch.allclose(weight.sum(2), torch.ones(3, 5, dtype=torch.float64), rtol=1e-14)


def test_gat_ranks_senders_alike_for_every_receiver():
    with seeded(1):
        conv = GAT(8).double()
    order = gat_weights(conv, hidden(seed=2), 5).argsort(2)
    assert (order == order[:, :1]).all()


def test_scalar_product_is_written_out():
    with seeded(0):
        conv = ScalarProduct(8, 5).double()
    h = hidden()
    q, k, v = conv.query(h), conv.key(h), conv.value(h)
    out = conv(h, torch.empty(2, 0))
    for i in range(15):
        mates = range(i // 5 * 5, i // 5 * 5 + 5)
        scores = torch.stack([(q[i] @ k[j]) / 8**0.5 for j in mates]).exp()
        told = sum(s * v[j] for s, j in zip(scores / scores.sum(), mates, strict=True))
        assert torch.allclose(out[i], told, rtol=1e-12, atol=1e-14)


def test_reach_of_equal_own_and_farthest_weights():
    pos = torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gap = torch.cdist(pos, pos)
    eye = torch.eye(30, dtype=torch.float64).expand(2, -1, -1)
    equal = attended(torch.full_like(gap, 1 / 30), pos)
    assert equal["reach"] == pytest.approx([1.0, 1.0], rel=1e-12)
    assert equal["own"] == pytest.approx(0, abs=1e-12)
    assert equal["profile"] == pytest.approx([1.0] * 12, rel=1e-12)
    assert equal["distance"] == sorted(equal["distance"])
    own = attended(eye, pos)
    assert own["reach"] == [0.0, 0.0]
    assert own["profile"] == [0.0] * 12
    assert own["own"] == pytest.approx(29 / 30)  # half of 29 / 30 + 29 of 1 / 30
    far = attended(torch.nn.functional.one_hot(gap.argmax(2), 30).double(), pos)
    assert far["reach"] == pytest.approx((gap.amax(2).mean(1) / gap.mean((1, 2))).tolist())
    assert far["profile"][0] == 0 < far["profile"][-1]


@pytest.mark.parametrize("variable", ["pos", "x"])
def test_a_network_that_weighs_all_alike_reaches_one(variable):
    pos = torch.rand(4, 12, 3, generator=torch.Generator().manual_seed(0))
    clouds = Graphs.dense(pos) if variable == "pos" else Graphs.dense(pos, pos - pos.mean(1, keepdim=True))
    net = DMP(3, clouds.features, 3, width=8, layers=1, adaptive=Fixed(), neighbors="full")
    model = Model(net, variable=variable).fit(clouds, steps=1, batch=2)
    sent = net.layers[0].conv.att_src
    with torch.no_grad():
        sent.zero_()
    found = look(model, clouds, 0.5)
    assert found["reach"] == pytest.approx([1.0] * 4, rel=1e-5)
    with torch.no_grad():
        sent.fill_(10.0)
    assert max(abs(r - 1) for r in look(model, clouds, 0.5)["reach"]) > 1e-3


@pytest.mark.slow
def test_the_study_leaves_all_rows_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path / "nothing"))
    run = attention.STUDY.begin(tmp_path, "smoke")
    result = attention.measure(run)
    assert json.loads(json.dumps(result)) == result
    assert "procedural" in result["data"]
    keys = {(r["task"], r["kind"], r["seed"], r["signal"]) for r in result["rows"]}
    assert len(keys) == len(result["rows"]) == 3 * 2 * 2 * 7
    assert attention.table(result).count("| field |") == 4
    assert len(attention.figure(result).axes) == 6
    monkeypatch.setattr(attention, "look", lambda *_: pytest.fail("looked again"))
    assert attention.measure(run) == result


def test_meshes_are_read(shared, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(shared))
    train, test, about = attention.clouds_of(2, 16, 0)
    assert (len(train), len(test)) == (80, 40)
    assert "40 meshes for training, 40 held out" in about
    radius = train.pos.view(80, 16, 3).norm(dim=2).amax(1)
    assert torch.allclose(radius, torch.ones(80), rtol=1e-5)
