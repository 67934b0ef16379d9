r"""Random vector and tensor fields in one to four dimensions: gap, cost, and the symmetry of posteriors.

Fields of vectors, and of symmetric tensors of rank two, are Gaussian processes with equivariant kernels at
random points of a cube, whose side and length-scale
are so that a point has equally many others nearby in every dimension. An equivariant network and attention
train for equally long. Then the inputs and the context of a task are turned, and so is the noise that
sampling starts from: an equivariant model gives the turned sample, to rounding, and other models do not.

Source: questions left open by Mathieu et al., Geometric Neural Diffusion Processes (2023),
https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from noisefold.data.functions import GaussianProcess, UniformInputs
from noisefold.geometry import (
    CurlFree,
    DivergenceFree,
    Graphs,
    HessianTensor,
    IndependentOutputs,
    Kernel,
    SquaredExponential,
    tensor_rotation,
)
from noisefold.nn import Denoiser, EquivariantFieldNet, SetTransformer
from noisefold.nn.adaptive import Fixed
from noisefold.noise import Known, derive_seed, seeded
from noisefold.progress import progress
from noisefold.sample import GaussianTask, Heun, LevelGrid
from noisefold.sample.conditioning import Bound
from noisefold.studies.functions.path_gap import exact_posteriors, path_gap
from noisefold.studies.functions.tasks import (
    Judged,
    judged_tasks,
    scaled_covariance,
    scaling_of,
    training_tasks,
)
from noisefold.studies.functions.training import LEVELS, PATH, denoiser_of, trained
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import BLUE, ORANGE, outer_legend, panels
from noisefold.studies.kit.statistics import mean_and_error
from noisefold.studies.kit.tables import markdown

__all__ = ["KERNELS", "STUDY", "figure", "measure", "table"]

_NOISE, _CONTEXT, _STEPS = 0.1, 10, 16


def _independent(length: float, dim: int) -> Kernel:
    return IndependentOutputs(SquaredExponential(length), dim)


KERNELS = {
    "independent": _independent,
    "curl-free": CurlFree,
    "div-free": DivergenceFree,
    "tensor": HessianTensor,
}
"""Kernels by name, functions of the length-scale and the dimension; all but the last of vectors."""
_TENSORS = ("tensor",)
_NETWORKS = ("equivariant", "attention")
# Volume of the unit ball by dimension.
_BALL = {d: math.pi ** (d / 2) / math.gamma(d / 2 + 1) for d in range(1, 5)}


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds
        Computing time of each training.
    points
        Points of a field.
    near
        Other points within two length-scales of one.
    tested
        Fields of the path gap.
    dims, kernels
        Dimensions of space, and names of kernels.
    width, layers
        Of the networks.
    """

    seconds: float
    points: int
    near: float
    tested: int
    dims: tuple[int, ...] = (1, 2, 3, 4)
    kernels: tuple[str, ...] = ("independent", "div-free", "tensor")
    width: int = 64
    layers: int = 4


SCALES = {
    "smoke": Scale(0.1, 12, 4.0, 2, (2,), ("div-free", "tensor"), 16, 1),
    "short": Scale(20.0, 64, 8.0, 16),
    "paper": Scale(1200.0, 64, 8.0, 128, kernels=tuple(KERNELS)),
}


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every kernel, dimension and network."""
    size = run.size
    # A field on the line without divergence is constant.
    cases = [
        (k, d, n) for k in size.kernels for d in size.dims for n in _NETWORKS if (k, d) != ("div-free", 1)
    ]
    rows = []
    with progress(run.name, len(cases)) as advance:
        for case in cases:
            rows.append(_row(run, *case))
            advance(1, " ".join(map(str, case)))
    return {"seed": run.seed, "points": size.points, "rows": rows}


def _length(size: Scale, dim: int) -> float:
    """Return the length-scale in a cube of side 4 with so many points within two of one on average."""
    volume = size.near * 4.0**dim / size.points
    return 0.5 * math.pow(volume / _BALL[dim], 1 / dim)


def _net(size: Scale, network: str, dim: int, columns: int, outputs: str) -> nn.Module:
    if network == "equivariant":
        return EquivariantFieldNet(
            dim,
            2 * columns,
            width=size.width,
            layers=size.layers,
            outputs=outputs,
            adaptive=Fixed(range=24),
        )
    return SetTransformer(dim, 2 * columns, columns, width=size.width, blocks=size.layers, heads=4)


def _row(run: Run[Scale], kernel: str, dim: int, network: str) -> Result:
    size = run.size
    process = GaussianProcess(KERNELS[kernel](_length(size, dim), dim), _NOISE)
    columns = process.kernel.outputs
    inputs = UniformInputs((1, size.points), dim=dim)
    scaling = replace(scaling_of(process, replace(inputs, points=size.points)), x_scale=(1.0,) * columns)
    # One unit is the standard deviation of the positions.
    scaling = replace(scaling, pos_scale=4 / math.sqrt(12), pos_mean=(0.0,) * dim)
    with seeded(run.seed):
        outputs = "tensor" if kernel in _TENSORS else "vector"
        denoiser = denoiser_of(_net(size, network, dim, columns, outputs))
    name = slug(f"{kernel} {dim} {network}")
    about = {"kernel": kernel, "dim": dim, "network": network}
    draw = training_tasks(process, scaling, inputs, _CONTEXT, run.seed, functions=32)
    training = trained(run, name, denoiser, draw, size.seconds, **about)
    judged = judged_tasks(
        process, scaling, replace(inputs, points=size.points), size.tested, 0, size.points, run.seed
    )
    covariance = scaled_covariance(process, scaling)
    make = partial(_scores, run, denoiser, judged, covariance, kernel in _TENSORS)
    return {**about, **training, **run.cached(f"{name}-scores", make, **about)}


def _scores(
    run: Run[Scale], denoiser: Denoiser[Any, Any], judged: Judged, covariance: Any, tensors: bool
) -> Result:
    graphs, n = judged.graphs, run.size.points
    exact = exact_posteriors(graphs, None, covariance)
    seed = derive_seed(run.seed, 7)
    gap, _ = path_gap(denoiser, graphs, None, exact, 16, seed)
    none, _ = path_gap(denoiser.with_net(_None(graphs.features)), graphs, None, exact, 16, seed)
    start = time.process_time()
    with torch.no_grad():
        for _ in range(5):
            denoiser.net(_flagged(graphs), torch.zeros(len(graphs)))
    return {
        "gap": _mean(gap / n),
        "without a network": _mean(none / n),
        "milliseconds": 1000 * (time.process_time() - start) / 5 / len(graphs),
        "asymmetry": _asymmetry(denoiser, graphs, seed, tensors),
    }


class _None(nn.Module):
    """The answer of no network: zeros."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return zeros."""
        return graphs.pos.new_zeros(graphs.num_nodes, self.columns)


