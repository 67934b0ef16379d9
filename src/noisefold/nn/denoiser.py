r"""From a network to an estimate of the data.

A network predicts a target from noisy graphs. A `Denoiser` gives it inputs of unit scale, lets it answer at
unit scale, and turns its answer into :math:`\hat x_0 = E[x_0 \mid x_t]`, the only thing a solver asks for.
Guidance and conditioning wrap a denoiser and are denoisers again.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.target import Target

__all__ = ["NOISED", "Denoise", "Denoiser", "noised_value", "with_noised"]

NOISED = ("pos", "x")


def noised_value(graphs: Graphs, noised: str) -> Tensor:
    """The variable that is noised, ``[n, d]`` or ``[n, f]``."""
    value = graphs.pos if noised == "pos" else graphs.x
    if value is None:
        raise ValueError('noised="x" needs graphs with features, and these have none.')
    return value


def with_noised(graphs: Graphs, noised: str, value: Tensor) -> Graphs:
    """The graphs with the noised variable replaced."""
    return graphs.replace(pos=value) if noised == "pos" else graphs.replace(x=value)


class Denoise(Protocol):
    """An estimate of the data given a noisy state."""

    @abstractmethod
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t] ``[n, d]`` of the state ``x [n, d]`` at times ``t [g]``."""


class Denoiser(nn.Module):
    """A network with the path it was trained on and the target it predicts.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, d]``.
    path, target
        What was noised how, and what is predicted.
    noised
        "pos" or "x".
    """

    def __init__(self, net: nn.Module, path: Gaussian, target: Target, noised: str = "pos") -> None:
        super().__init__()
        if noised not in NOISED:
            raise ValueError(f'noised must be "pos" or "x", got {noised!r}.')
        self.net, self.path, self.target, self.noised = net, path, target, noised

    def predict(self, graphs: Graphs, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """The network's own target ``[n, d]`` for the state ``x_t [n, d]`` at times ``t [g]``."""
        return self._read(graphs, x_t, t, label)[0]

    def forward(self, graphs: Graphs, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Estimate of the data ``[n, d]``."""
        return self._read(graphs, x_t, self.path.clip(t), label)[1]

    def _read(self, graphs: Graphs, x_t: Tensor, t: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        at = t[graphs.batch, None]
        noisy = with_noised(graphs, self.noised, x_t / self.path.scale(at))
        answer: Tensor = self.net(noisy, self.path.log_snr(t), label)
        return self.target.read(answer, x_t, at, self.path)
