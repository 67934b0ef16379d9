"""What predicts."""

from noisefold.nn import adaptive
from noisefold.nn.budget import Adaptive
from noisefold.nn.denoiser import Denoise, Denoiser
from noisefold.nn.dmp import DMP, Details
from noisefold.nn.effort import Effort
from noisefold.nn.latents import Latents
from noisefold.nn.routed import Routed

__all__ = ["DMP", "Adaptive", "Denoise", "Denoiser", "Details", "Effort", "Latents", "Routed", "adaptive"]
