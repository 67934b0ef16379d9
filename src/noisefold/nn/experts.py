r"""Expert denoisers: an ensemble of networks, one for each interval of noise levels.

The signal level u of a graph selects one of several networks, net i for :math:`u \in [b_{i-1}, b_i)` with
:math:`b_{-1} = 0`, and the last one up to 1. Depth, width or the kind of messages, and with them compute, can
thus differ between noise levels. Unlike in a mixture of experts, nothing about the selection is learned.

Source: Balaji et al., eDiff-I (2022), https://arxiv.org/abs/2211.01324; Geometric Generative Modeling with
Noise-Conditioned Graph Networks, https://arxiv.org/abs/2507.09391, which leaves layers, width and messages by
noise level as an open question.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.noise.schedule import signal_level

__all__ = ["ExpertDenoisers"]


@register_module
class ExpertDenoisers(nn.Module):
    r"""Several networks, each for its own interval of noise levels: :math:`y_g = \mathrm{net}_{i(u_g)}(x_g)`.

    A batch may mix noise levels: it is split by network, and the predictions return in order. If the networks
    are permutation-equivariant and independent of the batch, so is the whole.

    Shapes:
        - **graphs** positions ``[n, d]`` and features ``[n, f]``
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, out_dim]``

    Parameters
    ----------
    nets
        Networks called as ``net(graphs, log_snr [g], label)``, from the noisiest levels to the cleanest. None
        predicts zero at no cost, which a residual `Target` reads as the best linear estimate.
    splits
        Signal levels between consecutive networks, strictly increasing in (0, 1); one fewer than nets.
    out_dim
        Columns of the prediction; default the dimension of space.
    classes
        Number of classes of the networks, 0 for none.

    Raises
    ------
    ValueError
        If nets and splits do not match, all nets are None, or a net has other `classes` or columns.

    Examples
    --------
    >>> from noisefold.nn import DMP
    >>> ExpertDenoisers((DMP(layers=1), DMP(layers=4)), (0.3,)).splits
    (0.3,)
    """

    def __init__(
        self,
        nets: Sequence[nn.Module | None],
        splits: Sequence[float],
        out_dim: int | None = None,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if not any(net is not None for net in nets):
            raise ValueError(f"nets must hold at least one network, got {list(nets)}.")
        if len(splits) != len(nets) - 1:
            raise ValueError(
                f"splits must be one fewer than the {len(nets)} nets, got {tuple(splits)}; "
                "give the signal levels between them."
            )
        if not all(a < b for a, b in pairwise((0.0, *splits, 1.0))):
            raise ValueError(
                f"splits must be strictly increasing signal levels in (0, 1), got {tuple(splits)}."
            )
        for i, net in enumerate(nets):
            known = getattr(net, "arguments", {}).get("classes", classes)
            if known != classes:
                raise ValueError(f"nets[{i}] has classes={known}, not {classes}; give all the same.")
        self.nets = nn.ModuleList(nn.Identity() if net is None else net for net in nets)
        self.skipped = tuple(net is None for net in nets)
        self.splits, self.out_dim = tuple(splits), out_dim

    def route(self, log_snr: Tensor) -> Tensor:
        """Return the index of each graph's network, int64 ``[g]``, at ``log_snr [g]``."""
        signal = signal_level(log_snr.double())
        return torch.bucketize(signal, signal.new_tensor(self.splits), right=True)

    def extra_repr(self) -> str:
        """Columns out, and the intervals of the signal level."""
        bounds = " | ".join(f"{b:g}" for b in (0, *self.splits, 1))
        return f"signal {bounds} -> {self.out_dim or 'dimension of space'}"

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        chosen = self.route(log_snr)
        at_node = chosen[graphs.batch]
        columns = self.out_dim or graphs.dim
        out = graphs.pos.new_zeros(graphs.num_nodes, columns)
        for i, net in enumerate(self.nets):
            where = (chosen == i).nonzero()[:, 0]
            if self.skipped[i] or where.numel() == 0:
                continue
            part = net(graphs[where], log_snr[where], None if label is None else label[where])
            if part.shape[1] != columns:
                raise ValueError(
                    f"nets[{i}] predicts {part.shape[1]} columns, not {columns}; set out_dim of both."
                )
            out = out.index_copy(0, (at_node == i).nonzero()[:, 0], part.to(out.dtype))
        # A batch that no network saw still has a loss, whose gradient is zero.
        return out if out.requires_grad or not torch.is_grad_enabled() else out.requires_grad_()
