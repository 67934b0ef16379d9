"""Learning: settings, batches, the loop, checkpoints, devices."""

from noisefold.train.checkpoint import Checkpoint, Checkpoints
from noisefold.train.log import read_log
from noisefold.train.loop import TrainingError, train
from noisefold.train.masks import Masks
from noisefold.train.profile import Profile, measure_profile
from noisefold.train.settings import Training
from noisefold.train.validation import validate

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Masks",
    "Profile",
    "Training",
    "TrainingError",
    "measure_profile",
    "read_log",
    "train",
    "validate",
]
