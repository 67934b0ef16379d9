r"""Which limiting noise and which prediction: condition, error amplification, and what a network learns.

Data are Gaussian processes on fixed inputs: squared exponential functions on a line, and divergence-free
fields in the plane. Every limiting kernel K, at several ratios of its length-scale to that of the data, and
every prediction (the four published ones, and the residual velocity with errors in the metric of the noise)
are compared. All are in nats for each number; with the exact noise estimate :math:`\hat\varepsilon` and
:math:`K = L L^T`

- path gap: :math:`\tfrac12 \int E |L^{-1} (\hat\varepsilon_\mathrm{net} - \hat\varepsilon)|^2 d\lambda`, what
  a network of a fixed number of steps of training loses of the evidence lower bound;
- amplification: the same of the exact answer with white errors of 1 % of its size at each level, which a
  network cannot avoid; no network, no draw;
- gradient noise: at the answer 0, the variance of the loss's gradient by the answer over its squared mean;
- sampler: Kullback-Leibler divergence of 50 ancestral steps with the exact denoiser, by propagation;
- condition: largest over smallest eigenvalue of K.

The path gap of K and that of white noise are comparable, since both are likelihoods of the same data.

Source: Mathieu et al., Geometric Neural Diffusion Processes, appendix F, https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry import (
    CurlFree,
    DivergenceFree,
    Graphs,
    IndependentOutputs,
    Kernel,
    Matern,
    Nugget,
    Periodic,
    SquaredExponential,
)
from noisefold.geometry.gp import eigh, factor
from noisefold.nn import Denoiser, SetTransformer
from noisefold.noise import VP, Gaussian, GPNoise, Prediction, Target, White, derive_seed, seeded
from noisefold.progress import progress
from noisefold.sample import Ancestral
from noisefold.studies.functions.ablation_report import figure, table
from noisefold.studies.functions.parametrizations import PARAMETRIZATIONS, Published
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.theory import GaussianProcess, propagated_moments

__all__ = ["LIMITS", "PREDICTIONS", "STUDY", "Case", "measure"]

LEVELS = (-7.0, 13.0)
PREDICTIONS = ("residual", *PARAMETRIZATIONS)
_SHARE = 0.01
_STEPS = 50


@dataclass(frozen=True)
class _Scene:
    """Inputs, the data's kernel, and the share of white noise in limiting kernels."""

    frame: Graphs
    kernel: Kernel
    length: float
    white: float


