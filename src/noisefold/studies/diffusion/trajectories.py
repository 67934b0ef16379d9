"""Figures 6 to 11 of the diffusion study: snapshots of sampling, learned score fields, displacements."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.noise import Gaussian
from noisefold.studies.diffusion.chains import chain, grid
from noisefold.studies.diffusion.distributions import Distribution
from noisefold.studies.diffusion.factorial import Design, Trained, sampled
from noisefold.studies.diffusion.measures import RATIOS, Evaluator, levels, score_error
from noisefold.studies.diffusion.samplers import Estimate, Exact
from noisefold.studies.kit.plots import BLUE, INK, ORANGE, panels
from noisefold.studies.kit.statistics import digits, interval

__all__ = ["agreement", "plane", "score_fields", "snapshots", "trajectories"]

_SHOWN = (99, 54, 36, 18, 0)
_REACH = 7.5


def snapshots(
    data: Distribution, trained: Trained, size: Design, target: str, sampler: str, noise: str
) -> tuple[Figure, Any]:
    """Draw figures 6 to 9: samples on their way from the grid; the numbers are all measures."""
    evaluate = Evaluator(data)
    estimate = trained.estimate(target, noise, "cosine", size.recipe)
    last = size.recipe.steps
    keep = [round((k + 1) / 100 * last) if k else 0 for k in _SHOWN]
    begin, end, kept = sampled(data, estimate, sampler, "grid", noise, size, evaluate.most, keep)
    side = end[0].sum(0) > float(data.reference().sum(1).mean())
    picture, row = panels(1, 5, 11, 2.9)
    for panel, k, state in zip(row, keep, kept, strict=True):
        x = state[0]
        for which, colour in ((side, BLUE), (~side, ORANGE)):
            panel.scatter(*x[:, which], s=3, color=colour, linewidths=0, rasterized=True)
        panel.set_title(f"t = {max(0, k - 1)}" if k else "end", fontsize=9)
        plane(panel, data, 7.5 if data.mixture is not None or k > last // 2 else 4)
    found = [evaluate(a.T, b.T) for a, b in zip(begin, end, strict=True)]
    numbers = {name: interval([f[name] for f in found], ratio=name in RATIOS).plain() for name in found[0]}
    told = ", ".join(f"{n} {_short(numbers[n]['mean'])}" for n in ("mass", "corridor", "det", "w2", "bits"))
    noun = {"gaussian": "random noise", "digits": "digits as noise", "quasi": "quasi-random noise"}[noise]
    picture.suptitle(
        f"{target} target, {sampler}, {noun}; coloured by where a trajectory ends\n{told}", fontsize=10
    )
    return picture, numbers


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def score_fields(data: Distribution, trained: Trained, size: Design) -> tuple[Figure, Any]:
    """Draw figure 10: direction of the score, by target and step; the numbers are errors of the score."""
    walk = chain("cosine", size.recipe.steps)
    places = grid(11**2, 2, 6.5)
    estimates: dict[str, Estimate] = {"exact": Exact(data.oracle(), walk)}
    for target in ("noise", "data", "previous"):
        estimates[target] = trained.estimate(target, "gaussian", "cosine", size.recipe)
    picture, table = panels(4, 6, 11, 8, sharex=True, sharey=True)
    numbers: dict[str, list[Any]] = {name: [] for name in estimates if name != "exact"}
    gap = "error" if data.mixture is not None else "difference"
    for (i, name), (j, k) in product(enumerate(estimates), enumerate(levels(walk.steps))):
        panel, estimate = table[i, j], estimates[name]
        # An oracle computes in float64 whatever its input; networks need their own type.
        seeds = 1 if name == "exact" else size.seeds
        x = places.T.float().expand(seeds, -1, -1).contiguous()
        score = (float(walk.alpha[k]) * estimate.mean(x, k)[0].T - places.float()) / float(walk.sigma[k])
        shown = score / score.norm(dim=1, keepdim=True)
        panel.quiver(*places.T, *shown.T, color=INK if name == "exact" else BLUE, scale=12, width=0.01)
        title = f"t = {k - 1}" if i == 0 else ""
        if name != "exact":
            errors = score_error(estimate, data, walk, size.seeds, k).tolist()
            numbers[name].append(interval(errors, ratio=True).plain())
            title = f"{gap} {_short(numbers[name][-1]['mean'])}"
        panel.set_title(title, fontsize=9)
        panel.set(aspect="equal", xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH))
        if j == 0:
            row = data.standard if name == "exact" else f"network, {name}"
            panel.set_ylabel(f"{row}\n$x_2$ [{data.unit}]")
        if i == 3:
            panel.set_xlabel(f"$x_1$ [{data.unit}]")
    picture.suptitle(
        f"Direction of the score: {data.standard}, and networks by target; relative {gap} of their scores",
        fontsize=10,
    )
    return picture, numbers


def trajectories(data: Distribution, trained: Trained, size: Design) -> tuple[Figure, Any]:
    """Draw figure 11: displacements of trajectories and the score of the data; the number is their cosine."""
    few = replace(size, samples=15**2)
    most = Evaluator(data).most
    picture, row = panels(1, 3, 11, 4.1)
    numbers = {}
    for panel, noise, title in zip(
        row, ("gaussian", "digits"), ("random noise", "digits as noise"), strict=False
    ):
        estimate = trained.estimate("noise", noise, "cosine", size.recipe)
        begin, end, _ = sampled(data, estimate, "posterior", "grid", noise, few, most)
        found = [agreement(data, a.T, b.T) for a, b in zip(begin, end, strict=True)]
        numbers[noise] = interval(found).plain()
        move = (end - begin)[0]
        panel.quiver(*begin[0], *move, color=BLUE, angles="xy", scale_units="xy", scale=6, width=0.004)
        panel.set_title(
            f"{title}: a sixth of the way\ncosine with the score {_short(numbers[noise]['mean'])}",
            fontsize=10,
        )
    places = grid(15**2, 2)
    score = _score(data, places)
    unit = score / score.norm(dim=1, keepdim=True)
    row[2].quiver(*places.T, *unit.T, color=INK, angles="xy", scale_units="xy", scale=1.2, width=0.004)
    whose = "the data" if data.mixture is not None else f"a {data.standard}\nunder noise of a tenth"
    row[2].set_title(f"direction of the score of {whose}", fontsize=10)
    for panel in row:
        plane(panel, data, _REACH)
    return picture, numbers


def agreement(data: Distribution, begin: Tensor, end: Tensor) -> float:
    """Return the mean cosine between displacements and the score of the data where they began."""
    score, move = _score(data, begin.double()), (end - begin).double()
    return digits(float(torch.nn.functional.cosine_similarity(score, move, dim=1).mean())) or 0.0


def _score(data: Distribution, x: Tensor) -> Tensor:
    """Score of the data; of a sample, that under noise of a tenth."""
    path, t = Gaussian(), torch.tensor(0.0 if data.mixture is not None else 0.1, dtype=torch.float64)
    if data.mixture is not None:
        return data.mixture.score(x, t, path)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    return (alpha * data.oracle().denoise(x, t, path) - x) / sigma**2


def plane(panel: Axes, data: Distribution, reach: float, labels: bool = True) -> None:
    """Set a panel to a square of the plane around 0, with the units of the data."""
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    if labels:
        panel.set(xlabel=f"$x_1$ [{data.unit}]", ylabel=f"$x_2$ [{data.unit}]")
