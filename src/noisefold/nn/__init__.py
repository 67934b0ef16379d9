"""What predicts."""

from noisefold.nn import adaptive
from noisefold.nn.adaptive import Adaptive
from noisefold.nn.denoiser import Denoise, Denoiser
from noisefold.nn.dmp import DMP, Details
from noisefold.nn.latents import Latents

__all__ = ["DMP", "Adaptive", "Denoise", "Denoiser", "Details", "Latents", "adaptive"]
