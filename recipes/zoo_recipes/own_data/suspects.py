"""Labels of own data that are likely wrong, found before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo_recipes.metrics.classification import (
    applies,
    likely_errors_of_several,
    likely_label_errors,
)
from zoo_recipes.own_data.content import Content, Example
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL

FOLDS = 5
# What a picture is looked at as: enough to tell a rose from a tulip, or a 3 from an 8.
SIDE = 16
_SHOWN_TEXT = 80


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An example that looks like another class than its own.

    Args:
        place: File, and line where it has lines.
        given: The class that it is in.
        looks_like: The other one.
        confidence: Probability of the class that it is in.
        text: Its beginning, where it is a text.
    """

    place: str
    given: str
    looks_like: str
    confidence: float
    text: str = ""


def find_suspects(content: Content) -> list[Suspect]:
    """Return the examples whose class is likely another, the likeliest first.

    Each example is judged by a logistic regression on the four fifths of the data that it is not
    in: on characters of texts, small pictures or the numbers themselves. Who looks like another
    class is found by confident learning, as ``zoo evaluate`` does with a better model. Where an
    example may have several classes, each is judged by itself.

    Args:
        content: What was read; classes with fewer than five examples are left out, as are those of
            several that fewer than five examples lack.

    Raises:
        UsageError: Data without two classes that can be judged.
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
    looks_like = np.where(own, -1, probabilities).argmax(axis=1)
    return [
        Suspect(
            place=examples[row].place,
            given=names[targets[row]],
            looks_like=names[looks_like[row]],
            confidence=float(probabilities[own][row]),
            text=_text(values[row]),
        )
        for row in likely_label_errors(np.asarray(targets), probabilities)
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
            place=content.examples[row].place,
            given=applies(names[at], given[row, at]),
            looks_like=applies(names[at], not given[row, at]),
            confidence=float(own[row, at]),
            text=_text(values[row]),
        )
        for row, at in likely_errors_of_several(given, probabilities)
    ]


def _values(content: Content, examples: Sequence[Example]) -> Sequence[Any]:
    """Return what each example is judged by: a text, a function that returns pixels, or numbers."""
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
        return StandardScaler(), np.stack([_small(value()).ravel() for value in values])
    return StandardScaler(), np.stack([np.ravel(value) for value in values]).astype(np.float64)


def _small(pixels: Any) -> Any:
    import numpy as np

    from zoo_runtime.preprocess.steps import ImageStep

    step = ImageStep(size=(SIDE, SIDE), channels=pixels.shape[-1])
    (made,) = step.batch([pixels]).values()
    return np.asarray(made[0], np.float64)


def _text(value: Any) -> str:
    return value[:_SHOWN_TEXT] if isinstance(value, str) else ""
