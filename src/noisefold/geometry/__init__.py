"""Space: ragged graphs, segments, neighbours, coarsening, kernels and Gaussian processes."""

from noisefold.geometry import pairs
from noisefold.geometry.centre import Centre, centred
from noisefold.geometry.coarsen import Balanced, FarthestPoint, KMeans, Supernodes, Voxel
from noisefold.geometry.correlation import (
    Correlation,
    Exponential,
    Matern,
    Nested,
    Periodic,
    Spherical,
    SquaredExponential,
    Stationary,
    Triangular,
)
from noisefold.geometry.delaunay import DelaunayLayout, delaunay_edges
from noisefold.geometry.gp import Conditional, Factor, LeaveOneOut, condition, evidence, factor, leave_one_out
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.kernels import Anisotropic, Kernel, Nugget, Product, Scaled, Sum
from noisefold.geometry.knn import knn_dense
from noisefold.geometry.latent_positions import LatentPositions
from noisefold.geometry.manifold import Manifold, Sphere, Torus
from noisefold.geometry.neighbor_rules import KNN, Full, LongShort, Radius, Random
from noisefold.geometry.pair_decoder import PairDecoder
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.segment import segment_max, segment_mean, segment_softmax, segment_sum
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.tensor_kernels import HessianTensor, symmetric_basis, tensor_rotation
from noisefold.geometry.track_kernel import TrackKernel
from noisefold.geometry.transform import Chain, Transform
from noisefold.geometry.trend import Trend
from noisefold.geometry.vector_kernels import (
    CurlFree,
    DivergenceFree,
    IndependentOutputs,
    Tangent,
    TangentGradient,
    TangentRotational,
    local_frame,
)

__all__ = [
    "KNN",
    "Anisotropic",
    "Balanced",
    "Centre",
    "Chain",
    "Conditional",
    "Correlation",
    "CurlFree",
    "DataSummary",
    "DelaunayLayout",
    "DivergenceFree",
    "Exponential",
    "Factor",
    "FarthestPoint",
    "Full",
    "Graphs",
    "HessianTensor",
    "IndependentOutputs",
    "KMeans",
    "Kernel",
    "LatentPositions",
    "LeaveOneOut",
    "LongShort",
    "Manifold",
    "Matern",
    "Nested",
    "Nugget",
    "PairDecoder",
    "Periodic",
    "Product",
    "Radius",
    "Random",
    "Scaled",
    "Scaling",
    "Sphere",
    "Spherical",
    "SquaredExponential",
    "Stationary",
    "Sum",
    "Supernodes",
    "Tangent",
    "TangentGradient",
    "TangentRotational",
    "Torus",
    "TrackKernel",
    "Transform",
    "Trend",
    "Triangular",
    "Voxel",
    "centred",
    "condition",
    "delaunay_edges",
    "evidence",
    "factor",
    "knn_dense",
    "leave_one_out",
    "local_frame",
    "pairs",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
    "symmetric_basis",
    "tensor_rotation",
]
