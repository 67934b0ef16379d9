"""Diffusion transformers on images, whose patches follow the noise."""
