"""Theory: distributions with exact denoisers, and the information that noise leaves about the data."""

from noisefold.geometry.correlation import Correlation as Correlation
from noisefold.geometry.correlation import Exponential as Exponential
from noisefold.geometry.correlation import Matern as Matern
from noisefold.geometry.correlation import Nested as Nested
from noisefold.geometry.correlation import Spherical as Spherical
from noisefold.geometry.correlation import SquaredExponential as SquaredExponential
from noisefold.geometry.correlation import Triangular as Triangular
from noisefold.geometry.correlation_fit import Fit, fit_correlation
from noisefold.geometry.variogram import Variogram, variogram
from noisefold.noise.point_information import point_information, weighted_information
from noisefold.theory.field import Field, GaussianProcess
from noisefold.theory.graph_oracle import FiniteGraphs, SpanningTrees, propagated
from noisefold.theory.heat_mixture import HeatMixture
from noisefold.theory.information import (
    ball_integrals,
    best_radius,
    expected_square_distance,
    lemma,
    mutual_information,
)
from noisefold.theory.joint_oracle import FiniteGeometricGraphs
from noisefold.theory.learning_curve import Forecast, LearningCurve
from noisefold.theory.localization import Martingale, believe, martingale, observe
from noisefold.theory.oracle import GaussianMixture
from noisefold.theory.propagation import Moments, propagated_moments
from noisefold.theory.resolution import Resolution, resolution
from noisefold.theory.scaling_law import ScalingLaw
from noisefold.theory.validity import require_valid, spectral_density
from noisefold.theory.views import Point, alpha_bars, betas, rate, reverse_drift

__all__ = [
    "Field",
    "FiniteGeometricGraphs",
    "FiniteGraphs",
    "Fit",
    "Forecast",
    "GaussianMixture",
    "GaussianProcess",
    "HeatMixture",
    "LearningCurve",
    "Martingale",
    "Moments",
    "Point",
    "Resolution",
    "ScalingLaw",
    "SpanningTrees",
    "Variogram",
    "alpha_bars",
    "ball_integrals",
    "believe",
    "best_radius",
    "betas",
    "expected_square_distance",
    "fit_correlation",
    "lemma",
    "martingale",
    "mutual_information",
    "observe",
    "point_information",
    "propagated",
    "propagated_moments",
    "rate",
    "require_valid",
    "resolution",
    "reverse_drift",
    "spectral_density",
    "variogram",
    "weighted_information",
]
