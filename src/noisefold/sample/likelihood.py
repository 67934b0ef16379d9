r"""Log-likelihood of graphs under a model, in the model's units or the data's.

================== ======== ====================================================================
method             kind     cost for each graph
================== ======== ====================================================================
`ProbabilityFlow`  exact    40 evaluations, each with one derivative for every number or probe
`EvidenceBound`    bound    128 evaluations
`ChainBound`       bound    200 evaluations; of discrete graphs
================== ======== ====================================================================

**What the density is of.** The data with independent noise of variance :math:`e^{-\lambda_1}` times the
source's covariance, :math:`\lambda_1` the log-SNR where the data are taken to be. Data on a surface, or
rounded ones, have no other density, and then the value grows with :math:`\lambda_1`. It is recorded in
`LogProb.log_snr`: compare values of one :math:`\lambda_1` only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.transform import Chain
from noisefold.geometry.trend import Trend
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.frozen import frozen
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.source import Streams, White
from noisefold.noise.variable import Known, observed_entries
from noisefold.sample.conditioning import Bound, Guided
from noisefold.sample.densities import EndDensity, Estimate, LikelihoodMethod, UnitState, check_least
from noisefold.sample.probability_flow import ProbabilityFlow

__all__ = ["LogProb", "log_det", "log_prob"]


@dataclass(frozen=True)
class LogProb:
    """Log-likelihoods of g graphs, float64 on the CPU.

    Attributes
    ----------
    value
        ``[g]``, in nats.
    error
        Standard error of the estimate of each value ``[g]``; 0 where nothing was drawn, NaN where it is not
        known.
    kind
        "exact": the density of the probability flow; "bound": a lower bound.
    end_error
        What the value lacks because the noisiest state still holds some data ``[g]``, to first order and with
        its sign: ``value + end_error`` is nearer to the data's density. 0 for a bound, which accounts for it.
    nodes
        Nodes of each graph ``[g]``; of a conditional density those with a value that was not observed.
    numbers
        Numbers that the density is of, ``[g]``.
    log_snr
        The log-SNR where the data were taken to be, and the one where the noise was.
    """

    value: Tensor
    error: Tensor
    kind: str
    end_error: Tensor
    nodes: Tensor
    numbers: Tensor
    log_snr: tuple[float, float]

    @property
    def per_point(self) -> Tensor:
        """Nats per node ``[g]``."""
        return self.value / self.nodes

    @property
    def per_dimension(self) -> Tensor:
        """Nats per number, ``[g]``."""
        return self.value / self.numbers

    @property
    def bits_per_dimension(self) -> Tensor:
        """Negative log-likelihood in bits per number ``[g]``."""
        return -self.per_dimension / math.log(2)

    def plus(self, log_det: Tensor) -> LogProb:
        """Return the log-density in other units, given the log-determinant ``[g]`` of the change of units."""
        return replace(self, value=self.value + log_det.cpu().double())

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        high, low = self.log_snr
        return (
            f"LogProb({len(self)} graphs, {self.kind}, mean {float(self.value.mean()):.4g} nats, "
            f"{float(self.per_point.mean()):.4g} per node, log-SNR {high:.3g} to {low:.3g})"
        )


@singledispatch
def log_prob(
    path: object,
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    *,
    method: Any = None,
    guidance: float = 1.0,
    known: Tensor | None = None,
    end: EndDensity | None = None,
    seed: int = 0,
    batch: int = 64,
) -> LogProb:
    """Return the log-likelihood of graphs, in the units that the denoiser sees.

    A graph's value is a function of the graph, the seed and its place in `graphs`; neither `batch` nor the
    other graphs change it (up to rounding).

    Parameters
    ----------
    path
        The path of the denoiser; registered are Gaussian and discrete ones.
    denoiser
        The trained denoiser, in evaluation mode.
    graphs
        The graphs, with the classes for the network, if any.
    method
        Default `ProbabilityFlow`; or `EvidenceBound`. On discrete paths `ChainBound`.
    guidance
        Weight of classifier-free guidance; 1 is none.
    known
        Which nodes ``[n]`` or entries ``[n, d]`` are observed, bool: the density is that of the others given
        these, by a denoiser that conditions on them directly. None: the density of all.
    end
        Exact log-density at the noisy end, where it is known; default N(0, K).
    seed
        Of what is drawn.
    batch
        Graphs at a time; only speed and memory depend on it.

    Returns
    -------
    LogProb
        In the denoiser's units; `LogProb.plus` with `log_det` takes it to those of the data.

    Raises
    ------
    ValueError
        If the path has no likelihood, its source no density, or an argument is out of its range.
    """
    kinds = ", ".join(kind.__name__ for kind in log_prob.registry if kind is not object)
    raise ValueError(
        f"path {path!r} has no likelihood; those of {kinds} paths have, "
        "and log_prob.register adds that of another kind."
    )


@log_prob.register
def _(
    path: Gaussian,
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    *,
    method: LikelihoodMethod | None = None,
    guidance: float = 1.0,
    known: Tensor | None = None,
    end: EndDensity | None = None,
    seed: int = 0,
    batch: int = 64,
) -> LogProb:
    method = method or ProbabilityFlow()
    check_least(batch=(batch, 1))
    if not isinstance(path.source, White | GPNoise):
        raise ValueError(f"source {path.source!r} has no density; train with White() or GPNoise(kernel).")
    value = denoiser.variable.read(graphs)
    free = torch.ones_like(value, dtype=torch.bool) if known is None else ~observed_entries(known, value)
    if known is not None and end is not None:
        raise ValueError("end is a density of whole graphs; leave it out where values are known.")
    ends = _within(path, method.log_snr)
    numbers = graph_sums(graphs, free.sum(1))
    empty = torch.empty(0, dtype=torch.float64)
    parts, places = [Estimate(empty, empty, empty)], [empty.long()]
    for chosen in _batches(method, numbers, batch):
        some = graphs[chosen.to(graphs.device)]
        bound = Bound(denoiser, some, some.label)
        denoise: Bound[Any, Any] | Guided[Any, Any] = bound if guidance == 1 else Guided(bound, guidance)
        data, apart = denoiser.variable.read(some), None
        if known is not None:
            apart = torch.cat([free[graphs.ptr[i] : graphs.ptr[i + 1]] for i in chosen.tolist()])
            data = data.masked_fill(~apart, 0.0)
            denoise = denoise.given(Known(denoiser.variable.read(some), ~apart, some.batch))
        state = UnitState(path, denoise, some, data, ends, apart)
        with frozen(denoiser):
            parts.append(method(state, seed, Streams(seed, chosen.tolist()), end))
        places.append(chosen)
    order = torch.cat(places).argsort()
    values, error, end_error = (torch.cat(column)[order] for column in zip(*parts, strict=True))
    nodes = graph_sums(graphs, free.any(1))
    return LogProb(values, error, method.kind, end_error, nodes, numbers, ends)


def graph_sums(graphs: Graphs, counts: Tensor) -> Tensor:
    """Return the sums over the nodes of every graph ``[g]`` of counts ``[n]``, int64 on the CPU."""
    whole = counts.cpu().long()
    return whole.new_zeros(len(graphs)).index_add(0, graphs.batch.cpu(), whole)


def _within(path: Gaussian, log_snr: tuple[float, float]) -> tuple[float, float]:
    """Return the range of log-SNR that lies within the path's margin."""
    margin = torch.tensor([path.margin, 1 - path.margin], dtype=torch.float64)
    most, least = path.log_snr(margin).tolist()
    high, low = min(log_snr[0], most), max(log_snr[1], least)
    if not high > low:
        raise ValueError(
            f"log_snr must be (data, noise) with data above noise, in part within the {most:.3g} to "
            f"{least:.3g} of the path, got {log_snr}."
        )
    return high, low


