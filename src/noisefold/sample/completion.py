r"""Completion: draws of what is not known, given what is.

Imputation, interpolation, forecasting and inpainting differ only in what the mask says. The answer is a set
of draws from the posterior, never one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.notebook import data_frame, graphs_html, table_html
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser, noised_value, with_noised
from noisefold.noise.source import Streams, derive_seed
from noisefold.progress import progress
from noisefold.sample.conditioning import Conditioning, Known
from noisefold.sample.draw import generate
from noisefold.sample.solver import Solver

__all__ = ["Completion", "complete"]

_SHOWN = 12  # columns that a notebook shows


@dataclass(frozen=True, eq=False)
class Completion:
    """Draws of a variable of which a part is known, in the units of the data.

    Mean, spread and intervals are taken node by node. They say something where a node is the same in every
    draw: features on given positions, the steps of a track. The points of a cloud have no order, and the mean
    over draws of the tenth of them is no place on any shape; look at the draws themselves.

    Parameters
    ----------
    graphs
        What was given.
    noised
        "pos" or "x": the variable that was drawn.
    known
        Where it was known, ``[n, d]``, bool.
    values
        Its draws, ``[draws, n, d]``; where known, the given values, bit for bit.
    """

    graphs: Graphs
    variable: str
    known: Tensor
    values: Tensor

    def __len__(self) -> int:
        return self.values.shape[0]

    def __repr__(self) -> str:
        share = float(self.known.double().mean()) if self.known.numel() else 1.0
        return f"Completion({len(self)} draws of {self.variable}, {share:.0%} known, {self.graphs!r})"

    def _repr_html_(self) -> str:
        shares = self.known.double().mean(0).tolist() if self.known.numel() else []
        spread = self.std.mean(0).tolist() if len(self) > 1 else [float("nan")] * len(shares)
        rows = [
            (self.column(k), f"{share:.0%}", f"{width:.3g}")
            for k, (share, width) in enumerate(zip(shares[:_SHOWN], spread, strict=False))
        ]
        rest = [f"{len(shares) - _SHOWN} more columns"] if len(shares) > _SHOWN else []
        table = table_html(repr(self), ("column", "known", "mean standard deviation"), rows, rest)
        return table + (graphs_html(self.draws[0]) if len(self) else "")

    def column(self, k: int) -> str:
        """Return the name of column k of the variable that was drawn."""
        names = self.graphs.feature_names if self.variable == "x" else ()
        return names[k] if k < len(names) else f"{self.variable}{k}"

    def to_pandas(self, level: float = 0.9) -> Any:
        """Return a data frame with a row for each value that was drawn.

        Columns are graph, node (within its graph), column, mean, std, and the ends low and high of the
        central interval of this level; NaN where there are too few draws for them.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        node, column = (~self.known).cpu().nonzero(as_tuple=True)
        nan = torch.full_like(self.mean, float("nan"))
        needed = int(2 / (1 - level) - 1e-9)
        low, high = self.interval(level) if len(self) >= needed else (nan, nan)
        values = {"mean": self.mean, "std": self.std if len(self) > 1 else nan, "low": low, "high": high}
        graph = self.graphs.batch.cpu()[node]
        places = {"graph": graph, "node": node - self.graphs.ptr.cpu()[graph]}
        return data_frame(
            {
                **{name: place.numpy() for name, place in places.items()},
                "column": [self.column(int(k)) for k in column],
                **{name: value.cpu()[node, column].numpy() for name, value in values.items()},
            }
        )

    @property
    def draws(self) -> list[Graphs]:
        """The graphs filled in, once for each draw."""
        return [with_noised(self.graphs, self.variable, value) for value in self.values]

    @property
    def mean(self) -> Tensor:
        """Posterior mean, ``[n, d]``."""
        # What is known is the same in every draw, and the mean of its copies is only nearly so.
        return torch.where(self.known, self.values[0], self.values.mean(0))

    @property
    def std(self) -> Tensor:
        """Posterior standard deviation, ``[n, d]``; 0 where known.

        Raises
        ------
        ValueError
            If there is one draw only.
        """
        if len(self) < 2:
            raise ValueError("the standard deviation needs at least 2 draws, got 1.")
        return self.values.std(0).masked_fill(self.known, 0.0)

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        r"""Ends of the central interval that holds a value with this probability, ``[n, d]`` each.

        The ends are the order statistics number (m + 1)(1 -+ level)/2 of the m draws, between two of them in
        proportion. A truth that comes from the same law as the draws lies between them with exactly this
        probability where these numbers are whole, and nearly so otherwise.

        Raises
        ------
        ValueError
            If level is not in (0, 1), or so near 1 that there are too few draws for it.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie strictly between 0 and 1, got {level}.")
        m = len(self)
        place = (m + 1) * (1 - level) / 2 - 1
        if place < -1e-9:
            needed = int(2 / (1 - level) - 1e-9)
            raise ValueError(f"an interval at level {level} needs at least {needed} draws, got {m}.")
        ordered = self.values.sort(0).values
        low = min(max(int(place + 1e-9), 0), m - 1)
        rest = max(place - low, 0.0)
        next_ = min(low + 1, m - 1)
        return (
            torch.lerp(ordered[low], ordered[next_], rest),
            torch.lerp(ordered[m - 1 - low], ordered[m - 1 - next_], rest),
        )


def complete(
    denoiser: Denoiser,
    scaling: Transform,
    graphs: Graphs,
    known: Tensor,
    times: Tensor,
    solver: Solver,
    conditioning: Conditioning,
    *,
    draws: int = 32,
    guidance: float = 1.0,
    seed: int = 0,
    batch: int = 64,
) -> Completion:
    """Draw what is not known of graphs. Draw j of graph i is a function of (seed, i, j) alone.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    scaling
        Between the data's units and its own.
    graphs
        Graphs with what is known, in the data's units, and the classes for the network, if any.
    known
        Which nodes are known, ``[n]``, or which entries of the noised variable, ``[n, d]``; bool. The others
        may hold anything, NaN as well.
    times
        Falling times ``[steps + 1]``.
    solver
        Takes noise to data.
    conditioning
        How to sample given what is known.
    draws
        How many, of each graph.
    guidance
        Weight of classifier-free guidance; 1 is none.
    seed
        The seed.
    batch
        Graphs at a time; only speed and memory depend on it.

    Raises
    ------
    ValueError
        If the mask does not fit the graphs, a known value is not finite, or there are no graphs or draws.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}.")
    if not len(graphs):
        raise ValueError("graphs must hold at least one graph to complete, got none.")
    variable = denoiser.variable
    given = noised_value(graphs, variable)
    mask = _entries(known, given)
    blank = with_noised(graphs, variable, given.masked_fill(~mask, 0.0))
    unit = scaling.apply(blank)
    given_there = mask if variable == "pos" else scaling.entries(mask)
    device = denoiser.device
    parts = []
    items = [(i, j) for i in range(len(graphs)) for j in range(draws)]
    with progress("completing", len(items)) as advance:
        for start in range(0, len(items), batch):
            chosen = items[start : start + batch]
            part = unit[[i for i, _ in chosen]].to(device)
            held = _rows(given_there, graphs, [i for i, _ in chosen]).to(device)
            streams = Streams(seed, [derive_seed(i, j) for i, j in chosen])
            condition = (Known(noised_value(part, variable), held, part.batch), conditioning)
            made = generate(denoiser, part, times, solver, streams, guidance=guidance, given=condition)
            made = scaling.undo(made.to(given.device))
            parts += made.unpack(noised_value(made, variable))
            advance(len(chosen), "")
    values = torch.stack([torch.cat(parts[j::draws]) for j in range(draws)])
    return Completion(graphs, variable, mask, torch.where(mask, given, values))


def _entries(known: Tensor, value: Tensor) -> Tensor:
    """The mask by entries, ``[n, d]``."""
    n, d = value.shape
    if known.dtype != torch.bool or tuple(known.shape) not in ((n,), (n, d)):
        raise ValueError(
            f"known must be bool [{n}] or [{n}, {d}], got {known.dtype} {list(known.shape)}; "
            "True is known, False is to be drawn."
        )
    mask = known.to(value.device)
    mask = mask if mask.ndim == 2 else mask[:, None].expand(n, d)
    if not bool(value[mask].isfinite().all()):
        raise ValueError("a value that is marked as known is NaN or infinite; mark it as unknown.")
    return mask


def _rows(mask: Tensor, graphs: Graphs, chosen: list[int]) -> Tensor:
    """Rows of the mask that belong to some graphs, in their order."""
    parts = graphs.unpack(mask)
    return torch.cat([parts[i] for i in chosen])
