"""Whether what runs now may ask the network for anything: the one place that knows."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from zoo_system.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")
_allowed: ContextVar[bool] = ContextVar("network", default=True)


@contextlib.contextmanager
def allowed(yes: bool) -> Iterator[None]:
    """Let requests be made, or not, in the body of a ``with``.

    Args:
        yes: Whether; where it was forbidden before, it stays so.
    """
    token = _allowed.set(yes and _allowed.get())
    try:
        yield
    finally:
        _allowed.reset(token)


def if_download(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function make requests only if its option ``download`` is set; by default it is not.

    What it names, a run, a recipe or a bundle, may come from elsewhere, and so may the addresses in
    it.
    """

    @functools.wraps(function)
    def within(*args: P.args, **options: P.kwargs) -> R:
        with allowed(bool(options.get("download", False))):
            return function(*args, **options)

    return within


def is_allowed() -> bool:
    """Return whether requests may be made."""
    return _allowed.get()


def check(what: str) -> None:
    """Refuse a request that may not be made.

    Args:
        what: What it is for, as the message begins with it.

    Raises:
        UsageError: It may not.

    Example:
        >>> with allowed(False):
        ...     check("Package 'x' 1.0")
        Traceback (most recent call last):
        zoo_system.errors.UsageError: Package 'x' 1.0 is not on this machine. Allow the download with `--download` (download=True).
    """  # noqa: E501 - the message
    if not _allowed.get():
        raise UsageError(
            f"{what} is not on this machine. Allow the download with `--download` (download=True)."
        )
