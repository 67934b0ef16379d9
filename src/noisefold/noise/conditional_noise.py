r"""Gaussian-process noise given that it is zero at observed entries, and kriging under its covariance.

For noise of covariance K, observed entries c and the others \*, let :math:`W = K_{*c} K_{cc}^{-1}` be the
kriging weights. Values :math:`v_c` at the observed entries extend to

.. math:: E v = (v_c,\ W v_c), \qquad \text{and what is left of any v is} \qquad v - E v = (0,\ v_* - W v_c),

which for draws of N(0, K) is normal with the Schur complement

.. math:: C = K_{**} - K_{*c} K_{cc}^{-1} K_{c*} = ([K^{-1}]_{**})^{-1}

as its covariance, independent of :math:`v_c`. Under white noise W = 0 and C = I.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section A.2,
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from noisefold.geometry.gp import factor
from noisefold.geometry.graphs import Graphs
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.source import Source, Streams

__all__ = ["ConditionalNoise"]


@dataclass(frozen=True, eq=False)
class _Weights:
    """Kriging weights of one independent set of values: ``matrix [hidden, observed]``."""

    observed: Tensor
    hidden: Tensor
    matrix: Tensor


@dataclass(frozen=True, eq=False)
class _Alike:
    """Graphs at the same positions, observed at the same entries: nodes ``rows [k, n]``, and weights."""

    rows: Tensor
    weights: tuple[_Weights, ...]

    def extend(self, values: Tensor) -> Tensor:
        """Return the extension of ``[k, n, c]``; there are weights for each column."""
        out = values.clone()
        for column, w in enumerate(self.weights):
            out[..., w.hidden, column] = values[..., w.observed, column] @ w.matrix.mT
        return out


@dataclass(frozen=True, eq=False)
class ConditionalNoise(Source):
    """Noise of a Gaussian process given that it is zero at observed entries, N(0, C).

    Attributes
    ----------
    source
        What the noise without observations is drawn from.
    kernel
        Its process.
    groups
        Graphs that share positions and observed entries, and their weights.
    """

    source: Source
    kernel: GPNoise
    groups: tuple[_Alike, ...]

    @classmethod
    def of(cls, source: Source, graphs: Graphs, observed: Tensor) -> Self:
        """Return the noise of a source given that it is zero where ``observed [n, columns]``, bool.

        Graphs at the same positions and observed at the same entries, such as several draws of one, are
        solved for once.

        Raises
        ------
        ValueError
            If the source is no Gaussian process, the mask does not fit the graphs, or the covariance of the
            observed entries has no factor.
        """
        process = source.process
        if process is None:
            raise ValueError(f"source must be GPNoise(kernel), got {source!r}.")
        if observed.shape[:1] != (graphs.num_nodes,):
            raise ValueError(
                f"observed must have one row for each of the {graphs.num_nodes} nodes of the graphs, "
                f"got {list(observed.shape)}."
            )
        alike: dict[tuple[bytes, bytes], list[int]] = {}
        places, masks = graphs.unpack(), observed.split(graphs.sizes.tolist())
        for i, parts in enumerate(zip(places, masks, strict=True)):
            a, b = (part.detach().cpu().contiguous().numpy().tobytes() for part in parts)
            alike.setdefault((a, b), []).append(i)
        groups = []
        for same in alike.values():
            first = same[0]
            starts = graphs.ptr[torch.tensor(same, device=graphs.device)]
            rows = starts[:, None] + torch.arange(len(places[first]), device=graphs.device)
            groups.append(_Alike(rows, _weights(process, places[first], masks[first])))
        return cls(source, process, tuple(groups))

    def extend(self, values: Tensor) -> Tensor:
        """Return E v of ``v [n, columns]``: observed entries as they are, the others from these."""
        if len(self.groups) == 1:  # all graphs alike, in order
            (group,) = self.groups
            wide = values.double().reshape(*group.rows.shape, -1)
            return self.kernel.rowwise(wide, group.extend).reshape(values.shape).to(values)
        out = values.clone()
        for group in self.groups:
            part = self.kernel.rowwise(values[group.rows].double(), group.extend)
            out[group.rows] = part.to(values)
        return out

    def residual(self, values: Tensor) -> Tensor:
        """Return v - E v of ``v [n, columns]``: 0 at the observed entries."""
        return values - self.extend(values)

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Draw N(0, C), ``[n, columns]``, 0 at the observed entries."""
        return self.residual(self.source.draw(graphs, columns, streams, data, t))


def _weights(process: GPNoise, pos: Tensor, observed: Tensor) -> tuple[_Weights, ...]:
    """Return the weights of each independent set of values of a graph; equal masks share them."""
    lower = process.factor(pos).to(pos.device)
    found: dict[bytes, _Weights] = {}
    out = []
    masks = observed.reshape(1, -1) if process.joint else observed.mT
    for mask in masks:
        key = mask.cpu().numpy().tobytes()
        if key not in found:
            known, hidden = mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]
            half = lower[known]
            name = "the covariance of the noise at the observed entries"
            solved = factor(half @ half.mT, name=name).solve(half @ lower[hidden].mT)
            found[key] = _Weights(known, hidden, solved.mT)
        out.append(found[key])
    return tuple(out)
