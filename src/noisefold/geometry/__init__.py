"""Space: ragged graphs, segments, neighbours and coarsening."""

from noisefold.geometry.coarsen import Balanced, Cells, FarthestPoint, KMeans, Voxel
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.nearest import knn_dense
from noisefold.geometry.neighbors import KNN, Full, LongShort, Radius, Random
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.segment import segment_max, segment_mean, segment_softmax, segment_sum
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Chain, Transform

__all__ = [
    "KNN",
    "Balanced",
    "Cells",
    "Chain",
    "DataSummary",
    "FarthestPoint",
    "Full",
    "Graphs",
    "KMeans",
    "LongShort",
    "Radius",
    "Random",
    "Scaling",
    "Transform",
    "Voxel",
    "knn_dense",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
]
