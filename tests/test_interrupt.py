"""A signal is a wish, a second one an order."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from noisefold.interrupt import deferred_interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_sets_the_flag(number: int) -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with deferred_interrupts() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
    assert [signal.getsignal(n) for n in SIGNALS] == before


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_does_not_wait(first: int, second: int) -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    reached = []

    def work() -> None:
        with deferred_interrupts():
            os.kill(os.getpid(), first)
            reached.append("after one")
            os.kill(os.getpid(), second)
            reached.append("after two")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["after one"]
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupts() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_there_is_only_a_flag() -> None:
    flags = []

    def work() -> None:
        with deferred_interrupts() as stop:
            flags.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert flags == [False]
