r"""Why the graph should follow the noise: figure 2 of the NCGN paper with its sign corrected.

The radius of the greatest mutual information (lemma 3.1) at each signal-to-noise ratio, for four correlations
in one to three dimensions; the same for the paper's own example, with the sign of lemma A.1 and with the
right one; and simulated fields and nodes beside the formulas of lemma 3.1 and proposition 3.3. On given data
the study is that of `noisefold.studies.neighbors.range_of_data`.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, https://arxiv.org/abs/2507.09391
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.geometry.gp import factor
from noisefold.noise import derive_seed
from noisefold.progress import progress
from noisefold.studies.kit.experiment import Experiment, Result, Run
from noisefold.studies.kit.plots import BLUE, GREEN, ORANGE, PINK, RED, panels
from noisefold.studies.kit.tables import markdown
from noisefold.studies.neighbors import range_of_data
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

__all__ = [
    "STUDY",
    "figure",
    "measure",
    "paper_example",
    "simulated_distance",
    "simulated_information",
    "table",
]

CORRELATIONS: dict[str, Correlation] = {
    "squared exponential": SquaredExponential(0.5),
    "exponential": Exponential(0.5),
    "Matern 3/2": Matern(0.5),
    "triangular": Triangular(1.0),
    "spherical": Spherical(1.0),
}
"""What is compared, by name: the triangular one on the line, the spherical one in its place beyond."""

_SNRS = (0.1, 1.0, 5.0, 10.0, 50.0)
_COLOURS = (BLUE, ORANGE, GREEN, RED, PINK)


@dataclass(frozen=True)
class Scale:
    """Points of a curve, simulated fields, points of each, and nodes from which a variogram looks."""

    curve: int
    samples: int
    points: int
    centres: int


SCALES = {"smoke": Scale(5, 500, 128, 512), "short": Scale(41, 20_000, 512, 4096)}


def paper_example(distance: Tensor) -> Tensor:
    """Return the paper's 1 - h^2, which is no correlation."""
    return 1 - distance**2


def simulated_information(
    correlation: Correlation, radius: float, snr: Tensor, dim: int, samples: int, points: int, seed: int
) -> tuple[Tensor, Tensor]:
    r"""Return the mutual information of lemma 3.1 from simulated fields and its error, both ``[m]``.

    Gaussian fields are drawn at the centre of a ball and at points that fill it evenly; Y is the sum over the
    points, times the volume of each, and a draw of the integral of white noise. From the correlation c of
    the value at the centre with Y follows :math:`I = -\tfrac12 \log(1 - c^2)`, with standard error
    :math:`c / \sqrt{n}`. The points approximate an integral, to a relative error below 1 / points.
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
    """Return the mean squared distance of two nodes after noise, and its standard error, from simulations."""
    generator = torch.Generator().manual_seed(derive_seed(seed, dim))
    own, other = torch.randn(2, samples, dim, generator=generator, dtype=torch.float64)
    second = correlation * own + math.sqrt(1 - correlation**2) * other
    gap = sigma * (own - second)
    gap[:, 0] += alpha * distance
    square = gap.square().sum(1)
    return float(square.mean()), float(square.std()) / math.sqrt(samples)


def measure(run: Run[Scale]) -> Result:
    """Return best radii and simulations.

    ``radii`` has the best radius by correlation, dimension and SNR; ``curves`` the same on the line over many
    SNRs; ``paper`` the example 1 - h^2, with both signs; ``information`` formula and simulation;
    ``distances`` proposition 3.3 and simulation.
    """
    size, seed = run.size, run.seed
    cases = [
        (name, c, dim)
        for name, c in CORRELATIONS.items()
        for dim in (1, 2, 3)
        if (name, dim == 1) not in (("triangular", False), ("spherical", True))
    ]
    ratios = torch.logspace(-2, 2, size.curve, dtype=torch.float64).tolist()
    radii, curves, information = [], [], []
    with progress(run.name, len(cases)) as advance:
        for i, (name, c, dim) in enumerate(cases):
            row = [best_radius(c, snr, dim) for snr in _SNRS]
            radii.append({"correlation": name, "dim": dim, "snr": list(_SNRS), "radius": row})
            if dim == 1:
                found = [best_radius(c, snr) for snr in ratios]
                curves.append({"correlation": name, "snr": ratios, "radius": found})
            information += _information_rows(name, c, dim, size, derive_seed(seed, i))
            advance(1, name)
    return {
        "seed": seed,
        "samples": size.samples,
        "radii": radii,
        "curves": curves,
        "paper": _paper(ratios),
        "information": information,
        "distances": _distance_rows(size, seed),
    }


def _information_rows(name: str, c: Correlation, dim: int, size: Scale, seed: int) -> list[Result]:
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


def _distance_rows(size: Scale, seed: int) -> list[Result]:
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


def _paper(ratios: list[float]) -> Result:
    """Return the best radius up to 1 for 1 - h^2, with + 4 r^6 / 9 as printed and with - 4 r^6 / 9."""
    from scipy.optimize import minimize_scalar

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


# -- table and figure ----------------------------------------------------------------------------------------


def table(result: Result) -> str:
    """Return best radii, the paper's example, and the simulations."""
    simulated = [*result["information"], *result["distances"]]
    worst = max(abs(r["simulated"] - r["formula"]) / r["error"] for r in simulated)
    return "\n".join(
        [
            "Radius of the greatest mutual information.\n",
            markdown(
                ["correlation", "dimension", *(f"SNR {s:g}" for s in _SNRS)],
                [[r["correlation"], r["dim"], *(f"{v:.3f}" for v in r["radius"])] for r in result["radii"]],
            ),
            "\nFormula and simulation, standard error in brackets.\n",
            markdown(
                ["correlation", "dimension", "SNR", "formula", "simulated"],
                [
                    [r["correlation"], r["dim"], f"{r['snr']:g}", f"{r['formula']:.4f}", _simulated(r)]
                    for r in result["information"]
                ],
            ),
            "\nExpected squared distance of two nodes 0.1 apart.\n",
            markdown(
                ["t'", "correlation", "right sign", "as printed", "simulated"],
                [
                    [
                        *(f"{r[k]:g}" for k in ("paper_time", "correlation")),
                        *(f"{r[k]:.4f}" for k in ("formula", "printed")),
                        _simulated(r),
                    ]
                    for r in result["distances"]
                ],
            ),
            f"\nLargest difference in {len(simulated)} rows: {worst:.2f} standard errors.",
        ]
    )


