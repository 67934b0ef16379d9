"""One training at a time in a run folder.

The lock is advisory and the system's own: it is released when the process that holds it ends, however it
ends. So no lock can be left behind, and a file ``.lock`` without a holder means nothing.
"""

from __future__ import annotations

import errno
import os
import platform
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["LOCK", "run_lock"]

LOCK = ".lock"
"""Name of the file in the run folder."""

_UNABLE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)
_held: dict[Path, tuple[int, int, int]] = {}  # file descriptor, thread, depth
_guard = threading.Lock()


@contextmanager
def run_lock(folder: Path | None, wanted: bool = True) -> Iterator[None]:
    """Keep other trainings out of a run folder while the context lasts.

    The thread that holds the lock may take it again. Of several processes that share a training, the main one
    alone takes it.

    Parameters
    ----------
    folder
        The run folder, which is made; None locks nothing.
    wanted
        Whether this process takes the lock.

    Raises
    ------
    ValueError
        If another process, or another thread, trains there; nothing is touched then.
    """
    if folder is None or not wanted:
        yield
        return
    place = Path(os.path.realpath(folder))
    _take(place, folder)
    try:
        yield
    finally:
        _give(place)


def _take(place: Path, folder: Path) -> None:
    here = threading.get_ident()
    with _guard:
        if place in _held:
            handle, owner, depth = _held[place]
            if owner != here:
                raise _in_use(folder, str(os.getpid()))
            _held[place] = (handle, owner, depth + 1)
            return
        place.mkdir(parents=True, exist_ok=True)
        path = place / LOCK
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(handle, folder)
                # Who held it before may have removed the file since it was opened.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), path.stat()):
                        break
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()} on {platform.node()}\n".encode())
        _held[place] = (handle, here, 1)


def _give(place: Path) -> None:
    with _guard:
        if place not in _held:  # a child that was forked meanwhile holds nothing
            return
        handle, owner, depth = _held.pop(place)
        if depth > 1:
            _held[place] = (handle, owner, depth - 1)
            return
        with suppress(OSError):  # while it is locked, so that nobody's new file is removed
            (place / LOCK).unlink()
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(handle, 1 << 20, os.SEEK_SET)  # beyond the text, which others may read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            os.lseek(handle, 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in _UNABLE:
            warnings.warn(
                f"{folder} lies on a file system without locks; start no other training there.", stacklevel=5
            )
            return
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise
        os.lseek(handle, 0, os.SEEK_SET)
        raise _in_use(folder, os.read(handle, 200).decode(errors="replace").strip()) from error


def _in_use(folder: Path, holder: str) -> ValueError:
    return ValueError(
        f"{folder} is in use: process {holder or 'unknown'} trains there; wait for it, stop it, or choose "
        "another folder."
    )


def _forget() -> None:
    """Close inherited locks in a forked child; its parent keeps them."""
    for handle, _, _ in _held.values():
        with suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
