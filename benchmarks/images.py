"""A training step of the diffusion transformer on images, against a plain twin in stock PyTorch.

    OMP_NUM_THREADS=1 python benchmarks/images.py [small large] [--repeats 7] [--bfloat16] [--keep]

The twin is DiT as published: convolutional patches, fused attention, float32. Ours reads the images off
graphs of pixels. Both take the same images, levels and classes through forward, backward and AdamW, in turn
within one process; times are medians of the milliseconds that the processor worked, per image. The floor is
what the network's matrix products would take at the speed of one large product. ``--bfloat16`` times ours in
bfloat16 as well, which pays where the processor multiplies it (avx512_bf16, amx_bf16) and is ten times slower
elsewhere.
"""

import argparse
import statistics
import time

import torch
from results import record
from torch import nn
from torch.nn import functional

from noisefold.geometry import Graphs
from noisefold.geometry.lattice import pixel_positions
from noisefold.nn import DiT
from noisefold.nn.flops import count_flops

BATCH, SIDE, PATCH = 64, 28, 4
SIZES = {
    "small": {"width": 64, "blocks": 4, "heads": 2},
    "large": {"width": 128, "blocks": 6, "heads": 4},
}


class Block(nn.Module):
    """A block of adaLN-zero, one line after the other."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False, eps=1e-6) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, h, c):
        b1, s1, g1, b2, s2, g2 = (m[:, None] for m in self.modulation(c).chunk(6, dim=1))
        a = self.norms[0](h) * (1 + s1) + b1
        q, k, v = self.qkv(a).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        h = h + g1 * self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return h + g2 * self.mlp(self.norms[1](h) * (1 + s2) + b2)


class Twin(nn.Module):
    """DiT on images ``[g, 1, h, w]``."""

    def __init__(self, width, blocks, heads, classes=10):
        super().__init__()
        tokens = (SIDE // PATCH) ** 2
        self.patches, self.place = (
            nn.Conv2d(1, width, PATCH, PATCH),
            nn.Parameter(torch.randn(1, tokens, width)),
        )
        self.waves = 2 * torch.pi / 64 * 64 ** torch.linspace(0, 1, 16)
        self.level = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.head = nn.Linear(width, PATCH**2)

    def forward(self, images, level, label):
        angles = level[:, None] * self.waves
        c = self.level(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(label + 1)
        h = self.patches(images).flatten(2).transpose(1, 2) + self.place
        for block in self.blocks:
            h = block(h, c)
        shift, scale = (m[:, None] for m in self.modulation(c).chunk(2, dim=1))
        out = self.head(self.norm(h) * (1 + scale) + shift)
        side = SIDE // PATCH
        return out.view(-1, side, side, PATCH, PATCH).transpose(2, 3).reshape(-1, 1, SIDE, SIDE)


def step(net, call, low=False):
    """One step of training."""
    optimizer = torch.optim.AdamW(net.parameters())

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = call(net).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def speed():
    """Operations a second of one large product in float32."""
    a, b = torch.randn(2048, 512), torch.randn(512, 512)
    a @ b
    times = []
    for _ in range(9):
        start = time.process_time()
        a @ b
        times.append(time.process_time() - start)
    return 2 * a.numel() * b.shape[1] / statistics.median(times)


def measured(name, repeats, low):
    size = SIZES[name]
    x, label = torch.randn(BATCH, SIDE * SIDE, 1), torch.arange(BATCH) % 10
    graphs = Graphs.dense(pixel_positions(SIDE, SIDE).expand(BATCH, -1, -1), x)
    images, level = x.view(BATCH, 1, SIDE, SIDE), torch.linspace(-8, 8, BATCH)
    ways = {"twin f32": step(Twin(**size), lambda net: net(images, level, label))}
    for way in ("ours f32", "ours bf16") if low else ("ours f32",):
        ways[way] = step(DiT(classes=10, **size), lambda net: net(graphs, level, label), way == "ours bf16")
    flops = 3 * count_flops(DiT(classes=10, **size), graphs, level, label) / BATCH
    times = {way: [] for way in ways}
    for i in range(repeats + 1):
        for way, run in ways.items():
            start = time.process_time()
            run()
            if i:
                times[way].append(1e3 * (time.process_time() - start) / BATCH)
    found = {way: statistics.median(values) for way, values in times.items()}
    floor = 1e3 * flops / speed()
    ratio = {way: found["twin f32"] / ms for way, ms in found.items()}
    for way, ms in found.items():
        print(f"  {name:<6} {way:<10} {ms:6.2f} ms an image, {ratio[way]:.2f} times the twin's speed")
    print(f"  {name:<6} floor      {floor:6.2f} ms: {flops / 1e6:.0f} million operations", flush=True)
    return {"ms": found, "ratio": ratio, "floor": floor, "flops": flops}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=tuple(SIZES), help=", ".join(SIZES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads; batches of {BATCH} images of {SIDE} x {SIDE} pixels; medians")
    kept = {f"images {name}": measured(name, options.repeats, options.bfloat16) for name in options.sizes}
    if options.keep:
        record(kept)


if __name__ == "__main__":
    main()
