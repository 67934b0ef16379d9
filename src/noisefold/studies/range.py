r"""The study behind "why the graph should follow the noise": figure 2 of the paper with its sign put right.

The radius of the greatest mutual information (lemma 3.1) at each ratio of signal to noise, for four
correlations in one to three dimensions; the same for the paper's own example, with the sign of lemma A.1 and
with the right one; and simulated fields and nodes beside the formulas of lemma 3.1 and proposition 3.3. Given
data, the study is that of `noisefold.studies.own_range`.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar
from torch import Tensor

from noisefold.data.source import DataSource
from noisefold.geometry.gp import factor
from noisefold.noise.source import derive_seed
from noisefold.progress import progress
from noisefold.studies import own_range_figures, own_range_tables
from noisefold.studies.own_range import graphs_of, measure, net_of, stem_of
from noisefold.studies.study import Study, keep
from noisefold.theory import (
    Correlation,
    Exponential,
    Matern,
    Spherical,
    SquaredExponential,
    Triangular,
    ball_integrals,
    best_radius,
    expected_square_distance,
    mutual_information,
)
from noisefold.theory.radial import ball_points
from noisefold.train.checkpoint import atomic_text

__all__ = [
    "CORRELATIONS",
    "DESCRIPTION",
    "NAME",
    "RANGE",
    "SCALES",
    "figure",
    "on",
    "paper_example",
    "run",
    "simulated_distance",
    "simulated_information",
    "table",
]

NAME = "range"
DESCRIPTION = "radius of the greatest mutual information by noise (figure 2, corrected); or on your own data"
SCALES = ("smoke", "short")
_CENTRES = {"smoke": 512, "short": 4096}  # nodes from which the variogram of given data looks

CORRELATIONS: dict[str, Correlation] = {
    "squared exponential": SquaredExponential(0.5),
    "exponential": Exponential(0.5),
    "Matern 3/2": Matern(0.5),
    "triangular": Triangular(1.0),
    "spherical": Spherical(1.0),
}
"""What is compared, by name: the triangular one on the line, the spherical one in its place beyond."""

_SNRS = (0.1, 1.0, 5.0, 10.0, 50.0)
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")


@dataclass(frozen=True)
class _Scale:
    curve: int
    samples: int
    points: int


_SIZES = {"smoke": _Scale(5, 500, 128), "short": _Scale(41, 20_000, 512)}


def paper_example(distance: Tensor) -> Tensor:
    """The paper's 1 - h^2, which is no correlation."""
    return 1 - distance**2


def simulated_information(
    correlation: Correlation, radius: float, snr: Tensor, dim: int, samples: int, points: int, seed: int
) -> tuple[Tensor, Tensor]:
    r"""Mutual information of lemma 3.1 from simulated fields, and its error, ``[m]`` for ``snr [m]``.

    Gaussian fields are drawn at the centre of a ball and at points that fill it evenly; Y is the sum over the
    points, times the volume of each, and a draw of the integral of white noise. From the correlation c of
    the value at the centre with Y follows :math:`I = -\tfrac12 \log(1 - c^2)`, with standard error
    :math:`c / \sqrt{n}`. The points stand for an integral: A errs by less than 1 / points of it.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, dim))
    places = torch.cat([torch.zeros(1, dim, dtype=torch.float64), ball_points(points, dim) * radius])
    covariance = correlation(torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist"))
    covariance += 1e-10 * torch.eye(len(places))  # smooth fields have singular matrices in floats
    field = torch.randn(samples, len(places), generator=generator, dtype=torch.float64)
    field = field @ factor(covariance).lower.T
    volume = float(ball_integrals(correlation, radius, dim)[0])
    noise = torch.randn(samples, generator=generator, dtype=torch.float64)
    total = field[:, 1:].mean(1) * volume + (volume / snr[:, None]).sqrt() * noise
    c = torch.stack([torch.corrcoef(torch.stack([field[:, 0], y]))[0, 1] for y in total])
    return -0.5 * torch.log1p(-(c**2)), c.abs() / math.sqrt(samples)


def simulated_distance(
    distance: float, alpha: float, sigma: float, correlation: float, dim: int, samples: int, seed: int
) -> tuple[float, float]:
    """Mean squared distance of two nodes after noise, and its standard error, from simulated pairs."""
    generator = torch.Generator().manual_seed(derive_seed(seed, dim))
    own, other = torch.randn(2, samples, dim, generator=generator, dtype=torch.float64)
    second = correlation * own + math.sqrt(1 - correlation**2) * other
    gap = sigma * (own - second)
    gap[:, 0] += alpha * distance
    square = gap.square().sum(1)
    return float(square.mean()), float(square.std()) / math.sqrt(samples)


def run(scale: str, seed: int = 0) -> dict[str, Any]:
    """Run the study.

    Parameters
    ----------
    scale
        "smoke" or "short".
    seed
        Of the simulations.

    Returns
    -------
    dict
        Plain data: ``radii`` (the best radius by correlation, dimension and SNR), ``curves`` (the same on the
        line over many SNRs), ``paper`` (the example 1 - h^2, with both signs), ``information`` (formula and
        simulation) and ``distances`` (proposition 3.3 and simulation).

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    if scale not in _SIZES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = _SIZES[scale]
    cases = [
        (name, c, dim)
        for name, c in CORRELATIONS.items()
        for dim in (1, 2, 3)
        if (name, dim == 1) not in (("triangular", False), ("spherical", True))
    ]
    ratios = torch.logspace(-2, 2, size.curve, dtype=torch.float64).tolist()
    radii, curves, information = [], [], []
    with progress(NAME, len(cases)) as advance:
        for i, (name, c, dim) in enumerate(cases):
            row = [best_radius(c, snr, dim) for snr in _SNRS]
            radii.append({"correlation": name, "dim": dim, "snr": list(_SNRS), "radius": row})
            if dim == 1:
                found = [best_radius(c, snr) for snr in ratios]
                curves.append({"correlation": name, "snr": ratios, "radius": found})
            information += _information_rows(name, c, dim, size, derive_seed(seed, i))
            advance(1, name)
    return {
        "name": NAME,
        "scale": scale,
        "seed": seed,
        "samples": size.samples,
        "radii": radii,
        "curves": curves,
        "paper": _paper(ratios),
        "information": information,
        "distances": _distance_rows(size, seed),
    }


