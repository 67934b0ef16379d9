r"""Gaussian of low rank, and its closed-form denoiser.

Values x of all nodes of a graph, D numbers, are normal with mean m and covariance

.. math:: \Sigma = U \Lambda U^T + s (I - U U^T),

r principal components and one variance for the rest. The state at unit scale is :math:`y = a x + b
\varepsilon`, :math:`a^2 + b^2 = 1`. With :math:`d = y - a m` the posterior mean of x leaves of the residual
target (`noisefold.noise.Target`)

.. math::

    \frac{E[x \mid y] - a y}{b} = b \bigl[ m + a\, (\kappa_s d + U (\kappa_\Lambda - \kappa_s) U^T d) \bigr],
    \qquad \kappa_\lambda = \frac{\lambda - 1}{a^2 \lambda + b^2},

which is zero for white data of unit variance, and has no difference of large numbers at any noise.

Where some values are observed without noise, write :math:`y = h x + \varepsilon \sqrt v`, with h = a and
:math:`v = b^2` for a noisy value and h = 1 and v = 0 for an observed one. Then :math:`q = (\mathrm{diag}(h)
\Sigma\, \mathrm{diag}(h) + \mathrm{diag}(v))^{-1} (y - h m)`, solved by the Woodbury identity in r
dimensions, gives :math:`E[x \mid y] = m + \Sigma h q`.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), appendix A,
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.gp import factor

__all__ = ["LowRankGaussian"]

_LOW_NOISE = 0.7  # signal a above which the residual is found from what observations leave


@dataclass(frozen=True, eq=False)
class LowRankGaussian:
    """One Gaussian for each graph of a batch of graphs of one size.

    Parameters
    ----------
    mean, vectors, values, rest
        m ``[k, D]``, U ``[k, D, r]``, the diagonal of :math:`\\Lambda` ``[k, r]`` and s ``[k]`` of k
        Gaussians.
    which
        The Gaussian of each graph, ``[g]``.
    """

    mean: Tensor
    vectors: Tensor
    values: Tensor
    rest: Tensor
    which: Tensor

    def residual(self, state: Tensor, a: Tensor, b: Tensor, known: Tensor | None = None) -> Tensor:
        """Return what the posterior mean leaves of the residual target, ``[g, D]``.

        Parameters
        ----------
        state
            y ``[g, D]``; observed values where `known` is set.
        a, b
            Signal and noise, ``[g]``.
        known
            Which values are observed, bool ``[g, D]``; None: none. What is returned for them means nothing.
        """
        out = torch.empty_like(state)
        for k in self.which.unique().tolist():
            here = self.which == k
            part = (self.mean[k], self.vectors[k], self.values[k], self.rest[k])
            noise = a[here, None], b[here, None]
            if known is None or not bool(known[here].any()):
                out[here] = _residual(state[here], *noise, *part)
            else:
                out[here] = _completed(state[here], known[here], *noise, *part)
        return out


def _residual(
    y: Tensor, a: Tensor, b: Tensor, mean: Tensor, vectors: Tensor, values: Tensor, rest: Tensor
) -> Tensor:
    d = y - a * mean
    of_rest = (rest - 1) / (a.square() * rest + b.square())
    of_values = (values - 1) / (a.square() * values + b.square())
    turned = (d @ vectors) * (of_values - of_rest)
    return b * (mean + a * (of_rest * d + turned @ vectors.T))


def _completed(
    y: Tensor,
    known: Tensor,
    a: Tensor,
    b: Tensor,
    mean: Tensor,
    vectors: Tensor,
    values: Tensor,
    rest: Tensor,
) -> Tensor:
    h = torch.where(known, torch.ones_like(a), a)
    v = torch.where(known, torch.zeros_like(b), b.square())
    d = y - h * mean
    weight = 1 / (v + h.square() * rest)
    above = values - rest
    scaled = vectors * above.clamp(min=0).sqrt()  # W with W W^T = U (Lambda - s) U^T
    left = (weight * h)[..., None] * scaled  # [g, D, r]
    inner = torch.einsum("gdr,gd,ds->grs", left, h, scaled).double()
    inner = inner + torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    right = torch.einsum("gdr,gd->gr", left, d).double()
    solved = factor(inner).solve(right[..., None]).to(y)[..., 0]
    # q = S^-1 d, of which W^T h q is `solved`: no difference of large numbers.
    q = weight * d - torch.einsum("gdr,gr->gd", left, solved)
    gain = rest * h * q + solved @ scaled.T  # Sigma h q
    by_noise = mean + (d - q) / a
    by_signal = b * mean + (gain - a * d) / b
    return torch.where(a > _LOW_NOISE, b * by_noise, by_signal)
