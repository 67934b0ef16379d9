r"""A network that learns the residual of kriging and regression.

One tissue is a small data set, and most of what can be predicted of an unobserved value is linear: from cells
nearby (kriging) and from other genes of the cell (regression). This network starts from both, as the mean m
and variance v of each value (`noisefold.nn.prior.field_prior`), and learns the residual.

Let s be the noisy state :math:`x_t = \alpha x_0 + \sigma \varepsilon` at unit scale, with
:math:`a = \alpha / \sqrt{\alpha^2 + \sigma^2}` and :math:`b = \sigma / \sqrt{\alpha^2 + \sigma^2}`. Normal
data have the posterior mean, and the residual target the posterior standard deviation,

.. math:: \frac{b^2 m + a v s}{b^2 + a^2 v}, \qquad \frac{b \sqrt v}{\sqrt{b^2 + a^2 v}},

those of a spike and a slab are averages over both. The network predicts the difference from that mean in
these standard deviations. Where nothing is observed, the covariances alone remain of this.

Source: this library.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.nn.prior.field_prior import FieldPrior
from noisefold.nn.prior.spike_and_slab import SpikeAndSlab

__all__ = ["KrigingResidual"]


@register_module
class KrigingResidual(nn.Module):
    """A wrapper that lets a network start from kriging and regression.

    For a model that conditions on observed values directly (`noisefold.Model` with ``for_completion=True``),
    of features, with a residual target. It belongs to the features in their order. `learn` estimates the
    covariances, and training does so by itself at its start (`noisefold.nn.Fittable`); they are saved with
    the weights, and so is `learned`, whether that was done.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, columns]`` with four input columns for each output column:
        the standardised distance of the state from the prediction, or the value where it is observed; whether
        it is observed; the predicted mean; and its standard deviation.
    columns
        Number of features.
    dim
        Dimension of space.
    kernels
        Number of covariances in space that features choose from.

    Raises
    ------
    ValueError
        If graphs have another number of features.

    Notes
    -----
    ``forward(graphs, log_snr [g], label [g] or None) -> [n, columns]`` takes graphs with
    ``x [n, 2 columns]``, the state and the mask of observed values, as `noisefold.nn.Denoiser` gives them. In
    evaluation mode the posterior of a graph is cached, since each step of a solver asks again.
    """

    def __init__(self, net: nn.Module, columns: int, dim: int, kernels: int = 6) -> None:
        super().__init__()
        self.net = net
        self.prior = FieldPrior(columns, dim, kernels)

    def extra_repr(self) -> str:
        """Features in, state and mask, and out."""
        columns = self.prior.columns
        return f"{2 * columns} -> {columns}"

    @property
    def learned(self) -> Tensor:
        """Whether covariances were estimated, a buffer of one bool."""
        return self.prior.learned

    def learn(self, graphs: Graphs, ridge: float = 0.02) -> KrigingResidual:
        """Estimate the covariances from completely observed graphs in standard units (`FieldPrior.learn`)."""
        self.prior.learn(graphs, ridge)
        return self

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Prediction ``[n, columns]`` for noisy graphs at ``log_snr [g]``."""
        if graphs.x is None or graphs.features != 2 * self.prior.columns:
            raise ValueError(
                f"x must hold {self.prior.columns} features and their mask, got {graphs.features} columns; "
                'make the model with variable="x" and for_completion=True.'
            )
        state, flags = graphs.x.float().chunk(2, dim=1)
        known = flags > 0.5
        signal = torch.sigmoid(log_snr.float())
        a, b = signal.sqrt(), (1 - signal).sqrt()
        with torch.autocast(state.device.type, enabled=False):
            with torch.no_grad():  # a function of what is known, and kept from one call to the next
                found = self.prior.posterior(graphs, state, known)
            own = zip(found, state.split(graphs.sizes.tolist()), a, b, strict=True)
            moments = [one.given_noisy(*at) for one, *at in own]
            prior = self.prior.distribution(*(torch.cat(v) for v in zip(*moments, strict=True)))
            mean, variance = prior.moments
        a, b = a[graphs.batch, None], b[graphs.batch, None]
        root = (b.square() + a.square() * variance).sqrt()
        away = torch.where(known, state, (state - a * mean) / root)
        inputs = torch.cat([away, flags, mean, variance.sqrt()], dim=1)
        # Positions relative to the centre of the graph: from absolute ones a network memorises a tissue.
        middle = torch.zeros(len(graphs), graphs.dim).to(graphs.pos).index_add(0, graphs.batch, graphs.pos)
        middle = middle / graphs.sizes.to(graphs.pos)[:, None]
        inner = graphs.replace(pos=graphs.pos - middle[graphs.batch], x=inputs)
        left = self.net(inner, log_snr, label)
        start, spread = prior.answer(state, a, b)
        answer: Tensor = start + spread * left
        return answer

    def distribution(self, graphs: Graphs, value: Tensor, known: Tensor) -> SpikeAndSlab:
        """Return the marginal distribution of each value ``[n, columns]`` given the observed ones."""
        return self.prior.distribution(*self.prior.moments(graphs, value, known))
