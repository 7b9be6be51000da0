"""What the signals are called that end processes."""

from __future__ import annotations

import signal


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
