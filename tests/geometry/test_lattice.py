"""Lattices read off positions, and node values as images."""

from __future__ import annotations

import pytest
import torch

from noisefold import Graphs
from noisefold.geometry.lattice import lattices, node_values, pixel_positions

SIZES = [(3, 4), (1, 5), (3, 4), (5, 1), (1, 1), (2, 6)]


def _mixed(scale: float = 1.0) -> Graphs:
    pos = [scale * pixel_positions(*size) + 7.5 for size in SIZES]
    x = [torch.arange(2.0 * len(p)).view(-1, 2) + 100 * i for i, p in enumerate(pos)]
    return Graphs.ragged(pos, x)


@pytest.mark.parametrize("scale", [1.0, 0.037])
def test_sizes_are_grouped_and_values_return(scale: float) -> None:
    graphs = _mixed(scale)
    found = lattices(graphs)
    assert [(p.height, p.width, p.graphs.tolist()) for p in found] == [
        (3, 4, [0, 2]),
        (1, 5, [1]),
        (5, 1, [3]),
        (1, 1, [4]),
        (2, 6, [5]),
    ]
    assert graphs.x is not None
    images = found[0].images(graphs.x)
    assert torch.equal(images[1, :, 1, 2], graphs[2].x[1 * 4 + 2])  # type: ignore[index]
    assert torch.equal(node_values([(p, p.images(graphs.x)) for p in found], graphs.pos), graphs.x)


def test_one_size_in_order_is_a_view() -> None:
    x = torch.randn(4, 6, 2)
    graphs = Graphs.dense(pixel_positions(2, 3).expand(4, 6, 2), x)
    (found,) = lattices(graphs)
    assert graphs.x is not None
    images = found.images(graphs.x)
    assert images.data_ptr() == graphs.x.data_ptr()
    assert images.shape == (4, 2, 2, 3)
    assert torch.equal(found.nodes(images), graphs.x)


@pytest.mark.parametrize("same", [True, False])
def test_any_order_of_pixels(same: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(12, generator=generator) for _ in range(3)]
    orders = [orders[0]] * 3 if same else orders
    pos, x = pixel_positions(3, 4), torch.randn(3, 12, 1)
    graphs = Graphs.dense(
        torch.stack([pos[o] for o in orders]), torch.stack([x[i, o] for i, o in enumerate(orders)])
    )
    (found,) = lattices(graphs)
    assert graphs.x is not None
    assert torch.equal(found.images(graphs.x).flatten(2), x.transpose(1, 2))
    assert torch.equal(node_values([(found, found.images(graphs.x))], graphs.pos), graphs.x)


def test_a_part_of_the_images() -> None:
    graphs = _mixed()
    assert graphs.x is not None
    found = lattices(graphs)[0].where(torch.tensor([False, True]))
    assert found.graphs.tolist() == [2]
    assert torch.equal(found.nodes(found.images(graphs.x)), graphs[2].x)
    whole = lattices(graphs[[0, 2]])[0]
    part = whole.where(torch.tensor([False, True]))
    assert torch.equal(part.images(graphs[[0, 2]].x), found.images(graphs.x))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "broken",
    [
        lambda p: p[:-1],  # a pixel is missing
        lambda p: p[[0, 0, *range(2, 12)]],  # one is there twice
        lambda p: torch.where(torch.arange(12)[:, None] == 5, p + 0.3, p),
        lambda p: p * torch.tensor([1.0, 2.0]),  # no square pixels
        lambda p: torch.randn(12, 2),
        lambda p: p * torch.nan,
        lambda p: torch.randn(12, 3),
    ],
)
def test_no_image(broken: object) -> None:
    good, bad = pixel_positions(3, 4), broken(pixel_positions(3, 4))  # type: ignore[operator]
    pos = [good, bad] if bad.shape[1] == 2 else [bad]
    with pytest.raises(ValueError, match=r"graph 1 |3-D"):
        lattices(Graphs.ragged(pos))
