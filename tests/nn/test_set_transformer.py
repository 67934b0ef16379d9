import pytest
import torch
from network_battery import ALL
from torch.nn import functional

from noisefold.geometry import Graphs
from noisefold.nn import SetTransformer, attention
from noisefold.nn import set_transformer as module
from noisefold.nn.attention import Attention, RelativePosition
from noisefold.testing import assert_rotation_invariant, example_batch, perturbed

SMALL = {"width": 16, "blocks": 2, "heads": 2}


@pytest.mark.parametrize("check", ALL, ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, {}),
        ({}, {"sizes": (40, 40, 40)}),
        ({"pos_dim": 2, "features": 3, "out_dim": 3, "classes": 4}, {"dim": 2, "features": 3, "classes": 4}),
        # A node alone has no relative positions.
        (
            {"pos_dim": 2, "features": 3, "out_dim": 3, "absolute": False},
            {"dim": 2, "features": 3, "sizes": (2, 3, 30)},
        ),
    ],
    ids=["ragged", "uniform", "features and classes", "relative positions"],
)
def test_battery(check, options, data):
    torch.manual_seed(0)
    check(perturbed(SetTransformer(**SMALL, **options)), *example_batch(**data))


def test_relative_positions_are_equivariant_under_translations():
    torch.manual_seed(0)
    graphs, log_snr, _ = example_batch((2, 7, 30), dim=2, features=3)
    batch = graphs.to(dtype=torch.float64), log_snr.double()
    sizes = {"pos_dim": 2, "features": 3, "out_dim": 3}
    relative = perturbed(SetTransformer(**SMALL, **sizes, absolute=False)).double()
    assert relative(*batch).norm() > 1e-2
    assert_rotation_invariant(relative, *batch, groups=("translations",), tolerance=1e-10)
    absolute = perturbed(SetTransformer(**SMALL, **sizes)).double()
    with pytest.raises(AssertionError, match="motion"):
        assert_rotation_invariant(absolute, *batch, groups=("translations",))
    with pytest.raises(ValueError, match="absolute"):
        SetTransformer(absolute=False)


def test_initial_prediction_is_zero():
    graphs, log_snr, _ = example_batch()
    assert not SetTransformer(**SMALL)(graphs, log_snr).any()


def test_every_node_depends_on_every_other():
    torch.manual_seed(0)
    net = perturbed(SetTransformer(**SMALL, pos_dim=2, features=1, out_dim=1)).double()
    x = torch.randn(7, 1, dtype=torch.float64, requires_grad=True)
    pos = torch.randn(1, 7, 2, dtype=torch.float64)
    out = net(Graphs.dense(pos).replace(x=x), torch.zeros(1, dtype=torch.float64))
    for i in range(7):
        (gradient,) = torch.autograd.grad(out[i, 0], x, retain_graph=True)
        assert (gradient != 0).all()


def test_one_block_by_hand():
    """One block with one head, written out."""
    torch.manual_seed(0)
    net = perturbed(SetTransformer(pos_dim=2, width=8, blocks=1, heads=1)).double()
    pos = torch.randn(1, 5, 2, dtype=torch.float64)
    level = torch.tensor([0.3], dtype=torch.float64)
    with torch.no_grad():
        h, c, block = net.lift(net.fourier(pos[0])), net.condition(level, None), net.blocks[0]

        def normed(h, norm):
            scale, shift = norm.to_scale_shift(c)[0].chunk(2)
            return functional.layer_norm(h, (8,)) * (1 + scale) + shift

        a = normed(h, block.norm_attention)
        angles = pos[0] @ net.places.waves[0].T
        turn = torch.polar(torch.ones_like(angles), angles)

        def turned(h):
            both = torch.complex(h[:, :4], h[:, 4:]) * turn
            return torch.cat([both.real, both.imag], 1)

        q = turned(a @ block.attention.to_q.weight.T)
        k, v = (a @ block.attention.to_kv.weight.T).chunk(2, 1)
        k = turned(k)
        penalty = functional.softplus(net.places.nearness(c))[0]
        apart = torch.cdist(pos[0], pos[0]).square()
        weights = torch.softmax(q @ k.T / 8**0.5 - penalty * apart, 1)
        h = h + (weights @ v) @ block.attention.out.weight.T + block.attention.out.bias
        first, _, last = block.mlp
        inner = functional.gelu(normed(h, block.norm_mlp) @ first.weight.T + first.bias)
        h = h + inner @ last.weight.T + last.bias
        expected = normed(h, net.norm) @ net.head.weight.T + net.head.bias
        # Two orders of the same float64 sums.
        torch.testing.assert_close(net(Graphs.dense(pos), level), expected, rtol=1e-12, atol=1e-12)


def test_translation_invariance():
    torch.manual_seed(0)
    places = RelativePosition(3, 2, 6, 4).double()
    qk = torch.randn(1, 5, 2, 2, 6, dtype=torch.float64)
    pos, level = torch.randn(1, 5, 3, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    shift = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)

    def weights(pos):
        a, b = places(pos, level)(qk)
        return torch.softmax(a @ b.mT, -1)

    # Angles of a few dozen radians, squared lengths of a few dozen.
    torch.testing.assert_close(weights(pos), weights(pos + shift), rtol=0, atol=1e-12)
    q, k = qk.permute(2, 0, 3, 1, 4)
    assert not torch.allclose(weights(pos), torch.softmax(q @ k.mT / 6**0.5, -1))


