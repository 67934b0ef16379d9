r"""A network that starts from the Gaussian of the data: their mean and covariance, by class.

Where noise hides most, the best estimate is nearly linear, and the covariance of the data gives it in closed
form. So the answer for the residual target is

.. math:: r(y, \lambda) = g(\lambda)\, r_G(y, \lambda) + \mathrm{net}(y, \lambda),

with :math:`r_G` what the Gaussian leaves of the residual target (`noisefold.nn.prior.low_rank_gaussian`). The
gate g is in [0, 1] and learned with the network: the logistic of a function that is linear between knots of
log-SNR. Near the clean end the data's own shape says more than their covariance.

The gate begins at what is measured at each knot: the share of the Gaussian's squared error that is left if
its estimate of every value is replaced by the best function of that estimate. For Gaussian data this is 1;
where values are nearly black or white, as in drawings, it falls as noise does.

With white noise and a residual `noisefold.noise.Target`, g = 1 and a network of zeros are the exact denoiser
of Gaussian data.

Source: this library. For the same idea with an isotropic covariance Karras et al., Elucidating the Design
Space of Diffusion-Based Generative Models (2022), https://arxiv.org/abs/2206.00364.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.nn.prior.grid_gaussian import GridGaussian

__all__ = ["GaussianResidual"]

_FIRST, _LAST, _KNOTS = -6.0, 10.0, 9  # signal levels 0.05 to 0.993
_LOOKS = 256  # graphs on which the gate is measured
_BINS = 64
_GATES = (0.02, 0.98)  # a gate beyond them would hardly learn


@register_module
class GaussianResidual(nn.Module):
    """A wrapper that lets a network of features start from the data's own Gaussian, by class and grid.

    For features (``variable="x"``) on positions that are the same in all graphs, or in all graphs of a size,
    such as images or fields on one grid: nodes are matched by their positions, in any order. It cannot be
    used where positions are noised or differ from graph to graph. `learn` measures mean and covariance, and
    training does so by itself at its start (`noisefold.nn.Fittable`); they are saved with the weights.

    Shapes:
        - **graphs** positions ``[n, dim]``, features ``[n, columns]``, or ``[n, 2 columns]`` of a model for
          completion, the state and what is observed of it
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, columns]``

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, columns]`` that takes the features of the wrapper, and those
        that are `shown`.
    columns
        Features that are generated.
    nodes
        Nodes of a graph, one number for each grid.
    dim
        Dimension of space.
    rank
        Principal components r of each Gaussian; at most ``nodes * columns``. The rest has one variance.
    classes
        Number of classes, each with a Gaussian of its own, beside that of all graphs; 0 for none.
    shown
        Whether the network sees :math:`r_G` as well, as `columns` further features, the last.

    Raises
    ------
    ValueError
        If a number is out of its range; in use, if graphs stand on other positions than those measured.
    """

    measured_graphs: ClassVar[int] = 20_000

    learned: Tensor

    def __init__(
        self,
        net: nn.Module,
        columns: int,
        nodes: int | tuple[int, ...],
        dim: int = 2,
        rank: int = 48,
        classes: int = 0,
        shown: bool = False,
    ) -> None:
        super().__init__()
        grids = (nodes,) if isinstance(nodes, int) else tuple(nodes)
        if columns < 1 or not grids or min(grids) < 1:
            raise ValueError(f"columns and nodes must be at least 1, got {columns} and {nodes}.")
        if not 1 <= rank <= columns * min(grids):
            raise ValueError(
                f"rank must lie between 1 and the {columns * min(grids)} values of the smallest graph, "
                f"got {rank}."
            )
        if len(set(grids)) < len(grids):
            raise ValueError(f"nodes must differ from grid to grid, got {nodes}.")
        self.net, self.columns, self.shown = net, columns, shown
        self.grids = nn.ModuleList(GridGaussian(count, columns, dim, rank, classes) for count in grids)
        self.register_buffer("learned", torch.tensor(False))
        self.gate = nn.Parameter(torch.full((_KNOTS,), 3.0))

    def extra_repr(self) -> str:
        """Features in and out."""
        return f"{self.columns} -> {self.columns}"

    @torch.no_grad()
    def learn(self, graphs: Graphs) -> GaussianResidual:
        """Measure mean and covariance on graphs in standard units, by class where they have labels.

        Raises
        ------
        ValueError
            If positions differ between graphs of a size, or a size is missing or unknown.
        """
        if graphs.x is None or graphs.features != self.columns:
            raise ValueError(f"graphs must have {self.columns} features, got {graphs.features}.")
        sizes = graphs.sizes
        known = [grid.nodes for grid in self._grids()]
        if other := set(sizes.unique().tolist()) - set(known):
            raise ValueError(
                f"nodes must name all sizes of the graphs, got {known} and graphs of {min(other)}."
            )
        for grid in self._grids():
            own = graphs[sizes == grid.nodes]
            if len(own) == 0:
                raise ValueError(
                    f"no graph has {grid.nodes} nodes, for which the base estimate was made; the sizes are "
                    f"{sizes.unique().tolist()}."
                )
            grid.learn(own)
        self.learned.fill_(True)
        self._measure_gate(graphs[torch.arange(min(len(graphs), _LOOKS))])
        return self

    def _measure_gate(self, graphs: Graphs) -> None:
        assert graphs.x is not None
        noise = torch.randn(graphs.x.shape, generator=torch.Generator().manual_seed(0)).to(graphs.x)
        for i, level in enumerate(torch.linspace(_FIRST, _LAST, _KNOTS).to(noise)):
            a, b = level.sigmoid().sqrt(), (-level).sigmoid().sqrt()
            state = a * graphs.x + b * noise
            start = self.start(graphs.replace(x=state), level.expand(len(graphs)), graphs.label)
            share = _linear_share(a * state + b * start, graphs.x)
            self.gate[i] = torch.logit(share.clamp(*_GATES))

    def gates(self, log_snr: Tensor) -> Tensor:
        """Return the gate g at ``log_snr [g]``, in [0, 1], ``[g]``."""
        place = (log_snr.clamp(_FIRST, _LAST) - _FIRST) / (_LAST - _FIRST) * (_KNOTS - 1)
        low = place.floor().clamp(max=_KNOTS - 2)
        logit = torch.lerp(
            self.gate[low.long()], self.gate[low.long() + 1], (place - low).to(self.gate.dtype)
        )
        return logit.sigmoid()

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, columns]`` for noisy graphs at ``log_snr [g]``."""
        if graphs.x is None or graphs.features not in (self.columns, 2 * self.columns):
            raise ValueError(
                f"x must hold {self.columns} features, or as many flags beside them, got {graphs.features}."
            )
        with torch.autocast(graphs.x.device.type, enabled=False), torch.no_grad():
            start = self.start(graphs, log_snr, label)
        if self.shown:
            graphs = graphs.replace(x=torch.cat([graphs.x, start.to(graphs.x.dtype)], dim=1))
        left: Tensor = self.net(graphs, log_snr, label)
        return self.gates(log_snr)[graphs.batch, None] * start + left

    def start(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return what the Gaussian leaves of the residual target, ``[n, columns]``."""
        assert graphs.x is not None
        dtype = self.gate.dtype
        state, flags = graphs.x[:, : self.columns].to(dtype), graphs.x[:, self.columns :]
        known = flags > 0.5 if flags.shape[1] else None
        signal = torch.sigmoid(log_snr.to(dtype))
        a, b = signal.sqrt(), torch.sigmoid(-log_snr.to(dtype)).sqrt()
        out = torch.zeros_like(state)
        for grid, which, rows in self._by_grid(graphs):
            own = None if label is None else label[which]
            if rows is None:
                return grid.start(state, a, b, own, known)
            mask = None if known is None else known[rows]
            out[rows] = grid.start(state[rows], a[which], b[which], own, mask)
        return out

    def _grids(self) -> list[GridGaussian]:
        return [grid for grid in self.grids if isinstance(grid, GridGaussian)]

    def _by_grid(self, graphs: Graphs) -> list[tuple[GridGaussian, Tensor, Tensor | None]]:
        """Return each grid with its graphs and their nodes in its order; None for all nodes as they are."""
        sizes, found = graphs.sizes, []
        known = torch.zeros(len(graphs), dtype=torch.bool, device=graphs.device)
        for grid in self._grids():
            which = (sizes == grid.nodes).nonzero()[:, 0]
            known[which] = True
            if len(which):
                found.append((grid, which, grid.rows(graphs, which)))
        if not bool(known.all()):
            i = int(known.logical_not().int().argmax())
            raise ValueError(
                f"graph {i} has {int(sizes[i])} nodes, but the base estimate knows the Gaussian of graphs of "
                f"{', '.join(str(grid.nodes) for grid in self._grids())} alone; train the network without it "
                "for graphs of other sizes."
            )
        return found


def _linear_share(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the error of the best piecewise linear function of an estimate over the estimate's own."""
    order = estimate.flatten().argsort()
    count = len(order) // _BINS * _BINS
    if count < 4 * _BINS:
        return estimate.new_ones(())
    x, y = (v.flatten()[order[:count]].view(_BINS, -1).double() for v in (estimate, clean))
    error = (y - x).square().mean()
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    slope = (x * y).sum(1) / x.square().sum(1).clamp(min=1e-30)
    return ((y - slope[:, None] * x).square().mean() / error).to(estimate)
