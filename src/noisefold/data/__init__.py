"""Data sets and files: what the world looks like as `Graphs`."""

from noisefold.data import molecules
from noisefold.data.earth.write import write_draws
from noisefold.data.folders import FolderSplit
from noisefold.data.functions import (
    Coordinates,
    FunctionSamples,
    Tracks,
    UniformInputs,
    gaussian_process,
    mixture,
    read_tracks,
    sawtooth,
    write_tracks,
)
from noisefold.data.graph_sets import community, graph_set, grid, moses, planar, qm9, sbm, tree
from noisefold.data.images import (
    Canvas,
    Pictures,
    PixelGraphs,
    digits,
    enlarged,
    known_channels,
    known_outside,
    known_pixels,
    pictures,
    with_margin,
)
from noisefold.data.limb_bud import simulation as simulate
from noisefold.data.limb_bud.dataset import limb_bud
from noisefold.data.limb_bud.range_by_time import RangeByTime
from noisefold.data.load import describe_columns, load
from noisefold.data.notice import DataNotice
from noisefold.data.save import save
from noisefold.data.shapes import FAMILIES, shapes
from noisefold.data.shapes.modelnet import modelnet40
from noisefold.data.shards import open_shards, write_shards
from noisefold.data.tissue.expression import Expression
from noisefold.data.tissue.layers import write_layers
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.data.tissue.region import region
from noisefold.data.tissue.tissue import Tissue

__all__ = [
    "FAMILIES",
    "Canvas",
    "Coordinates",
    "DataNotice",
    "Expression",
    "FolderSplit",
    "FunctionSamples",
    "Pictures",
    "PixelGraphs",
    "RangeByTime",
    "SpatialTranscriptomics",
    "Tissue",
    "Tracks",
    "UniformInputs",
    "community",
    "describe_columns",
    "digits",
    "enlarged",
    "gaussian_process",
    "graph_set",
    "grid",
    "known_channels",
    "known_outside",
    "known_pixels",
    "limb_bud",
    "load",
    "mixture",
    "modelnet40",
    "molecules",
    "moses",
    "open_shards",
    "pictures",
    "planar",
    "qm9",
    "read_tracks",
    "region",
    "save",
    "sawtooth",
    "sbm",
    "shapes",
    "simulate",
    "tree",
    "with_margin",
    "write_draws",
    "write_layers",
    "write_shards",
    "write_tracks",
]
