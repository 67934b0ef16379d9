r"""Noise without randomness: the decimals of the data.

The t-th decimal d of a coordinate becomes :math:`z_t = \Phi^{-1}((d_t + \tfrac12) / 10) / \sqrt{0.8798}`. Far
enough behind the point decimals are as good as uniform, so z takes ten values at the mid-quantiles of the
normal distribution; before the division their variance is 0.8798.

**More decimals than a number has.** A float64 near 4 fixes 15 decimals, a float32 six. It stands for all real
numbers that begin with its bits, and one of them is chosen for good: its further bits are a hash of the
number itself. So the decimals go on without end, each a function of the number alone, and equal numbers have
equal decimals. The first ones are those of the *binary* number: 0.3 is 0.29999... there.

Source: the notes on diffusion models on graphs (section 3.1.6), which stop where doubles do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.source import Source, Streams

__all__ = ["Digits", "decimals", "digits"]

_LIMB = 32  # bits; a limb times 10^9, and a carry, fit into 64
_GUARD = 64  # bits beyond the last decimal: none of them is a matter of rounding
_LOW = np.uint64(0xFFFFFFFF)
_U64 = NDArray[np.uint64]

_QUANTILES: Tensor = torch.special.ndtri((torch.arange(10, dtype=torch.float64) + 0.5) / 10)
_LEVELS: Tensor = _QUANTILES / _QUANTILES.square().mean().sqrt()


def decimals(values: Tensor, count: int) -> Tensor:
    """Return the first decimals of every number, without its sign, ``[count, ...]``, int64 from 0 to 9.

    Parameters
    ----------
    values
        Finite floating-point numbers ``[...]``; the type says how many of the bits are a number's own.
    count
        How many decimals, at least 1.

    Raises
    ------
    ValueError
        If count is below 1, or a value is not finite.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}.")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("values must be finite: infinity and NaN have no decimals.")
    limbs = _fraction(values, count)
    out = np.empty((9 * math.ceil(count / 9), limbs.shape[1]), dtype=np.int64)
    for start in range(0, count, 9):
        nine = _times_billion(limbs)
        for place in range(9):
            out[start + place] = nine // np.uint64(10 ** (8 - place)) % np.uint64(10)
    return torch.from_numpy(out[:count]).reshape(count, *values.shape).to(values.device)


def digits(values: Tensor, count: int) -> Tensor:
    """Return standardised digit noise, ``[count, ...]``: row t - 1 is z_t of the t-th decimal.

    Parameters
    ----------
    values
        Finite floating-point numbers ``[...]``.
    count
        How many decimals, at least 1.

    Raises
    ------
    ValueError
        If count is below 1, or a value is not finite.

    Examples
    --------
    >>> import torch
    >>> from noisefold.noise.digits import decimals, digits
    >>> decimals(torch.tensor([0.15625], dtype=torch.float64), 5).T
    tensor([[1, 5, 6, 2, 5]])
    >>> digits(torch.zeros(4, 2, dtype=torch.float64), 100).shape
    torch.Size([100, 4, 2])
    """
    noise = _LEVELS.to(values.device)[decimals(values, count)]
    return noise.to(values.dtype)


@configurable
@dataclass(frozen=True)
class Digits(Source):
    r"""The decimals of the data as noise, with nothing random about it.

    In training the noise of a number at time t is that of its decimal number :math:`k = \lceil t P \rceil`,
    of P places: a function of the data and the time. Where there is no data, in sampling, each number is one
    of the ten levels, drawn from the graph's stream, which is the distribution of decimals.

    What it does: :math:`x_t = \alpha_t x_0 + \sigma_t z_k`, from one decimal alone, as in the notes and in
    the trainings of the study of diffusion. Mean 0 and variance 1 are those of any other noise, so paths,
    targets and losses hold as they are, and any training may use it.

    What it does not:

    - It does not walk the chain. A state after k steps of a chain holds k decimals, and is nearly normal by
      their sum; this one holds one, and has ten possible values for each :math:`x_0`. What assumes a normal
      distribution, such as a likelihood, does not hold.
    - The first decimals are not noise: they tell of the number, and its size decides how many do. Of data
      with a spread of 1 those from the fourth on are even, so the times :math:`t > 3 / P`.
    - It does not sample without randomness: solvers that add noise take levels drawn from the seed. The study
      of diffusion has walks that take the decimals of points of the data instead.

    When to use: to ask whether diffusion needs randomness. Data on a coarse lattice, such as counts, have
    decimals that hardly vary.

    Parameters
    ----------
    places
        How many decimals there are, one for each step of a chain.

    Raises
    ------
    ValueError
        If places is below 1.
    """

    places: int = 100

    def __post_init__(self) -> None:
        if self.places < 1:
            raise ValueError(f"places must be at least 1, got {self.places}.")

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Draw one of ten levels on every node and column, ``[n, columns]``."""
        if data is None or t is None:
            fresh = streams.uniform(graphs.sizes, columns, graphs.pos.double())
            return _LEVELS.to(fresh.device)[(10 * fresh).long()].to(graphs.pos)
        # A step t = k / places must read decimal k, whichever way the division was rounded.
        place = torch.ceil(t * self.places - 1e-3).clamp(1, self.places).long() - 1
        every = digits(data, int(place.max()) + 1 if place.numel() else 1)
        at = place[graphs.batch] if place.ndim else place.expand(len(data))
        return every.gather(0, at[None, :, None].expand(1, *data.shape))[0]


def _fraction(values: Tensor, count: int) -> _U64:
    """Bits behind the point, ``[limbs, n]``, most significant first: the number's own, then hashed ones."""
    own_bits = 1 - round(math.log2(torch.finfo(values.dtype).eps))
    number = values.detach().cpu().double().numpy().reshape(-1)
    limbs = math.ceil((count * math.log2(10) + _GUARD) / _LIMB)
    out = np.empty((limbs, number.size), dtype=np.uint64)
    rest = np.modf(np.abs(number))[0]
    known = own_bits - np.frexp(number)[1].astype(np.int64)
    key = number.view(np.uint64)
    for limb in range(limbs):
        rest = rest * 2.0**_LIMB
        whole = np.floor(rest)
        rest = rest - whole
        unknown = (_LIMB - np.clip(known - _LIMB * limb, 0, _LIMB)).astype(np.uint64)
        tail = (np.uint64(1) << unknown) - np.uint64(1)
        out[limb] = whole.astype(np.uint64) | (_hash(key, limb) & tail)
    return out


def _times_billion(limbs: _U64) -> _U64:
    """The whole part ``[n]`` of 10^9 times a fraction ``[limbs, n]``, which is left with the rest."""
    carry = np.zeros(limbs.shape[1], dtype=np.uint64)
    for limb in limbs[::-1]:
        product = limb * np.uint64(10**9) + carry
        limb[:] = product & _LOW
        carry = product >> np.uint64(_LIMB)
    return carry


def _hash(key: _U64, counter: int) -> _U64:
    """One output of splitmix64, seeded with each key, after this many others; 64 bits wrap by design."""
    with np.errstate(over="ignore"):
        state = key + np.uint64(0x9E3779B97F4A7C15 * (counter + 1) & (1 << 64) - 1)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
