"""A network on patches: averages as written, copies apart from each other, and samples of a known law."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from noisefold.geometry import Graphs
from noisefold.geometry.patches import cut
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.model import Model
from noisefold.nn import Tiled
from noisefold.noise import Gaussian, Target

N = 120
PLACE = torch.linspace(0, 12, N, dtype=torch.float64)


class Sums(nn.Module):
    """Each node's answer depends on its patch, its copy's noise level and its class."""

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        total = torch.stack([x.sum(0) for x in graphs.unpack(graphs.x)])
        whole = total + log_snr[:, None] + (0 if label is None else label[:, None])
        return graphs.x * whole[graphs.batch]


class Local(nn.Module):
    """Exact denoiser of a normal field on any of its nodes, by their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        schedule, out = Gaussian().schedule, []
        gains: dict[tuple[float, bytes], Tensor] = {}  # copies of a patch share theirs
        times = schedule.time(log_snr)
        for t, place, x in zip(times, graphs.unpack(), graphs.unpack(graphs.x), strict=True):
            key = (float(t), place.numpy().tobytes())
            if key not in gains:
                covariance = torch.exp(-(place - place.T).abs())
                alpha, sigma = schedule.alpha(t), schedule.sigma(t)
                noisy = alpha**2 * covariance + sigma**2 * torch.eye(len(x), dtype=x.dtype)
                gains[key] = alpha * Gaussian().scale(t) * torch.linalg.solve(noisy, covariance).T
            out.append(gains[key] @ x)
        return torch.cat(out)


def patches(cells: int, overlap: float) -> tuple[list[Tensor], list[Tensor]]:
    place = torch.stack([PLACE, 0 * PLACE], 1).numpy()
    rows, weights = cut(place, torch.zeros(N, dtype=torch.int64).numpy(), cells, overlap)
    return [torch.from_numpy(r) for r in rows], [torch.from_numpy(w) for w in weights]


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_answers_are_weighted_means_over_patches(batch: int) -> None:
    rows, weights = patches(30, 0.4)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * N, 3, generator=generator, dtype=torch.float64)
    graphs = Graphs(PLACE.repeat(2)[:, None], x, torch.tensor([0, N, 2 * N]))
    snr, label = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([0, 2])
    out = Tiled(Sums(), rows, weights, batch)(graphs, snr, label)
    for copy in range(2):
        state = x[copy * N : (copy + 1) * N]
        expected = torch.zeros_like(state)
        for r, w in zip(rows, weights, strict=True):
            expected[r] += w[:, None] * state[r] * (state[r].sum(0) + snr[copy] + label[copy])
        # Sums of at most four products of order 30, in float64.
        torch.testing.assert_close(out[copy * N : (copy + 1) * N], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_samples_keep_their_spread_and_correlation_where_patches_meet() -> None:
    """A field on a line whose correlation falls by e over 10 nodes, on patches of 60."""
    rows, weights = patches(60, 0.5)
    assert len(rows) == 4
    scaling = Scaling((0.0,), 1.0, (0.0,), (1.0,))
    model = Model(
        Tiled(Local(), rows, weights),
        target=Target("data", residual=False),
        variable="x",
        summary=DataSummary(scaling),
    )
    like = Graphs(PLACE[:, None], torch.zeros(N, 1, dtype=torch.float64))
    made = model.sample(400, like=like, steps=24, batch=400).x.view(400, N)
    variance = made.square().mean(0)
    # Averages of independent samples would have .5 to .6 midway between cores. A variance over 400 draws is
    # off by 7 % (one standard error); of 120 correlated ones the worst is taken, which is 3.5 of these.
    assert (variance - 1).abs().max() < 0.3
    assert abs(float(variance.mean()) - 1) < 0.06
    near = (made[:, 1:] * made[:, :-1]).mean(0) / (variance[1:] * variance[:-1]).sqrt()
    expected = float(torch.exp(-(PLACE[1] - PLACE[0])))
    # No seam: neighbours are as correlated (.904) wherever they stand; its standard error is .009.
    assert (near - expected).abs().max() < 0.05


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r, w: Tiled(Sums(), r[1:], w[1:]), "sum to 1"),
        (lambda r, w: Tiled(Sums(), r, w[1:]), "equally long"),
        (lambda r, w: Tiled(Sums(), [], []), "equally long"),
        (
            lambda r, w: Tiled(Sums(), r, w)(Graphs(torch.zeros(7, 1), torch.zeros(7, 1)), torch.zeros(1)),
            "copies of one of 120 nodes",
        ),
    ],
)
def test_refused(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(*patches(60, 0.5))
