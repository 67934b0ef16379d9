"""Why it works: laws with exact answers, and what noise leaves of the data's own structure."""

from noisefold.geometry.correlation import (
    Correlation,
    Exponential,
    Matern,
    Nested,
    Spherical,
    SquaredExponential,
    Triangular,
)
from noisefold.geometry.fit import Fit, fit_correlation
from noisefold.geometry.variogram import Variogram, variogram
from noisefold.noise.information import point_information
from noisefold.theory.information import (
    ball_integrals,
    best_radius,
    expected_square_distance,
    lemma,
    mutual_information,
)
from noisefold.theory.oracle import GaussianMixture
from noisefold.theory.resolution import Resolution, resolution
from noisefold.theory.validity import require_valid, spectral_density

__all__ = [
    "Correlation",
    "Exponential",
    "Fit",
    "GaussianMixture",
    "Matern",
    "Nested",
    "Resolution",
    "Spherical",
    "SquaredExponential",
    "Triangular",
    "Variogram",
    "ball_integrals",
    "best_radius",
    "expected_square_distance",
    "fit_correlation",
    "lemma",
    "mutual_information",
    "point_information",
    "require_valid",
    "resolution",
    "spectral_density",
    "variogram",
]
