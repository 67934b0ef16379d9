"""Is what was generated any good? Distances between sets, and tables of scores that say what they mean."""

from noisefold.eval.baselines import Baseline, FeatureKNN, MarginalNormal, PredictiveDistribution, SpatialKNN
from noisefold.eval.cloud_metrics import (
    chamfer_matrix,
    coverage,
    jsd,
    mmd,
    occupancy,
    one_nna,
    paper_units,
    paper_w,
)
from noisefold.eval.cloud_scores import CLOUD_METRICS, score_clouds
from noisefold.eval.field_metrics import (
    energy_distance,
    marginal_wasserstein,
    paper_field_w,
    sliced_wasserstein,
)
from noisefold.eval.field_scores import FIELD_METRICS, score_fields
from noisefold.eval.kriging import Kriging
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.eval.regression import GaussianField, Regression
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled
from noisefold.eval.scoring_rules import crps, energy_score
from noisefold.eval.spatial_statistics import morans_i, power_spectrum, roughness, spectral_distance
from noisefold.eval.transport import emd, emd_matrix, transport_cost, wasserstein

__all__ = [
    "CLOUD_METRICS",
    "FIELD_METRICS",
    "Baseline",
    "FeatureKNN",
    "GaussianField",
    "Kriging",
    "MarginalNormal",
    "Metric",
    "PosteriorScores",
    "PredictiveDistribution",
    "Regression",
    "Score",
    "Scores",
    "SpatialKNN",
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
    "score_fields",
    "score_posterior",
    "sliced_wasserstein",
    "spectral_distance",
    "tabulate",
    "transport_cost",
    "wasserstein",
]
