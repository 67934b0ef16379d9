"""One guard around every reader of files: damage is said in one sentence, whatever a library raises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["available_memory", "check_size", "guarded"]

_ALWAYS = 64 << 20  # bytes; so much may be declared by a file of any size
_RATIO = 2000  # declared bytes for one on disk; deflate reaches 1032 at most


@contextmanager
def guarded(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Turn any error of a reader into a ValueError that begins with the path.

    A plain ValueError keeps its sentence, and guards inside each other say the path once. An ImportError
    passes, as it says what to install. With no path, which means data in memory, sentences are kept as they
    are.

    Raises
    ------
    ValueError
        Instead of any other exception but ImportError.
    """
    start = "" if path is None else f"{os.fspath(path)}: "
    try:
        yield
    except ImportError:
        raise
    except MemoryError as error:
        raise ValueError(f"{start}the file needs more memory than there is; take a part of it.") from error
    except PermissionError as error:
        raise ValueError(
            f"{start}reading is forbidden ({error.strerror}); change its permissions."
        ) from error
    except Exception as error:
        if type(error) is ValueError:
            named = str(error).startswith(start)  # by a guard inside this one
            raise ValueError(str(error) if named else f"{start}{error}") from error
        first = (str(error).splitlines() or [""])[0][:120].rstrip(".") or type(error).__name__
        raise ValueError(
            f"{start}the file is truncated or damaged ({first}); export or copy it again."
        ) from error


def available_memory() -> int:
    """Return the bytes of memory that new data may take, or of all memory where that is unknown."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on this system
        return 1 << 40


def check_size(declared: int, on_disk: int, what: str) -> None:
    """Refuse data that would take more memory than a file of this size can mean, or than there is.

    Parameters
    ----------
    declared, on_disk
        Bytes that the shapes declare, and bytes of the file.
    what
        What it is, for the message.

    Raises
    ------
    ValueError
        If it is too large.
    """
    if declared > max(_ALWAYS, _RATIO * on_disk):
        raise ValueError(
            f"{what} declares {declared:,} bytes in a file of {on_disk:,}; it is damaged or made to fill the "
            "memory."
        )
    if declared > (free := available_memory()):
        raise ValueError(
            f"{what} takes {declared / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; "
            "name a smaller part."
        )
