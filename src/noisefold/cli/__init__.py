"""The command line."""

from noisefold.cli.commands import app, main

__all__ = ["app", "main"]
