"""What predicts."""

from noisefold.nn import adaptive
from noisefold.nn.budget import Adaptive
from noisefold.nn.denoiser import Denoise, Denoiser
from noisefold.nn.dmp import DMP, Details
from noisefold.nn.effort import Effort
from noisefold.nn.kriged import Kriged
from noisefold.nn.latents import Latents
from noisefold.nn.learns import Learns
from noisefold.nn.patched import Patched
from noisefold.nn.routed import Routed
from noisefold.nn.set_transformer import SetTransformer

__all__ = [
    "DMP",
    "Adaptive",
    "Denoise",
    "Denoiser",
    "Details",
    "Effort",
    "Kriged",
    "Latents",
    "Learns",
    "Patched",
    "Routed",
    "SetTransformer",
    "adaptive",
]
