r"""From a network to an estimate of the data.

A network predicts a target from noisy graphs. A `Denoiser` gives it inputs of unit scale, lets it answer at
unit scale, and turns its answer into :math:`\hat x_0 = E[x_0 \mid x_t]`, the only thing a solver asks for.
Guidance and conditioning wrap a denoiser and are denoisers again.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.target import Target

__all__ = ["NOISED", "Denoise", "Denoiser", "Known", "classes_of", "noised_value", "with_noised"]

NOISED = ("pos", "x")


def noised_value(graphs: Graphs, variable: str) -> Tensor:
    """The variable that is noised, ``[n, d]`` or ``[n, f]``."""
    value = graphs.pos if variable == "pos" else graphs.x
    if value is None:
        raise ValueError('variable="x" needs graphs with features, and these have none.')
    return value


def classes_of(net: nn.Module) -> int:
    """How many classes a network takes, or else the one that it wraps, ``net.net``."""
    own = int(getattr(net, "arguments", {}).get("classes") or 0)
    inner = getattr(net, "net", None)
    return classes_of(inner) if not own and isinstance(inner, nn.Module) else own


def with_noised(graphs: Graphs, variable: str, value: Tensor) -> Graphs:
    """The graphs with the noised variable replaced."""
    return graphs.replace(pos=value) if variable == "pos" else graphs.replace(x=value)


@dataclass(frozen=True)
class Known:
    """What is known of the noised variable, in standard units.

    Parameters
    ----------
    value
        ``[n, d]``; what stands where nothing is known is not used, but must be finite.
    mask
        Where it is known, ``[n, d]``, bool.
    graph
        Graph of each row, ``[n]``, int64; None takes all rows for one graph.
    """

    value: Tensor
    mask: Tensor
    graph: Tensor | None = None

    def over(self, x: Tensor, value: Tensor) -> Tensor:
        """The state ``x [n, d]`` with ``value [n, d]`` where something is known."""
        return torch.where(self.mask, value, x)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Inner product of ``a`` and ``b [n, d]`` over each graph, given to all of its rows, ``[n, 1]``."""
        rows = (a * b).sum(1)
        if self.graph is None:
            return rows.sum().expand(len(rows), 1)
        total = rows.new_zeros(int(self.graph[-1]) + 1).index_add(0, self.graph, rows)
        return total[self.graph, None]


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
    informed
        Whether the network is told what is known: it then sees the known values, clean, in the place of what
        the state has there, and as many further features as there are columns, 1 where known and 0 elsewhere.
        Told nothing, it sees zeros.
    """

    def __init__(
        self,
        net: nn.Module,
        path: Gaussian,
        target: Target,
        variable: str = "pos",
        for_completion: bool = False,
    ) -> None:
        super().__init__()
        if variable not in NOISED:
            raise ValueError(f'variable must be "pos" or "x", got {variable!r}.')
        if variable == "pos" and path.source.on_positions:
            raise ValueError(
                f'variable="pos" does not go with {path.source!r}, whose noise depends on the positions; '
                'use White(), or noise features on given positions, variable="x".'
            )
        self.net, self.path, self.target, self.variable = net, path, target, variable
        self.for_completion = for_completion

    @property
    def device(self) -> torch.device:
        """Where the network is; one that holds nothing is on the CPU."""
        held = next(chain(self.net.parameters(), self.net.buffers()), None)
        return torch.device("cpu") if held is None else held.device

    def predict(
        self,
        graphs: Graphs,
        x_t: Tensor,
        t: Tensor,
        label: Tensor | None = None,
        known: Known | None = None,
    ) -> Tensor:
        """The network's own target ``[n, d]`` for the state ``x_t [n, d]`` at times ``t [g]``."""
        return self._read(graphs, x_t, t, label, known)[0]

    def forward(
        self,
        graphs: Graphs,
        x_t: Tensor,
        t: Tensor,
        label: Tensor | None = None,
        known: Known | None = None,
    ) -> Tensor:
        """Estimate of the data ``[n, d]``; what is known, if anything, is exact."""
        data = self._read(graphs, x_t, self.path.clip(t), label, known)[1]
        return data if known is None else known.over(data, known.value)

    def _read(
        self, graphs: Graphs, x_t: Tensor, t: Tensor, label: Tensor | None, known: Known | None
    ) -> tuple[Tensor, Tensor]:
        at = t[graphs.batch, None]
        seen = x_t / self.path.scale(at)
        if known is not None:
            if not self.for_completion:
                raise ValueError("this denoiser is not informed and cannot be told what is known.")
            seen = known.over(seen, known.value.to(seen))
        noisy = with_noised(graphs, self.variable, seen)
        if self.for_completion:
            flags = torch.zeros_like(seen) if known is None else known.mask.to(seen)
            noisy = noisy.replace(x=flags if noisy.x is None else torch.cat([noisy.x, flags], dim=1))
        answer: Tensor = self.net(noisy, self.path.log_snr(t), label)
        return self.target.read(answer, x_t, at, self.path)
