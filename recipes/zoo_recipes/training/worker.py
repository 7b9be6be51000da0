"""One process of a training that :mod:`zoo_recipes.distributed.supervising` looks after."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_recipes.distributed.cluster import Workers
from zoo_recipes.distributed.outcomes import write_outcome
from zoo_recipes.distributed.worker import has_begun
from zoo_recipes.recipe import Recipe
from zoo_system.quiet import quiet_tensorflow


def work(job: Mapping[str, Any]) -> None:
    """Train, or go on with the training if it has begun.

    Args:
        job: What :func:`zoo_recipes.distributed.launching.launch` wrote.
    """
    from zoo_recipes.training.training import resume, train

    options = {**job["options"], "workers": Workers(**job["workers"])}
    if has_begun(job):
        resume(job["folder"], **options)
    else:
        train(Recipe.from_toml(job["recipe"]), out=job["folder"], **job["begin"], **options)


def main(job: Path, outcome: Path) -> None:
    """Do the job of a file, and write into another one why it failed."""
    quiet_tensorflow()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        work(json.loads(job.read_text(encoding="utf-8")))
    except BaseException as error:
        if write_outcome(error, outcome).kind == "bug":
            traceback.print_exc()
        # The connections of TensorFlow may wait for what is gone.
        os._exit(1)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if issubclass(category, (FutureWarning, UserWarning)):
        sys.stderr.write(f"warning: {message}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
