r"""The Bmp-Sox9-Wnt system of a growing limb bud, simulated.

.. math::
    \partial_t s &= a_s + b - w - s^3 \\
    \partial_t b &= a_b + 1.27\, s - 0.1\, b + \partial_x^2 b \\
    \partial_t w &= a_w + 1.59\, s - 0.1\, w + 2.5\, \partial_x^2 w

for Sox9, Bmp and Wnt on 0 .. 60 in steps of 0.2, with zero-flux ends, over the time 0 .. 100. It begins with
independent values in U(-0.01, 0.01) at every place. The state of rest is stable without diffusion (growth
-0.05) and unstable with it (fastest growth 0.378, at wavenumber 0.709): a Turing pattern.

**Scheme.** In cosine modes (the DCT-I, which diagonalises the three-point Laplacian with mirrored ends) all
that is linear, diffusion among it, is three coupled equations for each mode, solved exactly by a matrix
exponential, so that no step is too long to be stable. What is left, :math:`\partial_t s = -s^3`, is solved
exactly at every place by :math:`s / \sqrt{1 + 2 h s^2}`. Strang's splitting S puts the two together, and

.. math:: \tfrac43\, S_{h/2} \circ S_{h/2} - \tfrac13\, S_h

is a step of order 4 where the state is smooth, and of order 2 with a smaller error where it is as rough as at
the beginning. Even and odd modes are transformed apart, by products with matrices of half the size.

Source: Raspopovic et al., *Digit patterning is controlled by a Bmp-Sox9-Wnt Turing network*, Science 345
(2014); grid and ranges from *Noise-Conditioned Graph Networks* (arXiv 2507.09391), B.3, with the signs under
which a pattern forms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.progress import progress

__all__ = ["DURATION", "GENES", "LENGTH", "PLACES", "VERSION", "evolve", "limb_bud"]

GENES = ("sox9", "bmp", "wnt")
LENGTH, DURATION, PLACES = 60.0, 100.0, 301
VERSION = 1
"""Of what is computed: raised with every change of the numbers, so that no cache gives outdated ones."""

_REACTION = ((0.0, 1.0, -1.0), (1.27, -0.1, 0.0), (1.59, 0.0, -0.1))
_DIFFUSION = (0.0, 1.0, 2.5)
_HALF = PLACES // 2 + 1  # places in either half of the domain, and modes of either parity
_SMALL = 0.01
# Samples side by side. Always as many, if need be of zeros: products of another width may round otherwise,
# and then a sample would depend on its neighbours. This many fit a core's cache with the transforms.
_CHUNK = 128


def limb_bud(
    samples: int,
    times: Any,
    positions: Any,
    knockout: str | None = None,
    seed: int = 0,
    *,
    rates: str = "zero",
    step: float = 0.2,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Simulations from random initial values, ``[samples, times, positions, 3]``: Sox9, Bmp, Wnt.

    Sample i is a function of (seed, i) and the other arguments alone, whatever the number of samples.

    Parameters
    ----------
    samples
        How many.
    times
        Times ``[t]`` in [0, 100], in any order.
    positions
        Places ``[p]`` in [0, 60]. Between the 301 places of the grid the series of cosines is evaluated,
        which is exact on the grid; of the rough initial values it may exceed their range there.
    knockout
        "sox9", "bmp" or "wnt": held at zero from the beginning. The other genes begin as without it.
    seed
        Seed, in [0, 2**64).
    rates
        Production rates a of the three genes: "zero", or "random", U(-0.01, 0.01) for each sample.
    step
        Longest step of time; intervals between the times are cut evenly. At 0.2 the error in float32 at time
        100, where it is largest, is 5e-4 of the values (root mean square).
    dtype
        torch.float32 or torch.float64.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    if samples < 1 or not 0 <= seed < 2**64:
        raise ValueError(f"samples must be 1 or more and seed in [0, 2**64), got {samples} and {seed}.")
    if rates not in ("zero", "random"):
        raise ValueError(f"rates must be 'zero' or 'random', got {rates!r}.")
    where = _points(times, "times", DURATION), _points(positions, "positions", LENGTH)
    out = torch.empty(samples, len(where[0]), len(where[1]), 3, dtype=dtype)
    with progress("simulating limb buds", samples) as advance:
        for first in range(0, samples, _CHUNK):
            count = min(_CHUNK, samples - first)
            initial = torch.zeros(_CHUNK, PLACES, 3, dtype=dtype)
            produced = torch.zeros(_CHUNK, 3, dtype=dtype)
            for i in range(count):
                key = np.array([seed, first + i], dtype=np.uint64)
                rng = np.random.Generator(np.random.Philox(key=key))
                initial[i] = torch.from_numpy(rng.uniform(-_SMALL, _SMALL, (PLACES, 3)))
                produced[i] = torch.from_numpy(rng.uniform(-_SMALL, _SMALL, 3))
            a = produced if rates == "random" else None
            done = evolve(initial, *where, knockout=knockout, rates=a, step=step)
            out[first : first + count] = done[:count]
            advance(count, "")
    return out


def evolve(
    initial: Tensor,
    times: Any,
    positions: Any,
    *,
    knockout: str | None = None,
    rates: Tensor | None = None,
    step: float = 0.2,
) -> Tensor:
    """Simulations from given initial values, ``[s, 301, 3] -> [s, times, positions, 3]``, of their type.

    Parameters
    ----------
    initial
        Sox9, Bmp and Wnt at 0, 0.2 .. 60 at time 0, ``[s, 301, 3]``.
    times, positions, knockout, step
        As for `limb_bud`.
    rates
        Production rates a of the three genes, ``[s, 3]``; None means zero.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    instants, places = _points(times, "times", DURATION), _points(positions, "positions", LENGTH)
    if initial.ndim != 3 or initial.shape[1:] != (PLACES, 3) or not initial.is_floating_point():
        raise ValueError(f"initial must be floats [s, {PLACES}, 3], got {initial.dtype} {[*initial.shape]}.")
    if rates is not None and rates.shape != (initial.shape[0], 3):
        raise ValueError(f"rates must be [{initial.shape[0]}, 3], got shape {list(rates.shape)}.")
    if knockout is not None and knockout not in GENES:
        raise ValueError(f"knockout must be None or one of {', '.join(GENES)}, got {knockout!r}.")
    if not step > 0:
        raise ValueError(f"step must be positive, got {step}.")
    alive = torch.tensor([name != knockout for name in GENES], dtype=initial.dtype)
    system = _System(alive, None if rates is None else (rates.to(initial) * alive).T)
    modes = system.modes(initial * alive)
    read = system.reader(places)
    out = initial.new_empty(initial.shape[0], len(instants), len(places), 3)
    order = np.argsort(instants, kind="stable")
    now = 0.0
    for i in order.tolist():
        modes = system.run(modes, float(instants[i]) - now, step)
        now = float(instants[i])
        out[:, i] = torch.einsum("pm,mgs->spg", read, modes)
    return out


