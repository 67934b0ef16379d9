r"""A network that corrects a Gaussian prediction of a field from what is known of it.

One tissue is few data, and most of what can be said about a hidden value is linear: what cells nearby have
(kriging), and what other genes of the cell say (regression). This network begins with both, as the mean m and
variance v of each value (`noisefold.nn.prior.field_prior`), and learns what they leave.

Seen through noise, :math:`x_t = \alpha x_0 + \sigma \varepsilon` at unit scale, :math:`s`, with
:math:`a = \alpha / \sqrt{\alpha^2 + \sigma^2}` and :math:`b = \sigma / \sqrt{\alpha^2 + \sigma^2}`, data
of a normal law have the mean and standard deviation

.. math:: \frac{b^2 m + a v s}{b^2 + a^2 v}, \qquad \frac{b \sqrt v}{\sqrt{b^2 + a^2 v}},

those of a spike and a slab are averages over both, and the network says how far from that mean, in these
standard deviations, they are. Where nothing is known, what remains of this are the covariances.

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
    """A network around another one, which begins with kriging and regression.

    It is for an informed model (`noisefold.Model`) of features whose target is residual, and belongs to the
    features in their order. `learn` measures the covariances, and a training does so by itself at its start
    (`noisefold.nn.Fittable`); they are kept with the weights, and so is `learned`, whether that was done.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, columns]`` with four columns of features for each column of
        the answer: the state as its distance from the prediction in standard deviations, or the value where
        it is known; whether it is known; the predicted mean; and its standard deviation.
    columns
        Columns of the answer.
    dim
        Dimension of space.
    kernels
        Covariances in space that features choose from.

    Raises
    ------
    ValueError
        If graphs to measure or to predict have another number of features.

    Notes
    -----
    ``forward(graphs, log_snr [g], label [g] or None) -> [n, columns]`` takes graphs with
    ``x [n, 2 columns]``, the state and what is known, as `noisefold.nn.Denoiser` gives them. In evaluation
    predictions are kept for as long as the same is known of the same graph: each step of a solver asks again.
    """

    def __init__(self, net: nn.Module, columns: int, dim: int, kernels: int = 6) -> None:
        super().__init__()
        self.net = net
        self.prior = FieldPrior(columns, dim, kernels)

    @property
    def learned(self) -> Tensor:
        """Whether covariances were measured, a buffer of one bool."""
        return self.prior.learned

    def learn(self, graphs: Graphs, ridge: float = 0.02) -> KrigingResidual:
        """Measure the law on graphs of which all is known, in standard units; see `FieldPrior.learn`."""
        self.prior.learn(graphs, ridge)
        return self

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Prediction ``[n, columns]`` for noisy graphs at ``log_snr [g]``."""
        if graphs.x is None or graphs.features != 2 * self.prior.columns:
            raise ValueError(
                f"Kriged must be told what is known of {self.prior.columns} features; make the model with "
                'variable="x" and for_completion=True.'
            )
        state, flags = graphs.x.float().chunk(2, dim=1)
        known = flags > 0.5
        signal = torch.sigmoid(log_snr.float())
        a, b = signal.sqrt(), (1 - signal).sqrt()
        with torch.autocast(state.device.type, enabled=False):
            with torch.no_grad():  # a function of what is known, and kept from one call to the next
                found = self.prior.foretold(graphs, state, known)
            own = zip(found, state.split(graphs.sizes.tolist()), a, b, strict=True)
            seen = [one.seen(*given) for one, *given in own]
            law = self.prior.law(*(torch.cat(v) for v in zip(*seen, strict=True)))
            mean, variance = law.moments
        a, b = a[graphs.batch, None], b[graphs.batch, None]
        root = (b.square() + a.square() * variance).sqrt()
        away = torch.where(known, state, (state - a * mean) / root)
        inputs = torch.cat([away, flags, mean, variance.sqrt()], dim=1)
        # Places relative to the middle of the graph: from absolute ones a network learns a tissue by heart.
        middle = torch.zeros(len(graphs), graphs.dim).to(graphs.pos).index_add(0, graphs.batch, graphs.pos)
        middle = middle / graphs.sizes.to(graphs.pos)[:, None]
        inner = graphs.replace(pos=graphs.pos - middle[graphs.batch], x=inputs)
        left = self.net(inner, log_snr, label)
        start, spread = law.answer(state, a, b)
        answer: Tensor = start + spread * left
        return answer

    def law(self, graphs: Graphs, value: Tensor, known: Tensor) -> SpikeAndSlab:
        """What it begins with for each value ``[n, columns]``, by itself, given the values where known."""
        return self.prior.law(*self.prior.predicted(graphs, value, known))
