"""Procedural shapes, and ModelNet."""

from noisefold.data.shapes.modelnet import modelnet40
from noisefold.data.shapes.procedural import FAMILIES, shapes

__all__ = ["FAMILIES", "modelnet40", "shapes"]