def _line() -> _Scene:
    """Thirty inputs in [-2, 2], a little off a grid."""
    shift = torch.rand(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pos = torch.linspace(-2, 2, 30, dtype=torch.float64) + 0.1 * (shift - 0.5)
    kernel = (SquaredExponential(0.25) + Nugget(0.05**2)) * (1 / (1 + 0.05**2))
    return _Scene(Graphs(pos[:, None], x=torch.zeros(30, 1).double()), kernel, 0.25, 0.05)


def _plane() -> _Scene:
    """A grid of 7 by 7."""
    side = torch.linspace(-2.4, 2.4, 7, dtype=torch.float64)
    pos = torch.cartesian_prod(side, side)
    kernel = (DivergenceFree(1.0) + IndependentOutputs(Nugget(0.02), 2)) * (1 / 1.02)
    return _Scene(Graphs(pos, x=torch.zeros(49, 2).double()), kernel, 1.0, 0.1)


_SCENES = {"line": _line, "plane": _plane}
LIMITS = {
    "line": ("SE", "Matern", "periodic"),
    "plane": ("curl-free", "divergence-free"),
}
"""Limiting kernels by scene, beside white noise."""


def _limit(name: str, length: float) -> Kernel:
    """Return a limiting kernel of variance 1 without its white part."""
    if name == "periodic":  # sin^2(.) / (2 l^2), of period 1
        return Periodic(2 * length, 1.0)
    made: dict[str, Callable[[float], Kernel]] = {
        "SE": SquaredExponential,
        "Matern": lambda length: Matern(length, 2.5),
        "curl-free": CurlFree,
        "divergence-free": DivergenceFree,
    }
    return made[name](length)


@dataclass(frozen=True)
class Scale:
    """Ratios of length-scales by scene, steps of training, graphs of a batch, draws of a level."""

    ratios: dict[str, tuple[float, ...]]
    steps: int
    batch: int
    draws: int
    width: int


SCALES = {
    "smoke": Scale({"line": (1.0,), "plane": (1.0,)}, 3, 4, 4, 16),
    "short": Scale({"line": (0.1, 0.4, 1.0, 4.0), "plane": (0.4, 1.0)}, 150, 24, 32, 32),
    "paper": Scale({"line": (0.1, 0.4, 1.0, 4.0), "plane": (0.1, 0.4, 1.0, 4.0)}, 20_000, 64, 256, 64),
}


@dataclass(frozen=True, eq=False)
class Case:
    """A scene under a limiting kernel; ``white`` has no ratio."""

    scene: _Scene
    limit: str
    ratio: float | None

    @cached_property
    def path(self) -> Gaussian:
        """Return a variance preserving path to the limit, over all of `LEVELS`."""
        schedule = VP(1e-3, 20.0)
        if self.limit == "white":
            return Gaussian(schedule, White(), margin=1e-6)
        scene, o = self.scene, self.scene.kernel.outputs
        assert self.ratio is not None
        noise = Nugget(scene.white) if o == 1 else IndependentOutputs(Nugget(scene.white), o)
        kernel = (1 - scene.white) * _limit(self.limit, self.ratio * scene.length) + noise
        return Gaussian(schedule, GPNoise(kernel), margin=1e-6)

    @cached_property
    def data(self) -> Tensor:
        """Covariance of the data, ``[m, m]``."""
        return self.scene.kernel.matrix(self.scene.frame.pos)

    @cached_property
    def noise(self) -> Tensor:
        """K, ``[m, m]``."""
        process = self.path.source.process
        if process is None:
            return torch.eye(len(self.data), dtype=torch.float64)
        k = process.covariance(self.scene.frame.pos)
        copies = len(self.data) // len(k)
        return k if copies == 1 else torch.kron(k, torch.eye(copies, dtype=torch.float64))

    def noise_map(self, log_snr: float) -> Tensor:
        r"""Return the matrix of the exact noise estimate, :math:`\sigma K V^{-1}`, ``[m, m]``."""
        a2, b2 = _levels(log_snr)
        both = factor(a2 * self.data + b2 * self.noise)
        return math.sqrt(b2) * both.solve(self.noise).mT


def _levels(log_snr: float) -> tuple[float, float]:
    """Return alpha^2 and sigma^2."""
    a2 = 1 / (1 + math.exp(-log_snr))
    return a2, 1 / (1 + math.exp(log_snr))


def _grid(count: int) -> tuple[list[float], float]:
    """Return evenly spaced log-SNRs and their width."""
    width = (LEVELS[1] - LEVELS[0]) / count
    return [LEVELS[0] + width * (i + 0.5) for i in range(count)], width


# -- without a network ---------------------------------------------------------------------------------------


def exact_errors(case: Case, prediction: str) -> dict[str, float]:
    """Return the amplification and the gradient noise of a prediction, by linear algebra."""
    m, k, c = len(case.data), case.noise, case.data
    root = factor(k)
    amplified = noise = signal = 0.0
    levels, width = _grid(40)
    for log_snr in levels:
        a2, b2 = _levels(log_snr)
        a, b = math.sqrt(a2), math.sqrt(b2)
        v = a2 * c + b2 * k
        to_noise = case.noise_map(log_snr)
        # Covariance of the target and of its posterior mean, and the map from answers to noise.
        cleared = to_noise @ v @ to_noise.mT
        inverse = root.inverse
        if prediction == "data":
            gain = a * factor(v).solve(c).mT
            target, mean, back = c, gain @ v @ gain.mT, a / b * torch.eye(m, dtype=torch.float64)
        elif prediction == "residual":
            # r = b x_0 - a eps, with errors of the noise, a r, in the metric of K.
            gain = a * factor(v).solve(c).mT
            linear = b * gain - a * to_noise
            target, mean = b2 * c + a2 * k, linear @ v @ linear.mT
            back = a * torch.eye(m, dtype=torch.float64)
        else:
            of = {
                "K-score": torch.eye(m, dtype=torch.float64),
                "S-score": root.lower,
                "score": k,
            }[prediction]
            back = of
            eye = torch.eye(m, dtype=torch.float64)
            lift = {"K-score": eye, "S-score": root.whiten(eye), "score": root.inverse}[prediction]
            target, mean = lift @ k @ lift.mT, lift @ cleared @ lift.mT
        size = float(mean.trace()) / m
        cost = float((back.mT @ inverse @ back).trace()) / m
        amplified += 0.5 * width * _SHARE**2 * size * cost
        weight = back.mT @ inverse @ back if prediction == "residual" else torch.eye(m, dtype=torch.float64)
        noise += width * float((weight @ (target - mean)).trace())
        signal += width * float((weight @ mean).trace())
    return {"amplification": amplified, "gradient_noise": noise / signal}


def exact_sampler(case: Case) -> dict[str, float]:
    """Return the condition of K and the divergence of an exact ancestral sampler, for each number."""
    values = eigh(case.noise)[0]
    path = case.path
    places = path.time(torch.linspace(-7, 13, _STEPS, dtype=torch.float64))
    times = torch.cat([places, places.new_zeros(1)])
    frame, kernel = case.scene.frame, case.scene.kernel
    assert frame.x is not None
    found = propagated_moments(GaussianProcess(kernel), frame, path, times, Ancestral(), frame.x.shape[1])
    drawn, data = factor(found.covariance), factor(case.data)
    white = drawn.whiten(data.lower)
    m = len(case.data)
    divergence = 0.5 * (float(white.square().sum()) - m + float(drawn.log_det - data.log_det))
    return {"condition": float(values[-1] / values[0]), "sampler": divergence / m}


# -- with a network ------------------------------------------------------------------------------------------


def _prediction(name: str) -> Prediction[Tensor, Tensor]:
    return Target("velocity", "noise", whitened=True) if name == "residual" else Published(name)


def learned(case: Case, prediction: str, size: Scale, seed: int) -> dict[str, float]:
    """Train a network for a number of steps, and return its path gap and the seconds it took."""
    frame, path = case.scene.frame, case.path
    assert frame.x is not None
    d, o = frame.dim, frame.x.shape[1]
    with seeded(derive_seed(seed, 0)):
        net = SetTransformer(d, o, o, width=size.width, blocks=2, heads=2)
    denoiser: Denoiser[Tensor, Tensor] = Denoiser(net, path, _prediction(prediction), "x")
    began = time.process_time()
    draw = _Draws(case, torch.Generator().manual_seed(derive_seed(seed, 1)))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, size.steps + 1, pct_start=0.1)
    graphs = frame.to(dtype=torch.float32)[[0] * size.batch]
    for _ in range(size.steps):
        shift = (torch.arange(size.batch) + torch.rand(size.batch, generator=draw.generator)) / size.batch
        log_snr = LEVELS[0] + (LEVELS[1] - LEVELS[0]) * shift.double()
        t = path.time(log_snr)
        clean, state = draw(log_snr, o)
        answer = net(
            graphs.replace(x=denoiser.target.inputs(state, t, path, graphs).float()), log_snr.float(), None
        )
        loss = denoiser.target.loss(answer.double(), clean, state, t, path, graphs, None).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    seconds = time.process_time() - began
    return {"gap": _gap(case, denoiser, size, seed, o), "seconds": seconds}


