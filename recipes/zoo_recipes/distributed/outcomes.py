"""How a worker ended, passed from one process to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zoo_registry import UsageError, ZooError
from zoo_system.durable import write_text
from zoo_system.processes import signal_name

Kind = Literal["usage", "zoo", "interrupted", "lost", "bug"]


@dataclass(frozen=True)
class Outcome:
    """Why a worker ended before the training did.

    Args:
        kind: ``lost`` is the end of another one; a ``bug`` is an error that is not ours.
        message: Of the error.
    """

    kind: Kind
    message: str


def write_outcome(error: BaseException, path: Path) -> Outcome:
    """Write the error for the supervisor, and return it."""
    outcome = _outcome(error)
    text = json.dumps(asdict(outcome))
    write_text(path, text)
    return outcome


def _outcome(error: BaseException) -> Outcome:
    from zoo_recipes.distributed.cluster import LostError

    kinds: tuple[tuple[type[BaseException], Kind], ...] = (
        (LostError, "lost"),
        (UsageError, "usage"),
        (ZooError, "zoo"),
        (KeyboardInterrupt, "interrupted"),
    )
    for kind, name in kinds:
        if isinstance(error, kind):
            return Outcome(name, str(error))
    return Outcome("bug", f"{type(error).__name__}: {error}")


def read_outcome(outcome: Path) -> Outcome | None:
    """Return what a worker left, ``None`` if it was killed."""
    if not outcome.exists():
        return None
    return Outcome(**json.loads(outcome.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Failure:
    """Why a team of workers ended.

    Args:
        rank: Of the worker that was the cause.
        code: What it returned, or the negative number of the signal that killed it.
        outcome: What it left, if it could.
        log: The end of what it wrote, if it is not on the terminal.
    """

    rank: int
    code: int
    outcome: Outcome | None = None
    log: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether a new start may get further."""
        return self.outcome is None or self.outcome.kind == "lost"

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        if self.outcome is not None:
            return f"worker {self.rank} failed: {self.outcome.message}{self.log}"
        if self.code < 0:
            return f"worker {self.rank} was killed ({signal_name(-self.code)})"
        return f"worker {self.rank} ended with code {self.code}{self.log}"


def cause(failures: Sequence[Failure]) -> Failure:
    """Return the failure that the others follow from: a worker that lost another one says so.

    Args:
        failures: First those that were first.
    """
    return min(failures, key=lambda f: f.outcome is not None and f.outcome.kind == "lost")
