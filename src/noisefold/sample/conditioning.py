"""Conditioning: denoisers that wrap a denoiser, so that no solver knows of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser, Known
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import White
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
    known
        What an informed denoiser is told, or None.
    """

    denoiser: Denoiser
    graphs: Graphs
    label: Tensor | None = None
    known: Known | None = None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Estimate of the data ``[n, d]`` from a state ``[n, d]`` at a scalar time."""
        times = t.to(device=x.device, dtype=x.dtype).expand(len(self.graphs))
        told = {} if self.known is None else {"known": self.known}
        out: Tensor = self.denoiser(self.graphs, x, times, self.label, **told)
        return out

    def given(self, known: Known) -> Bound:
        """The same denoiser, told what is known.

        Raises
        ------
        ValueError
            If the denoiser is not informed.
        """
        if not self.denoiser.for_completion:
            raise ValueError(
                "method Amortized needs a model that was trained with masks (for_completion=True); "
                "choose another method, such as Reconstruction()."
            )
        return replace(self, known=known)


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
        known = self.bound.known
        both = Bound(
            self.bound.denoiser,
            Graphs.collate([graphs, graphs]),
            torch.cat([label, torch.full_like(label, -1)]),
            known and Known(torch.cat([known.value] * 2), torch.cat([known.mask] * 2)),
        )
        conditional, unconditional = both(torch.cat([x, x]), t).chunk(2)
        return unconditional + self.weight * (conditional - unconditional)

    def given(self, known: Known) -> Guided:
        """The same guidance of a denoiser that is told what is known."""
        return replace(self, bound=self.bound.given(known))


def white_noise(path: Gaussian, method: str) -> None:
    """Refuse a path whose noise is not white.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(path.source, White):
        raise ValueError(
            f"method {method} needs white noise, and this path has {path.source!r}; "
            "use Repaint() or Replacement(), or train with White()."
        )


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
