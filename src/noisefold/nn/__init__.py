"""What predicts."""

from noisefold.nn.denoiser import Denoiser
from noisefold.nn.latents import Latents

__all__ = ["Denoiser", "Latents"]