def _points(values: Any, name: str, end: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 1 or points.size == 0 or not bool(((points >= 0) & (points <= end)).all()):
        raise ValueError(f"{name} must be an array of one dimension in [0, {end:g}], got {values!r}.")
    return points


class _System:
    """The equations in cosine modes: fields ``[302, 3, s]``, even modes first; the last is 0 and no mode."""

    def __init__(self, alive: Tensor, rates: Tensor | None) -> None:
        self.dtype, self.rates = alive.dtype, rates
        n = PLACES - 1
        place = torch.arange(_HALF, dtype=torch.float64)
        self.mode = torch.stack([torch.arange(0, n + 1, 2), torch.arange(1, n + 2, 2)]).double()
        cosine = torch.cos(math.pi * place[:, None] * self.mode[:, None] / n)
        cosine[1, :, -1] = 0
        ends = torch.ones(_HALF, dtype=torch.float64)
        ends[[0, -1]] = 0.5
        outermost = torch.ones(2, _HALF, dtype=torch.float64)
        outermost[0, [0, -1]] = 0.5
        self._to_space = cosine.to(self.dtype)
        self._to_modes = (2 / n * outermost[:, :, None] * cosine.mT * ends).to(self.dtype)
        kept = alive.double()
        reaction = torch.tensor(_REACTION, dtype=torch.float64) * kept[:, None] * kept
        damping = (2 - 2 * torch.cos(math.pi * self.mode.view(-1) / n)) * (n / LENGTH) ** 2
        diffusion = torch.tensor(_DIFFUSION, dtype=torch.float64) * kept
        self._matrix = reaction - damping[:, None, None] * torch.diag(diffusion)
        self._known: dict[float, tuple[Tensor, Tensor]] = {}

    def modes(self, fields: Tensor) -> Tensor:
        """Modes ``[302, 3, s]`` of fields ``[s, 301, 3]``."""
        s = fields.shape[0]
        flat = fields.permute(1, 2, 0).reshape(PLACES, 3 * s)
        return self._analysed(flat[:_HALF], flat[_HALF - 1 :].flip(0)).view(-1, 3, s)

    def reader(self, places: np.ndarray[Any, np.dtype[np.float64]]) -> Tensor:
        """Cosines ``[p, 302]`` that give the values at any places."""
        angle = math.pi / LENGTH * torch.from_numpy(places)[:, None] * self.mode.view(-1)
        return torch.cos(angle).to(self.dtype)

    def run(self, modes: Tensor, duration: float, step: float) -> Tensor:
        """The modes some time later."""
        # Rounded, so that the last digits of evenly spaced times do not make every interval another one.
        count = math.ceil(round(duration / step, 9))
        h = round(duration / count, 12) if count else 0.0
        for _ in range(count):
            whole = self._linear(self._cubic(self._linear(modes, h / 2), h), h / 2)
            first = self._linear(self._cubic(self._linear(modes, h / 4), h / 2), h / 2)
            halves = self._linear(self._cubic(first, h / 2), h / 4)
            modes = torch.lerp(whole, halves, 4 / 3)
        return modes

    def _linear(self, modes: Tensor, h: float) -> Tensor:
        """Everything but the cube, for a time h, exactly."""
        if h not in self._known:
            # The exponential of [[M, I], [0, 0]] has that of M, and its integral, by which rates add up.
            both = torch.zeros(6, 6, dtype=torch.float64)
            both[:3, :3], both[:3, 3:] = self._matrix[0], torch.eye(3)
            integral = torch.matrix_exp(h * both)[:3, 3:].to(self.dtype)
            self._known[h] = torch.matrix_exp(h * self._matrix).to(self.dtype), integral
        exponential, integral = self._known[h]
        out = torch.bmm(exponential, modes)
        if self.rates is not None:
            out[0] += integral @ self.rates
        return out

    def _cubic(self, modes: Tensor, h: float) -> Tensor:
        """Sox9's decay by its cube, for a time h, exactly; in place."""
        s = modes.shape[2]
        even, odd = torch.bmm(self._to_space, modes[:, 0].reshape(2, _HALF, s))
        sox9 = torch.stack([even + odd, even - odd])  # the left half, and the right half mirrored
        # The change alone is transformed: it is small, so that rounding does not add up over the steps.
        excess = 2 * h * sox9 * sox9
        root = torch.rsqrt(1 + excess)
        left, right = -sox9 * excess * root * root / (1 + root)
        modes[:, 0] += self._analysed(left, right)
        return modes

    def _analysed(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.bmm(self._to_modes, torch.stack([left + right, left - right])).flatten(0, 1)