def _flagged(graphs: Graphs) -> Graphs:
    assert graphs.x is not None
    return graphs.replace(x=torch.cat([graphs.x, torch.zeros_like(graphs.x)], 1))


def _asymmetry(denoiser: Denoiser[Any, Any], graphs: Graphs, seed: int, tensors: bool) -> float:
    """Return the greatest difference of turned samples and samples for what is turned, given 10 points."""
    d = graphs.dim
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
    of_values = (tensor_rotation(turn.mT).mT if tensors else turn).float()
    turn = turn.float()
    known = torch.arange(graphs.num_nodes) - graphs.ptr[graphs.batch] < _CONTEXT
    assert graphs.x is not None
    start = torch.randn(graphs.x.shape, generator=generator)
    turned = graphs.replace(pos=graphs.pos @ turn, x=graphs.x @ of_values)
    there = sampled(denoiser, turned, known, start @ of_values)
    return float((there - sampled(denoiser, graphs, known, start) @ of_values).abs().max())


@torch.no_grad()
def sampled(denoiser: Denoiser[Any, Any], graphs: Graphs, known: Tensor, noise: Tensor) -> Tensor:
    """Return what noise of unit scale ``[n, f]`` becomes, given the values of known nodes ``[n]``."""
    times = LevelGrid(LEVELS)(PATH, _STEPS)
    state = denoiser.variable.read(graphs)
    bound = Bound(denoiser, graphs, None, Known(state, known[:, None].expand_as(state)))
    task = GaussianTask.of(bound, PATH, times)
    made: Tensor = Heun()(task, float(PATH.scale(times[0])) * noise)
    return made


def _mean(values: Tensor) -> dict[str, float]:
    mean, error = mean_and_error(values.tolist())
    return {"mean": mean, "error": error}


# -- table and figure ----------------------------------------------------------------------------------------


def table(result: Result) -> str:
    """Return a table with a line for every training."""
    rows = [
        [
            r["kernel"],
            r["dim"],
            r["network"],
            *(f"{r[k]['mean']:.3f} ± {r[k]['error']:.3f}" for k in ("gap", "without a network")),
            f"{100 * r['gap']['mean'] / r['without a network']['mean']:.0f} %",
            f"{r['milliseconds']:.1f}",
            f"{r['asymmetry']:.0e}",
            r["steps"],
        ]
        for r in result["rows"]
    ]
    head = ("kernel", "dimension", "network", "gap", "without a network", "left", "ms a field", "asymmetry")
    seconds = result["rows"][0]["seconds"]
    return "\n".join(
        [
            f"Path gap in nats a vector or tensor, fields of {result['points']} points, {seconds:g} seconds "
            "of one core of training each; the share of the gap that a training leaves; the time of one "
            "evaluation; and the largest difference of a turned sample from the sample for turned inputs, "
            "context and noise, in standard deviations.\n",
            markdown((*head, "steps"), rows),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw the share of the gap that is left, and the time of an evaluation, by dimension."""
    picture, (left, right) = panels(1, 2, 10, 4)
    styles = dict(zip(KERNELS, ("-", "--", ":", "-."), strict=True))
    for kernel in dict.fromkeys(r["kernel"] for r in result["rows"]):
        for network, color in zip(_NETWORKS, (BLUE, ORANGE), strict=True):
            some = [r for r in result["rows"] if (r["kernel"], r["network"]) == (kernel, network)]
            look: dict[str, Any] = {"color": color, "linestyle": styles[kernel], "marker": "o"}
            dims = [r["dim"] for r in some]
            share = [100 * r["gap"]["mean"] / r["without a network"]["mean"] for r in some]
            left.plot(dims, share, label=f"{kernel}, {network}", **look)
            right.plot(dims, [r["milliseconds"] for r in some], **look)
    left.set(xlabel="dimension", ylabel="gap left [%]", title="Gap to the exact process")
    right.set(xlabel="dimension", ylabel="time [ms a field]", title="One evaluation")
    for panel in (left, right):
        panel.set_xticks(sorted({r["dim"] for r in result["rows"]}))
    outer_legend(picture, [left], "right upper", fontsize=8)
    return picture


STUDY = Experiment("dimension", SCALES, written(measure, table, figure))
