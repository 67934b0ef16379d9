"""Figures 3 to 5 of the diffusion study (density, targets, schedules), its summary, and the gallery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisefold.noise import Gaussian, derive_seed
from noisefold.studies.diffusion.chains import SCHEDULES, chain, grid
from noisefold.studies.diffusion.distributions import EXACT, Distribution
from noisefold.studies.diffusion.effects import SCALED
from noisefold.studies.diffusion.factorial import ORACLE, Design, Trained
from noisefold.studies.diffusion.measures import LEVELS, MEASURES, cluster_bits, schedule_steps
from noisefold.studies.diffusion.samplers import SAMPLERS
from noisefold.studies.diffusion.trajectories import plane, score_fields, snapshots, trajectories
from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import BLUE, GREEN, INK, ORANGE, PINK, RED, SKY, panels

__all__ = ["density_figure", "gallery", "schedule_figure", "score_gap", "summary", "target_figure"]

_MARKS = {
    ORACLE: (INK, "*"),
    "noise": (BLUE, "o"),
    "data": (ORANGE, "s"),
    "previous": (RED, "^"),
    "velocity": (GREEN, "D"),
}
_NAMES = {"posterior": "posterior", "ddim": "DDIM", "mean": "renoised\nmean", "draw": "renoised\ndraw"}
_REACH = 7.0


def gallery(data: Distribution, trained: Trained, size: Design) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Return the paper's figures 3 to 11 by name, and the number that belongs to each; only in the plane."""
    if data.dim != 2:
        return {}, {}
    made: dict[str, tuple[Figure, Any]] = {
        "figure-03": density_figure(data),
        "figure-04": target_figure(data, size),
        "figure-05": schedule_figure(data, size),
        "figure-06": snapshots(data, trained, size, "noise", "posterior", "gaussian"),
        "figure-07": snapshots(data, trained, size, "noise", "posterior", "digits"),
        "figure-08": snapshots(data, trained, size, "previous", "posterior", "gaussian"),
        "figure-09": snapshots(data, trained, size, "data", "mean", "gaussian"),
        "figure-10": score_fields(data, trained, size),
        "figure-11": trajectories(data, trained, size),
    }
    return {k: v[0] for k, v in made.items()}, {k: v[1] for k, v in made.items()}


def score_gap(data: Distribution, side: int = 41) -> float:
    """Return the largest difference on a grid between the oracle's score and autograd of its log-density."""
    assert data.mixture is not None
    path, worst = Gaussian(), 0.0
    for t in torch.tensor([0.0, 0.2, 0.5, 0.9], dtype=torch.float64):
        x = grid(side**2, data.dim).requires_grad_()
        (slope,) = torch.autograd.grad(data.mixture.log_prob(x, t, path).sum(), x)
        worst = max(worst, float((data.mixture.score(x.detach(), t, path) - slope).abs().max()))
    return worst


def _reach(data: Distribution) -> float:
    return _REACH if data.mixture is not None else 3.6


def density_figure(data: Distribution) -> tuple[Figure, Any]:
    """Draw figure 3: density, log-density and score; the number is the error of the score on a grid."""
    if data.mixture is None:
        picture, panel = panels(1, 1, 10, 4.4)
        points = data.reference(2000)
        panel.scatter(*points.T.numpy(), s=2, color=BLUE, linewidths=0, rasterized=True)
        panel.set(title=f"{data.name}: {len(points)} points that stand for the distribution")
        plane(panel, data, _reach(data))
        return picture, None
    picture, (left, right) = panels(1, 2, 10, 4.4)
    side, zero, path = 161, torch.zeros((), dtype=torch.float64), Gaussian()
    log_density = data.mixture.log_prob(grid(side**2, 2), zero, path).view(side, side).T
    extent = (-_REACH, _REACH, -_REACH, _REACH)
    for panel, values, name in (
        (left, log_density.exp(), "density [1 / area]"),
        (right, log_density, "log-density [nat]"),
    ):
        image = panel.imshow(values.numpy(), origin="lower", extent=extent, cmap="cividis")
        picture.colorbar(image, ax=panel, shrink=0.85, label=name)
        plane(panel, data, _reach(data))
    places = grid(15**2, 2, 6.5)
    score = data.mixture.score(places, zero, path)
    unit = score / score.norm(dim=1, keepdim=True)
    right.quiver(*places.T.numpy(), *unit.T.numpy(), color="white", scale=26, width=0.004)
    gap = score_gap(data)
    left.set_title("density")
    right.set_title(f"log-density, direction of the score\n(error of the score: {gap:.0e})")
    return picture, {"score_gap": gap}


