"""Stopping between two steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["deferred_interrupts"]


class _Flag:
    def __init__(self) -> None:
        self.raised = False

    def __bool__(self) -> bool:
        return self.raised

    def set(self, number: int, frame: FrameType | None) -> None:
        if self.raised:  # asked for twice: stop at once
            raise KeyboardInterrupt
        self.raised = True


@contextmanager
def deferred_interrupts() -> Iterator[_Flag]:
    """Turn SIGINT and SIGTERM into a flag; a second one raises `KeyboardInterrupt` where it comes.

    Signals that the process was started to ignore (``nohup``, a job in the background) stay ignored. Outside
    the main thread, where handlers cannot be set, the flag stays false.
    """
    flag = _Flag()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        # None stands for a handler that was not set from Python and could not be put back.
        before = {n: handler for n, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, flag.set)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
