"""What is wrong with data is found before anything is written, and never passed over in silence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zoo_recipes.own_data.content import Content, Example, Problem
from zoo_registry import UsageError

SHOWN = 20


def contradictions(content: Content) -> list[Problem]:
    """Return the examples whose content is in another class too, each with where it is so."""
    return [problem for _, problem in _contradicted(content)]


def without_contradictions(content: Content) -> Content:
    """Return the content with what contradicts itself among the problems.

    What the data themselves put into validation or test stays: nobody is measured on less than
    they meant to be.
    """
    found = {id(e): problem for e, problem in _contradicted(content) if e.split in {None, "train"}}
    good = [example for example in content.examples if id(example) not in found]
    return replace(content, examples=good, problems=[*content.problems, *found.values()])


def _contradicted(content: Content) -> Iterator[tuple[Example, Problem]]:
    labels = content.labels()
    if labels is None:
        return
    classes: defaultdict[str, dict[str, Example]] = defaultdict(dict)
    for example, label in zip(content.examples, labels, strict=True):
        classes[example.digest].setdefault(label, example)
    for example, label in zip(content.examples, labels, strict=True):
        others = [other for name, other in classes[example.digest].items() if name != label]
        if others:
            text = f"is in class '{label}', and {others[0].place} in another with the same content"
            yield example, Problem(example.place, text)


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


def refuse_contradictions(path: Path, problems: Sequence[Problem]) -> None:
    """Refuse data with the same content in several classes.

    Raises:
        UsageError: There is any.
    """
    if problems:
        raise UsageError(
            f"The data at '{path}' contradict themselves. They have {listed(problems)}\nMend them, "
            "or leave them out with --set dataset.on_contradiction=drop."
        )


def listed(problems: Sequence[object]) -> str:
    """Return how many problems there are, and the first twenty, one a line."""
    return f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}:{shown(problems)}"


def shown(problems: Sequence[object], most: int = SHOWN) -> str:
    """Return the first ones, one a line, and how many more there are."""
    lines = "".join(f"\n  {problem}" for problem in problems[:most])
    more = len(problems) - most
    return lines + (f"\n  ... and {more:,} more" if more > 0 else "")


def refuse_empty(path: Path, content: Content) -> None:
    """Refuse data without a good example.

    Raises:
        UsageError: There is none.
    """
    if not content.examples:
        problems = f" They have {listed(content.problems)}" if content.problems else ""
        raise UsageError(f"The data at '{path}' have no good example.{problems}")


def refuse_unusable(
    path: Path, content: Content, parts: Mapping[str, list[Example]], where: str = ""
) -> None:
    """Refuse data that nothing can be learned from.

    Args:
        path: Of the data.
        content: What was read.
        parts: The examples of each split.
        where: Which splits these are, such as `` in fold 1 of 5``.

    Raises:
        UsageError: No example, an empty split, one class only, or a class with no example to
            train on.
    """
    refuse_empty(path, content)
    named = content.classes()
    if named is not None:
        _refuse_no_classes(path, named)
    empty = next((part for part, examples in parts.items() if not examples), None)
    if empty is not None:
        count = len(content.examples)
        different = len({example.digest for example in content.examples})
        # Copies go into one split.
        distinct = f", of which {different} are different," if different < count else ""
        raise UsageError(
            f"Of {count} examples at '{path}'{distinct} none falls to {empty}{where}: give "
            f"more, or {'fewer folds' if where else 'splits of your own'}."
        )
    if named is not None:
        _refuse_unseen(path, content, named, {example.place for example in parts["train"]}, where)


def _refuse_no_classes(path: Path, classes: Sequence[Sequence[str]]) -> None:
    named = [name for names in classes for name in names]
    labels = set(named)
    if not labels:
        raise UsageError(f"No example at '{path}' is of any class.")
    if len(labels) == 1 and len(named) == len(classes):
        raise UsageError(f"All examples at '{path}' are in class '{named[0]}'.")
    if len(labels) > max(20, len(named) / 2):
        raise UsageError(
            f"The labels at '{path}' are no classes: {len(labels):,} different ones in "
            f"{len(classes):,} examples, such as '{named[0]}'."
        )


def _refuse_unseen(
    path: Path, content: Content, classes: Sequence[Sequence[str]], trained: set[str], where: str
) -> None:
    pairs = zip(content.examples, classes, strict=True)
    seen = {name for example, names in pairs if example.place in trained for name in names}
    unseen = {name for names in classes for name in names} - seen
    if unseen:
        raise UsageError(
            f"No example of class '{min(unseen)}' at '{path}' falls to train{where}: give more, or "
            f"{'fewer folds' if where else 'splits of your own'}."
        )
