"""The path from noise to data: moments, points that stay themselves, shrinking of exploding noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report.data.trajectory import cloud_trajectory, sample_trajectory


def ball(count: int = 3, nodes: int = 500, dim: int = 3, seed: int = 0) -> Graphs:
    generator = torch.Generator().manual_seed(seed)
    return Graphs.dense(torch.randn(count, nodes, dim, generator=generator))


def trajectory(noise: float, moments: int = 9) -> list[tuple[float, Graphs]]:
    data = ball(2)
    eps = torch.randn(data.pos.shape, generator=torch.Generator().manual_seed(1))
    levels = [k / (moments - 1) for k in range(moments)]
    return [(u, data.replace(pos=u * data.pos + (1 - u) * noise * eps)) for u in levels]


def test_a_point_stays_the_same_point_at_every_moment() -> None:
    path = cloud_trajectory(trajectory(1.0), 2, 9, 50)
    assert not path.shrunk
    first, last = path.points[0][0].astype(float), path.points[-1][0].astype(float)
    for u, moment in zip(path.signal, path.points, strict=True):
        np.testing.assert_allclose(moment[0], (1 - u) * first + u * last, atol=1e-6)


def test_moments_are_even_and_keep_both_ends() -> None:
    path = cloud_trajectory(trajectory(1.0, 101), 1, 5, 10)
    assert path.signal == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert path.evenly(2) == [0, 4]
    assert path.evenly(99) == [0, 1, 2, 3, 4]


def test_exploding_noise_is_shrunk_to_twice_the_data() -> None:
    path = cloud_trajectory(trajectory(80.0), 2, 9, 500)
    spread = [float(np.sqrt((np.concatenate(m).astype(float) ** 2).mean())) for m in path.points]
    assert path.shrunk
    assert spread[0] == pytest.approx(2 * spread[-1], rel=1e-5)
    assert max(spread) <= 2 * spread[-1] * (1 + 1e-5)


def test_a_path_must_keep_its_graphs() -> None:
    with pytest.raises(ValueError, match="sizes change"):
        cloud_trajectory([(0.0, ball(nodes=5)), (1.0, ball(nodes=6))], 1, 9, 10)
    with pytest.raises(ValueError, match="got none"):
        cloud_trajectory([], 1, 9, 10)


def test_features_change_their_colours_along_the_path() -> None:
    data = ball(1, 30, 2)
    steps = [(u, data.replace(x=torch.full((30, 1), u))) for u in (0.0, 0.5, 1.0)]
    assert [float(m[0][0]) for m in cloud_trajectory(steps, 1, 9, 99).colors] != [0.5] * 3
    fixed = cloud_trajectory([(u, data) for u in (0.0, 1.0)], 1, 9, 99)
    assert fixed.colors[0][0] is fixed.colors[1][0]


def test_a_model_is_sampled_from_noise_to_data() -> None:
    data = Graphs.dense(torch.randn(12, 20, 3), label=torch.arange(12) % 3, classes=("a", "b", "c"))
    model = Model.for_data(data, width=16, latents=4, latent_width=16, rounds=1, blocks=1, heads=2)
    path = sample_trajectory(model, steps=3)
    levels = [u for u, _ in path]
    assert levels == sorted(levels)
    assert levels[-1] == 1
    assert all(len(graphs) == 7 for _, graphs in path)
    assert path[-1][1].label.tolist() == [0, 1, 2, 0, 1, 2, 0]  # type: ignore[union-attr]
