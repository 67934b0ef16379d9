"""Files that stand whole or not at all, whatever ends the process that writes them.

A file or a folder is *staged* under another name beside its target, put on the disk (``fsync``) and then
renamed over the target. A rename is atomic and comes after the data, so that a kill, a full disk or a loss of
power leaves what was there before, or what is new, and never a part. What a killed process left staged is
removed by the next one that writes the same target on that machine.

`check_out` makes all checks that can be made before the work whose result is to be written.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import platform
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["STAGED", "atomic_bytes", "atomic_text", "check_out", "staged", "sync", "tidy"]

STAGED = ".staged-"
"""What the names of staged files begin with."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT)
_LEAST = 1 << 12  # bytes that the smallest file takes
_LONGEST = 120  # bytes of a name to which what marks it as staged can be added


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a path beside `target`; what is written there takes the target's place at the end.

    Parameters
    ----------
    target
        File or folder, whose parents are made. A symbolic link is followed.

    Raises
    ------
    OSError
        If it cannot be written, with `target` as its file name; what was there is unchanged.
    """
    target = Path(os.path.realpath(target))
    path = target.with_name(f"{_mark(target)}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tidy(target)
        yield path
        _sync_all(path)
        if path.is_dir() and target.is_dir():
            _exchange(path, target)
        else:
            os.replace(path, target)
        sync(target.parent)
    except OSError as error:
        if error.errno is not None and str(error.filename or path).startswith(str(path)):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        _remove(path)


def atomic_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with staged(path) as part:
        part.write_bytes(data)


def atomic_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    atomic_bytes(path, text.encode("utf-8"))


def tidy(target: Path) -> None:
    """Remove what killed processes of this machine left staged for a target."""
    mark = _mark(target)
    for left in target.parent.glob(f"{glob.escape(mark)}*"):
        number = left.name.removeprefix(mark).split("-")[0]
        if number.isdecimal() and not _alive(int(number)):
            _remove(left)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_out(
    target: Path,
    *,
    endings: tuple[str, ...] = (),
    source: Path | None = None,
    folder: bool = False,
    room: int = 0,
) -> None:
    """Refuse a target that cannot be written, before the work for it begins.

    Parameters
    ----------
    target
        What is to be written.
    endings
        Those that it may have; all if empty.
    source
        What is read for it and must not be written over.
    folder
        Whether a folder is written, or something in it, instead of a file.
    room
        Bytes that it takes at least.

    Raises
    ------
    ValueError
        If the ending is another, `target` is `source`, or writing is not permitted there.
    FileExistsError
        If a folder stands where a file is to be, or the other way round.
    OSError
        If the disk has less room than that.
    """
    if endings and target.suffix.lower() not in endings:
        of = "" if source is None else f" of {source.name}"
        raise ValueError(f"{target}: the result{of} must end with {' or '.join(endings)}.")
    try:
        if source is not None and source.exists() and target.exists() and source.samefile(target):
            raise ValueError(f"--out {target} is the input itself; name another file.")
        if folder and target.exists() and not target.is_dir():
            raise FileExistsError(f"{target}: this is no folder; name another.")
        if not folder and target.is_dir():
            raise FileExistsError(f"{target}: this is a folder; name a file.")
        if not folder and target.exists() and not target.is_file():
            raise FileExistsError(f"{target}: this is a device; name a file.")
        home = Path(os.path.realpath(target))
        near = home if home.is_dir() else next(p for p in home.parents if p.exists())
        with tempfile.TemporaryFile(dir=near):
            pass
        free = shutil.disk_usage(near).free
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise ValueError(
            f"{target}: nothing can be written there ({error.strerror}); choose another folder."
        ) from error
    if free < max(room, _LEAST):
        raise OSError(
            f"{target}: it takes at least {_size(max(room, _LEAST))}, but {_size(free)} are free in {near}; "
            "make room there or choose another folder."
        )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 10**9 else f"{count / 1e9:,.1f} GB"


def _mark(target: Path) -> str:
    """What the names of everything staged for a target on this machine begin with."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f"{STAGED}{name}-{zlib.crc32(platform.node().encode()):08x}-"


def _alive(number: int) -> bool:
    """Whether a process of that number runs; unknown counts as running."""
    if os.name != "posix":  # signal 0 ends a process on Windows
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync_all(path: Path) -> None:
    """Put a file, or a folder with all that is in it, on the disk."""
    if path.is_dir():
        for folder, _, names in os.walk(path, topdown=False):
            for name in names:
                sync(Path(folder, name))
            sync(Path(folder))
    else:
        sync(path)


def _exchange(path: Path, target: Path) -> None:
    """Put a folder in the place of another, which is removed only when the new one stands."""
    old = path.with_name(f"{path.name}-old")
    os.replace(target, old)
    try:
        os.replace(path, target)
    except BaseException:
        os.replace(old, target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
