r"""Joint Gaussian of several nodes, and its leave-one-out conditionals under noise.

Values :math:`x_g \sim N(m_g, \sigma_g C)` of feature g at r nodes share the covariance
:math:`C = U \Lambda U^T` up to a scale and are observed under noise, :math:`s = a x + b \varepsilon`. Given
the noisy values of all other nodes, the value of node i is normal. With
:math:`\lambda_{jg} = \sigma_g \Lambda_j` and :math:`d = s - a m`,

.. math:: p_{ig} = \sum_j \frac{U_{ij}^2}{a^2 \lambda_{jg} + b^2}, \quad
    q_{ig} = \sum_j \frac{U_{ij}^2 \lambda_{jg}}{a^2 \lambda_{jg} + b^2}, \quad
    z = (a^2 \sigma_g C + b^2)^{-1} d, \quad h = \sigma_g C z,

its variance is :math:`q / p` and its mean

.. math:: m + \frac{d - z / p}{a} = m + \frac{a (h - q d)}{b^2 p} ,

of which the first form is accurate at little noise and the second at much. At pure noise it is the prior.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 5.4.2,
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["JointGaussian"]


@dataclass(frozen=True, eq=False)
class JointGaussian:
    """Covariance of some features at some nodes of a graph.

    Parameters
    ----------
    rows
        The nodes, ``[r]``.
    features
        The features, ``[f]``.
    vectors, values
        U ``[r, r]`` and the diagonal of :math:`\\Lambda` ``[r]``.
    scale
        :math:`\\sigma_g`, ``[f]``.
    """

    rows: Tensor
    features: Tensor
    vectors: Tensor
    values: Tensor
    scale: Tensor

    def others(self, mean: Tensor, state: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance ``[r, f]`` of each value given the noisy values of the other nodes.

        Parameters
        ----------
        mean, state
            m and s at these nodes and features, ``[r, f]``.
        a, b
            Signal and noise, numbers, :math:`a^2 + b^2 = 1`.
        """
        lam = self.values[:, None] * self.scale
        weight = 1 / (a.square() * lam + b.square())
        square = self.vectors.square()
        p, q = square @ weight, square @ (lam * weight)
        d = state - a * mean
        turned = (self.vectors.T @ d) * weight
        if float(a) > 0.7:
            shift = (d - (self.vectors @ turned) / p) / a
        else:
            shift = a * (self.vectors @ (turned * lam) - q * d) / (b.square() * p)
        return mean + shift, q / p
