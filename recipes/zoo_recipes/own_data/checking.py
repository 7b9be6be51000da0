"""What is wrong with data is found before anything is written, and never passed over in silence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo_recipes.own_data.content import Content, Example, Problem
from zoo_registry import UsageError

SHOWN = 20
PARTS = ("train", "validation", "test")
# Of sha256, as a number from 0 to 1: examples below the first go to train, below the second to
# validation.
TRAIN, VALIDATION = 0.8, 0.9
BY_HASH = "80/10/10, by the hash of each example"


def part_of(digest: str) -> str:
    """Return the split of an example: it follows from the content, whatever else there is.

    Args:
        digest: sha256 of the input.

    Example:
        >>> part_of("00" * 32), part_of("d0" * 32), part_of("ff" * 32)
        ('train', 'validation', 'test')
    """
    place = int(digest[:8], 16) / 16**8
    return "train" if place < TRAIN else "validation" if place < VALIDATION else "test"


def with_splits(content: Content) -> tuple[dict[str, list[Example]], str]:
    """Return the examples of train, validation and test, and how they came to be there.

    Splits that the data have stay as they are; those that are missing are taken from train.
    """
    given = {example.split for example in content.examples} - {None}
    parts: dict[str, list[Example]] = {part: [] for part in PARTS}
    for example in content.examples:
        own = part_of(example.digest)
        takes = example.split is None or (example.split == "train" and own not in given)
        parts[own if takes else str(example.split)].append(example)
    missing = [part for part in PARTS if part not in given]
    if not given:
        return parts, BY_HASH
    if missing:
        return parts, f"the data's own; {' and '.join(missing)} by hash, 10 % of train each"
    return parts, "the data's own"


def checked(content: Content) -> Content:
    """Return the content with examples that contradict each other among the problems."""
    labels = content.labels()
    if labels is None:
        return content
    classes: defaultdict[str, dict[str, Example]] = defaultdict(dict)
    for example, label in zip(content.examples, labels, strict=True):
        classes[example.digest].setdefault(label, example)
    problems = list(content.problems)
    good: list[Example] = []
    for example, label in zip(content.examples, labels, strict=True):
        others = [other for name, other in classes[example.digest].items() if name != label]
        if others:
            text = f"is in class '{label}', and {others[0].place} in another with the same content"
            problems.append(Problem(example.place, text))
        else:
            good.append(example)
    return replace(content, examples=good, problems=problems)


def refuse_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Refuse data with problems: the first twenty of them, and how many there are.

    Raises:
        UsageError: There are any.
    """
    if not problems:
        return
    raise UsageError(
        f"The data at '{path}' have {listed(problems)}\nMend them, or leave these records "
        'out with --on-bad-record report (on_bad_record="report").'
    )


def listed(problems: Sequence[object]) -> str:
    """Return how many problems there are, and the first twenty, one a line."""
    count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}:"
    lines = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
    more = len(problems) - SHOWN
    return count + lines + (f"\n  ... and {more:,} more" if more > 0 else "")


def refuse_empty(path: Path, content: Content) -> None:
    """Refuse data without a good example.

    Raises:
        UsageError: There is none.
    """
    if not content.examples:
        problems = f" They have {listed(content.problems)}" if content.problems else ""
        raise UsageError(f"The data at '{path}' have no good example.{problems}")


def refuse_unusable(path: Path, content: Content, parts: dict[str, list[Example]]) -> None:
    """Refuse data that nothing can be learned from.

    Raises:
        UsageError: No example, an empty split, one class only, or a class with no example to
            train on.
    """
    refuse_empty(path, content)
    empty = next((part for part, examples in parts.items() if not examples), None)
    if empty is not None:
        raise UsageError(
            f"Of {len(content.examples)} examples at '{path}' none falls to {empty}: give more, or "
            "splits of your own."
        )
    _refuse_classes(path, content, {example.place for example in parts["train"]})


def _refuse_classes(path: Path, content: Content, trained: set[str]) -> None:
    named = content.labels()
    if named is None:
        return
    labels = Counter(named)
    if len(labels) == 1:
        raise UsageError(f"All examples at '{path}' are in class '{named[0]}'.")
    if len(labels) > max(20, len(named) / 2):
        raise UsageError(
            f"The labels at '{path}' are no classes: {len(labels):,} different ones in "
            f"{len(named):,} examples, such as '{named[0]}'."
        )
    pairs = zip(content.examples, named, strict=True)
    unseen = set(labels) - {label for example, label in pairs if example.place in trained}
    if unseen:
        raise UsageError(
            f"No example of class '{min(unseen)}' at '{path}' falls to train: give more, or splits "
            "of your own."
        )
