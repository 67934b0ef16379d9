"""Is what was generated any good? Distances between sets, and tables of scores that say what they mean."""

from noisefold.eval.baselines import Alike, Baseline, Mean, Nearest, Prediction
from noisefold.eval.clouds import (
    chamfer_matrix,
    coverage,
    jsd,
    mmd,
    occupancy,
    one_nna,
    paper_units,
    paper_w,
)
from noisefold.eval.comparison import CLOUD_METRICS, score_clouds
from noisefold.eval.draws import DrawScores, score_draws, tabulate
from noisefold.eval.fields import (
    energy_distance,
    marginal_wasserstein,
    paper_field_w,
    sliced_wasserstein,
)
from noisefold.eval.kriging import Kriging
from noisefold.eval.likeness import FIELD_METRICS, score_fields
from noisefold.eval.regression import GaussianField, Regression
from noisefold.eval.rules import crps, energy_score
from noisefold.eval.scores import Metric, Score, Scores, half_sampled
from noisefold.eval.texture import morans_i, power_spectrum, roughness, spectral_distance
from noisefold.eval.transport import emd, emd_matrix, transport_cost, wasserstein

__all__ = [
    "CLOUD_METRICS",
    "FIELD_METRICS",
    "Alike",
    "Baseline",
    "DrawScores",
    "GaussianField",
    "Kriging",
    "Mean",
    "Metric",
    "Nearest",
    "Prediction",
    "Regression",
    "Score",
    "Scores",
    "chamfer_matrix",
    "coverage",
    "crps",
    "emd",
    "emd_matrix",
    "energy_distance",
    "energy_score",
    "half_sampled",
    "jsd",
    "marginal_wasserstein",
    "mmd",
    "morans_i",
    "occupancy",
    "one_nna",
    "paper_field_w",
    "paper_units",
    "paper_w",
    "power_spectrum",
    "roughness",
    "score_clouds",
    "score_draws",
    "score_fields",
    "sliced_wasserstein",
    "spectral_distance",
    "tabulate",
    "transport_cost",
    "wasserstein",
]
