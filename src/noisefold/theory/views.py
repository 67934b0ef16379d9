r"""Four views of one Gaussian path: DDPM chain, score SDE, Langevin dynamics, stochastic localization.

Let x be a variance-preserving state, :math:`x = \sqrt{\bar\alpha}\, x_* + \sqrt{1 - \bar\alpha}\,
\varepsilon`, and :math:`\hat x_0 = E[x_* \mid x]`. The four literatures write the same state and the same
estimate in their own notation, and a `Point` converts between them:

============== ==================================================== ==========================================
view           level and state                                      estimate
============== ==================================================== ==========================================
DDPM           :math:`\bar\alpha_k = \prod (1 - \beta_k)`, x        noise :math:`\hat\varepsilon =
                                                                    (x - \sqrt{\bar\alpha} \hat x_0) /
                                                                    \sqrt{1 - \bar\alpha}`
score SDE      :math:`\bar\alpha(t) = e^{-B(t)}`, x                 score :math:`s = -\hat\varepsilon /
                                                                    \sqrt{1 - \bar\alpha}`
Langevin       the same                                             the same, as a drift at a fixed level
localization   :math:`s = \bar\alpha / (1 - \bar\alpha)`,           drift :math:`m_s = \hat x_0`
               :math:`Y_s = \sqrt{s (1 + s)}\, x`
============== ==================================================== ==========================================

Their dynamics, with :math:`\beta(t) = -2 \alpha'(t) / \alpha(t)`:

- **Chain**: :math:`x_k = \sqrt{1 - \beta_k}\, x_{k-1} + \sqrt{\beta_k}\, z`, back by :math:`q(x_{k-1} \mid
  x_k, \hat x_0)`.
- **SDE**: :math:`dx = -\tfrac12 \beta x\, dt + \sqrt\beta\, dw`, back by :math:`dx = [-\tfrac12 \beta x -
  \beta s]\, dt + \sqrt\beta\, d\bar w` with dt < 0.
- **Langevin**: :math:`x \leftarrow x + h s + \sqrt{2h}\, z` at a fixed level. The reverse SDE over a time
  :math:`|dt|` is the probability flow and such a step of size :math:`h = \tfrac12 \beta |dt|`, no more.
- **Localization**: :math:`dY = E[x_* \mid Y_s]\, ds + dB`. :math:`E[x_* \mid Y_s]` is a martingale, and
  :math:`\frac{d}{ds} E\, \mathrm{Cov} = -E\, \mathrm{Cov}^2`: the posterior of :math:`x_*` given
  :math:`Y_s` contracts to a point. A step of the reverse chain is exactly a step of Euler's method for this
  process.

The notes these follow have the drift of the SDE as x in place of :math:`-\beta x / 2` (eqs. 2, 6, 7; as
written it explodes, and eq. 7 runs back in time), and take :math:`-\varepsilon / \sigma` for the score of the
marginal. It is that of the path given :math:`x_*`; its mean given the state is the score.

Source: Understanding Diffusion Models on Graphs, sections 1 and 3; Song et al., Score-Based Generative
Modeling through Stochastic Differential Equations (2021), https://arxiv.org/abs/2011.13456; Montanari,
Sampling, Diffusions, and Stochastic Localization (2023), https://arxiv.org/abs/2305.10690.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.noise.schedule import Schedule

__all__ = ["Point", "alpha_bars", "betas", "rate", "reverse_drift"]


def alpha_bars(betas: Tensor) -> Tensor:
    r"""Return :math:`\bar\alpha_k = \prod_{j \le k} (1 - \beta_j)` from ``betas [steps]``.

    Raises
    ------
    ValueError
        If a beta is not in (0, 1).
    """
    if not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError(f"betas must lie in (0, 1), got {betas.min():g} to {betas.max():g}.")
    # Rounding of many factors near 1 adds up in a product; the logarithm keeps what is small.
    return torch.log1p(-betas).cumsum(0).exp()


def betas(schedule: Schedule, steps: int) -> Tensor:
    r"""Return the betas of the chain on a path at t = k / steps, k = 1 .. steps, float64 ``[steps]``.

    :math:`\beta_k = 1 - \bar\alpha_k / \bar\alpha_{k-1}`, :math:`\bar\alpha = \mathrm{SNR} / (1 +
    \mathrm{SNR})`, so that a path that does not preserve the variance gives the chain of equal
    signal-to-noise ratios. The way back: ``schedule.time(torch.logit(alpha_bars(betas)))``.

    Raises
    ------
    ValueError
        If steps is below 1, or the schedule has noise at t = 0 (offset cosine, VE): a chain begins clean.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    signal, noise = schedule.alpha(t) ** 2, schedule.sigma(t) ** 2
    if float(noise[0]) > 0:
        raise ValueError(f"{schedule!r} has sigma {float(noise[0]) ** 0.5:g} at t = 0; a chain begins clean.")
    total = signal + noise
    # 1 - (a / A) / (b / B), without the difference of two numbers near 1.
    before, after = slice(None, -1), slice(1, None)
    return (signal[before] * noise[after] - signal[after] * noise[before]) / (total[after] * signal[before])


