r"""A lower bound of the log-likelihood on discrete paths: that of the reverse chain.

A chain of N steps at times :math:`1 = t_0 > \ldots > t_N = 0` draws :math:`x_{t_{i+1}}` from the posterior
averaged over the estimate (`noisefold.sample.D3PM`). Its evidence bound is

.. math:: \log p(x_0) \ge -\sum_i E_{x_{t_i} \mid x_0}\,
    \mathrm{KL}\bigl(q(x_{t_{i+1}} \mid x_{t_i}, x_0) \,\|\, p(x_{t_{i+1}} \mid x_{t_i})\bigr),

entry by entry; the last term is :math:`-\log \hat p(x_0)`. All noise is gone at :math:`t_0`, so that the
prior has no term. The value is of a graph with its nodes in their order, given how many there are.

Source: Austin et al., Structured Denoising Diffusion Models in Discrete State-Spaces (2021), eq. 3,
https://arxiv.org/abs/2107.03006; Vignac et al., DiGress (2023), appendix D, https://arxiv.org/abs/2209.14734.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_ptr
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.categories import Categories
from noisefold.noise.discrete import Discrete, posterior_table
from noisefold.noise.source import Streams
from noisefold.sample.conditioning import Bound, Guided
from noisefold.sample.densities import check_least
from noisefold.sample.discrete import mixed_kernel
from noisefold.sample.grid import Grid, Power
from noisefold.sample.likelihood import LogProb, log_prob

__all__ = ["ChainBound"]


@configurable
@dataclass(frozen=True)
class ChainBound:
    """The evidence bound of the reverse chain on a discrete path.

    Parameters
    ----------
    steps
        Steps of the chain. More make the bound tighter.
    repetitions
        Independent paths from data to noise. At least 2, since their spread is the error.
    grid
        Its times.

    Raises
    ------
    ValueError
        If a number is below its least.
    """

    steps: int = 50
    repetitions: int = 4
    grid: Grid = field(default_factory=lambda: Power(2))

    def __post_init__(self) -> None:
        check_least(steps=(self.steps, 1), repetitions=(self.repetitions, 2))


@log_prob.register
def _(
    path: Discrete,
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
    method = method or ChainBound()
    check_least(batch=(batch, 1))
    if not isinstance(method, ChainBound):
        raise ValueError(f"method {type(method).__name__} is not for discrete paths; use ChainBound().")
    if known is not None:
        raise ValueError("known is for features and positions; a bound given a part of a graph is not known.")
    if end is not None:
        raise ValueError("end is for Gaussian paths: a discrete path ends in its noise exactly.")
    times = method.grid(path, method.steps)
    parts = [torch.empty(method.repetitions, 0, dtype=torch.float64)]
    for start in range(0, len(graphs), batch):
        some = graphs[start : start + batch]
        streams = Streams(seed, range(start, start + len(some)))
        bound = Bound(denoiser, some, some.label)
        denoise = bound if guidance == 1 else Guided(bound, guidance)
        clean = denoiser.variable.read(some)
        drawn = [_lost(path, denoise, clean, times, some, streams) for _ in range(method.repetitions)]
        parts.append(-torch.stack(drawn))
    values = torch.cat(parts, 1)
    error = values.std(0) / math.sqrt(method.repetitions)
    ends = path.log_snr(torch.tensor([0.0, 1.0], dtype=torch.float64))
    sizes = graphs.sizes.cpu()
    return LogProb(
        values.mean(0),
        error,
        "bound",
        torch.zeros_like(error),
        sizes,
        sizes,
        (float(ends[0]), float(ends[1])),
    )


@torch.no_grad()
def _lost(
    path: Discrete, denoise: Any, clean: Categories, times: Tensor, graphs: Graphs, random: Streams
) -> Tensor:
    """Return the sum of the divergences of all steps, of one noised state for each, ``[g]``."""
    total = torch.zeros(len(graphs), dtype=torch.float64, device=graphs.device)
    pairs = torch.repeat_interleave(
        torch.arange(len(graphs), device=graphs.device), pair_ptr(graphs.ptr).diff()
    )
    for t, s in pairwise(times):
        state = path.corrupt(clean, t, graphs, random)
        keep_s, keep_t = 1 - float(s), 1 - float(t)

        def divergence(
            p: Tensor, x: Tensor, data: Tensor, m: Tensor, keep_s: float = keep_s, keep_t: float = keep_t
        ) -> Tensor:
            m = m.to(p.device)
            wanted = posterior_table(keep_s, keep_t, m)[data, x]
            found = mixed_kernel(p.double(), x, keep_s, keep_t, m)
            ratio = torch.log(wanted.clamp(min=1e-300)) - torch.log(found.clamp(min=1e-300))
            return (wanted * ratio).sum(1)

        lost = denoise(state, t).map(divergence, state, clean, path.noise_distribution)
        total.index_add_(0, graphs.batch, lost.nodes).index_add_(0, pairs, lost.pairs)
    return total.cpu()
