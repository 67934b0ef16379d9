"""Kriging and regression as the network's starting point."""

from noisefold.nn.prior.kriging_residual import KrigingResidual

__all__ = ["KrigingResidual"]