def _batches(method: LikelihoodMethod, numbers: Tensor, batch: int) -> Iterator[Tensor]:
    """Yield graphs of similar size together, apart from those that are computed separately."""
    order = numbers.argsort(stable=True)
    apart = method.apart(numbers[order])
    for part in (order[apart], order[~apart]):
        yield from part.split(batch) if len(part) else ()


@singledispatch
def log_det(transform: object, graphs: Graphs, variable: str, known: Tensor | None = None) -> Tensor:
    r"""Return :math:`\log |\det \partial z / \partial x|` of a transformation x -> z of each graph, ``[g]``.

    The log-density in the units of x is that of z plus this.

    Parameters
    ----------
    transform
        From the data's units to the model's; known are `Scaling`, `Trend` and a `Chain` of known ones.
    graphs
        The data, in the units before the transformation.
    variable
        "pos" or "x": what the density is of.
    known
        Which nodes ``[n]`` or entries ``[n, d]`` are observed, bool, and do not count; None: none.

    Raises
    ------
    ValueError
        If the Jacobian of the transformation is not known.
    """
    raise ValueError(
        f"transform {type(transform).__name__} has no known Jacobian, so that the density in the data's "
        "units is not known; transform the data before they are given to the model."
    )


@log_det.register
def _(transform: Scaling, graphs: Graphs, variable: str, known: Tensor | None = None) -> Tensor:
    axes = transform.axis_scale or (transform.pos_scale,) * len(transform.pos_mean)
    scale = torch.tensor(axes if variable == "pos" else transform.x_scale, dtype=torch.float64)
    if known is None:
        return -graphs.sizes.cpu().double() * math.fsum(scale.log().tolist())
    free = ~(known if known.ndim == 2 else known[:, None]).cpu()
    lost = (free * scale.log()).sum(1)
    return -lost.new_zeros(len(graphs)).index_add(0, graphs.batch.cpu(), lost)


@log_det.register
def _(transform: Trend, graphs: Graphs, variable: str, known: Tensor | None = None) -> Tensor:
    return torch.zeros(len(graphs), dtype=torch.float64)


@log_det.register
def _(transform: Chain, graphs: Graphs, variable: str, known: Tensor | None = None) -> Tensor:
    total = torch.zeros(len(graphs), dtype=torch.float64)
    for part in transform.parts:
        total = total + log_det(part, graphs, variable, known)
        graphs = part.apply(graphs)
        if known is not None and variable == "x":
            known = part.entries(known if known.ndim == 2 else known[:, None].expand(-1, graphs.features))
    return total
