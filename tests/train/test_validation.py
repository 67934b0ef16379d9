"""The validation loss: the same at every call, whatever the batch."""

from __future__ import annotations

import pytest
import torch
from tiny_training import Moody, data, denoiser, latents, settings

from noisefold.train import validate

CPU = torch.device("cpu")


@pytest.mark.parametrize("nodes", [None, 6])
def test_validation_repeats_itself_whatever_the_batch(nodes: int | None) -> None:
    denoise, graphs = denoiser().double(), data(1).to(dtype=torch.float64)
    torch.nn.init.normal_(denoise.net.head.weight)
    first, *others = [
        validate(denoise, graphs, settings(batch=b, nodes=nodes), CPU) for b in (10, 10, 1, 3, 64)
    ]
    assert first == others[0]
    for other in others[1:]:
        # Rounding of float64 in batches of other shapes.
        assert abs(other["val_loss"] - first["val_loss"]) < 1e-12
        assert other["val_loss_by_signal"] == pytest.approx(first["val_loss_by_signal"], abs=1e-12)


def test_every_graph_counts_once_and_levels_add_up() -> None:
    denoise, graphs = denoiser(latents(40)), data(1, graphs=40)
    scores = validate(denoise, graphs, settings(batch=7), CPU)
    # Stratified: with 40 graphs and flow matching, where u = 1 - t is all but uniform, 4 in each tenth.
    by_level = scores["val_loss_by_signal"]
    assert len(by_level) == 10
    assert sum(by_level) / 10 == pytest.approx(scores["val_loss"], rel=1e-6)


def test_levels_without_graphs_are_none() -> None:
    by_level = validate(denoiser(), data(1, graphs=2), settings(), CPU)["val_loss_by_signal"]
    assert by_level.count(None) == 8


def test_networks_do_not_learn_or_drop_out_during_validation() -> None:
    denoise, graphs = denoiser(Moody()), data(1)
    before = {k: v.clone() for k, v in denoise.net.state_dict().items()}
    first = validate(denoise, graphs, settings(), CPU)
    assert first == validate(denoise, graphs, settings(), CPU)
    for name, value in denoise.net.state_dict().items():
        assert torch.equal(value, before[name])


def test_it_sees_at_most_512_graphs() -> None:
    seen = []

    class _Counting(Moody):
        def forward(self, graphs, log_snr, label=None):  # type: ignore[no-untyped-def]
            seen.append(len(graphs))
            return super().forward(graphs, log_snr, label)

    validate(denoiser(_Counting()), data(1, graphs=600), settings(batch=100), CPU)
    assert sum(seen) == 512
