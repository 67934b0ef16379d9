"""The full factorial design: every target, sampler, noise, schedule and start, over seeds, and the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from noisefold.studies.diffusion.chains import NOISES, SCHEDULES, chain
from noisefold.studies.diffusion.distributions import Distribution
from noisefold.studies.diffusion.measures import MEASURES, Evaluator, levels, score_error
from noisefold.studies.diffusion.perceptrons import TARGETS, Perceptrons, Recipe, Trial, train
from noisefold.studies.diffusion.samplers import (
    SAMPLERS,
    STARTS,
    Estimate,
    Exact,
    Learned,
    sample_chain,
    starts,
)
from noisefold.studies.kit.statistics import digits

__all__ = ["ORACLE", "Design", "Trained", "capacity_rows", "sample_all", "sampled", "score_rows", "train_all"]

ORACLE = "exact"
_SAMPLE_SIZE = 256  # the oracle of a sample costs its size for every state

Row = dict[str, Any]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Design:
    """Size of the design.

    Parameters
    ----------
    recipe
        How networks are trained.
    seeds, first
        How many seeds, from the first one on.
    samples
        Trajectories of each trial.
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

    def trials(self) -> tuple[Trial, ...]:
        """Return the trainings of the design."""
        factors = product(TARGETS, self.noises, self.schedules, self.seed_range)
        return tuple(Trial(*levels) for levels in factors)


@dataclass(frozen=True)
class Trained:
    """All networks of a design."""

    nets: Perceptrons
    trials: tuple[Trial, ...]

    def estimate(self, target: str, noise: str, schedule: str, recipe: Recipe) -> Learned:
        """Return the estimates of one combination's networks, one for each seed."""
        wanted = (target, noise, schedule)
        which = [i for i, t in enumerate(self.trials) if (t.target, t.noise, t.schedule) == wanted]
        trials = [self.trials[i] for i in which]
        return Learned(self.nets.pick(which), trials, recipe, chain(schedule, recipe.steps))


def train_all(data: Distribution, size: Design, advance: Advance = lambda epochs: None) -> Trained:
    """Train all networks at once."""
    trials = size.trials()
    return Trained(train(data, trials, size.recipe, advance), trials)


def sampled(
    data: Distribution,
    estimate: Estimate,
    sampler: str,
    start: str,
    noise: str,
    size: Design,
    most: float,
    keep: Sequence[int] = (),
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return starts and ends ``[S, d, n]`` on the cosine schedule, and the states at the steps to keep."""
    walk = chain("cosine", size.recipe.steps)
    begin, taken = starts(data, start, noise, size.samples, size.seed_range, 2 * walk.steps)
    end, kept = sample_chain(estimate, walk, sampler, begin, taken, most, keep)
    return begin, end, kept


def sample_all(
    data: Distribution, trained: Trained, size: Design, advance: Advance = lambda trials: None
) -> list[Row]:
    """Sample and measure every trial, and the oracle in the networks' place.

    Returns
    -------
    list
        Rows with target ("exact" for the oracle), sampler, noise, schedule, start, and the values of every
        measure, one for each seed.
    """
    evaluate, rows, known = Evaluator(data), [], data.mixture is not None
    exact = size if known else replace(size, samples=min(size.samples, _SAMPLE_SIZE))
    for noise, schedule in product(size.noises, size.schedules):
        walk = chain(schedule, size.recipe.steps)
        both = {}
        # The oracle of a sample is evaluated with one kind of noise only, since it is slow.
        for target in [*TARGETS, *([ORACLE] if known or noise == NOISES[0] else [])]:
            count = exact if target == ORACLE else size
            if count.samples not in both:
                pairs = [
                    starts(data, s, noise, count.samples, count.seed_range, 2 * walk.steps) for s in STARTS
                ]
                # Trajectories from both starts take the same noise, side by side.
                both[count.samples] = tuple(torch.cat(part, -1) for part in zip(*pairs, strict=True))
            begin, taken = both[count.samples]
            estimate: Estimate = (
                Exact(data.oracle(), walk)
                if target == ORACLE
                else trained.estimate(target, noise, schedule, size.recipe)
            )
            for sampler in SAMPLERS:
                end, _ = sample_chain(estimate, walk, sampler, begin, taken, evaluate.most)
                about = {"target": target, "sampler": sampler, "noise": noise, "schedule": schedule}
                for start, first, last in zip(STARTS, begin.chunk(2, -1), end.chunk(2, -1), strict=True):
                    rows.append({**about, "start": start, **_measured(evaluate, first, last)})
                advance(1)
    return rows


def _measured(evaluate: Evaluator, begin: Tensor, end: Tensor) -> dict[str, list[float | None]]:
    found = [evaluate(a.T, b.T) for a, b in zip(begin, end, strict=True)]
    return {name: [digits(f[name]) for f in found] for name in MEASURES}


def _score_errors(estimate: Estimate, data: Distribution, schedule: str, size: Design) -> list[Any]:
    walk = chain(schedule, size.recipe.steps)
    errors = [score_error(estimate, data, walk, size.seeds, k).tolist() for k in levels(walk.steps)]
    return [[digits(e) for e in row] for row in errors]


def score_rows(data: Distribution, trained: Trained, size: Design) -> list[Row]:
    """Return the relative error of the score at the paper's steps, by target, noise, schedule and seed."""
    rows = []
    for target, noise, schedule in product(TARGETS, size.noises, size.schedules):
        estimate = trained.estimate(target, noise, schedule, size.recipe)
        error = _score_errors(estimate, data, schedule, size)
        rows.append({"target": target, "noise": noise, "schedule": schedule, "error": error})
    return rows


def capacity_rows(
    data: Distribution, size: Design, widths: Sequence[int], advance: Advance = lambda networks: None
) -> list[Row]:
    """Train the noise target with two layers of each width, with a linear map, and without time (Q3).

    Returns
    -------
    list
        Rows with name, parameters, ``error`` (of the score, by step and seed) and the measures of ancestral
        sampling from normal starts.
    """
    evaluate, rows = Evaluator(data), []
    kinds: list[tuple[str, tuple[int, ...], bool]] = [("linear", (), False)]
    kinds += [(f"width {w}", (w, w), False) for w in widths]
    kinds += [("width 20, time shuffled", (20, 20), True)]
    walk = chain("cosine", size.recipe.steps)
    for name, hidden, shuffled in kinds:
        recipe = replace(size.recipe, hidden=hidden)
        trials = [Trial(seed=seed, shuffled=shuffled) for seed in size.seed_range]
        nets = train(data, trials, recipe)
        estimate = Learned(nets, trials, recipe, walk)
        begin, end, _ = sampled(data, estimate, "posterior", "normal", "gaussian", size, evaluate.most)
        rows.append(
            {
                "network": name,
                "parameters": nets.flat.numel() // len(nets),
                "error": _score_errors(estimate, data, "cosine", size),
                **_measured(evaluate, begin, end),
            }
        )
        advance(1)
    return rows