def _simulated(row: Result) -> str:
    return f"{row['simulated']:.4f} ({row['error']:.4f})"


def figure(result: Result) -> Figure:
    """Draw information against radius; best radius against SNR; the same for the paper's example."""
    picture, (told, valid, paper) = panels(1, 3, 12, 3.8)
    field = CORRELATIONS["squared exponential"]
    radius = torch.logspace(-1.5, 0.5, 120, dtype=torch.float64)
    for colour, snr in zip(_COLOURS, _SNRS, strict=True):
        told.plot(radius, mutual_information(field, radius, snr), color=colour, label=f"SNR {snr:g}")
        top = best_radius(field, snr)
        told.plot(top, float(mutual_information(field, top, snr)), "o", color=colour)
    told.set(title="squared exponential, l = 0.5", xlabel="radius [unit of l]")
    told.set_ylabel("mutual information [nat]")
    for colour, row in zip(_COLOURS, result["curves"], strict=False):
        valid.plot(row["snr"], row["radius"], color=colour, label=row["correlation"])
    valid.set(title="valid correlations: more noise, more range", xlabel="SNR", ylim=0)
    valid.set_ylabel("best radius [unit of l]")
    example = result["paper"]
    paper.plot(example["snr"], example["printed"], "--", color="0.5", label="sign as printed")
    paper.plot(example["right_snr"], example["right"], color=RED, label="right sign")
    over = [s for s in example["snr"] if s >= 4.5]
    paper.plot(over, example["pole"], ":", color=RED, label="information infinite, none beyond")
    paper.set(title="$1 - h^2$, which is no correlation", xlabel="SNR", ylabel="best radius up to 1", ylim=0)
    for panel in (told, valid, paper):
        panel.set_xscale("log")
        panel.grid(color="0.9")
        panel.legend(frameon=False, fontsize=8)
    return picture


def _make(run: Run[Scale]) -> list[Path]:
    if run.data is not None:
        return range_of_data.make(run, run.data, run.size.centres)
    result = measure(run)
    return run.write(result, table(result), figure(result))


def _place(source: str) -> tuple[str, str]:
    return shlex.join(("range", source)), range_of_data.stem_of(source)


STUDY = Experiment("range", SCALES, _make, _place, one_core=False)
