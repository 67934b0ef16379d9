"""Is what was generated any good? Distances between sets, and tables of scores that say what they mean."""

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
from noisefold.eval.scores import Metric, Score, Scores, half_sampled
from noisefold.eval.transport import emd, emd_matrix, transport_cost, wasserstein

__all__ = [
    "CLOUD_METRICS",
    "Metric",
    "Score",
    "Scores",
    "chamfer_matrix",
    "coverage",
    "emd",
    "emd_matrix",
    "half_sampled",
    "jsd",
    "mmd",
    "occupancy",
    "one_nna",
    "paper_units",
    "paper_w",
    "score_clouds",
    "transport_cost",
    "wasserstein",
]
