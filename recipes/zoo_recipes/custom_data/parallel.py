"""Two files whose lines belong together: a text, and what it is to become."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.content import (
    CONTRASTIVE_PAIRS,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    digest_of,
)
from zoo_recipes.custom_data.files import files_of, lines_of, location, splits_of
from zoo_registry import UsageError

PAIRS = Kind(
    name="pairs of texts",
    input="source",
    label="target",
    tasks=("seq2seq", CONTRASTIVE_PAIRS),
    roles=("source", "target"),
)
NAMED = {"source": "src", "target": "tgt"}


def is_parallel(path: Path) -> bool:
    """Return whether a folder holds files in twos, such as ``train.en`` and ``train.de``."""
    if not path.is_dir():
        return False
    ends = _ends(path)
    return len(set(map(tuple, ends.values()))) == 1 and len(next(iter(ends.values()))) == 2


def _ends(path: Path) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in files_of(path):
        found[str(file.relative_to(path).with_suffix(""))].append(file.suffix.removeprefix("."))
    return found


def read_parallel(path: Path, columns: Columns) -> Content:
    """Read the files two by two.

    Args:
        path: The folder.
        columns: The suffixes of ``source`` and ``target``; ``src`` and ``tgt`` are known.

    Raises:
        UsageError: It is not known which side is which, or two files have not as many lines.
    """
    source, target = _sides(path, columns)
    examples: list[Example] = []
    problems: list[Problem] = []
    records: list[str] = []
    files = [file for file in files_of(path) if file.suffix == f".{source}"]
    for file, split in splits_of(files, path).items():
        other = file.with_suffix(f".{target}")
        sides = [lines_of(file, path, problems), lines_of(other, path, problems)]
        if len(sides[0]) != len(sides[1]):
            raise UsageError(
                f"'{path}': '{location(file, path)}' has {len(sides[0]):,} lines and "
                f"'{location(other, path)}' {len(sides[1]):,}: line by line they must belong "
                "together."
            )
        records += [location(file, path, line) for line in range(1, len(sides[0]) + 1)]
        for line, (one, two) in enumerate(zip(*sides, strict=True), 1):
            if one is None or two is None:
                continue  # a problem already
            if not one.strip() or not two.strip():
                empty = other if one.strip() else file
                problems.append(Problem(location(empty, path, line), "the line is empty"))
                continue
            examples.append(pair(location(file, path, line), split, one, two))
    return Content(PAIRS, pair_features(), examples, problems, records=records)


def pair(where: str, split: str | None, source: str, target: str) -> Example:
    """Return the example of two texts."""
    values = {"source": source.strip(), "target": target.strip()}
    return Example(where, split, digest_of(values["source"]), values, (len(values["source"]),))


def pair_features() -> dict[str, Any]:
    """Return the TFDS features of pairs."""
    import tensorflow_datasets as tfds

    return {"source": tfds.features.Text(), "target": tfds.features.Text()}


def _sides(path: Path, columns: Columns) -> tuple[str, str]:
    ends = next(iter(_ends(path).values()))
    for role in columns.keys() - set(PAIRS.roles):
        raise UsageError(
            f"--column {role}={columns[role]}: the files of pairs are {' and '.join(PAIRS.roles)}."
        )
    given = {role: columns.get(role, NAMED[role]).removeprefix(".") for role in PAIRS.roles}
    if sorted(given.values()) != sorted(ends):
        one, other = ends
        raise UsageError(
            f"'{path}' holds files in .{one} and .{other}: say which is the source and which the "
            f"target, such as --column source={one} --column target={other}."
        )
    return given["source"], given["target"]
