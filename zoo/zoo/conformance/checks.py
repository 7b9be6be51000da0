"""A check has a name and says what to change; an examination makes those of one subject."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_registry import ZooError
from zoo_registry.trial import one_line


class FaultError(ZooError):
    """What a check found; the message says what to change."""


@dataclass(frozen=True)
class Check:
    """One thing that is promised.

    Args:
        name: Such as ``save``.
        run: Takes what is examined and returns what was seen; what it raises is the fault.
        needs: Checks without which this one says nothing: it is left out where one of them failed.
    """

    name: str
    run: Callable[[Any], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of one check.

    Args:
        subject: What was examined, as ``"model acme-mlp"``.
        name: The check, such as ``"save"``.
        ok: Whether the promise is kept.
        detail: What was seen, or what is wrong and what to change.
        seconds: How long it took.
    """

    subject: str
    name: str
    ok: bool
    detail: str
    seconds: float


class Examination:
    """The checks of one subject, each made once and only when it is asked for.

    Args:
        subject: Its kind and its name.
        about: What the checks take.
        checks: Those that another one needs stand before it.
    """

    def __init__(self, subject: str, about: Any, checks: Sequence[Check]) -> None:
        self.subject = subject
        self.checks = {check.name: check for check in checks}
        self._about = about
        self._results: dict[str, Result] = {}

    def failed_need(self, name: str) -> str | None:
        """Return the check that failed and without which another says nothing, if there is one."""
        for needed in self.checks[name].needs:
            if needed in self.checks and not self._holds(needed):
                return self.failed_need(needed) or needed
        return None

    def result(self, name: str) -> Result:
        """Return what came of a check, making it if that was not done yet."""
        if name not in self._results:
            self._results[name] = self._made(self.checks[name])
        return self._results[name]

    def results(self) -> Iterator[Result]:
        """Make all checks but those that say nothing."""
        for name in self.checks:
            if self.failed_need(name) is None:
                yield self.result(name)

    def _holds(self, name: str) -> bool:
        return self.failed_need(name) is None and self.result(name).ok

    def _made(self, check: Check) -> Result:
        start = time.perf_counter()
        try:
            ok, detail = True, check.run(self._about)
        except Exception as error:  # whatever a plugin's code raises is what is reported
            ok, detail = False, str(error) if isinstance(error, ZooError) else one_line(error)
        return Result(self.subject, check.name, ok, detail, time.perf_counter() - start)
