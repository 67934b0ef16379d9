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
from noisefold.eval.directed_scores import DIRECTED_METRICS, score_directed_graphs, triad_census
from noisefold.eval.field_metrics import (
    energy_distance,
    marginal_wasserstein,
    paper_field_w,
    sliced_wasserstein,
)
from noisefold.eval.field_scores import FIELD_METRICS, score_fields
from noisefold.eval.function_scores import FUNCTION_METRICS, context_masks, score_functions
from noisefold.eval.gp_regression import FittedGP, GPRegression
from noisefold.eval.graph_discrepancy import polygraph_discrepancy
from noisefold.eval.graph_metrics import STATISTICS, graph_mmd, mmd_ratio, nearest_spectra
from noisefold.eval.graph_scores import GRAPH_METRICS, score_graphs
from noisefold.eval.graph_statistics import GraphStatistics, adjacency, orbit_counts
from noisefold.eval.graph_validity import VALIDITY, shared_validity, valid_graphs
from noisefold.eval.image_scores import IMAGE_METRICS, score_images
from noisefold.eval.inception import FID, fid
from noisefold.eval.isomorphism import isomorphism_classes
from noisefold.eval.kriging import Kriging
from noisefold.eval.molecule_geometry import (
    MOLECULE_GEOMETRY_METRICS,
    score_molecule_geometry,
    stable_atoms,
)
from noisefold.eval.molecule_scores import MOLECULE_METRICS, score_molecules
from noisefold.eval.placement import Placement, next_places
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.eval.random_graphs import erdos_renyi_like
from noisefold.eval.regression import GaussianField, Regression
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled
from noisefold.eval.scoring_rules import crps, energy_score
from noisefold.eval.spatial_statistics import morans_i, power_spectrum, roughness, spectral_distance
from noisefold.eval.stereographic import StereographicGaussian, persisted
from noisefold.eval.track_metrics import TRACK_METRICS, forecast_masks, score_tracks
from noisefold.eval.track_scores import PlaceScores, geodesic_median, score_places
from noisefold.eval.transport import emd, emd_matrix, transport_cost, wasserstein

__all__ = [
    "CLOUD_METRICS",
    "DIRECTED_METRICS",
    "FID",
    "FIELD_METRICS",
    "FUNCTION_METRICS",
    "GRAPH_METRICS",
    "IMAGE_METRICS",
    "MOLECULE_GEOMETRY_METRICS",
    "MOLECULE_METRICS",
    "STATISTICS",
    "TRACK_METRICS",
    "VALIDITY",
    "Baseline",
    "FeatureKNN",
    "FittedGP",
    "GPRegression",
    "GaussianField",
    "GraphStatistics",
    "Kriging",
    "MarginalNormal",
    "Metric",
    "PlaceScores",
    "Placement",
    "PosteriorScores",
    "PredictiveDistribution",
    "Regression",
    "Score",
    "Scores",
    "SpatialKNN",
    "StereographicGaussian",
    "adjacency",
    "chamfer_matrix",
    "context_masks",
    "coverage",
    "crps",
    "emd",
    "emd_matrix",
    "energy_distance",
    "energy_score",
    "erdos_renyi_like",
    "fid",
    "forecast_masks",
    "geodesic_median",
    "graph_mmd",
    "half_sampled",
    "isomorphism_classes",
    "jsd",
    "marginal_wasserstein",
    "mmd",
    "mmd_ratio",
    "morans_i",
    "nearest_spectra",
    "next_places",
    "occupancy",
    "one_nna",
    "orbit_counts",
    "paper_field_w",
    "paper_units",
    "paper_w",
    "persisted",
    "polygraph_discrepancy",
    "power_spectrum",
    "roughness",
    "score_clouds",
    "score_directed_graphs",
    "score_fields",
    "score_functions",
    "score_graphs",
    "score_images",
    "score_molecule_geometry",
    "score_molecules",
    "score_places",
    "score_posterior",
    "score_tracks",
    "shared_validity",
    "sliced_wasserstein",
    "spectral_distance",
    "stable_atoms",
    "tabulate",
    "transport_cost",
    "triad_census",
    "valid_graphs",
    "wasserstein",
]
