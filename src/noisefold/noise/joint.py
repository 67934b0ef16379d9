r"""Joint paths: several parts of a graph noised side by side, each on a path of its own.

With parts k on paths :math:`q_k` and clocks :math:`\tau_k(t) = t^{p_k}`,

.. math:: q(x_t \mid x_0) = \prod_k q_k\bigl(x^k_{\tau_k(t)} \mid x^k_0\bigr) :

given the data the parts are independent, so that every part alone is exactly on its own path. A denoiser sees
all parts at once, and what they say of each other is in its estimate alone. A larger power keeps a part clean
for longer, so that it is decided earlier when samples are drawn.

Source: Vignac et al., MiDi: Mixed Graph and 3D Denoising Diffusion for Molecule Generation (2023),
https://arxiv.org/abs/2302.09048 (noise schedules of their own for positions, atoms and bonds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import Streams

if TYPE_CHECKING:
    from noisefold.noise.coupling import Coupling
    from noisefold.noise.variable import Variable

__all__ = ["Joint", "JointPath"]


@dataclass(frozen=True, eq=False)
class Joint:
    """A state of several parts, or an estimate, a mask or a network's answer of that structure.

    Parameters
    ----------
    parts
        The state of each part, such as positions ``[n, 3]`` and `Categories`.
    """

    parts: tuple[Any, ...]

    def map(self, function: Callable[..., Any], *others: Any) -> Joint:
        """Return a function of every part, each beside those of others: `Joint`, or sequences as long."""
        columns = [o.parts if isinstance(o, Joint) else o for o in others]
        return Joint(tuple(function(*row) for row in zip(self.parts, *columns, strict=True)))


@configurable
@dataclass(frozen=True)
class JointPath(ProbabilityPath[Joint]):
    r"""A path for each part of a state, all at once.

    The log-SNR of a joint path is that of its first part, which tells a network the time and so the levels of
    all. A part whose own time leaves the range where its network may be asked is asked at the end of it.

    Parameters
    ----------
    parts
        The paths.
    powers
        The power p of the clock :math:`t^p` of each; None: 1 for all.

    Raises
    ------
    ValueError
        If there is no part, or not as many positive powers as parts.

    Examples
    --------
    >>> from noisefold.noise import Discrete, Gaussian
    >>> path = JointPath((Gaussian(), Discrete((1.0,), (0.7, 0.3))), powers=(2.0, 1.0))
    >>> [float(t) for t in path.times(torch.tensor(0.5))]
    [0.25, 0.5]
    """

    parts: tuple[ProbabilityPath[Any], ...]
    powers: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must hold at least one path, got none.")
        powers = self.exponents
        if len(powers) != len(self.parts) or not all(0 < p < float("inf") for p in powers):
            raise ValueError(f"powers must be {len(self.parts)} positive numbers, got {self.powers}.")

    @property
    def exponents(self) -> tuple[float, ...]:
        """The power of each part's clock."""
        return (1.0,) * len(self.parts) if self.powers is None else self.powers

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return " and ".join(part.about for part in self.parts)

    def times(self, t: Tensor) -> tuple[Tensor, ...]:
        """Return the time of each part."""
        return tuple(t if p == 1 else t**p for p in self.exponents)

    def seen(self, t: Tensor) -> tuple[Tensor, ...]:
        """Return the time of each part, kept where the network may be asked about it."""
        return tuple(part.clip(own) for part, own in zip(self.parts, self.times(t), strict=True))

    def clip(self, t: Tensor) -> Tensor:
        """Return times kept where at least one part has a time of its own."""
        ends = t.new_tensor([0.0, 1.0], dtype=torch.float64)
        reached = [part.clip(ends) ** (1 / p) for part, p in zip(self.parts, self.exponents, strict=True)]
        low, high = (float(x) for x in (min(r[0] for r in reached), max(r[1] for r in reached)))
        return t.clamp(low, high)

    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log signal-to-noise ratio of the first part."""
        return self.parts[0].log_snr(self.seen(t)[0])

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times at which the first part has log signal-to-noise ratios."""
        own: Tensor = self.parts[0].time(log_snr) ** (1 / self.exponents[0])
        return own

    def check(self, variable: Variable[Joint]) -> None:
        """Refuse a variable without as many parts, or of which a path cannot noise its part.

        Raises
        ------
        ValueError
            If the two do not go together.
        """
        own: tuple[Variable[Any], ...] = getattr(variable, "parts", ())
        if len(own) != len(self.parts):
            raise ValueError(
                f"variable={variable.name!r} has {len(own) or 1} parts and the joint path {len(self.parts)}; "
                "give a path for each part."
            )
        for path, part in zip(self.parts, own, strict=True):
            path.check(part)

    def prior(self, graphs: Graphs, like: Joint, t: Tensor, random: Streams) -> Joint:
        """Draw each part at its time, one after the other."""
        draws = zip(self.parts, like.parts, self.times(t), strict=True)
        return Joint(tuple(path.prior(graphs, part, own, random) for path, part, own in draws))

    def corrupt(
        self, clean: Joint, t: Tensor, graphs: Graphs, random: Streams, coupling: Coupling | None = None
    ) -> Joint:
        """Draw each part at its time, given the data; a coupling serves those paths that have one."""
        draws = zip(self.parts, clean.parts, self.times(t), strict=True)
        return Joint(tuple(path.corrupt(part, own, graphs, random, coupling) for path, part, own in draws))

    def renoise(self, state: Joint, s: Tensor, t: Tensor, graphs: Graphs, random: Streams) -> Joint:
        """Draw each part at a later time given that at an earlier one."""
        draws = zip(self.parts, state.parts, self.times(s), self.times(t), strict=True)
        return Joint(tuple(path.renoise(part, a, b, graphs, random) for path, part, a, b in draws))
