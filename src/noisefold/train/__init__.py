"""Learning: settings, batches, the loop, checkpoints, devices."""

from noisefold.errors import PrecisionWarning
from noisefold.train.checkpoint import Checkpoint, Checkpoints
from noisefold.train.log import read_log
from noisefold.train.loop import TrainingError, train
from noisefold.train.masks import Masks
from noisefold.train.optimizers import Muon
from noisefold.train.settings import Training
from noisefold.train.skill import SkillByLevel, measure_skill
from noisefold.train.validation import validate

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Masks",
    "Muon",
    "PrecisionWarning",
    "SkillByLevel",
    "Training",
    "TrainingError",
    "measure_skill",
    "read_log",
    "train",
    "validate",
]