def target_figure(data: Distribution, size: Design) -> tuple[Figure, Any]:
    """Draw figure 4: what each target predicts, seen from one state."""
    walk = chain("cosine", size.recipe.steps)
    k = round(0.6 * walk.steps)
    x0 = data.draw(2, torch.Generator().manual_seed(derive_seed(1, 4)))[:1]
    eps = torch.tensor([[1.6, -1.2]], dtype=torch.float64)
    t = walk.times[k]
    x = walk.path.mix(x0, eps, t)
    names = ("noise", "data", "previous", "velocity")
    marks = {n: size.recipe.target(n).value(x0, x, t, walk.path) for n in names}
    speed = marks["velocity"] / walk.steps
    ends = {
        "noise": (x - walk.sigma[k] * eps, x, r"noise $\varepsilon$ (times $\sigma$)"),
        "data": (x, x0, "data $x_0$"),
        "previous": (x, x + 8 * (marks["previous"] - x), "mean of $x_{k-1}$, eight times the way"),
        "velocity": (x, x - 8 * speed, "velocity, eight steps of it"),
    }
    picture, row = panels(1, 4, 10, 2.9, sharex=True, sharey=True)
    for panel, name in zip(row, names, strict=True):
        tail, head, title = ends[name]
        low, high = torch.cat([x0, x, *[torch.cat(v[:2]) for v in ends.values()]]).aminmax(dim=0)
        pad = 0.18 * float((high - low).max())
        panel.plot(*x0.T, "o", color=INK, markersize=6, label="$x_0$")
        panel.plot(*x.T, "s", color=BLUE, markersize=6, label=f"$x_k$, k = {k}")
        arrow = {"arrowstyle": "-|>", "color": RED, "lw": 1.8, "shrinkA": 0, "shrinkB": 0}
        panel.annotate("", tuple(head[0].tolist()), tuple(tail[0].tolist()), arrowprops=arrow)
        (left, bottom), (right, top) = (low - pad).tolist(), (high + pad).tolist()
        panel.set(xlim=(left, right), ylim=(bottom, top))
        panel.set_title(title, fontsize=9)
        panel.set_xlabel(f"$x_1$ [{data.unit}]")
        panel.grid(color="0.92")
    row[0].set_ylabel(f"$x_2$ [{data.unit}]")
    row[0].legend(frameon=False, fontsize=8)
    return picture, None


def schedule_figure(data: Distribution, size: Design) -> tuple[Figure, Any]:
    """Draw figure 5: schedules, and data on their way to noise; the number is where the information goes."""
    picture = Figure(figsize=(11, 7.6), layout="constrained")
    places = picture.add_gridspec(2, 1, height_ratios=(1, 1.35))
    above, below = (picture.add_subfigure(places[i]) for i in range(2))
    factor, beta, *told = above.subplots(1, 3 if data.mixture is not None else 2)
    steps, numbers = {}, torch.arange(1, size.recipe.steps + 1)
    for name, colour, style in zip(SCHEDULES, (ORANGE, BLUE), ("--", "-"), strict=True):
        walk = chain(name, size.recipe.steps)
        squares = walk.alpha**2
        look = {"color": colour, "linestyle": style, "label": name}
        factor.plot(numbers, squares[1:], **look)
        beta.plot(numbers, 1 - squares[1:] / squares[:-1], **look)
        if data.mixture is not None:
            bits = cluster_bits(data.mixture, walk)
            steps[name] = schedule_steps(bits)
            look["label"] = f"{name}: {'/'.join(map(str, steps[name]))} steps"
            told[0].plot(numbers, bits, **look)
    factor.set(title="signal that is left", ylabel=r"$\bar\alpha$ = $\alpha^2$ [1]")
    beta.set(title="noise added", ylabel=r"$\beta$ [1]", yscale="log")
    for panel in (factor, beta, *told):
        panel.set_xlabel("step k")
        panel.grid(color="0.92")
    factor.legend(frameon=False)
    for panel in told:
        panel.set(title="information of a state on its component", ylabel="mutual information [bit]")
        for level in (0.05, 0.95):
            panel.axhline(level, color="0.6", linewidth=0.8)
        panel.legend(
            frameon=False,
            fontsize=8,
            title="< 0.05 / between / > 0.95 bit",
            title_fontsize=8,
            loc="center left",
        )
    clouds = below.subplots(2, 5, sharex=True, sharey=True)
    generator = torch.Generator().manual_seed(derive_seed(5))
    x0 = data.draw(1500, generator)
    eps = torch.randn(1500, 2, generator=generator, dtype=torch.float64)
    side = (x0 - x0.mean(0)).sum(1) > 0
    for row, name in zip(clouds, SCHEDULES, strict=True):
        walk = chain(name, size.recipe.steps)
        for panel, share in zip(row, (0.0, 0.27, 0.54, 0.81, 1.0), strict=True):
            k = max(1, round(share * walk.steps))
            x = walk.path.mix(x0, eps, walk.times[k])
            for which, colour in ((side, BLUE), (~side, ORANGE)):
                panel.scatter(*x[which].T, s=2, color=colour, linewidths=0, rasterized=True)
            panel.set_title(f"{name}, k = {k}", fontsize=9)
            plane(panel, data, _reach(data), labels=False)
    below.supxlabel(f"$x_1$ [{data.unit}]", fontsize=10)
    below.supylabel(f"$x_2$ [{data.unit}]", fontsize=10)
    return picture, steps or None


# -- summary -------------------------------------------------------------------------------------------------


