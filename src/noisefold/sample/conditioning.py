"""Conditioning: denoisers that wrap a denoiser, so that no solver knows of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.variable import Known
from noisefold.sample.solver import Solver

__all__ = ["Bound", "Conditioning", "Guided", "check_normal"]

S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class Bound(Generic[S, E]):
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
        The observed values that a denoiser for completion conditions on, or None.
    """

    denoiser: Denoiser[S, E]
    graphs: Graphs
    label: Tensor | None = None
    known: Known[S] | None = None

    def __call__(self, state: S, t: Tensor) -> E:
        """Return the estimate of the data from a state at a scalar time."""
        graphs = self.graphs
        times = t.to(graphs.pos).expand(len(graphs))
        out: E = self.denoiser(graphs, state, times, self.label, self.known)
        return out

    def given(self, known: Known[S]) -> Bound[S, E]:
        """Return the same denoiser, conditioned on observed values.

        Raises
        ------
        ValueError
            If the denoiser was not made for completion.
        """
        if not self.denoiser.for_completion:
            raise ValueError(
                "method Amortized needs a model that was trained with masks (for_completion=True); "
                "choose another method, such as Reconstruction()."
            )
        return replace(self, known=known)


@dataclass(frozen=True)
class Guided(Generic[S, E]):
    r"""Classifier-free guidance.

    .. math:: \hat x_0 = \hat x_0(\varnothing) + w\,(\hat x_0(y) - \hat x_0(\varnothing))

    w = 1 is the plain conditional model, w > 1 trades variety for typicality. Both estimates come from one
    pass over a doubled batch. At high noise guidance costs variety and at low noise it does nothing, so that
    it may be limited to an interval of log-SNR, outside of which w = 1 and the unconditional estimate is not
    computed.

    Source: Ho and Salimans, `Classifier-Free Diffusion Guidance <https://arxiv.org/abs/2207.12598>`_ (2022);
    Kynkaanniemi et al., `Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in
    Diffusion Models <https://arxiv.org/abs/2404.07724>`_ (2024).

    Parameters
    ----------
    bound
        A denoiser bound to graphs with their classes, properties or both, trained with these dropped at
        random.
    weight
        The w.
    interval
        Least and largest log-SNR at which w counts; None is everywhere.

    Raises
    ------
    ValueError
        If the graphs have neither classes nor properties.
    """

    bound: Bound[S, E]
    weight: float
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.bound.label is None and self.bound.graphs.properties is None:
            raise ValueError(
                "guidance needs labels or properties to guide towards; give them, or leave guidance at 1."
            )

    def __call__(self, state: S, t: Tensor) -> E:
        """Return the guided estimate of the data."""
        bound, label = self.bound, self.bound.label
        if self.interval is not None:
            low, high = self.interval
            if not low <= float(bound.denoiser.path.log_snr(t)) <= high:
                return bound(state, t)
        twice, known = bound.denoiser.variable.twice, bound.known
        plain, values = bound.graphs, bound.graphs.properties
        if values is not None:
            plain = plain.replace(properties=torch.full_like(values, torch.nan))
        both = Bound(
            bound.denoiser,
            Graphs.collate([bound.graphs, plain]),
            None if label is None else torch.cat([label, torch.full_like(label, -1)]),
            known and Known(twice(known.value), twice(known.mask)),
        )
        out: E = bound.denoiser.target.guided(both(twice(state), t), self.weight)
        return out

    def given(self, known: Known[S]) -> Guided[S, E]:
        """Return the same guidance of a denoiser conditioned on observed values."""
        return replace(self, bound=self.bound.given(known))


def check_normal(path: Gaussian, method: str) -> None:
    """Refuse a path whose noise is neither white nor of a Gaussian process.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not path.source.white and path.source.process is None:
        raise ValueError(
            f"method {method} needs normal noise, and this path has {path.source!r}; "
            "use Repaint() or Replacement(), or train with White() or GPNoise(kernel)."
        )


class Conditioning(Protocol):
    """A way to sample given observed values: it wraps the denoiser, the solver, or both.

    Attributes
    ----------
    handles
        The kind of path that it is for.
    """

    handles: ClassVar[type]

    @abstractmethod
    def __call__(self, task: Any, solver: Solver, known: Known[Any]) -> tuple[Any, Solver]:
        """Return task and solver of the conditional distribution.

        Parameters
        ----------
        task, solver
            Those of the unconditional one.
        known
            The observed values.
        """
