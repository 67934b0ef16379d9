"""What goes wrong in a command, in one sentence and with the right exit status: 1 failed, 2 misuse."""

from __future__ import annotations

import errno
import functools
import traceback
import warnings
from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

import typer
from rich.console import Console

from noisefold.errors import TrainingError

__all__ = ["report_errors", "say_error", "show_tracebacks"]

_F = TypeVar("_F", bound=Callable[..., None])
_errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
_debug = Event()
_FILES = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
_LEFT = {
    "train": "its checkpoints are kept, and --resume goes on from there",
    "demo": "its checkpoints are kept, and the same command goes on from there",
    "study": "what was finished is kept, and the same command goes on from there",
}
_UNCHANGED = "no file was changed"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MISUSE = (ValueError, ImportError, *_FILES)


def show_tracebacks() -> None:
    """Show from now on where an error was raised."""
    _debug.set()


def report_errors(command: _F) -> _F:
    """Say what went wrong in one sentence, with the right exit status."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", UserWarning)
                warnings.showwarning = _show
                command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            _fail(f"{command.__name__} was stopped; {_LEFT.get(command.__name__, _UNCHANGED)}.", 1)
        except _MISUSE as error:
            _fail(error, 2)
        except (TrainingError, OSError, MemoryError) as error:
            _fail(error, 1)

    return run  # type: ignore[return-value]


def _show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
    """Say a notice in one line; the place in the code means nothing to a user."""
    if issubclass(category, UserWarning) or _debug.is_set():
        _errors.print(f"noisefold: note: {' '.join(str(message).split())}")


def _fail(error: object, status: int) -> None:
    if _debug.is_set():
        traceback.print_exc()
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        mend = "; make room there, what was there before is unchanged" if error.errno in _FULL else ""
        text = f"{error.filename}: {error.strerror}{mend}."
    say_error(text)
    raise typer.Exit(status)


def say_error(text: str) -> None:
    """Say in one line what went wrong."""
    _errors.print(f"noisefold: {' '.join(text.split())}")
