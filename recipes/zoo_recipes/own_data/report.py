"""A report of own data before any training: balance, sizes, duplicates, problems."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.boxes import BOXES, Objects
from zoo_recipes.own_data.checking import contradictions, refuse_unusable
from zoo_recipes.own_data.content import Columns, Content, Example
from zoo_recipes.own_data.layouts import layout_of
from zoo_recipes.own_data.quantiles import quantiles, sizes_of
from zoo_recipes.own_data.ranking import recipes_that_take
from zoo_recipes.own_data.splitting import split
from zoo_recipes.own_data.suspects import Suspect, find_suspects
from zoo_registry import UsageError


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What is known of own data before they are trained on.

    Args:
        path: File or folder.
        kind: What they hold, such as ``images in classes``.
        splits: Good examples of each split.
        split_rule: How they came to be there.
        classes: By class: good examples of each split, or their boxes; empty where there are no
            classes.
        sizes: Least, median, 95th percentile and largest of each size, such as ``height``.
        unit: Of the sizes.
        duplicates: Examples whose input is that of an earlier one.
        leaks: Inputs that are in several splits.
        problems: Bad records, each with its place.
        recipes: Those that train on such data.
        refusal: Why a training would refuse the good ones; ``None`` where it would not.
        boxes: Of boxes, the same as of sizes: how many there are an image, their height and width
            in pixels; empty where there are none.
        suspects: Examples whose class is likely wrong, where they were looked for.
        remarks: What is no problem and yet worth knowing, such as several sample rates.
        contradictions: Examples whose content is in another class too; a training keeps them.
    """

    path: Path
    kind: str
    splits: Mapping[str, int]
    split_rule: str
    classes: Mapping[str, Mapping[str, int]]
    sizes: Mapping[str, tuple[float, float, float, float]]
    unit: str
    duplicates: int
    leaks: int
    problems: Sequence[str]
    recipes: Sequence[str]
    refusal: str | None = None
    boxes: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)
    suspects: Sequence[Suspect] | None = None
    remarks: Sequence[str] = ()
    contradictions: Sequence[str] = ()


def inspect_data(
    path: str | Path, columns: Columns | None = None, *, label_errors: bool = False
) -> DataReport:
    r"""Read own data and report what they hold and what is wrong with them; nothing is written.

    Args:
        path: File or folder.
        columns: Role to column, such as ``{"text": "review"}``.
        label_errors: Whether likely wrong classes are looked for too; it takes longer.

    Raises:
        UsageError: Nothing is there, nothing that is understood, or no classes that can be judged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "reviews.csv")
        ...     _ = file.write_text("text,label\ngood,1\nbad,0\nbad,0\n", encoding="utf-8")
        ...     report = inspect_data(file)
        >>> report.kind, sum(report.splits.values()), report.duplicates
        ('texts in classes', 3, 1)
    """
    path, columns = Path(path).expanduser(), columns or {}
    content = layout_of(path).read(path, columns)
    made = split(content)
    parts = made.parts
    counts = Counter(example.digest for example in content.examples)
    return DataReport(
        path=path,
        kind=content.kind.name,
        splits={part: len(examples) for part, examples in parts.items()},
        split_rule=made.rule,
        classes=_classes(content, parts),
        sizes=sizes_of(content.examples),
        unit=content.kind.unit,
        duplicates=sum(counts.values()) - len(counts),
        leaks=_leaks(parts),
        problems=[str(problem) for problem in content.problems],
        contradictions=[str(problem) for problem in contradictions(content)],
        recipes=recipes_that_take(content),
        refusal=_refusal(path, content, parts),
        boxes=_box_sizes(content),
        suspects=find_suspects(content) if label_errors else None,
        remarks=list(content.remarks),
    )


def _refusal(path: Path, content: Content, parts: Mapping[str, list[Example]]) -> str | None:
    try:
        refuse_unusable(path, content, parts)
    except UsageError as error:
        return str(error)
    return None


def _classes(content: Content, parts: Mapping[str, Sequence[Example]]) -> dict[str, dict[str, int]]:
    feature = content.kind.label or ""
    if content.kind is BOXES:
        names = content.features[feature].feature["label"].names
    elif content.classes() is not None:
        told = content.features[feature]
        names = getattr(told, "feature", told).names
    else:
        return {}
    counts = {
        part: Counter(label for example in examples for label in _labels(example.values[feature]))
        for part, examples in parts.items()
    }
    return {label: {part: counts[part][label] for part in parts} for label in names}


def _labels(value: Any) -> list[str]:
    if isinstance(value, Objects):
        return [box.label for box in value.boxes]
    return list(value) if isinstance(value, tuple) else [str(value)]


def _box_sizes(content: Content) -> dict[str, tuple[float, float, float, float]]:
    import numpy as np

    if content.kind is not BOXES or not content.examples:
        return {}
    found = [example.values["objects"].boxes for example in content.examples]
    boxes = [box for row in found for box in row]
    sizes = {
        "an image": [len(row) for row in found],
        "height": [box.bottom - box.top for box in boxes],
        "width": [box.right - box.left for box in boxes],
    }
    return {name: quantiles(np.rint(column).astype(int)) for name, column in sizes.items()}


def _leaks(parts: Mapping[str, Sequence[Example]]) -> int:
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for part, examples in parts.items():
        for example in examples:
            seen[example.digest].add(part)
    return sum(len(found) > 1 for found in seen.values())
