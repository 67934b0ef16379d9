"""The full crossing: every target, sampler, noise, schedule and start, over seeds, beside the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from noisefold.studies.chain import NOISES, SCHEDULES, chain
from noisefold.studies.measures import MEASURES, Ruler, digits, levels, score_error
from noisefold.studies.networks import TARGETS, Cell, Networks, Recipe, train
from noisefold.studies.sampling import SAMPLERS, STARTS, Estimate, Exact, Learnt, starts, walk_back
from noisefold.studies.toys import Toy

__all__ = ["ORACLE", "Crossing", "Trained", "cells_of", "cross", "learn", "needed", "score_rows", "walks"]

ORACLE = "exact"
_CLOUD_SAMPLES = 256  # the oracle of a sample costs its size for every state

Row = dict[str, Any]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Crossing:
    """How much of it.

    Parameters
    ----------
    recipe
        How networks are trained.
    seeds
        How many, from `first` on.
    samples
        Walks of each cell.
    first
        The first seed.
    noises, schedules
        Which of them.
    """

    recipe: Recipe
    seeds: int
    samples: int
    first: int = 0
    noises: tuple[str, ...] = NOISES
    schedules: tuple[str, ...] = SCHEDULES

    @property
    def seed_range(self) -> range:
        """All seeds."""
        return range(self.first, self.first + self.seeds)


@dataclass(frozen=True)
class Trained:
    """All networks of a crossing."""

    nets: Networks
    cells: tuple[Cell, ...]

    def learnt(self, target: str, noise: str, schedule: str, recipe: Recipe) -> Learnt:
        """The estimates of one combination's networks, one for each seed."""
        which = [
            i
            for i, c in enumerate(self.cells)
            if (c.target, c.noise, c.schedule) == (target, noise, schedule)
        ]
        cells = [self.cells[i] for i in which]
        return Learnt(self.nets.pick(which), cells, recipe, chain(schedule, recipe.steps))


def cells_of(size: Crossing) -> tuple[Cell, ...]:
    """The trainings of the crossing."""
    return tuple(
        Cell(target, noise, schedule, seed)
        for target, noise, schedule, seed in product(TARGETS, size.noises, size.schedules, size.seed_range)
    )


def learn(toy: Toy, size: Crossing, advance: Advance = lambda epochs: None) -> Trained:
    """Train all networks at once."""
    cells = cells_of(size)
    return Trained(train(toy, cells, size.recipe, advance), cells)


def walks(
    toy: Toy,
    estimate: Estimate,
    schedule: str,
    sampler: str,
    start: str,
    noise: str,
    size: Crossing,
    most: float,
    keep: Sequence[int] = (),
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Starts and ends ``[S, d, n]`` of one cell of the crossing, and states at the steps to keep."""
    walk = chain(schedule, size.recipe.steps)
    begin, taken = starts(toy, start, noise, size.samples, size.seed_range, 2 * walk.steps)
    end, kept = walk_back(estimate, walk, sampler, begin, taken, most, keep)
    return begin, end, kept


def cross(toy: Toy, trained: Trained, size: Crossing, advance: Advance = lambda cells: None) -> list[Row]:
    """Sample and measure every cell, and the oracle in the networks' place.

    Returns
    -------
    list
        Rows with target ("exact" for the oracle), sampler, noise, schedule, start, and the values of every
        measure, one for each seed.
    """
    ruler, rows = Ruler(toy), []
    exact = size if toy.law is not None else replace(size, samples=min(size.samples, _CLOUD_SAMPLES))
    for noise, schedule in product(size.noises, size.schedules):
        walk = chain(schedule, size.recipe.steps)
        # Of a large sample's oracle one kind of noise is enough to stand beside the networks.
        known = [ORACLE] if toy.law is not None or noise == NOISES[0] else []
        both = {}
        for target in [*TARGETS, *known]:
            count = exact if target == ORACLE else size
            if count.samples not in both:
                pairs = [
                    starts(toy, s, noise, count.samples, count.seed_range, 2 * walk.steps) for s in STARTS
                ]
                # Walks from both starts take the same noise, side by side.
                both[count.samples] = tuple(torch.cat(part, -1) for part in zip(*pairs, strict=True))
            begin, taken = both[count.samples]
            estimate: Estimate = (
                Exact(toy.oracle(), walk)
                if target == ORACLE
                else trained.learnt(target, noise, schedule, size.recipe)
            )
            for sampler in SAMPLERS:
                end, _ = walk_back(estimate, walk, sampler, begin, taken, ruler.most)
                about = {"target": target, "sampler": sampler, "noise": noise, "schedule": schedule}
                for start, first, last in zip(STARTS, begin.chunk(2, -1), end.chunk(2, -1), strict=True):
                    rows.append({**about, "start": start, **_measured(ruler, first, last)})
                advance(1)
    return rows


def _measured(ruler: Ruler, begin: Tensor, end: Tensor) -> dict[str, list[float | None]]:
    found = [ruler(a.T, b.T) for a, b in zip(begin, end, strict=True)]
    return {name: [digits(f[name]) for f in found] for name in MEASURES}


def score_rows(toy: Toy, trained: Trained, size: Crossing) -> list[Row]:
    """Relative error of the score at the paper's steps, by target, noise and schedule, for each seed."""
    rows = []
    for target, noise, schedule in product(TARGETS, size.noises, size.schedules):
        estimate = trained.learnt(target, noise, schedule, size.recipe)
        walk = chain(schedule, size.recipe.steps)
        errors = [score_error(estimate, toy, walk, size.seeds, k).tolist() for k in levels(walk.steps)]
        about = {"target": target, "noise": noise, "schedule": schedule}
        rows.append({**about, "error": [[digits(e) for e in row] for row in errors]})
    return rows


def needed(
    toy: Toy, size: Crossing, widths: Sequence[int], advance: Advance = lambda networks: None
) -> list[Row]:
    """Q3: the noise target with networks of two layers of each width, a linear one, and one without time.

    Returns
    -------
    list
        Rows with name, parameters, ``error`` (of the score, by step and seed) and the measures of ancestral
        sampling from normal starts.
    """
    ruler, rows = Ruler(toy), []
    kinds: list[tuple[str, tuple[int, ...], bool]] = [("linear", (), False)]
    kinds += [(f"width {w}", (w, w), False) for w in widths]
    kinds += [("width 20, time shuffled", (20, 20), True)]
    walk = chain("cosine", size.recipe.steps)
    for name, hidden, shuffled in kinds:
        recipe = replace(size.recipe, hidden=hidden)
        cells = [Cell(seed=seed, shuffled=shuffled) for seed in size.seed_range]
        nets = train(toy, cells, recipe)
        estimate = Learnt(nets, cells, recipe, walk)
        begin, end, _ = walks(
            toy,
            estimate,
            "cosine",
            "posterior",
            "normal",
            "gaussian",
            replace(size, recipe=recipe),
            ruler.most,
        )
        errors = [score_error(estimate, toy, walk, size.seeds, k).tolist() for k in levels(walk.steps)]
        rows.append(
            {
                "network": name,
                "parameters": nets.flat.numel() // len(nets),
                "error": [[digits(e) for e in row] for row in errors],
                **_measured(ruler, begin, end),
            }
        )
        advance(1)
    return rows
