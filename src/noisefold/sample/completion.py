r"""Completion: draws of what is not observed, given what is.

Imputation, interpolation, forecasting and inpainting differ only in what the mask says. The answer is a set
of draws from the posterior, never one number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from noisefold.arguments import whole
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.notebook import data_frame, graphs_html, table_html
from noisefold.geometry.patches import take
from noisefold.geometry.transform import Transform
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.source import Streams, derive_seed
from noisefold.noise.variable import Known, Variable, observed_entries
from noisefold.progress import progress
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.draw import generate
from noisefold.sample.moments import Moments
from noisefold.sample.sampling import Sampling
from noisefold.sample.tiled import TILED_NODES, tiled

__all__ = ["Completion", "complete", "completed"]

_STEPS = 20
_SHOWN = 12  # columns that a notebook shows


@dataclass(frozen=True, eq=False)
class Completion:
    """Draws of a variable of which a part is observed, in the units of the data.

    Mean, standard deviation and intervals are taken node by node. They are meaningful where a node is the
    same in every draw: features on given positions, the steps of a track. The points of a cloud have no
    order, so that the mean of its tenth point over draws lies on no shape; look at the draws themselves.

    Parameters
    ----------
    graphs
        What was given.
    variable
        What was drawn.
    known
        Where it was observed, ``[n, d]``, bool.
    kept
        Its draws, ``[draws, n, d]``, with the observed values in their places, bit for bit; None if they were
        not kept.
    moments
        Number, mean ``[n, d]`` and standard deviation ``[n, d]`` of draws that were not kept.
    """

    graphs: Graphs
    variable: Variable[Tensor]
    known: Tensor
    kept: Tensor | None
    moments: tuple[int, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        if self.kept is None:
            assert self.moments is not None
            return self.moments[0]
        return self.kept.shape[0]

    def __repr__(self) -> str:
        share = float(self.known.double().mean()) if self.known.numel() else 1.0
        return f"Completion({len(self)} draws of {self.variable.noun}, {share:.0%} known, {self.graphs!r})"

    def _repr_html_(self) -> str:
        shares = self.known.double().mean(0).tolist() if self.known.numel() else []
        spread = self.std.mean(0).tolist() if len(self) > 1 else [float("nan")] * len(shares)
        rows = [
            (self.column(k), f"{share:.0%}", f"{width:.3g}")
            for k, (share, width) in enumerate(zip(shares[:_SHOWN], spread, strict=False))
        ]
        rest = [f"{len(shares) - _SHOWN} more columns"] if len(shares) > _SHOWN else []
        table = table_html(repr(self), ("column", "known", "mean standard deviation"), rows, rest)
        shown = self.mean if self.kept is None else self.kept[0] if len(self) else None
        return table + ("" if shown is None else graphs_html(self.variable.write(self.graphs, shown)))

    def column(self, k: int) -> str:
        """Return the name of column k of the variable that was drawn."""
        names = self.graphs.feature_names if self.variable.positions_given else ()
        return names[k] if k < len(names) else f"{self.variable.name}{k}"

    def to_pandas(self, level: float = 0.9) -> Any:
        """Return a data frame with a row for each value that was drawn.

        Columns are graph, node (within its graph), column, mean, std, and the ends low and high of the
        central interval of this level; NaN where there are too few draws for them, or they were not kept.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        node, column = (~self.known).cpu().nonzero(as_tuple=True)
        nan = torch.full_like(self.mean, float("nan"))
        enough = self.kept is not None and len(self) >= int(2 / (1 - level) - 1e-9)
        low, high = self.interval(level) if enough else (nan, nan)
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
    def values(self) -> Tensor:
        """The draws, ``[draws, n, d]``.

        Raises
        ------
        ValueError
            If they were not kept.
        """
        if self.kept is None:
            raise ValueError("the draws were not kept; complete with keep=True.")
        return self.kept

    @property
    def draws(self) -> list[Graphs]:
        """The graphs filled in, once for each draw.

        Raises
        ------
        ValueError
            If the draws were not kept.
        """
        return [self.variable.write(self.graphs, value) for value in self.values]

    @property
    def mean(self) -> Tensor:
        """Posterior mean, ``[n, d]``."""
        if self.kept is None:
            assert self.moments is not None
            return self.moments[1]
        # Observed values are the same in every draw, and the mean of their copies is only nearly so.
        return torch.where(self.known, self.values[0], self.values.mean(0))

    @property
    def std(self) -> Tensor:
        """Posterior standard deviation, ``[n, d]``; 0 where observed.

        Raises
        ------
        ValueError
            If there is one draw only.
        """
        if len(self) < 2:
            raise ValueError("the standard deviation needs at least 2 draws, got 1.")
        if self.kept is None:
            assert self.moments is not None
            return self.moments[2]
        return self.values.std(0).masked_fill(self.known, 0.0)

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        r"""Return the ends of the central interval that holds a value with this probability, ``[n, d]`` each.

        The ends are the order statistics number (m + 1)(1 -+ level)/2 of the m draws, between two of them in
        proportion. A truth that comes from the same distribution as the draws lies between them with exactly
        this probability where these numbers are whole, and nearly so otherwise.

        Raises
        ------
        ValueError
            If level is not in (0, 1), or so near 1 that there are too few draws for it, or the draws were not
            kept.
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
    denoiser: Denoiser[Any, Any],
    units: Transform,
    graphs: Graphs,
    known: Any,
    method: Conditioning,
    sampling: Sampling,
    *,
    draws: int = 32,
    keep: bool = True,
    tile: int | None = None,
) -> Any:
    """Draw what is not observed of graphs. Draw j of graph i is a function of (seed, i, j) alone.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    units
        From the data's units to its own.
    graphs
        Graphs with what is observed, in the data's units, and the classes for the network, if any.
    known
        Which nodes are observed, ``[n]``, or which entries of the noised variable, ``[n, d]``; bool. The
        others may hold anything, NaN as well. Of types of nodes and edges: `noisefold.noise.Categories`.
    method
        How to condition on what is observed.
    sampling
        How to draw.
    draws
        How many, of each graph.
    keep
        Whether the draws are kept, and not only their mean and standard deviation.
    tile
        Nodes of the tiles that larger graphs are worked on in; None takes every graph whole.

    Returns
    -------
    Completion
        Or `noisefold.sample.GraphCompletion` of types of nodes and edges.

    Raises
    ------
    ValueError
        If the mask does not fit the graphs, an observed value is not finite, or there are no graphs or draws.
    """
    asked = (units, graphs, known, method, sampling)
    return completed(denoiser.variable, denoiser, *asked, draws=draws, keep=keep, tile=tile)


@singledispatch
def completed(
    variable: Variable[Any],
    denoiser: Denoiser[Any, Any],
    units: Transform,
    graphs: Graphs,
    known: Any,
    method: Conditioning,
    sampling: Sampling,
    *,
    draws: int,
    keep: bool,
    tile: int | None,
) -> Any:
    """Return the draws of a variable; kinds of states that are no numbers register their own."""
    draws = whole("draws", draws, least=1)
    if not len(graphs):
        raise ValueError("graphs must hold at least one graph to complete, got none.")
    given = variable.read(graphs)
    if given.shape[1] == 0:
        raise ValueError(
            f"graphs have no {variable.noun} of which some could be observed; complete edges and types with "
            'a model of variable="types".'
        )
    mask = observed_entries(known, given)
    unit = units.apply(variable.write(graphs, given.masked_fill(~mask, 0.0)))
    observed = variable.entries(mask, units)
    work = _Work(denoiser, units, method, sampling, unit, observed)
    parts = list(mask.split(graphs.sizes.tolist()))
    out: list[list[Tensor]] = [[] for _ in parts]
    moments = [Moments(value) for value in given.split(graphs.sizes.tolist())] if not keep else []

    def take(i: int, values: Tensor) -> None:
        full = torch.where(parts[i], given[graphs.ptr[i] : graphs.ptr[i + 1]], values)
        if keep:
            out[i].append(full)
        else:
            moments[i].add(full)

    with progress("completing", draws * len(graphs)) as advance:
        for i, values in work.run(draws, tile, parts, lambda count: advance(count, "")):
            take(i, values)
    if keep:
        return Completion(graphs, variable, mask, torch.cat([torch.cat(values) for values in out], dim=1))
    mean, std = torch.cat([m.mean for m in moments]), torch.cat([m.std for m in moments])
    mean, std = torch.where(mask, given, mean), std.masked_fill(mask, 0.0)
    return Completion(graphs, variable, mask, None, (draws, mean, std))


@dataclass(frozen=True)
class _Work:
    """What is done for every batch of draws."""

    denoiser: Denoiser[Any, Any]
    units: Transform
    method: Conditioning
    sampling: Sampling
    unit: Graphs
    observed: Tensor

    def run(
        self, draws: int, tile: int | None, hidden: list[Tensor], done: Callable[[int], None]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield draws ``[k, n_i, d]`` of graph i, in order of the draws of each graph."""
        solver, times = self.sampling.resolved(self.denoiser.path, _STEPS, self.method)
        sizes = self.unit.sizes.tolist()
        observed = self.observed.split(sizes)
        whole = [i for i, n in enumerate(sizes) if tile is None or n <= tile]
        items = [(i, j) for i in whole for j in range(draws)]
        for start in range(0, len(items), self.sampling.batch):
            chosen = items[start : start + self.sampling.batch]
            graphs = self.unit[[i for i, _ in chosen]]
            values = self._draw(
                self.denoiser, graphs, [observed[i] for i, _ in chosen], chosen, solver, times
            )
            for (i, _), value in zip(chosen, values, strict=True):
                yield i, value[None]
            done(len(chosen))
        for i in sorted(set(range(len(sizes))) - set(whole)):
            graph, unknown = self.unit[i], ~hidden[i]
            if not bool(unknown.any()):
                yield i, torch.zeros(draws, *hidden[i].shape)
                continue
            assert tile is not None
            on, rows = tiled(self.denoiser, graph.pos, unknown, tile)
            part = take(graph, [rows.numpy()])
            together = max(1, TILED_NODES // len(rows))
            for start in range(0, draws, together):
                chosen = [(i, j) for j in range(start, min(start + together, draws))]
                many = part[[0] * len(chosen)]
                values = self._draw(on, many, [observed[i][rows]] * len(chosen), chosen, solver, times)
                out = torch.zeros(len(chosen), *hidden[i].shape, dtype=values[0].dtype)
                out[:, rows] = torch.stack(values)
                yield i, out
                done(len(chosen))

    def _draw(
        self,
        denoiser: Denoiser[Any, Any],
        graphs: Graphs,
        observed: list[Tensor],
        items: list[tuple[int, int]],
        solver: Any,
        times: Tensor,
    ) -> list[Tensor]:
        """Return the drawn values of every graph of a batch, ``[n_i, d]`` in the data's units."""
        device, home = self.denoiser.device, graphs.device
        variable = denoiser.variable
        part = graphs.to(device)
        held = torch.cat(observed).to(device)
        streams = Streams(self.sampling.seed, [derive_seed(i, j) for i, j in items])
        known = Known(variable.read(part), held, part.batch)
        made = generate(
            denoiser, part, times, solver, streams,
            guidance=self.sampling.guidance, guidance_interval=self.sampling.guidance_interval,
            given=(known, self.method),
        )  # fmt: skip
        made = self.units.undo(made.to(home))
        return made.unpack(variable.read(made))
