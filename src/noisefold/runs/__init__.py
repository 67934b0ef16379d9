"""Run folders: what a training leaves behind, and what can be made of it."""

from noisefold.runs.run import Run, machine

__all__ = ["Run", "machine"]
