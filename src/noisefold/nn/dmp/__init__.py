"""Dynamic message passing, whose range and resolution follow the noise."""

from noisefold.nn.dmp.network import DMP, Details

__all__ = ["DMP", "Details"]
