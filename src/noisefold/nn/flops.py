"""Floating-point operations of a network, counted as it runs.

PyTorch's counter knows neither its fused attention on a CPU nor oneDNN's linear map, and counts nothing for
them. So both are replaced by plain products while it counts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from noisefold.geometry.graphs import Graphs
from noisefold.nn.linear import onednn_enabled, set_onednn

__all__ = ["count_flops"]


@torch.no_grad()
def count_flops(net: nn.Module, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> int:
    """Return the floating-point operations of the matrix products of one forward pass.

    A multiplication and its addition are two operations. Elementwise operations are not counted; a training
    step takes about three times as many.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label)``.
    graphs, log_snr, label
        What it is given.
    """
    before = onednn_enabled()
    # The counter fails on views of weights that want a gradient where none is made.
    weights = [p for p in net.parameters() if p.requires_grad]
    set_onednn(False)
    for weight in weights:
        weight.requires_grad_(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            net(graphs, log_snr, label)
    finally:
        set_onednn(before)
        for weight in weights:
            weight.requires_grad_(True)
    return int(counter.get_total_flops())
