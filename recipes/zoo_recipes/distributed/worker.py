"""One process of a training that :mod:`zoo_recipes.distributed.supervising` looks after."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from zoo_registry import UsageError, ZooError
from zoo_registry.quiet import quiet_tensorflow

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


def outcome_of(error: BaseException) -> Outcome:
    """Return what the supervisor is told of an error."""
    from zoo_recipes.distributed.ranks import LostError

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


def work(job: Mapping[str, Any]) -> None:
    """Train, or go on with the training if it has begun.

    Args:
        job: What :func:`zoo_recipes.distributed.supervising.launch` wrote.
    """
    from zoo_recipes.distributed.cluster import Workers
    from zoo_recipes.recipe import Recipe
    from zoo_recipes.training import resume, train

    options = {**job["options"], "workers": Workers(**job["workers"])}
    if job["recipe"] is None:
        resume(job["folder"], **options)
    else:
        train(Recipe.from_toml(job["recipe"]), out=job["folder"], **job["begin"], **options)


def main(job: Path, outcome: Path) -> None:
    """Do what a file says, and leave in another one why it failed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_tensorflow()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        work(json.loads(job.read_text(encoding="utf-8")))
    except BaseException as error:
        found = outcome_of(error)
        if found.kind == "bug":
            traceback.print_exc()
        outcome.write_text(json.dumps(asdict(found)), encoding="utf-8")
        # The connections of TensorFlow may wait for what is gone.
        os._exit(1)


def _end_with_parent() -> None:
    """A supervisor that was killed leaves nobody behind: its end of the pipe closes."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if issubclass(category, (FutureWarning, UserWarning)):
        sys.stderr.write(f"warning: {message}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
