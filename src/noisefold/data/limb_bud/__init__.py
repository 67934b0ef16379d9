"""Simulated limb buds."""

from noisefold.data.limb_bud.dataset import limb_bud
from noisefold.data.limb_bud.range_by_time import RangeByTime
from noisefold.data.limb_bud.simulation import DURATION, GENES, LENGTH, PLACES, VERSION, evolve

__all__ = ["DURATION", "GENES", "LENGTH", "PLACES", "VERSION", "RangeByTime", "evolve", "limb_bud"]
