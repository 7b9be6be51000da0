"""Where a run came from: what ``run.json`` says of recipe, data and software."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from zoo_recipes.arrays.vocabulary import END
from zoo_recipes.datasets.reading import fingerprint
from zoo_recipes.datasets.rows import Examples, class_names
from zoo_recipes.own_data.preparing import note_of
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.objectives import LANGUAGE_MODEL, PAIRS
from zoo_runtime.manifest import Decoding
from zoo_runtime.run_info import DatasetInfo, ModelInfo, RunInfo, SplitInfo

PACKAGES = ("kerazoo", "tensorflow", "keras", "numpy", "tensorflow-datasets", "tokenizers")


def first_info(recipe: Recipe, task: str) -> RunInfo:
    """Return what is known of a run before it has begun."""
    frozen = recipe.to_dict()
    return RunInfo(
        status="running",
        recipe=frozen,
        task=task,
        model=ModelInfo(name=recipe.model.name),
        preprocessing=tuple(frozen.get("preprocessing", ())),
        decoding=_decoding(recipe, task),
        seed=recipe.seed,
        versions=versions(),
        dataset=DatasetInfo(name=recipe.dataset.name),
        expected=frozen.get("expected"),
        license=recipe.license,
        started=now(),
    )


def _decoding(recipe: Recipe, task: str) -> Decoding | None:
    if task == LANGUAGE_MODEL:
        return Decoding(end=END)
    if task == PAIRS:
        return Decoding(end=END, start=END, length=recipe.dataset.target_length)
    return None


def data_info(
    recipe: Recipe, builder: Any, label: str | None, examples: Mapping[str, Examples]
) -> tuple[tuple[str, ...] | None, DatasetInfo]:
    """Return the classes, and what tells these data from any others.

    Args:
        recipe: Names the splits.
        builder: A prepared ``tfds.core.DatasetBuilder``.
        label: Feature that is the class, or ``None``.
        examples: By part: ``train``, ``validation``, ``test``.
    """
    splits = {
        part: SplitInfo(
            split=getattr(recipe.dataset, part), examples=len(found.raws), sha256=found.sha256
        )
        for part, found in examples.items()
    }
    name, version = builder.info.full_name.rpartition("/")[0], str(builder.info.version)
    own = note_of(builder)
    hashes = [found.sha256 for found in examples.values()]
    return tuple(class_names(builder, label)) or None, DatasetInfo(
        name=name,
        version=version,
        # Own data are the same in another place, whose name is theirs.
        fingerprint=fingerprint("own_data" if own else name, version, hashes),
        splits=splits,
        own=own or None,
    )


def versions() -> dict[str, str]:
    """Return the versions of what a training depends on."""
    from importlib.metadata import version

    found = {package: version(package) for package in PACKAGES}
    return {"python": platform.python_version(), "platform": sys.platform, **found}


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