def test_initial_ranges():
    ranges = (0.5 / RelativePosition(2, 4, 6, 3).penalty(torch.zeros(1, 3))[0]).sqrt()
    # A softplus and its inverse in float32.
    torch.testing.assert_close(ranges, torch.logspace(0.69897, -0.30103, 4), rtol=1e-4, atol=0)


def test_odd_columns_are_refused():
    with pytest.raises(ValueError, match="columns"):
        RelativePosition(2, 2, 5, 3)


def encoded_by_hand(layer, places, h, pos, condition):
    """Attention of one graph ``h [m, width]`` to itself, a head, a pair of nodes and of columns at a time."""
    q, (k, v) = layer.to_q(h), layer.to_kv(h).chunk(2, 1)
    c = q.shape[1] // layer.heads
    penalty = places.penalty(condition[None])[0]
    mixed = torch.empty_like(q)
    for head in range(layer.heads):
        part = slice(head * c, (head + 1) * c)
        logits = torch.empty(len(h), len(h), dtype=h.dtype)
        for a in range(len(h)):
            for b in range(len(h)):
                apart = pos[b] - pos[a]
                angle = places.waves[head] @ apart
                # Both turned by the angles of their own places: only the difference is left.
                same = q[a, part] * k[b, part]
                cross = (
                    q[a, part][c // 2 :] * k[b, part][: c // 2] - q[a, part][: c // 2] * k[b, part][c // 2 :]
                )
                turned = (same[: c // 2] + same[c // 2 :]) * angle.cos() + cross * angle.sin()
                logits[a, b] = turned.sum() / c**0.5 - penalty[head] * apart.square().sum()
        mixed[:, part] = logits.softmax(1) @ v[:, part]
    return layer.out(mixed)


def rough(*shapes, dtype=torch.float64):
    """A layer of attention, its places, rows, positions and conditions, for graphs of six nodes at most."""
    torch.manual_seed(0)
    layer, places = Attention(12, 12, 3).to(dtype), RelativePosition(2, 3, 4, 5).to(dtype)
    torch.nn.init.normal_(places.nearness.weight)
    return layer, places, *(torch.randn(*s, dtype=dtype) for s in ((4, 6, 12), *shapes))


@pytest.mark.parametrize("sizes", [(6, 6, 6, 6), (6, 1, 4, 5)], ids=["uniform", "ragged"])
@pytest.mark.parametrize(("own_pos", "own_level"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(("gradients", "at_once"), [(True, 1 << 21), (False, 0), (False, 1 << 21)])
def test_attention_with_positions_by_hand(monkeypatch, sizes, own_pos, own_level, gradients, at_once):
    monkeypatch.setattr(attention, "_AT_ONCE", at_once)
    monkeypatch.setattr(attention, "_LEAST_QUERIES", 4)  # two parts of a graph
    layer, places, h, pos, level = rough((4 if own_pos else 1, 6, 2), (4 if own_level else 1, 5))
    mask = None if set(sizes) == {6} else torch.arange(6) < torch.tensor(sizes)[:, None]
    with torch.set_grad_enabled(gradients):
        out = layer(h, h, mask, places(pos, level))
    for i, m in enumerate(sizes):
        one = encoded_by_hand(layer, places, h[i, :m], pos[i % len(pos), :m], level[i % len(level)])
        # Angles of tens of radians and sums of tens of terms in float64.
        torch.testing.assert_close(out[i, :m], one, rtol=1e-12, atol=1e-12)


def test_shared_grids_and_noise_levels_change_nothing(monkeypatch):
    """What is done once for graphs that share it is what is done for each."""
    torch.manual_seed(0)
    net = perturbed(SetTransformer(**SMALL, pos_dim=2, features=3, out_dim=3, classes=2)).double()
    graphs = Graphs.dense(
        torch.randn(1, 9, 2).expand(5, -1, -1).double(), torch.randn(5, 9, 3, dtype=torch.float64)
    )
    level, label = torch.full((5,), 0.7, dtype=torch.float64), torch.ones(5, dtype=torch.long)
    shared = net(graphs, level, label)
    monkeypatch.setattr(module, "_all_equal", lambda values: False)
    torch.testing.assert_close(shared, net(graphs, level, label), rtol=1e-12, atol=1e-12)


def test_angles_are_not_rounded_under_autocast():
    torch.manual_seed(0)
    places, pos, level = RelativePosition(2, 2, 6, 4), 10 * torch.randn(1, 5, 2), torch.randn(1, 4)
    exact = places(pos, level).rotation
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(places(pos, level).rotation, exact, rtol=0, atol=0)


def test_bfloat16_and_float32_agree_with_float64():
    torch.manual_seed(0)
    net = perturbed(SetTransformer(**SMALL, pos_dim=2, features=3, out_dim=3))
    pos, x, level = torch.randn(5, 9, 2), torch.randn(5, 9, 3), torch.linspace(-5, 5, 5)
    with torch.no_grad():
        single = net(Graphs.dense(pos, x), level)
        with torch.autocast("cpu", torch.bfloat16):
            low = net(Graphs.dense(pos, x), level)
        exact = net.double()(Graphs.dense(pos.double(), x.double()), level.double())
    scale = exact.square().mean().sqrt()
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)
    # bfloat16 keeps eight bits, 4e-3, through a dozen products.
    assert (low.double() - exact).square().mean().sqrt() < 0.03 * scale
