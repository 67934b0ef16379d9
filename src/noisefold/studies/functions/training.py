"""Training on fresh functions at equal computing time.

Every step draws functions that were never seen, all observed at equally many inputs, so that nothing is
padded. The learning rate falls along a cosine over the computing time that a training may take.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry import Graphs
from noisefold.nn import Denoiser
from noisefold.noise import Gaussian, Known, LogSNRUniform, Streams, Target, derive_seed
from noisefold.studies.kit.experiment import Result, Run
from noisefold.tensor_files import atomic_tensors, read_tensors

__all__ = ["LEVELS", "PATH", "denoiser_of", "trained"]

PATH = Gaussian()
LEVELS = LogSNRUniform(-7.0, 13.0)
_LR, _BETAS, _CLIP, _WARM_UP = 2e-3, (0.9, 0.99), 1.0, 50

Tasks = Callable[[int], tuple[Graphs, Tensor]]
"""Functions of a step in standard units, and which of their nodes are known, ``[n]``."""


def denoiser_of(net: torch.nn.Module) -> Denoiser[Any, Any]:
    """Return a denoiser of values that sees known ones, whose loss is that of the noise."""
    target = Target("velocity", weight="noise")
    return Denoiser(net, PATH, target, "x", for_completion=True)


def trained(
    run: Run[Any], name: str, denoiser: Denoiser[Any, Any], tasks: Tasks, seconds: float, **plan: Any
) -> Result:
    """Train a denoiser in place, or load what an earlier call trained; return steps, seconds and loss.

    Parameters
    ----------
    run, name
        Where the weights are kept, and under which name.
    denoiser
        Of fresh weights.
    tasks
        Draws the functions of a step.
    seconds
        Computing time of this process.
    **plan
        What else the result follows from, as plain data.
    """
    weights = run.folder / f"{name}.safetensors"
    size = sum(p.numel() for p in denoiser.net.parameters())
    plan = {"seconds": seconds, "parameters": size, "net": repr(denoiser.net), **plan}

    def make() -> Result:
        found = _train(denoiser, tasks, seconds, derive_seed(run.seed, 1))
        run.folder.mkdir(parents=True, exist_ok=True)
        atomic_tensors(weights, denoiser.net.state_dict())
        print(f"{name}: {found}", file=sys.stderr, flush=True)
        return {**found, "parameters": size}

    result: Result = run.cached(name, make, **plan)
    _load(denoiser, weights)
    return result


def _load(denoiser: Denoiser[Any, Any], weights: Path) -> None:
    denoiser.net.load_state_dict(read_tensors(weights))
    denoiser.net.eval()


def _train(denoiser: Denoiser[Any, Any], tasks: Tasks, seconds: float, seed: int) -> Result:
    net = denoiser.net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=_LR, betas=_BETAS)
    start, step, smooth = time.process_time(), 0, math.nan
    while (used := (time.process_time() - start) / seconds) < 1:
        graphs, known = tasks(step)
        random = Streams(derive_seed(seed, step), range(len(graphs)))
        quantiles = torch.arange(len(graphs), dtype=torch.float64)
        jitter = random.uniform([1] * len(graphs), 1, quantiles)[:, 0]
        times = LEVELS(denoiser.path, (quantiles + jitter) / len(graphs)).to(graphs.pos)
        state = denoiser.variable.read(graphs)
        seen = Known(state, known[:, None].expand_as(state))
        loss = denoiser.loss(graphs, times, random, known=seen).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), _CLIP)
        for group in optimizer.param_groups:
            group["lr"] = _LR * min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * used))
        optimizer.step()
        value = float(loss.detach())
        smooth = value if math.isnan(smooth) else smooth + 0.02 * (value - smooth)
        step += 1
    net.eval()
    return {"steps": step, "seconds": seconds, "loss": smooth}
