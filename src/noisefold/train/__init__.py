"""Learning: settings, batches, the loop, checkpoints, devices."""

from noisefold.train.checkpoint import Checkpoint, Checkpoints
from noisefold.train.loop import TrainingError, train, validate
from noisefold.train.settings import Training

__all__ = ["Checkpoint", "Checkpoints", "Training", "TrainingError", "train", "validate"]
