r"""Many small networks as one: a perceptron for each trial, trained and evaluated in parallel.

A small network's training step is mostly overhead. Here the weights of C networks of one shape are stacked,
``[C, out, in]``, and each layer is one batched product; states stand with their features first,
``[C, d, n]``, so that the inner loops run over points. The gradient is written out, which is faster
than `torch.func` by a factor of two to four (`benchmarks/diffusion.py`), and the same to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.noise import Target, derive_seed, seeded
from noisefold.studies.diffusion.chains import Chain, chain, noise_table
from noisefold.studies.diffusion.distributions import Distribution

__all__ = [
    "TARGETS",
    "Perceptrons",
    "Recipe",
    "Trial",
    "batches",
    "perceptron",
    "read_out",
    "train",
    "update",
    "update_one",
]

TARGETS = ("noise", "data", "previous", "velocity")


@dataclass(frozen=True)
class Trial:
    """One training.

    Parameters
    ----------
    target, noise, schedule
        What is predicted, which noise is added, on which chain.
    seed
        Of data, initial weights, batches and noise; trials that differ only otherwise share all of these.
    shuffled
        Whether the network's time is that of another point of its batch.
    """

    target: str = "noise"
    noise: str = "gaussian"
    schedule: str = "cosine"
    seed: int = 0
    shuffled: bool = False


@dataclass(frozen=True)
class Recipe:
    """How a trial is trained; the paper's by default.

    Parameters
    ----------
    points
        Training points.
    epochs, batch
        Passes over them, and points of a step. A remainder smaller than a batch is left out.
    lr
        Of Adam.
    steps
        T.
    hidden
        Widths of the hidden layers; none for a linear map.
    """

    points: int = 10_000
    epochs: int = 50
    batch: int = 64
    lr: float = 1e-3
    steps: int = 100
    hidden: tuple[int, ...] = (20, 20)

    @property
    def updates(self) -> int:
        """Optimiser steps of an epoch."""
        return max(1, self.points // self.batch)

    def target(self, name: str) -> Target:
        """Return the target of this name, at unit scale and without preconditioning."""
        return Target(name, steps=self.steps, residual=False)


class Perceptrons:
    """C perceptrons with ReLU on (x, t), stacked.

    Parameters
    ----------
    dim
        d: their inputs are ``[C, d, n]`` and a time, their answers ``[C, d, n]``.
    hidden
        Widths of the hidden layers.
    seeds
        One for each network; the initial weights follow from it and are those of `torch.nn.Linear`.
    """

    def __init__(self, dim: int, hidden: Sequence[int], seeds: Sequence[int]) -> None:
        self.dim = dim
        self._sizes = [dim + 1, *hidden, dim]
        kept: dict[int, list[Tensor]] = {}
        for seed in seeds:
            if seed not in kept:
                kept[seed] = self._first(seed)
        first = [torch.stack([kept[seed][i] for seed in seeds]) for i in range(2 * (len(hidden) + 1))]
        self.flat = torch.cat([p.flatten() for p in first])
        self._shapes = [p.shape for p in first]

    def _first(self, seed: int) -> list[Tensor]:
        first = perceptron(self.dim, self._sizes[1:-1], seed).parameters()
        return [p.detach() if p.ndim == 2 else p.detach()[:, None] for p in first]

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return weights ``[C, out, in]`` and biases ``[C, out, 1]`` of every layer, as views."""
        parts = flat.split([math.prod(shape) for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def pick(self, which: Sequence[int]) -> Perceptrons:
        """Return some of the networks."""
        out = Perceptrons.__new__(Perceptrons)
        out.dim, out._sizes = self.dim, self._sizes
        chosen = [p[list(which)] for p in self.views(self.flat)]
        out.flat, out._shapes = torch.cat([p.flatten() for p in chosen]), [p.shape for p in chosen]
        return out

    def __len__(self) -> int:
        return self._shapes[0][0]

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return outputs ``[C, d, n]`` for states ``[C, d, n]`` at a scalar time."""
        weights = self.views(self.flat)
        out = x
        for w, b in self._layers(weights, t):
            out = torch.baddbmm(b, w, out) if out is x else torch.baddbmm(b, w, out.clamp_(min=0))
        return out

    def with_slopes(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs ``[C, d, n]`` and derivatives ``[C, d, d, n]`` in x, the second d that of x."""
        layers = self._layers(self.views(self.flat), t)
        w, b = layers[0]
        out = torch.baddbmm(b, w, x)
        slopes: Tensor | None = None  # [C, features, d, n] after a nonlinearity
        for w, b in layers[1:]:
            bent = w.new_zeros(()) + (out > 0)
            if slopes is None:
                slopes = layers[0][0][..., None] * bent[:, :, None]
            else:
                slopes = slopes.mul_(bent[:, :, None])
            out = torch.baddbmm(b, w, out.clamp_(min=0))
            slopes = torch.bmm(w, slopes.flatten(2)).unflatten(2, slopes.shape[2:])
        if slopes is None:
            slopes = w[..., None].expand(*w.shape, x.shape[-1])
        return out, slopes

    def _layers(self, weights: list[Tensor], t: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the weights on x and biases of each layer; a common time is part of the first bias."""
        w, b = weights[0], weights[1]
        first = (w[:, :, : self.dim], b + w[:, :, self.dim :] * t.to(w))
        return [first, *zip(weights[2::2], weights[3::2], strict=True)]

    def gradient(self, x: Tensor, answer: Tensor, out: Tensor) -> None:
        """Write the gradient of each network's mean squared error into a flat tensor.

        Parameters
        ----------
        x
            States and times ``[C, d + 1, n]``.
        answer
            Targets ``[C, d, n]``.
        out
            As `flat`.
        """
        weights, grads = self.views(self.flat), self.views(out)
        states = [x]
        for i in range(0, len(weights), 2):
            if i:
                states[-1].clamp_(min=0)
            states.append(torch.baddbmm(weights[i + 1], weights[i], states[-1]))
        back = states.pop().sub_(answer).mul_(2 / answer[0].numel())
        for i in range(len(weights) - 2, -1, -2):
            state = states.pop()
            torch.bmm(back, state.mT, out=grads[i])
            torch.sum(back, 2, keepdim=True, out=grads[i + 1])
            if i:
                back = torch.ops.aten.threshold_backward(torch.bmm(weights[i].mT, back), state, 0)


# -- training ------------------------------------------------------------------------------------------------


def batches(
    data: Distribution, trials: Sequence[Trial], recipe: Recipe
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the batches of an epoch: states and times ``[updates, C, d + 1, batch]``, and targets.

    The noise of point i at step k is entry (k, i) of a table, whatever its kind, so that trials which differ
    in the kind of noise alone see the same points at the same times.
    """
    seeds = sorted({trial.seed for trial in trials})
    points = {s: data.draw(recipe.points, torch.Generator().manual_seed(derive_seed(s, 4))) for s in seeds}
    noise = {
        (c.noise, c.seed): noise_table(c.noise, points[c.seed], recipe.steps, c.seed)
        for c in dict.fromkeys(Trial(noise=c.noise, seed=c.seed) for c in trials)
    }
    chains = {name: chain(name, recipe.steps) for name in {c.schedule for c in trials}}
    tables = {(c.target, c.schedule): _tables(recipe.target(c.target), chains[c.schedule]) for c in trials}
    smooth = {s: x.float() for s, x in points.items()}

    def epoch(number: int) -> tuple[Tensor, Tensor]:
        states, answers = [], []
        drawn = {s: _drawn(s, number, recipe) for s in seeds}
        seen: dict[tuple[str, str, int], Tensor] = {}
        for c in trials:
            which, step, other = drawn[c.seed]
            x0 = smooth[c.seed][which]
            key = (c.noise, c.schedule, c.seed)
            walk = chains[c.schedule]
            if key not in seen:
                eps = noise[c.noise, c.seed][step - 1, which]
                seen[key] = (
                    walk.alpha.float()[step][..., None] * x0 + walk.sigma.float()[step][..., None] * eps
                )
            a, b = (table[step][..., None] for table in tables[c.target, c.schedule])
            time = walk.times.float()[step.gather(1, other) if c.shuffled else step]
            states.append(torch.cat([seen[key], time[..., None]], -1))
            answers.append(a * x0 + b * seen[key])
        return tuple(torch.stack(part, 1).mT.contiguous() for part in (states, answers))  # type: ignore[return-value]

    return epoch


def _tables(target: Target, walk: Chain) -> tuple[Tensor, Tensor]:
    """Return the factors of data and state in the answer at unit scale by step, ``[T + 1]``; 0 at step 0."""
    t = walk.times[1:]
    a, b = target.coefficients(t, walk.path)
    scale = target.scale(t, walk.path)
    return tuple(torch.cat([t.new_zeros(1), v / scale]).float() for v in (a, b))  # type: ignore[return-value]


def _drawn(seed: int, epoch: int, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Return points and steps of an epoch's batches, and an order within each, ``[updates, batch]``."""
    generator = torch.Generator().manual_seed(derive_seed(seed, 5, epoch))
    shape = (recipe.updates, min(recipe.batch, recipe.points))
    which = torch.randperm(recipe.points, generator=generator)[: math.prod(shape)].view(shape)
    step = torch.randint(1, recipe.steps + 1, shape, generator=generator)
    return which, step, torch.rand(shape, generator=generator).argsort(1)


def train(
    data: Distribution,
    trials: Sequence[Trial],
    recipe: Recipe,
    advance: Callable[[int], None] = lambda epochs: None,
) -> Perceptrons:
    """Train one network for every trial, all at once, each as if it were alone."""
    nets = Perceptrons(data.dim, recipe.hidden, [trial.seed for trial in trials])
    update(nets, batches(data, trials, recipe), recipe, advance)
    return nets


def update(
    nets: Perceptrons,
    of_epoch: Callable[[int], tuple[Tensor, Tensor]],
    recipe: Recipe,
    advance: Callable[[int], None] = lambda epochs: None,
) -> None:
    """Train for all epochs, on the batches of `batches`."""
    parameter = nn.Parameter(nets.flat)
    nets.flat, parameter.grad = parameter.data, torch.zeros_like(parameter)
    adam = torch.optim.Adam([parameter], lr=recipe.lr, fused=True)
    for number in range(recipe.epochs):
        for x, answer in zip(*of_epoch(number), strict=True):
            nets.gradient(x, answer, parameter.grad)
            adam.step()
        advance(1)


def perceptron(dim: int, hidden: Sequence[int], seed: int) -> nn.Sequential:
    """Return one of the networks as a module, on points and times ``[n, d + 1]``."""
    sizes = [dim + 1, *hidden, dim]
    layers: list[nn.Module] = []
    with seeded(derive_seed(seed, 3)):
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def update_one(net: nn.Sequential, of_epoch: Callable[[int], tuple[Tensor, Tensor]], recipe: Recipe) -> None:
    """Train one network by autograd: the reference for `update`."""
    adam = torch.optim.Adam(net.parameters(), lr=recipe.lr)
    for number in range(recipe.epochs):
        for x, answer in zip(*of_epoch(number), strict=True):
            adam.zero_grad()
            nn.functional.mse_loss(net(x[0].T), answer[0].T).backward()
            adam.step()


def read_out(trials: Sequence[Trial], recipe: Recipe) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the factors p, q ``[C, 1, 1]`` of a step: data are p y + q x for output y and state x."""
    found = {}
    for c in trials:
        walk, target = chain(c.schedule, recipe.steps), recipe.target(c.target)
        t = walk.times[1:]
        a, b = target.coefficients(t, walk.path)
        found[c.target, c.schedule] = (target.scale(t, walk.path) / a, -b / a)

    def at(step: int) -> tuple[Tensor, Tensor]:
        pairs = [found[c.target, c.schedule] for c in trials]
        return tuple(torch.stack([p[i][step - 1] for p in pairs]).float()[:, None, None] for i in (0, 1))  # type: ignore[return-value]

    return at
