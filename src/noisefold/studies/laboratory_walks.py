"""Figures 6 to 11 of the laboratory: walks from a grid, learned fields, displacements."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.noise import Gaussian
from noisefold.studies.chain import chain, grid
from noisefold.studies.crossing import Crossing, Trained, walks
from noisefold.studies.measures import RATIOS, Ruler, digits, interval, levels, score_error
from noisefold.studies.sampling import Estimate, Exact
from noisefold.studies.toys import Toy

__all__ = ["agreement", "fields", "trajectories", "walked"]

_BLUE, _ORANGE, _INK = "#0072B2", "#E69F00", "#333333"
_SHOWN = (99, 54, 36, 18, 0)
_REACH = 7.5


def walked(
    toy: Toy, trained: Trained, size: Crossing, target: str, sampler: str, noise: str
) -> tuple[Figure, Any]:
    """Figures 6 to 9: one network's walk from the grid; the numbers are all measures, of every seed."""
    ruler, schedule = Ruler(toy), "cosine"
    estimate = trained.learnt(target, noise, schedule, size.recipe)
    last = size.recipe.steps
    keep = [round((k + 1) / 100 * last) if k else 0 for k in _SHOWN]
    begin, end, kept = walks(toy, estimate, schedule, sampler, "grid", noise, size, ruler.most, keep)
    side = end[0].sum(0) > float(toy.reference().sum(1).mean())
    picture = Figure(figsize=(11, 2.9), layout="constrained")
    for panel, k, state in zip(picture.subplots(1, 5), keep, kept, strict=True):
        x = state[0]
        for which, colour in ((side, _BLUE), (~side, _ORANGE)):
            panel.scatter(*x[:, which], s=3, color=colour, linewidths=0, rasterized=True)
        panel.set_title(f"t = {max(0, k - 1)}" if k else "end", fontsize=9)
        _plane(panel, toy, 7.5 if toy.law is not None or k > last // 2 else 4)
    found = [ruler(a.T, b.T) for a, b in zip(begin, end, strict=True)]
    numbers = {name: interval([f[name] for f in found], ratio=name in RATIOS).plain() for name in found[0]}
    told = ", ".join(f"{n} {_short(numbers[n]['mean'])}" for n in ("mass", "corridor", "det", "w2", "bits"))
    noun = {"gaussian": "random noise", "digits": "digits as noise", "quasi": "quasi-random noise"}[noise]
    picture.suptitle(
        f"{target} target, {sampler}, {noun}; coloured by where a walk ends\n{told}", fontsize=10
    )
    return picture, numbers


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def fields(toy: Toy, trained: Trained, size: Crossing) -> tuple[Figure, Any]:
    """Figure 10: the direction to the estimate, by target and step; the numbers are errors of the score."""
    walk = chain("cosine", size.recipe.steps)
    places = grid(11**2, 2, 6.5)
    estimates: dict[str, Estimate] = {"exact": Exact(toy.oracle(), walk)}
    for target in ("noise", "data", "previous"):
        estimates[target] = trained.learnt(target, "gaussian", "cosine", size.recipe)
    picture = Figure(figsize=(11, 8), layout="constrained")
    panels = picture.subplots(4, 6, sharex=True, sharey=True)
    numbers: dict[str, list[Any]] = {name: [] for name in estimates if name != "exact"}
    gap = "error" if toy.law is not None else "difference"
    for (i, name), (j, k) in product(enumerate(estimates), enumerate(levels(walk.steps))):
        panel, estimate = panels[i, j], estimates[name]
        # An oracle computes in float64 whatever it is given; networks want their own type.
        seeds = 1 if name == "exact" else size.seeds
        x = places.T.float().expand(seeds, -1, -1).contiguous()
        score = (float(walk.alpha[k]) * estimate.mean(x, k)[0].T - places.float()) / float(walk.sigma[k])
        shown = score / score.norm(dim=1, keepdim=True)
        panel.quiver(*places.T, *shown.T, color=_INK if name == "exact" else _BLUE, scale=12, width=0.01)
        title = f"t = {k - 1}" if i == 0 else ""
        if name != "exact":
            errors = score_error(estimate, toy, walk, size.seeds, k).tolist()
            numbers[name].append(interval(errors, ratio=True).plain())
            title = f"{gap} {_short(numbers[name][-1]['mean'])}"
        panel.set_title(title, fontsize=9)
        panel.set(aspect="equal", xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH))
        if j == 0:
            row = toy.standard if name == "exact" else f"network, {name}"
            panel.set_ylabel(f"{row}\n$x_2$ [{toy.unit}]")
        if i == 3:
            panel.set_xlabel(f"$x_1$ [{toy.unit}]")
    picture.suptitle(
        f"Direction of the score: {toy.standard}, and networks by target; relative {gap} of their scores",
        fontsize=10,
    )
    return picture, numbers


def trajectories(toy: Toy, trained: Trained, size: Crossing) -> tuple[Figure, Any]:
    """Figure 11: from where to where walks go, beside the score of the data; the number is how they agree."""
    few = replace(size, samples=15**2)
    most = Ruler(toy).most
    picture = Figure(figsize=(11, 4.1), layout="constrained")
    panels = picture.subplots(1, 3)
    numbers = {}
    for panel, noise, title in zip(
        panels, ("gaussian", "digits"), ("random noise", "digits as noise"), strict=False
    ):
        estimate = trained.learnt("noise", noise, "cosine", size.recipe)
        begin, end, _ = walks(toy, estimate, "cosine", "posterior", "grid", noise, few, most)
        found = [agreement(toy, a.T, b.T) for a, b in zip(begin, end, strict=True)]
        numbers[noise] = interval(found).plain()
        move = (end - begin)[0]
        panel.quiver(*begin[0], *move, color=_BLUE, angles="xy", scale_units="xy", scale=6, width=0.004)
        panel.set_title(
            f"{title}: a sixth of the way\ncosine with the score {_short(numbers[noise]['mean'])}",
            fontsize=10,
        )
    places = grid(15**2, 2)
    score = _score(toy, places)
    unit = score / score.norm(dim=1, keepdim=True)
    panels[2].quiver(*places.T, *unit.T, color=_INK, angles="xy", scale_units="xy", scale=1.2, width=0.004)
    whose = "the data" if toy.law is not None else f"a {toy.standard}\nunder noise of a tenth"
    panels[2].set_title(f"direction of the score of {whose}", fontsize=10)
    for panel in panels:
        _plane(panel, toy, _REACH)
    return picture, numbers


def agreement(toy: Toy, begin: Tensor, end: Tensor) -> float:
    """Mean cosine between displacements and the score of the data where they began."""
    score, move = _score(toy, begin.double()), (end - begin).double()
    return digits(float(torch.nn.functional.cosine_similarity(score, move, dim=1).mean())) or 0.0


def _score(toy: Toy, x: Tensor) -> Tensor:
    """Score of the data; of a sample, that under noise of a tenth."""
    path, t = Gaussian(), torch.tensor(0.0 if toy.law is not None else 0.1, dtype=torch.float64)
    if toy.law is not None:
        return toy.law.score(x, t, path)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    return (alpha * toy.oracle().denoise(x, t, path) - x) / sigma**2


def _plane(panel: Axes, toy: Toy, reach: float) -> None:
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    panel.set_xlabel(f"$x_1$ [{toy.unit}]")
    panel.set_ylabel(f"$x_2$ [{toy.unit}]")
