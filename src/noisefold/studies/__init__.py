"""The tables and figures of the papers and of the documentation, each as a study that can be run again."""

from noisefold.studies.chairs import CHAIRS
from noisefold.studies.classes import CLASSES
from noisefold.studies.couplings import COUPLINGS
from noisefold.studies.pretrained import PRETRAINED
from noisefold.studies.range import RANGE
from noisefold.studies.resolution import RESOLUTION
from noisefold.studies.shapes import SHAPES
from noisefold.studies.solvers import SOLVERS
from noisefold.studies.study import Study

__all__ = ["STUDIES", "Study"]

STUDIES: dict[str, Study] = {
    "chairs": CHAIRS,
    "classes": CLASSES,
    "couplings": COUPLINGS,
    "pretrained": PRETRAINED,
    "range": RANGE,
    "resolution": RESOLUTION,
    "shapes": SHAPES,
    "solvers": SOLVERS,
}