def _information_rows(name: str, c: Correlation, dim: int, size: _Scale, seed: int) -> list[dict[str, Any]]:
    snr = torch.tensor(_SNRS[:2] + _SNRS[3:4], dtype=torch.float64)
    radius = 0.5
    told = mutual_information(c, radius, snr, dim).tolist()
    values, errors = (
        v.tolist() for v in simulated_information(c, radius, snr, dim, size.samples, size.points, seed)
    )
    about = {"correlation": name, "dim": dim, "radius": radius}
    return [
        {**about, "snr": s, "formula": f, "simulated": v, "error": e}
        for s, f, v, e in zip(snr.tolist(), told, values, errors, strict=True)
    ]


def _distance_rows(size: _Scale, seed: int) -> list[dict[str, Any]]:
    rows = []
    for i, (time, rho) in enumerate(product((0.9, 0.5, 0.1), (-0.5, 0.0, 0.5, 0.9))):
        alpha, sigma = math.sqrt(time), math.sqrt(1 - time)
        value, error = simulated_distance(0.1, alpha, sigma, rho, 1, size.samples, derive_seed(seed, i))
        rows.append(
            {
                "paper_time": time,
                "correlation": rho,
                "formula": float(expected_square_distance(0.1, alpha, sigma, rho)),
                "printed": 2 * (1 - time) + 2 * rho * (1 - time) + time * 0.01,
                "simulated": value,
                "error": error,
            }
        )
    return rows


def _paper(ratios: list[float]) -> dict[str, Any]:
    """Best radius up to 1 for 1 - h^2, with + 4 r^6 / 9 as printed and with - 4 r^6 / 9."""

    def printed(radius: float, snr: float) -> float:
        whole = 2 * radius / snr + 4 * radius**2 - 8 * radius**4 / 3
        return 0.5 * math.log(whole / (2 * radius / snr + 4 * radius**6 / 9))

    def widest(snr: float) -> float:
        found = minimize_scalar(lambda r: -printed(r, snr), bounds=(1e-3, 1.0), method="bounded")
        return float(found.x)

    wrong = [widest(s) for s in ratios]
    # Beyond SNR 4.5 the logarithm has no value from (4.5 / SNR)^(1/5) on, and no greatest one below it.
    below = [s for s in ratios if s < 4.5]
    right = [best_radius(paper_example, s, bounds=(1e-3, 1.0), check=False) for s in below]
    pole = [(4.5 / s) ** 0.2 for s in ratios if s >= 4.5]
    return {"snr": ratios, "printed": wrong, "right_snr": below, "right": right, "pole": pole}


