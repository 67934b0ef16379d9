"""Conditioning: denoisers that wrap a denoiser, so that no solver knows of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.gaussian import Gaussian
from noisefold.sample.solver import ScalarDenoise, Solver

__all__ = ["Bound", "Conditioning", "Guided", "Known"]


@dataclass(frozen=True)
class Bound:
    """A denoiser bound to the graphs it denoises and their classes: a function of state and scalar time.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    graphs
        Gives sizes and whatever is not noised.
    label
        Classes ``[g]``, or None.
    """

    denoiser: Denoiser
    graphs: Graphs
    label: Tensor | None = None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Estimate of the data ``[n, d]`` from a state ``[n, d]`` at a scalar time."""
        times = t.to(device=x.device, dtype=x.dtype).expand(len(self.graphs))
        out: Tensor = self.denoiser(self.graphs, x, times, self.label)
        return out


@dataclass(frozen=True)
class Guided:
    r"""Classifier-free guidance.

    .. math:: \hat x_0 = \hat x_0(\varnothing) + w\,(\hat x_0(y) - \hat x_0(\varnothing))

    w = 1 is the plain conditional model, w > 1 trades variety for typicality. Both estimates come from one
    pass over a doubled batch. Source: Ho and Salimans, Classifier-Free Diffusion Guidance (2022).

    Parameters
    ----------
    bound
        A denoiser bound to graphs and classes, trained with classes dropped at random.
    weight
        The w.
    """

    bound: Bound
    weight: float

    def __post_init__(self) -> None:
        if self.bound.label is None:
            raise ValueError("guidance needs labels to guide towards; give labels, or leave guidance at 1.")

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Guided estimate of the data."""
        label = self.bound.label
        assert label is not None
        graphs = self.bound.graphs
        both = Bound(
            self.bound.denoiser,
            Graphs.collate([graphs, graphs]),
            torch.cat([label, torch.full_like(label, -1)]),
        )
        conditional, unconditional = both(torch.cat([x, x]), t).chunk(2)
        return unconditional + self.weight * (conditional - unconditional)


@dataclass(frozen=True)
class Known:
    """What is known of the noised variable, in standard units.

    Parameters
    ----------
    value
        ``[n, d]``; what stands where nothing is known is not used, but must be finite.
    mask
        Where it is known, ``[n, d]``, bool.
    """

    value: Tensor
    mask: Tensor

    def over(self, x: Tensor, value: Tensor) -> Tensor:
        """The state ``x [n, d]`` with ``value [n, d]`` where something is known."""
        return torch.where(self.mask, value, x)


class Conditioning(Protocol):
    """A way to sample given that a part is known: it wraps the denoiser, the solver, or both."""

    @abstractmethod
    def __call__(
        self,
        denoise: ScalarDenoise,
        solver: Solver,
        known: Known,
        path: Gaussian,
        noise: Callable[[], Tensor],
    ) -> tuple[ScalarDenoise, Solver]:
        """Denoiser and solver of the conditional law.

        Parameters
        ----------
        denoise, solver
            Those of the unconditional law.
        known
            What is known.
        path
            The Gaussian path.
        noise
            Draws fresh noise ``[n, d]``.
        """
