"""The signals that end processes: what they are called, and how they are heard."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


def signal_name(number: int) -> str:
    """Return what a signal is called; those for real time have a number alone.

    Example:
        >>> signal_name(9), signal_name(35)
        ('SIGKILL', 'signal 35')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM do as Ctrl-C does, so that what is unfinished is cleaned up.

    A program that hears it by itself goes on doing so.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
