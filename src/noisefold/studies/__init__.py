"""The tables and figures of the papers and of the documentation, each as a study that can be run again."""

from noisefold.studies.pretrained import PRETRAINED
from noisefold.studies.shapes import SHAPES
from noisefold.studies.solvers import SOLVERS
from noisefold.studies.study import Study

__all__ = ["STUDIES", "Study"]

STUDIES: dict[str, Study] = {"pretrained": PRETRAINED, "shapes": SHAPES, "solvers": SOLVERS}
