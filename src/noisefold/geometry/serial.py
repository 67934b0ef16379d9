"""Work in many short steps on one thread.

Finding neighbours and cells takes some hundred steps of ten to a hundred microseconds each. Spread over
threads, each step waits for the last of them; where another process holds a core, that is a time slice of the
system, a hundred times the step itself. On one thread the work takes what it takes. Work that falls into
independent parts of a millisecond runs side by side: only its end is waited for.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

__all__ = ["serial", "side_by_side", "threads"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_outer = threading.local()


def threads() -> int:
    """Threads that torch uses outside of `serial` functions; for steps that are worth it."""
    return getattr(_outer, "threads", 0) or torch.get_num_threads()


def serial(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Run a function with one thread of torch, and restore their number after it."""

    @functools.wraps(function)
    def on_one_thread(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        before = torch.get_num_threads()
        if before == 1:
            return function(*args, **kwargs)
        _outer.threads = before
        torch.set_num_threads(1)
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_num_threads(before)
            _outer.threads = 0

    return on_one_thread


def side_by_side(function: Callable[[_T], object], parts: Iterable[_T], workers: int) -> None:
    """Call a function with every part, so many at once, each on one thread; the first error is raised."""
    if workers <= 1:
        for part in parts:
            function(part)
        return
    waiting = iter(list(parts))

    def take(_: int) -> None:
        for part in waiting:
            function(part)

    # A thread of Python's has threads of torch's of its own, as many as there are cores unless told. Each
    # takes parts until none is left: handing out a part at a time costs a fifth of the time of short ones.
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(take, range(workers)):
            pass
