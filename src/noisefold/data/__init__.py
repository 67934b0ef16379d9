"""Data sets and files: what the world looks like as `Graphs`."""

from noisefold.data.files import load
from noisefold.data.modelnet import modelnet40
from noisefold.data.outputs import save
from noisefold.data.shapes import FAMILIES, shapes

__all__ = ["FAMILIES", "load", "modelnet40", "save", "shapes"]