def rate(schedule: Schedule, t: Tensor) -> Tensor:
    r"""Return :math:`\beta(t) = -2 \alpha' / \alpha` of the score SDE, of the shape of t."""
    return -2 * schedule.dalpha(t) / schedule.alpha(t)


def reverse_drift(x: Tensor, score: Tensor, beta: Tensor | float, langevin: float = 1.0) -> Tensor:
    r"""Return the reverse drift of the score SDE, :math:`\beta (x / 2 + (1 + \ell) s / 2)`, for falling time.

    With the noise :math:`\sqrt{\ell \beta}\, d\bar w` every :math:`\ell \ge 0` leaves the marginals of the
    path in place: 0 is the probability flow, 1 the reverse SDE, and :math:`\ell` counts the Langevin dynamics
    that is added.

    Parameters
    ----------
    x, score
        ``[n, d]``.
    beta
        The `rate` at that time.
    langevin
        The l.
    """
    return beta * (x + (1 + langevin) * score) / 2


@dataclass(frozen=True, eq=False)
class Point:
    """A state and an estimate of its data, at one noise level, in the notation of all four views.

    Attributes
    ----------
    alpha_bar
        Share of the signal in the variance, in (0, 1); a scalar, or broadcasts against the state.
    state
        x, ``[n, d]``.
    data
        Estimate of the data, E[x* | x], ``[n, d]``.
    """

    alpha_bar: Tensor
    state: Tensor
    data: Tensor

    @classmethod
    def ddpm(cls, alpha_bar: Tensor, state: Tensor, noise: Tensor) -> Point:
        """Return the point at a state with an estimate of its noise."""
        return cls(alpha_bar, state, (state - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt())

    @classmethod
    def sde(cls, alpha_bar: Tensor, state: Tensor, score: Tensor) -> Point:
        """Return the point at a state with its score, by Tweedie's formula."""
        return cls(alpha_bar, state, (state + (1 - alpha_bar) * score) / alpha_bar.sqrt())

    @classmethod
    def langevin(cls, alpha_bar: Tensor, state: Tensor, moved: Tensor, step: float) -> Point:
        """Return the point at a state whose mean after a Langevin step of size h is `moved`, x + h s."""
        return cls.sde(alpha_bar, state, (moved - state) / step)

    @classmethod
    def localization(cls, time: Tensor, observation: Tensor, drift: Tensor) -> Point:
        """Return the point at localization time s, with observation Y_s and drift E[x* | Y_s]."""
        return cls(time / (1 + time), observation / (time * (1 + time)).sqrt(), drift)

    @property
    def noise(self) -> Tensor:
        """Estimate of the noise, ``[n, d]``: DDPM."""
        return (self.state - self.alpha_bar.sqrt() * self.data) / (1 - self.alpha_bar).sqrt()

    @property
    def score(self) -> Tensor:
        """Score of the marginal, ``[n, d]``: score SDE and Langevin."""
        return (self.alpha_bar.sqrt() * self.data - self.state) / (1 - self.alpha_bar)

    def langevin_mean(self, step: float) -> Tensor:
        """Return the mean of the state after a Langevin step of size h, ``[n, d]``."""
        return self.state + step * self.score

    @property
    def time(self) -> Tensor:
        """Localization time s, the signal-to-noise ratio."""
        return self.alpha_bar / (1 - self.alpha_bar)

    @property
    def observation(self) -> Tensor:
        """Observation Y_s, ``[n, d]``: localization."""
        return self.state * self.alpha_bar.sqrt() / (1 - self.alpha_bar)
