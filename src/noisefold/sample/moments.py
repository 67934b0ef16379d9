"""Mean and variance of draws that come in parts and need not be held together."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Moments"]


class Moments:
    r"""Running mean and sum of squares.

    A part of k draws with the mean c joins m earlier ones by

    .. math:: \mu \leftarrow \mu + \frac{k}{m + k} (c - \mu), \qquad
        M \leftarrow M + \sum_j (v_j - c)^2 + \frac{m k}{m + k} (c - \mu)^2 .

    Source: Chan, Golub and LeVeque, `Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances <https://doi.org/10.1007/978-3-642-51461-6_3>`_ (1982).

    Parameters
    ----------
    like
        A tensor of the shape and type of one draw.
    """

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self.mean = torch.zeros_like(like)
        self._squares = torch.zeros_like(like)

    def add(self, values: Tensor) -> None:
        """Take in draws ``[k, ...]``."""
        k, m = len(values), self.count
        centre = values.mean(0)
        away = centre - self.mean
        self._squares += (values - centre).square().sum(0) + away.square() * (m * k / (m + k))
        self.mean += away * (k / (m + k))
        self.count += k

    @property
    def std(self) -> Tensor:
        """Standard deviation with the denominator count - 1; NaN for a single draw."""
        if self.count < 2:
            return torch.full_like(self.mean, torch.nan)
        return (self._squares / (self.count - 1)).sqrt()