def summary(result: Result) -> Figure:
    """Draw spread and bias of the samples by sampler, shares of variance, and error against width."""
    picture, ((det, bits), (share, width)) = panels(2, 2, 11.5, 7.2)
    rows = [r for r in result["samplers"] if r["start"] == "normal"]
    exact = result["standard"] == EXACT
    for offset, (target, (colour, mark)) in enumerate(_MARKS.items()):
        own = {r["sampler"]: r for r in rows if r["target"] == target}
        label = result["standard"] if target == ORACLE else f"network, {target}"
        for panel, name, least in ((det, "det", 1e-3), (bits, "bits", 1e-5)):
            places = [i + (offset - 2) * 0.14 for i in range(len(SAMPLERS))]
            values = [own[s][name] for s in SAMPLERS]
            mean, low, high = (
                [_bounded(v[key], v["low"], least) for v in values] for key in ("mean", "low", "high")
            )
            look: dict[str, Any] = {
                "fmt": mark,
                "color": colour,
                "capsize": 2,
                "markersize": 6,
                "label": label,
            }
            panel.errorbar(places, mean, yerr=_errors(mean, low, high), **look)
    det.axhline(1, color="0.6", linewidth=0.8)
    whose = ("a mode", "the truth") if exact else ("the samples", "held-out points")
    det.set(yscale="log", ylabel=f"det of covariance over {whose[1]} [1]", ylim=(5e-4, 2e3))
    det.set_title(f"Spread of {whose[0]} by sampler\n(N(0, I), cosine; bars: 95 % over seeds)", fontsize=10)
    bits.set(ylabel="mutual information [bit]", ylim=(-0.05, 1.05))
    bits.set_title("Dependence of the end on the start", fontsize=10)
    for panel in (det, bits):
        panel.set_xticks(range(len(SAMPLERS)), [_NAMES[s] for s in SAMPLERS])
        panel.grid(axis="y", color="0.92")
    picture.legend(*det.get_legend_handles_labels(), loc="outside lower center", ncol=5, frameon=False)
    _stacked(share, result["shares"])
    _widths(width, result["needed"], "error of the score" if exact else "gap to the sample's score")
    return picture


def _bounded(value: float | None, low: float | None, least: float) -> float:
    """Return values clipped to the panel; a missing value whose interval has a lower end is infinite."""
    if value is None:
        return math.nan if low is None else 1e6
    return min(max(value, least), 1e6)


def _stacked(panel: Axes, rows: Sequence[Result]) -> None:
    names = list(rows[0])[1:]
    colours = (RED, BLUE, PINK, ORANGE, GREEN, "#7F6BB0", SKY, "0.75", "0.9")
    hatches = ("", "//", "", "\\\\", "", "..", "xx", "", "")
    labels = [SCALED.get(m, m) for m in MEASURES]
    left = [0.0] * len(labels)
    for name, colour, hatch in zip(names, colours, hatches, strict=True):
        width = [max(0.0, 100 * (r[name]["share"] or 0.0)) for r in rows]
        panel.barh(
            labels, width, left=left, color=colour, hatch=hatch, edgecolor="white", label=name, linewidth=0.4
        )
        left = [a + b for a, b in zip(left, width, strict=True)]
    panel.invert_yaxis()
    panel.set(xlabel="share of variance over the design [%]", xlim=(0, 100))
    panel.set_title("Shares of variance", fontsize=10)
    panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncol=5, frameon=False)


def _widths(panel: Axes, rows: Sequence[Result], measure: str) -> None:
    looks = zip(LEVELS[1:], (BLUE, ORANGE, GREEN, RED, PINK), "os^Dv", strict=True)
    for k, colour, mark in looks:
        i = LEVELS.index(k)
        values = [[v for v in r["error"][i] if v is not None] for r in rows]
        mean = [sum(v) / len(v) if v else math.nan for v in values]
        low, high = ([f(v) if v else math.nan for v in values] for f in (min, max))
        look: dict[str, Any] = {"fmt": f"{mark}-", "color": colour, "capsize": 2, "label": f"t = {k - 1}"}
        panel.errorbar(range(len(rows)), mean, yerr=_errors(mean, low, high), **look)
    names = [r["network"].replace("width ", "").replace("time shuffled", "time\nshuffled") for r in rows]
    panel.set_xticks(range(len(rows)), names)
    panel.set(xlabel="width of the two layers", ylabel=f"relative {measure} [1]", yscale="log")
    panel.set_title("How much network (bars: least to most of the seeds)", fontsize=10)
    panel.grid(axis="y", color="0.92")
    panel.legend(fontsize=8, frameon=False)


def _errors(mean: list[float], low: list[float], high: list[float]) -> list[list[float]]:
    """Return the lengths of error bars down and up, 0 where they are unknown."""
    down = [m - a for m, a in zip(mean, low, strict=True)]
    up = [b - m for m, b in zip(mean, high, strict=True)]
    return [[max(0.0, e) if math.isfinite(e) else 0.0 for e in part] for part in (down, up)]