# -- what it says --------------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    """Markdown: best radii, the paper's example, and the simulations."""
    lines = [
        "Radius of the greatest mutual information.",
        "",
        f"| correlation | dimension |{''.join(f' SNR {s:g} |' for s in _SNRS)}",
        f"| --- | --- |{' --- |' * len(_SNRS)}",
    ]
    for row in result["radii"]:
        cells = " | ".join(f"{r:.3f}" for r in row["radius"])
        lines.append(f"| {row['correlation']} | {row['dim']} | {cells} |")
    lines += ["", "Formula and simulation, standard error in brackets.", ""]
    lines += ["| correlation | dimension | SNR | formula | simulated |", "| --- | --- | --- | --- | --- |"]
    for row in result["information"]:
        lines.append(
            f"| {row['correlation']} | {row['dim']} | {row['snr']:g} | {row['formula']:.4f} "
            f"| {row['simulated']:.4f} ({row['error']:.4f}) |"
        )
    lines += ["", "Expected squared distance of two nodes .1 apart.", ""]
    lines += ["| t' | correlation | right sign | as printed | simulated |", "| --- | --- | --- | --- | --- |"]
    for row in result["distances"]:
        lines.append(
            f"| {row['paper_time']:g} | {row['correlation']:g} | {row['formula']:.4f} | {row['printed']:.4f} "
            f"| {row['simulated']:.4f} ({row['error']:.4f}) |"
        )
    worst = max(abs(r["simulated"] - r["formula"]) / r["error"] for r in _simulated(result))
    lines += ["", f"Largest difference in {len(_simulated(result))} rows: {worst:.2f} standard errors."]
    return "\n".join(lines)


def _simulated(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [*result["information"], *result["distances"]]


def figure(result: dict[str, Any]) -> Figure:
    """Information against radius; best radius against SNR; the same for the paper's example."""
    picture = Figure(figsize=(12, 3.8), layout="constrained")
    told, valid, paper = picture.subplots(1, 3)
    field = CORRELATIONS["squared exponential"]
    radius = torch.logspace(-1.5, 0.5, 120, dtype=torch.float64)
    for colour, snr in zip(_COLOURS, _SNRS, strict=True):
        told.plot(radius, mutual_information(field, radius, snr), color=colour, label=f"SNR {snr:g}")
        top = best_radius(field, snr)
        told.plot(top, float(mutual_information(field, top, snr)), "o", color=colour)
    told.set(
        title="squared exponential, l = .5", xlabel="radius [unit of l]", ylabel="mutual information [nat]"
    )
    for colour, row in zip(_COLOURS, result["curves"], strict=False):
        valid.plot(row["snr"], row["radius"], color=colour, label=row["correlation"])
    valid.set(
        title="valid correlations: more noise, more range",
        xlabel="SNR",
        ylabel="best radius [unit of l]",
        ylim=0,
    )
    example = result["paper"]
    paper.plot(example["snr"], example["printed"], "--", color="0.5", label="sign as printed")
    paper.plot(example["right_snr"], example["right"], color=_COLOURS[3], label="right sign")
    over = [s for s in example["snr"] if s >= 4.5]
    paper.plot(over, example["pole"], ":", color=_COLOURS[3], label="information infinite, none beyond")
    paper.set(title="$1 - h^2$, which is no correlation", xlabel="SNR", ylabel="best radius up to 1", ylim=0)
    for panel in (told, valid, paper):
        panel.set_xscale("log")
        panel.grid(color="0.9")
        panel.legend(frameon=False, fontsize=8)
    return picture


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


def on(source: str) -> Study:
    """The study of a file, a folder, a pattern, or "shapes" for procedural ones."""
    reading = DataSource(source)

    def study(out: Path, scale: str, seed: int) -> list[Path]:
        result = measure(graphs_of(reading, seed), _CENTRES[scale], seed)
        folder = out / stem_of(source)
        config = folder / f"{scale}.yaml"
        told = own_range_tables.table(result, source, config)
        result = {"name": NAME, "source": source, "scale": scale, "seed": seed, **result}
        asked = shlex.join((NAME, source))
        paths = keep(folder, asked, scale, result, told, own_range_figures.figure(result))
        atomic_text(config, yaml.safe_dump({"net": net_of(result)}, sort_keys=False))
        return [*paths, config]

    return Study(DESCRIPTION, SCALES, study)


RANGE = Study(DESCRIPTION, SCALES, _study, on=on)