class _Draws:
    """Draws of data and states, ``[batch n, o]`` float64."""

    def __init__(self, case: Case, generator: torch.Generator) -> None:
        self.generator = generator
        self._data, self._noise = factor(case.data).lower, factor(case.noise).lower

    def __call__(self, log_snr: Tensor, o: int) -> tuple[Tensor, Tensor]:
        size = (2, len(log_snr), len(self._data))
        z = torch.randn(size, generator=self.generator, dtype=torch.float64)
        a, b = log_snr.sigmoid().sqrt()[:, None], (-log_snr).sigmoid().sqrt()[:, None]
        clean = z[0] @ self._data.mT
        state = a * clean + b * (z[1] @ self._noise.mT)
        return clean.reshape(-1, o), state.reshape(-1, o)


@torch.no_grad()
def _gap(case: Case, denoiser: Denoiser[Tensor, Tensor], size: Scale, seed: int, o: int) -> float:
    """Return the path gap for each number."""
    levels, width = _grid(20)
    draw = _Draws(case, torch.Generator().manual_seed(derive_seed(seed, 2)))
    root, m = factor(case.noise), len(case.data)
    graphs = case.scene.frame.to(dtype=torch.float32)[[0] * size.draws]
    total = 0.0
    for level in levels:
        log_snr = torch.full((size.draws,), level, dtype=torch.float64)
        t = case.path.time(log_snr)
        _, state = draw(log_snr, o)
        target = denoiser.target
        seen = target.inputs(state, t, case.path, graphs).float()
        answer = denoiser.net(graphs.replace(x=seen), log_snr.float(), None).double()
        estimate = target.estimate(answer, state, t, case.path, graphs)
        a2, b2 = _levels(level)
        found = ((state - math.sqrt(a2) * estimate) / math.sqrt(b2)).reshape(size.draws, m)
        exact = state.reshape(size.draws, m) @ case.noise_map(level).mT
        total += 0.5 * width * float(root.whiten((found - exact).mT).square().sum(0).mean()) / m
    return total


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every scene, limit, ratio and prediction.

    A row has ``condition`` and ``sampler`` (of the limit alone), ``amplification``, ``gradient_noise``,
    ``gap``, that of the ``zero`` answer of a residual network, and ``seconds`` of training.
    """
    size, rows = run.size, []
    cases = [
        (name, Case(make(), limit, ratio))
        for name, make in _SCENES.items()
        for limit, ratio in (
            ("white", None),
            *((limit, ratio) for limit in LIMITS[name] for ratio in size.ratios[name]),
        )
    ]
    with progress(run.name, len(cases) * len(PREDICTIONS)) as advance:
        for scene, case in cases:
            of_limit: dict[str, Any] = exact_sampler(case)
            zero = _zero(case)
            for prediction in PREDICTIONS:
                part = f"{scene}-{case.limit}-{case.ratio}-{prediction}"
                found = run.cached(part, partial(learned, case, prediction, size, run.seed))
                about = {"scene": scene, "limit": case.limit, "ratio": case.ratio, "prediction": prediction}
                rows.append({**about, **of_limit, **exact_errors(case, prediction), **found, "zero": zero})
                advance(1, f"{scene}: {case.limit} {case.ratio or ''} {prediction}")
    return {"seed": run.seed, "steps": size.steps, "rows": rows}


def _zero(case: Case) -> float:
    """Return the path gap of a residual network that answers 0, whose noise estimate is sigma x."""
    levels, width = _grid(40)
    root, total = factor(case.noise), 0.0
    for level in levels:
        a2, b2 = _levels(level)
        gap = math.sqrt(b2) * torch.eye(len(case.data), dtype=torch.float64) - case.noise_map(level)
        half = factor(a2 * case.data + b2 * case.noise).lower
        total += 0.5 * width * float(root.whiten(gap @ half).square().sum()) / len(case.data)
    return total


STUDY = Experiment("function-ablation", SCALES, written(measure, table, figure))
