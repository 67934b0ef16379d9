"""The diffusion transformer against a plain twin, and its patches, windows and sizes."""

from __future__ import annotations

import math

import pytest
import torch
from network_battery import ALL
from torch import nn
from torch.nn import functional

from noisefold import Graphs
from noisefold.configuration import decode, encode
from noisefold.geometry.lattice import pixel_positions
from noisefold.nn import DiT, PatchSchedule
from noisefold.nn.adaptive import Exponential
from noisefold.nn.dit.block import DiTBlock
from noisefold.nn.dit.patches import PatchEmbedding, PatchHead, cut, joined, resize_matrix
from noisefold.nn.dit.windows import Windows
from noisefold.nn.flops import count_flops
from noisefold.testing import assert_input_gradients, perturbed

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def _images(sizes, channels=1, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pos = [pixel_positions(*size).to(dtype) for size in sizes]
    return Graphs.ragged(pos, [torch.randn(len(p), channels, generator=generator, dtype=dtype) for p in pos])


def _signal(*levels, dtype=torch.float32):
    return 2 * torch.logit(torch.tensor(levels, dtype=dtype))


class Twin(nn.Module):
    """DiT as in the paper, on images ``[g, c, h, w]``: convolutional patches, one formula after the other."""

    def __init__(self, net, patch):
        super().__init__()
        self.net, self.patch = net, patch

    def forward(self, images, log_snr, label):
        net, p = self.net, self.patch
        width = net.modulation.in_features
        g, c, h, w = images.shape
        kernel = net.embedding.kernels.kernels[0].view(p, p, c, width).permute(3, 2, 0, 1)
        tokens = functional.conv2d(images, kernel, net.embedding.bias, stride=p).flatten(2).transpose(1, 2)
        tokens = tokens + self.positions(h // p, w // p, width).to(tokens) + net.label(label + 1)[:, None]
        condition = net.condition(log_snr, label)
        for block in net.blocks:
            b1, s1, g1, b2, s2, g2 = (m[:, None] for m in block.modulation(condition).chunk(6, dim=1))
            a = (1 + s1) * self.norm(tokens) + b1
            q, k, v = (part.unflatten(-1, (block.heads, -1)) for part in block.to_qkv(a).chunk(3, dim=-1))
            logits = torch.einsum("gahc,gbhc->ghab", q, k) / math.sqrt(q.shape[-1])
            seen = torch.einsum("ghab,gbhc->gahc", logits.softmax(-1), v).flatten(2)
            tokens = tokens + g1 * block.out(seen)
            a = (1 + s2) * self.norm(tokens) + b2
            tokens = tokens + g2 * block.mlp[2](functional.gelu(block.mlp[0](a)))
        shift, scale = (m[:, None] for m in net.modulation(condition).chunk(2, dim=1))
        out = ((1 + scale) * self.norm(tokens) + shift) @ net.head.kernels.kernels[0].T
        out = out + net.head.bias.repeat(p * p)
        out = out.view(g, h // p, w // p, p, p, -1)
        return torch.einsum("gijabc->gciajb", out).reshape(g, -1, h, w)

    @staticmethod
    def norm(h):
        return (h - h.mean(-1, keepdim=True)) / (h.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()

    def positions(self, rows, columns, width):
        count = width // 4
        code = torch.zeros(rows, columns, width, dtype=torch.float64)
        for i in range(rows):
            for j in range(columns):
                for axis, q in enumerate(((i + 0.5) * self.patch, (j + 0.5) * self.patch)):
                    for k in range(count):
                        angle = q * 1000.0 ** (-k / (count - 1))
                        code[i, j, 2 * axis * count + k] = math.sin(angle)
                        code[i, j, (2 * axis + 1) * count + k] = math.cos(angle)
        return code.flatten(0, 1)


def test_equals_a_plain_twin():
    torch.manual_seed(0)
    net = perturbed(DiT(3, 2, width=16, blocks=2, heads=2, classes=4)).double()
    net.waves = 1000.0 ** -torch.linspace(0, 1, 4, dtype=torch.float64)
    graphs, log_snr = _images([(8, 12)] * 3, 3, torch.float64), torch.tensor([-9.0, 0.3, 8.0]).double()
    label = torch.tensor([-1, 0, 3])
    images = graphs.x.view(3, 8, 12, 3).permute(0, 3, 1, 2)
    expected = Twin(net, 4)(images, log_snr, label).permute(0, 2, 3, 1).reshape(-1, 2)
    torch.testing.assert_close(net(graphs, log_snr, label), expected, **EXACT)


SCHEDULES = {
    "fixed": PatchSchedule(),
    "late": PatchSchedule.late(),
    "graded": PatchSchedule.graded(Exponential(), windows=(0, 3, 2)),
}


_HOLD = [check for check in ALL if check is not assert_input_gradients]  # positions count pixels


@pytest.mark.parametrize("check", _HOLD, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SCHEDULES)
def test_battery(name, check):
    net = DiT(2, width=16, blocks=2, heads=2, classes=3, patches=SCHEDULES[name])
    net = perturbed(net, 0.2)
    graphs = _images([(5, 7), (8, 8), (5, 7), (1, 1), (9, 4)], 2)
    log_snr = _signal(0.02, 0.5, 0.97, 0.9, 0.999)
    if check.__name__ == "check_depends":  # positions of pixels only say where the pixels of an image are
        graphs = graphs.replace(pos=graphs.pos * 1.0)
        out = net(graphs, log_snr, torch.tensor([0, 1, 2, 0, -1]))
        assert not torch.allclose(out, net(graphs, log_snr - 0.05, torch.tensor([0, 1, 2, 0, -1])))
        assert not torch.allclose(out, net(graphs, log_snr, None))
        assert not torch.allclose(out, net(graphs.replace(x=graphs.x * 1.1), log_snr, None))
        moved = graphs.replace(pos=0.3 * graphs.pos + 4.0)
        torch.testing.assert_close(net(moved, log_snr, None), net(graphs, log_snr, None))
        return
    check(net, graphs, log_snr, torch.tensor([0, 1, 2, 0, -1]))


def test_windows_equal_masked_attention():
    torch.manual_seed(0)
    block = perturbed(DiTBlock(16, 8, heads=2), 0.3).double()
    h, condition = torch.randn(2, 7 * 5, 16).double(), torch.randn(2, 8).double()
    for size, shift in [(3, 0), (3, 1), (4, 2), (2, 1), (7, 3), (0, 0)]:
        windows = Windows(7, 5, size, shift)
        found = block(h, condition, windows)
        rows, columns = torch.arange(7).repeat_interleave(5), torch.arange(5).repeat(7)
        which = torch.zeros(35, dtype=torch.long)
        if not windows.whole:
            which = (rows + shift) // size * 100 + (columns + shift) // size
        together = which[:, None] == which
        b1, s1, g1, b2, s2, g2 = (m[:, None] for m in block.modulation(condition).chunk(6, dim=1))
        norm = functional.layer_norm(h, (16,), eps=1e-6)
        q, k, v = (
            p.unflatten(-1, (2, 8)).transpose(1, 2) for p in block.to_qkv((1 + s1) * norm + b1).chunk(3, -1)
        )
        logits = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(~together, -math.inf)
        after = h + g1 * block.out((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
        expected = after + g2 * block.mlp((1 + s2) * functional.layer_norm(after, (16,), eps=1e-6) + b2)
        torch.testing.assert_close(found, expected, **EXACT)


def test_patches_return():
    images = torch.randn(2, 3, 7, 5)
    for size in (1, 2, 3, 4, 8):
        patches = cut(images, size)
        assert patches.shape == (2, -(-7 // size), -(-5 // size), size * size * 3)
        assert torch.equal(joined(patches, size, 7, 5), images)
    assert torch.equal(
        cut(images, 2)[1, 1, 2],
        functional.pad(images, (0, 1, 0, 1))[1, :, 2:4, 4:6].permute(1, 2, 0).flatten(),
    )


def test_one_kernel_for_all_sizes():
    torch.manual_seed(0)
    embedding = PatchEmbedding(2, 5, (4, 2, 1)).double()
    torch.testing.assert_close(embedding.kernels.of(4), embedding.kernels.kernels[0])
    # A coarse patch made of equal pixels gives the token of the fine patch.
    fine = torch.randn(3, 2, 2, 2).double()
    coarse = fine.repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(
        embedding(fine.flatten(1), 2), embedding(coarse.flatten(1), 4), rtol=0, atol=1e-6
    )
    head = PatchHead(5, 2, (4, 2, 1)).double()
    nn.init.normal_(head.kernels.kernels[0])
    tokens = torch.randn(3, 5).double()
    means = functional.avg_pool2d(head(tokens, 4).view(3, 4, 4, 2).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    torch.testing.assert_close(head(tokens, 2), means.flatten(1), rtol=0, atol=1e-6)
    assert torch.equal(resize_matrix(3, 3), torch.eye(9).double())
    own = PatchEmbedding(2, 5, (4, 2, 1), shared=False)
    assert [k.shape[0] for k in own.kernels.kernels] == [32, 8, 2]


def test_schedules():
    paper = PatchSchedule.graded(Exponential())
    assert paper.sizes == (4, 2, 1)
    # Sides of 8, 16, 32: 12 and 24 are 1/6 and 2/3 of the way.
    assert paper.splits == pytest.approx([math.log1p(f * math.expm1(10)) / 10 for f in (1 / 6, 2 / 3)])
    turned = PatchSchedule.graded(Exponential(reverse=True), windows=(0, 4, 7))
    assert turned.sizes == (1, 2, 4)
    assert turned.windows == (7, 4, 0)
    assert turned.splits == pytest.approx([1 - s for s in reversed(paper.splits)])
    assert sum(paper.shares) == pytest.approx(1)
    measured = PatchSchedule.by_skill(
        {4: (0.1, 0.5, 0.6, 0.2), 2: (0.05, 0.503, 0.65, 0.4), 1: (0.0, 0.4, 0.6, 0.404)}, windows={2: 4}
    )
    assert measured == PatchSchedule((4, 2), (0.5,), (0, 4))
    assert PatchSchedule.late().tier(torch.tensor([0.0, 0.9499, 0.95, 1.0])).tolist() == [0, 0, 1, 1]
    net = DiT(1, width=8, blocks=1, heads=1, patches=paper)
    assert encode(decode(encode(net))) == encode(net)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"sizes": (4, 2)}, "sizes"),
        ({"splits": (0.5, 0.5), "sizes": (4, 2, 1)}, "splits"),
        ({"sizes": (0,)}, "sizes"),
        ({"windows": (1, 2)}, "windows"),
    ],
)
def test_wrong_schedules(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        PatchSchedule(**arguments)


def test_flops_of_fused_attention_are_counted():
    net = DiT(1, width=32, blocks=3, heads=2)
    graphs = _images([(8, 8)] * 2)
    tokens, width = 4, 32
    block = 2 * tokens * width * (3 + 1 + 8) * width + 2 * 2 * tokens * tokens * width + 2 * 6 * width * width
    ends = 2 * 2 * tokens * 16 * width + 2 * 2 * width * width
    level = 2 * (33 * width + width * width)
    assert count_flops(net, graphs, _signal(0.1, 0.2)) == 2 * (3 * block + ends + level)


def test_first_and_last_map_are_exact_under_autocast():
    torch.manual_seed(0)
    net = DiT(1, width=16, blocks=0, heads=2)
    for kernel in (*net.head.kernels.kernels, *net.embedding.kernels.kernels):
        nn.init.normal_(kernel)
    graphs, log_snr = _images([(8, 8)]), _signal(0.99)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(graphs, log_snr)
    torch.testing.assert_close(out, net(graphs, log_snr), rtol=1e-5, atol=1e-5)
