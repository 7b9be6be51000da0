"""What ``zoo data`` reports of data before any training; labels that are likely wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.boxes import BOXES, Objects
from zoo_recipes.custom_data.content import Columns, Content, Example
from zoo_recipes.custom_data.files import listed_once
from zoo_recipes.custom_data.layouts import layout_of
from zoo_recipes.custom_data.preparing import contradictions, quantiles, refuse_unusable, sizes_of
from zoo_recipes.custom_data.ranking import recipes_that_take
from zoo_recipes.custom_data.splitting import split
from zoo_recipes.metrics.classification import (
    applies,
    likely_errors_of_several,
    likely_label_errors,
)
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL
from zoo_system import machine

FOLDS = 5
# What an image is looked at as: enough to tell a rose from a tulip, or a 3 from an 8.
SIDE = 16
_SHOWN_TEXT = 80


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An example that looks like another class than its own.

    Args:
        location: The file, and the line where it has lines.
        given: The class that it is in.
        looks_like: The other one.
        confidence: Probability of the class that it is in.
        text: Its beginning, where it is a text.
    """

    location: str
    given: str
    looks_like: str
    confidence: float
    text: str = ""


def find_suspects(content: Content) -> list[Suspect]:
    """Return the examples whose class is likely another, the likeliest first.

    Each example is scored by a logistic regression on the four fifths of the data that it is not
    in: on characters of texts, small images or the numbers themselves. Who looks like another
    class is found by confident learning, as ``zoo evaluate`` does with a better model. Where an
    example may have several classes, each is scored by itself.

    Args:
        content: What was read; classes with fewer than five examples are left out, as are those of
            several that fewer than five examples lack.

    Raises:
        UsageError: Data without two classes that can be scored.
    """
    if MULTI_LABEL in content.kind.tasks:
        return _of_several(content)
    labels = content.labels() or []
    counts = Counter(labels)
    rows = [row for row, label in enumerate(labels) if counts[label] >= FOLDS]
    names = sorted({labels[row] for row in rows})
    if len(names) < 2:
        raise UsageError(
            f"Likely label errors are looked for in two classes or more of {FOLDS} examples or "
            f"more each: these {content.kind.name} have {len(names)}."
        )
    import numpy as np

    examples = [content.examples[row] for row in rows]
    targets = [names.index(labels[row]) for row in rows]
    values = _values(content, examples)
    probabilities = _judged(content, values, targets)
    own = np.eye(len(names), dtype=bool)[targets]
    return [
        Suspect(
            location=examples[row].location,
            given=names[targets[row]],
            looks_like=names[looks_like],
            confidence=float(probabilities[own][row]),
            text=_text(values[row]),
        )
        for row, looks_like in likely_label_errors(np.asarray(targets), probabilities)
    ]


def _of_several(content: Content) -> list[Suspect]:
    import numpy as np

    classes = [set(found) for found in content.classes() or []]
    counts = Counter(name for found in classes for name in found)
    names = [name for name in sorted(counts) if FOLDS <= counts[name] <= len(classes) - FOLDS]
    if not names:
        raise UsageError(
            f"Likely label errors are looked for in classes that {FOLDS} examples or more have, "
            f"and {FOLDS} or more have not: these {content.kind.name} have none."
        )
    values = _values(content, content.examples)
    given = np.array([[name in found for name in names] for found in classes])
    probabilities = np.stack(
        [_judged(content, values, column.astype(int))[:, 1] for column in given.T], axis=1
    )
    own = np.where(given, probabilities, 1 - probabilities)
    return [
        Suspect(
            location=content.examples[row].location,
            given=applies(names[at], given[row, at]),
            looks_like=applies(names[at], not given[row, at]),
            confidence=float(own[row, at]),
            text=_text(values[row]),
        )
        for row, at in likely_errors_of_several(given, probabilities)
    ]


def _values(content: Content, examples: Sequence[Example]) -> Sequence[Any]:
    """Return what each example is scored by: a text, the file of an image, or numbers."""
    names = content.kind.input
    if isinstance(names, str):
        return [example.values[names] for example in examples]
    parts = [tuple(example.values[name] for name in names) for example in examples]
    if content.kind.step != "table":
        return [" ".join(texts) for texts in parts]
    from zoo_runtime.preprocess.steps import TableStep

    step = TableStep()
    (vectors,) = step.batch(parts, step.look_at(parts, names)).values()
    return list(vectors)


def _judged(content: Content, values: Sequence[Any], targets: Any) -> Any:
    """Return the probabilities of all classes, of models that have not seen the example."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    prepared, given = _features(content, values)
    return cross_val_predict(
        make_pipeline(prepared, LogisticRegression(max_iter=300)),
        given,
        targets,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0),
        method="predict_proba",
    )


def _features(content: Content, values: Sequence[Any]) -> tuple[Any, Any]:
    """Return what prepares examples for a linear model, and what it takes of them."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    if isinstance(values[0], str):
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True), values
    if content.kind.unit == "pixels":
        channels = content.features[str(content.kind.input)].shape[-1]
        with ThreadPoolExecutor(machine.cores()) as pool:
            small = pool.map(partial(_small, channels=channels), values)
            return StandardScaler(), np.stack(list(small))
    return StandardScaler(), np.stack([np.ravel(value) for value in values]).astype(np.float64)


def _small(file: Path, channels: int) -> Any:
    import numpy as np

    from zoo_runtime.preprocess.steps import ImageStep

    (made,) = ImageStep(size=(SIDE, SIDE), channels=channels).batch([file]).values()
    return np.asarray(made[0], np.float64).ravel()


def _text(value: Any) -> str:
    return value[:_SHOWN_TEXT] if isinstance(value, str) else ""


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What is known of custom data before they are trained on.

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
        problems: Bad records, each with its location.
        recipes: Those that train on such data.
        refusal: Why a training would refuse the good ones; ``None`` where it would not.
        boxes: Of boxes, the same as of sizes: how many there are an image, their height and width
            in pixels; empty where there are none.
        suspects: Examples whose class is likely wrong, where they were looked for.
        notes: What is not a problem, and still good to know, such as several sample rates.
        contradictions: Examples whose content is in another class too; a training uses them.
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
    notes: Sequence[str] = ()
    contradictions: Sequence[str] = ()


@listed_once()
def inspect_data(
    path: str | Path, columns: Columns | None = None, *, label_errors: bool = False
) -> DataReport:
    r"""Read custom data and report what they hold and what is wrong with them; nothing is written.

    Args:
        path: File or folder.
        columns: Role to column, such as ``{"text": "review"}``.
        label_errors: Whether likely wrong classes are looked for too; it takes longer.

    Raises:
        UsageError: Nothing is there, nothing that is understood, or no classes that can be scored.

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
        notes=list(content.notes),
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
        found = content.features[feature]
        names = getattr(found, "feature", found).names
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
