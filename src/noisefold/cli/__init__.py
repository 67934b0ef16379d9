"""The command line: one file for each command."""

from noisefold.cli.app import app, main

__all__ = ["app", "main"]
