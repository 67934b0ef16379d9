"""Why it works: laws with exact answers."""

from noisefold.theory.oracle import GaussianMixture

__all__ = ["GaussianMixture"]
