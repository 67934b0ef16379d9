r"""Log-likelihood of what was not observed, given what was.

========== ============================================== =====================================
route      value                                          asks of the model
========== ============================================== =====================================
"direct"   the density of a network that conditions on c  training with masks (for completion)
"joint"    :math:`\log p(x, c) - \log p(c)`               nothing
========== ============================================== =====================================

The direct density integrates to one over x for every c, so that it is a predictive distribution. The joint
route is one only if the distribution that a network has learned on the nodes of c alone is the marginal of
the one on all nodes, and nothing makes it so: the finite marginals of a diffusion over functions are not
Kolmogorov-consistent. The difference of the two, `consistency_gap`, says how far a model is from it.

Source: Mathieu et al., Geometric Neural Diffusion Processes, section 3, https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import take
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.variable import observed_entries
from noisefold.sample.likelihood import LogProb, log_det, log_prob

__all__ = ["ROUTES", "conditional_log_prob", "consistency_gap", "log_prob_in_units"]

ROUTES = ("direct", "joint")


def conditional_log_prob(
    denoiser: Denoiser[Any, Any], graphs: Graphs, known: Tensor, *, route: str | None = None, **how: Any
) -> LogProb:
    """Return the log-likelihood of values given the observed others, in the denoiser's units.

    Parameters
    ----------
    denoiser
        The trained denoiser, in evaluation mode.
    graphs
        Graphs with all values, observed or not.
    known
        Which nodes ``[n]`` or entries ``[n, d]`` are observed, bool; the joint route takes nodes alone.
    route
        "direct" or "joint"; None: direct for denoisers for completion, joint for others.
    **how
        As of `noisefold.sample.log_prob`.

    Raises
    ------
    ValueError
        If the route is unknown, or asks for what the denoiser or the mask does not give.
    """
    route = route or ("direct" if denoiser.for_completion else "joint")
    if route not in ROUTES:
        raise ValueError(f"route must be one of {', '.join(ROUTES)}, got {route!r}.")
    if route == "direct":
        return log_prob(denoiser.path, denoiser, graphs, known=known, **how)
    nodes = known if known.ndim == 1 else known.all(1)
    if known.ndim == 2 and bool((known.any(1) != nodes).any()):
        raise ValueError(
            "known observes some values of a node and not others, and the joint route takes whole nodes; use "
            'route="direct".'
        )
    both = log_prob(denoiser.path, denoiser, graphs, **how)
    counts = torch.zeros(len(graphs), dtype=torch.int64).index_add(0, graphs.batch.cpu(), nodes.cpu().long())
    some = (counts > 0).nonzero()[:, 0]
    context = take(graphs, [p.numpy() for p in nodes.cpu().nonzero()[:, 0].split(counts[some].tolist())])
    value, error, end_error = (torch.zeros(len(graphs), dtype=torch.float64) for _ in range(3))
    numbers = torch.zeros_like(both.numbers)
    if len(some):
        found = log_prob(denoiser.path, denoiser, context, **how)
        value[some], error[some], end_error[some] = found.value, found.error, found.end_error
        numbers[some] = found.numbers
    return replace(
        both,
        value=both.value - value,
        error=torch.hypot(both.error, error),
        end_error=both.end_error - end_error,
        nodes=both.nodes - counts,
        numbers=both.numbers - numbers,
    )


def consistency_gap(denoiser: Denoiser[Any, Any], graphs: Graphs, known: Tensor, **how: Any) -> Tensor:
    """Return how much more the joint route gives than the direct one, in nats for each number, ``[g]``.

    Zero for a consistent family of marginals; NaN where everything is observed.

    Parameters
    ----------
    denoiser, graphs, known, **how
        As of `conditional_log_prob`; the denoiser must be for completion.
    """
    joint, direct = (
        conditional_log_prob(denoiser, graphs, known, route=r, **how) for r in ("joint", "direct")
    )
    return (joint.value - direct.value) / direct.numbers


def log_prob_in_units(
    denoiser: Denoiser[Any, Any],
    units: Transform,
    graphs: Graphs,
    known: Tensor | None = None,
    *,
    route: str | None = None,
    **how: Any,
) -> LogProb:
    """Return the log-likelihood of graphs in the data's units, or of a part of them given the rest.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    units
        From the data's units to its own.
    graphs
        In the data's units.
    known, route, **how
        As of `conditional_log_prob`; known in the data's units, or None.
    """
    variable, unit = denoiser.variable, units.apply(graphs)
    change = log_det(units, graphs, variable.name, known)
    if known is None:
        return log_prob(denoiser.path, denoiser, unit, **how).plus(change)
    mask = variable.entries(observed_entries(known, variable.read(graphs)), units)
    return conditional_log_prob(denoiser, unit, mask, route=route, **how).plus(change)
