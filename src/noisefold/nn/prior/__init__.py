"""Kriging and regression, or the data's own Gaussian, as the network's starting point."""

from noisefold.nn.prior.gaussian_residual import GaussianResidual
from noisefold.nn.prior.kriging_residual import KrigingResidual

__all__ = ["GaussianResidual", "KrigingResidual"]
