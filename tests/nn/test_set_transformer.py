import pytest
import torch
from network_battery import ALL, awake, batch
from torch.nn import functional

from noisefold.geometry import Graphs
from noisefold.nn import SetTransformer
from noisefold.nn.attention import Places

SMALL = {"width": 16, "blocks": 2, "heads": 2}


@pytest.mark.parametrize("check", ALL, ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, {}),
        ({}, {"sizes": (40, 40, 40)}),
        ({"pos_dim": 2, "features": 3, "out_dim": 3, "classes": 4}, {"dim": 2, "features": 3, "classes": 4}),
    ],
    ids=["ragged", "uniform", "features and classes"],
)
def test_battery(check, options, data):
    torch.manual_seed(0)
    check(awake(SetTransformer(**SMALL, **options)), *batch(**data))


def test_begins_at_zero():
    graphs, log_snr, _ = batch()
    assert not SetTransformer(**SMALL)(graphs, log_snr).any()


def test_every_node_hears_of_every_other():
    torch.manual_seed(0)
    net = awake(SetTransformer(**SMALL, pos_dim=2, features=1, out_dim=1)).double()
    x = torch.randn(7, 1, dtype=torch.float64, requires_grad=True)
    pos = torch.randn(1, 7, 2, dtype=torch.float64)
    out = net(Graphs.dense(pos).replace(x=x), torch.zeros(1, dtype=torch.float64))
    for i in range(7):
        (gradient,) = torch.autograd.grad(out[i, 0], x, retain_graph=True)
        assert (gradient != 0).all()


def test_one_block_by_hand():
    """One block with one head, written out."""
    torch.manual_seed(0)
    net = awake(SetTransformer(pos_dim=2, width=8, blocks=1, heads=1)).double()
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
        price = functional.softplus(net.places.nearness(c))[0]
        apart = torch.cdist(pos[0], pos[0]).square()
        weights = torch.softmax(q @ k.T / 8**0.5 - price * apart, 1)
        h = h + (weights @ v) @ block.attention.out.weight.T + block.attention.out.bias
        first, _, last = block.mlp
        inner = functional.gelu(normed(h, block.norm_mlp) @ first.weight.T + first.bias)
        h = h + inner @ last.weight.T + last.bias
        expected = normed(h, net.norm) @ net.head.weight.T + net.head.bias
        # Two orders of the same float64 sums.
        torch.testing.assert_close(net(Graphs.dense(pos), level), expected, rtol=1e-12, atol=1e-12)


def test_attention_sees_relative_positions_alone():
    torch.manual_seed(0)
    places = Places(3, 2, 6, 4).double()
    q, k = torch.randn(2, 1, 2, 5, 6, dtype=torch.float64)
    pos, level = torch.randn(1, 5, 3, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    shift = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)

    def weights(pos):
        a, b = places(pos, level)(q, k)
        return torch.softmax(a @ b.mT, -1)

    # Angles of a few dozen radians, squared lengths of a few dozen.
    torch.testing.assert_close(weights(pos), weights(pos + shift), rtol=0, atol=1e-12)
    assert not torch.allclose(weights(pos), torch.softmax(q @ k.mT / 6**0.5, -1))


def test_ranges_begin_from_far_to_near():
    place = Places(2, 4, 6, 3)(torch.zeros(1, 1, 2), torch.zeros(1, 3))
    ranges = (0.5 / place.nearness.view(-1)).sqrt()
    # A softplus and its inverse in float32.
    torch.testing.assert_close(ranges, torch.logspace(0.69897, -0.30103, 4), rtol=1e-4, atol=0)


def test_a_head_needs_pairs_of_columns():
    with pytest.raises(ValueError, match="even number"):
        Places(2, 2, 5, 3)
