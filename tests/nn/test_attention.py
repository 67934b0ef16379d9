import math

import pytest
import torch

from noisefold.nn import attention
from noisefold.nn.attention import Attention, Transformer


def by_hand(layer, queries, context, mask=None):
    """Attention one graph, head and query at a time."""
    q, kv = layer.to_q(queries), layer.to_kv(context)
    k, v = kv.chunk(2, dim=-1)
    size = q.shape[-1] // layer.heads
    out = torch.zeros_like(q)
    for g in range(len(q)):
        real = slice(None) if mask is None else mask[g]
        for head in range(layer.heads):
            part = slice(head * size, (head + 1) * size)
            for i in range(q.shape[1]):
                score = k[g, real, part] @ q[g, i, part] / math.sqrt(size)
                out[g, i, part] = score.softmax(0) @ v[g, real, part]
    return layer.out(out)


@pytest.mark.parametrize("inner", [None, 12])
def test_attention_by_its_formula(inner):
    torch.manual_seed(0)
    layer = Attention(8, 6, heads=2, inner=inner).double()
    q, c = torch.randn(3, 4, 8).double(), torch.randn(3, 5, 6).double()
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [False] * 4 + [True]])
    # float64 sums of a few terms: 1e-12 is a thousand rounding errors.
    torch.testing.assert_close(layer(q, c), by_hand(layer, q, c), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(q, c, mask), by_hand(layer, q, c, mask), rtol=1e-12, atol=1e-12)


def test_masked_context_has_no_influence():
    torch.manual_seed(0)
    layer = Attention(8, 8, heads=4)
    q, c = torch.randn(2, 3, 8), torch.randn(2, 6, 8)
    mask = torch.arange(6) < torch.tensor([4, 6])[:, None]
    moved = c.clone()
    moved[0, 4:] += 100
    torch.testing.assert_close(layer(q, c, mask), layer(q, moved, mask), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(layer(q, c), layer(q, moved))


def test_bfloat16_path_agrees_with_the_fused_one():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 7, 8, dtype=torch.bfloat16) for _ in range(3))
    mask = torch.arange(7) < torch.tensor([4, 7])[:, None]
    for m in (None, mask):
        exact = attention.attend(q.double(), k.double(), v.double(), m, 8**-0.5)
        # bfloat16 keeps eight bits: 4e-3 of numbers of about one, through two products.
        torch.testing.assert_close(attention.attend(q, k, v, m, 8**-0.5).double(), exact, rtol=0, atol=0.03)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="heads must"):
        Attention(8, 8, heads=3)


def test_transformer_is_equivariant_and_by_its_parts():
    torch.manual_seed(0)
    block = Transformer(8, 4, heads=2).double()
    for p in block.parameters():
        torch.nn.init.normal_(p, std=0.3)
    h, c = torch.randn(2, 5, 8).double(), torch.randn(2, 4).double()
    a = block.norm_attention(h, c)
    mid = h + by_hand(block.attention, a, a)
    expected = mid + block.mlp(block.norm_mlp(mid, c))
    torch.testing.assert_close(block(h, c), expected, rtol=1e-12, atol=1e-12)
    order = torch.randperm(5)
    torch.testing.assert_close(block(h[:, order], c), expected[:, order], rtol=1e-12, atol=1e-12)
