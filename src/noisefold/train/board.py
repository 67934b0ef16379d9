"""TensorBoard, for those who ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["Board"]


class Board:
    """Mirrors the entries of a log to TensorBoard event files.

    Parameters
    ----------
    folder
        Where the event files go.
    step
        Steps done so far; later events, of a process that was killed, are hidden.

    Raises
    ------
    ImportError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "tensorboard=True needs TensorBoard; install it with `pip install noisefold[tensorboard]`."
            ) from error
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, entry: dict[str, Any]) -> None:
        """Write the numbers of one entry, those in a list as ``name/index``."""
        for name, value in entry.items():
            if isinstance(value, list):
                named = {f"{name}/{i}": v for i, v in enumerate(value)}
            else:
                named = {name: value}
            for tag, number in named.items():
                if tag != "step" and number is not None:
                    self._writer.add_scalar(tag, number, entry["step"])

    def sync(self) -> None:
        """Put everything on the disk."""
        self._writer.flush()

    def close(self) -> None:
        """End the event file."""
        self._writer.close()
