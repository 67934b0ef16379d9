r"""Log-likelihood on Riemannian paths: the density of the probability flow by area, or volume.

With :math:`u = \log s` the flow is :math:`dx/du = -\tfrac12 \log_x \hat x_0 = -\tfrac12 s \nabla \log p_s`, a
tangent field f. From the data, at the path's least s, to the uniform end,

.. math:: \log p(x_0) = -n \log 4 \pi + \int \nabla \cdot f \; du,

n the number of nodes. The sign of the first term is minus; published code has plus. The divergence on the
manifold is the trace over tangent directions, :math:`\sum_i e_i \cdot Df\, e_i`; for
:math:`f = P_x a(x)` on the sphere, :math:`\nabla \cdot f = \mathrm{tr}(P_x\, Da) - 2\, a \cdot x`.

The field is continued off the manifold as :math:`|x| f(x / |x|)`, under which lengths stay, so that the
classical Runge-Kutta method has its order 4 with a projection after each step. Methods of low order err
upwards, which flatters a model.

Source: Rozen et al., Moser Flow (2021), section 3, https://arxiv.org/abs/2108.08052; De Bortoli et al.
(2022), appendix, https://arxiv.org/abs/2202.02763.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.frozen import frozen
from noisefold.noise.riemannian import Riemannian
from noisefold.noise.source import Streams
from noisefold.noise.variable import Known, observed_entries
from noisefold.sample.conditioning import Bound, Guided
from noisefold.sample.densities import check_least
from noisefold.sample.likelihood import LogProb, graph_sums, log_prob

__all__ = ["GeodesicFlow"]


@configurable
@dataclass(frozen=True)
class GeodesicFlow:
    """The density of the probability flow on a manifold, by the exact divergence or an estimate of it.

    Parameters
    ----------
    steps
        Steps of the Runge-Kutta method in log s, of order 4 and four evaluations each.
    probes
        Rademacher probes of Hutchinson's estimate of the divergence, fresh at each evaluation. At least 2,
        since their spread is the error.
    exact_below
        Graphs of up to this many dimensions, two for each node on the sphere, get the exact divergence.

    Raises
    ------
    ValueError
        If a number is below its least.
    """

    steps: int = 50
    probes: int = 2
    exact_below: int = 128

    def __post_init__(self) -> None:
        check_least(steps=(self.steps, 1), probes=(self.probes, 2))


@log_prob.register
def _(
    path: Riemannian,
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    *,
    method: Any = None,
    guidance: float = 1.0,
    known: Tensor | None = None,
    end: None = None,
    seed: int = 0,
    batch: int = 64,
) -> LogProb:
    method = method or GeodesicFlow()
    check_least(batch=(batch, 1))
    if not isinstance(method, GeodesicFlow):
        raise ValueError(f"method {type(method).__name__} is not for manifolds; use GeodesicFlow().")
    if end is not None:
        raise ValueError("end is for Gaussian paths: a Riemannian path ends in the uniform distribution.")
    x = denoiser.variable.read(graphs)
    path.manifold.check(x, denoiser.variable.noun)
    free = torch.ones(len(x), dtype=torch.bool, device=x.device)
    if known is not None:
        mask = observed_entries(known, x)
        path.check_observed(mask)
        free = ~mask[:, 0]
    dimensions = graphs.sizes.cpu() * path.manifold.dimension
    exact = dimensions <= method.exact_below
    values = torch.zeros(3, len(graphs), dtype=torch.float64)
    for apart in (exact, ~exact):
        numbers = apart.nonzero()[:, 0]
        for chosen in numbers.split(batch) if len(numbers) else ():
            some = graphs[chosen.to(graphs.device)]
            here = torch.cat([free[graphs.ptr[i] : graphs.ptr[i + 1]] for i in chosen.tolist()])
            state = denoiser.variable.read(some)
            denoise: Any = Bound(denoiser, some, some.label)
            denoise = denoise if guidance == 1 else Guided(denoise, guidance)
            if known is not None:
                denoise = denoise.given(Known(state, ~here[:, None].expand_as(state), some.batch))
            flow = _Flow(path, denoise, some, here)
            streams = None if bool(exact[chosen[0]]) else Streams(seed, chosen.tolist())
            with frozen(denoiser):
                values[:, chosen] = flow.integrated(state, method, streams)
    value, error, end_error = values
    ends = path.log_snr(torch.tensor([path.margin, 1.0], dtype=torch.float64)).tolist()
    nodes = graph_sums(graphs, free)
    numbers = nodes * path.manifold.dimension
    return LogProb(value, error, "exact", end_error, nodes, numbers, (ends[0], ends[1]))


@dataclass(frozen=True)
class _Flow:
    """The probability flow of a batch of graphs, as a function of log s; `free` nodes ``[n]`` move."""

    path: Riemannian
    denoise: Callable[[Tensor, Tensor], Tensor]
    graphs: Graphs
    free: Tensor

    def field(self, x: Tensor, u: float) -> Tensor:
        """Return dx/du at points ``[n, columns]``."""
        manifold = self.path.manifold
        t = self.path.time_of(torch.tensor(u, dtype=torch.float64).exp())
        return -manifold.log(x, manifold.project(self.denoise(x, t))) / 2 * self.free[:, None]

    def integrated(self, x: Tensor, method: GeodesicFlow, streams: Streams | None) -> Tensor:
        """Return value, standard error and error of the end, ``[3, g]``, float64."""
        manifold, path = self.path.manifold, self.path

        def slope(y: Tensor, u: float) -> tuple[Tensor, Tensor]:
            length = manifold.radii(y)
            with torch.enable_grad():
                at = manifold.project(y).detach().requires_grad_()
                f = self.field(at, u)
            drawn = method.probes if streams is not None else 0
            return length * f.detach(), self._divergence(f, at, streams, drawn)

        total: Tensor = torch.zeros((), dtype=torch.float64)
        u, last = math.log(path.least), math.log(path.end)
        h = (last - u) / method.steps
        for _ in range(method.steps):
            k1, d1 = slope(x, u)
            k2, d2 = slope(x + h / 2 * k1, u + h / 2)
            k3, d3 = slope(x + h / 2 * k2, u + h / 2)
            k4, d4 = slope(x + h * k3, u + h)
            x = manifold.project(x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
            total = total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
            u += h
        nodes = graph_sums(self.graphs, self.free)
        value = total.mean(0) - nodes * manifold.log_volume
        error = total.std(0) / math.sqrt(len(total)) if len(total) > 1 else torch.zeros_like(value)
        # What is left of the data decays as exp(-d s / 2), of which div f is the d s / 2-th part at the end.
        left = d4.mean(0) * 2 / (manifold.sphere * path.end)
        return torch.stack([value, error, left])

    def _divergence(self, f: Tensor, at: Tensor, streams: Streams | None, probes: int) -> Tensor:
        """Return the divergence of each graph, ``[1, g]``, or by probes ``[probes, g]``."""
        if not f.requires_grad:  # a field that does not depend on the state
            return torch.zeros(max(1, probes), len(self.graphs), dtype=torch.float64)
        frame = self.path.manifold.frame(at.detach())
        if streams is None:
            size, d = int(self.graphs.sizes.max()), frame.shape[1]
            local = torch.arange(len(at), device=at.device) - self.graphs.ptr[self.graphs.batch]
            wanted = torch.arange(size * d, device=at.device)
            # Graphs do not see each other, so that one product serves a direction of every graph.
            here = (local == (wanted // d)[:, None])[..., None]
            each = here * frame[:, wanted % d].transpose(0, 1)
            rows = torch.autograd.grad(f, at, each, is_grads_batched=True)[0]
            return self._sums((rows * each).sum(0))[None]
        drawn = streams.uniform(self.graphs.sizes, probes * frame.shape[1], at) < 0.5
        signs = torch.where(drawn, 1.0, -1.0).to(at).reshape(len(at), probes, -1)
        each = torch.einsum("npd,ndc->pnc", signs, frame)
        parts = [torch.autograd.grad(f, at, z, retain_graph=True)[0] * z for z in each]
        return torch.stack([self._sums(part) for part in parts])

    def _sums(self, values: Tensor) -> Tensor:
        rows = values.detach().cpu().double().sum(1)
        return rows.new_zeros(len(self.graphs)).index_add(0, self.graphs.batch.cpu(), rows)
