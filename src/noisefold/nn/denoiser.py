r"""From a network to an estimate of the data.

A network answers a prediction for noisy graphs. A `Denoiser` gives it inputs of unit scale and turns its
answer into an estimate of the data, on Gaussian paths the posterior mean
:math:`\hat x_0 = E[x_0 \mid x_t]`, the only thing a solver asks for. Guidance and conditioning wrap a
denoiser.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.noise.coupling import Coupling
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.prediction import Prediction
from noisefold.noise.source import Streams
from noisefold.noise.variable import Known, Variable, variable_of

__all__ = ["Denoiser", "classes_of", "properties_of"]

S = TypeVar("S")
E = TypeVar("E")


def classes_of(net: nn.Module) -> int:
    """Return how many classes a network takes, or else the one that it wraps, ``net.net``."""
    own = int(getattr(net, "arguments", {}).get("classes") or 0)
    inner = getattr(net, "net", None)
    return classes_of(inner) if not own and isinstance(inner, nn.Module) else own


def properties_of(net: nn.Module) -> int:
    """Return how many properties of graphs a network is conditioned on, or else the one that it wraps."""
    own = int(getattr(net, "arguments", {}).get("properties") or 0)
    inner = getattr(net, "net", None)
    return properties_of(inner) if not own and isinstance(inner, nn.Module) else own


class Denoiser(nn.Module, Generic[S, E]):
    """A network with the path it was trained on, the variable that is noised, and what it predicts.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, columns]``, or an answer of the state's structure.
    path, target
        How data becomes noise, and what is predicted.
    variable
        What is noised: "pos", "x", "types", or a `noisefold.noise.Variable`.
    for_completion
        Whether the network conditions on observed values directly: it then sees them, clean, in their places
        of the state, and further features that are 1 where a value is observed and 0 elsewhere. Where nothing
        is observed it sees zeros.

    Raises
    ------
    ValueError
        If the variable is unknown, or the path cannot noise it.
    """

    def __init__(
        self,
        net: nn.Module,
        path: ProbabilityPath[S],
        target: Prediction[S, E],
        variable: str | Variable[S] = "pos",
        for_completion: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.path, self.target = net, path, target
        self.variable: Variable[S] = variable_of(variable)
        self.path.check(self.variable)
        self.for_completion = for_completion

    def with_net(self, net: nn.Module) -> Denoiser[S, E]:
        """Return a denoiser of the same kind with another network."""
        return Denoiser(net, self.path, self.target, self.variable, self.for_completion)

    @property
    def device(self) -> torch.device:
        """Where the network is; one that holds nothing is on the CPU."""
        held = next(chain(self.net.parameters(), self.net.buffers()), None)
        return torch.device("cpu") if held is None else held.device

    def forward(
        self,
        graphs: Graphs,
        state: S,
        t: Tensor,
        label: Tensor | None = None,
        known: Known[S] | None = None,
    ) -> E:
        """Return the estimate of the data from a state at times ``t [g]``; observed values are exact."""
        t = self.path.clip(t)
        answer = self._answer(graphs, state, t, label, known)
        estimate: Any = self.target.estimate(answer, state, t, self.path, graphs)
        return estimate if known is None else self.variable.over(known, estimate)  # type: ignore[return-value]

    def loss(
        self,
        graphs: Graphs,
        t: Tensor,
        random: Streams,
        coupling: Coupling | None = None,
        known: Known[S] | None = None,
    ) -> Tensor:
        """Return the loss of each graph, ``[g]``, noised to times ``t [g]``.

        Parameters
        ----------
        graphs
            Standardised data, with the classes that the network is given.
        t
            Times ``[g]``.
        random
            One random stream for each graph.
        coupling
            Pairs noise with data; None pairs them as they come.
        known
            What a denoiser for completion observes; it has no loss, and every other value weighs the same.
        """
        clean = self.variable.read(graphs)
        state = self.path.corrupt(clean, t, graphs, random, coupling)
        answer = self._answer(graphs, state, t, graphs.label, known)
        return self.target.loss(answer, clean, state, t, self.path, graphs, known)

    def _answer(
        self, graphs: Graphs, state: S, t: Tensor, label: Tensor | None, known: Known[S] | None
    ) -> Any:
        seen = self.target.inputs(state, t, self.path, graphs)
        if known is not None:
            if not self.for_completion:
                raise ValueError("known was given, but this denoiser was not made with for_completion=True.")
            seen = self.variable.over(known, seen)
        noisy = self.variable.write(graphs, seen)
        if self.for_completion:
            noisy = self.variable.flagged(noisy, None if known is None else known.mask)
        return self.net(noisy, self.path.log_snr(t), label)
