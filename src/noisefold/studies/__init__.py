"""The tables and figures of the papers and of the documentation, each as a study that can be run again."""

from noisefold.studies.attention import ATTENTION
from noisefold.studies.chairs import CHAIRS
from noisefold.studies.classes import CLASSES
from noisefold.studies.conditioning import CONDITIONING
from noisefold.studies.couplings import COUPLINGS
from noisefold.studies.depth import DEPTH
from noisefold.studies.diffusion import DIFFUSION
from noisefold.studies.noise import NOISE
from noisefold.studies.pretrained import PRETRAINED
from noisefold.studies.range import RANGE
from noisefold.studies.resolution import RESOLUTION
from noisefold.studies.schedules import SCHEDULES
from noisefold.studies.shapes import SHAPES
from noisefold.studies.solvers import SOLVERS
from noisefold.studies.study import Study
from noisefold.studies.tissue import TISSUE
from noisefold.studies.transcriptomics import TRANSCRIPTOMICS

__all__ = ["STUDIES", "Study"]

STUDIES: dict[str, Study] = {
    "attention": ATTENTION,
    "chairs": CHAIRS,
    "classes": CLASSES,
    "conditioning": CONDITIONING,
    "couplings": COUPLINGS,
    "depth": DEPTH,
    "diffusion": DIFFUSION,
    "noise": NOISE,
    "pretrained": PRETRAINED,
    "range": RANGE,
    "resolution": RESOLUTION,
    "schedules": SCHEDULES,
    "shapes": SHAPES,
    "solvers": SOLVERS,
    "tissue": TISSUE,
    "transcriptomics": TRANSCRIPTOMICS,
}
