"""``python -m noisefold`` is the command line."""

from noisefold.cli import main

main()
