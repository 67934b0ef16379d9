"""Networks and denoisers: what predicts the clean data from a noisy state."""

from noisefold.nn import adaptive
from noisefold.nn.adaptive.schedule import Adaptive
from noisefold.nn.bidimensional import BiDimensionalAttention
from noisefold.nn.compute_budget import ComputeBudget
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.dit.network import DiT
from noisefold.nn.dit.patch_schedule import PatchSchedule
from noisefold.nn.dmp.network import DMP, Details
from noisefold.nn.egnn import EGNN
from noisefold.nn.experts import ExpertDenoisers
from noisefold.nn.fittable import Fittable
from noisefold.nn.graph_transformer.directed import DirectedGraphTransformer
from noisefold.nn.graph_transformer.geometric import GeometricTransformer
from noisefold.nn.graph_transformer.network import GraphTransformer
from noisefold.nn.latents import Latents
from noisefold.nn.prior.gaussian_residual import GaussianResidual
from noisefold.nn.prior.kriging_residual import KrigingResidual
from noisefold.nn.set_transformer import SetTransformer
from noisefold.nn.tiled import Tiled
from noisefold.nn.track_transformer import TrackTransformer
from noisefold.nn.vector_field_net import EquivariantFieldNet

__all__ = [
    "DMP",
    "EGNN",
    "Adaptive",
    "BiDimensionalAttention",
    "ComputeBudget",
    "Denoiser",
    "Details",
    "DiT",
    "DirectedGraphTransformer",
    "EquivariantFieldNet",
    "ExpertDenoisers",
    "Fittable",
    "GaussianResidual",
    "GeometricTransformer",
    "GraphTransformer",
    "KrigingResidual",
    "Latents",
    "PatchSchedule",
    "SetTransformer",
    "Tiled",
    "TrackTransformer",
    "adaptive",
]
