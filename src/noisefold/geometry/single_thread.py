"""Run code that consists of many short steps on one thread of torch.

Neighbour search and coarsening take hundreds of steps of ten to a hundred microseconds each. With several
threads every step waits for the slowest thread; if another process holds a core, that wait is a scheduler
time slice, far longer than the step itself. `single_threaded` avoids the wait. Independent parts of a
millisecond or more run in parallel by `parallel_for`, which waits only once, at the end.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

__all__ = ["available_threads", "parallel_for", "single_threaded"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_outer = threading.local()


def available_threads() -> int:
    """Return the number of threads that torch uses outside of `single_threaded` functions."""
    return getattr(_outer, "threads", 0) or torch.get_num_threads()


def single_threaded(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function so that it runs with one thread of torch; the previous number is restored."""

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


def parallel_for(function: Callable[[_T], object], parts: Iterable[_T], workers: int) -> None:
    """Call a function with every part, `workers` of them at a time, each on one thread of torch.

    Parameters
    ----------
    function
        Called once for each part; its result is dropped.
    parts
        Arguments of the calls.
    workers
        Calls at a time; 1 or less runs them in order in the calling thread.

    Raises
    ------
    Exception
        The first exception that a call raised.
    """
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
