"""Geometry: ragged graphs, segment reductions, neighbour search and coarsening."""

from noisefold.geometry import pairs
from noisefold.geometry.coarsen import Balanced, FarthestPoint, KMeans, Supernodes, Voxel
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.knn import knn_dense
from noisefold.geometry.neighbor_rules import KNN, Full, LongShort, Radius, Random
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.segment import segment_max, segment_mean, segment_softmax, segment_sum
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Chain, Transform

__all__ = [
    "KNN",
    "Balanced",
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
    "Supernodes",
    "Transform",
    "Voxel",
    "knn_dense",
    "pairs",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
]
