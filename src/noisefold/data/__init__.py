"""Data sets and files: what the world looks like as `Graphs`."""

from noisefold.data import simulate
from noisefold.data.biology import Tissue
from noisefold.data.expression import Expression
from noisefold.data.files import load
from noisefold.data.layers import write_layers
from noisefold.data.limb import limb_bud
from noisefold.data.modelnet import modelnet40
from noisefold.data.outputs import save
from noisefold.data.patches import Patches
from noisefold.data.ranges import RangeByTime
from noisefold.data.region import region
from noisefold.data.shapes import FAMILIES, shapes

__all__ = [
    "FAMILIES",
    "Expression",
    "Patches",
    "RangeByTime",
    "Tissue",
    "limb_bud",
    "load",
    "modelnet40",
    "region",
    "save",
    "shapes",
    "simulate",
    "write_layers",
]
