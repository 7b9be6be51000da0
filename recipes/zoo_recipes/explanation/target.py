"""What an explanation explains (a logit, a value) and by which features of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from zoo_recipes.tasks.answers import ENDS
from zoo_recipes.tasks.objectives import ANSWERS, LANGUAGE_MODEL, MASKED, PRETRAINING, TAGS
from zoo_registry import UsageError, did_you_mean
from zoo_registry.specs import MULTI_LABEL, REGRESSION, is_regression

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
# They tell which token is masked.
HIDDEN = (MASKED, PRETRAINING)
# Their classes are the tokens of a vocabulary.
LANGUAGE_MODELS = (*HIDDEN, LANGUAGE_MODEL)
PER_TOKEN = (TAGS, *LANGUAGE_MODELS)
OF_EXAMPLES = tuple(
    f"{what}{kind}"
    for kind in ("classification", REGRESSION)
    for what in ("", "image-", "text-", "sequence-", "audio-")
)
TASKS = (*OF_EXAMPLES, MULTI_LABEL, *PER_TOKEN, ANSWERS)


@dataclass(frozen=True)
class OutputPosition:
    """Where in a text the prediction is that is explained, of a model that has one at every token.

    Args:
        position: Of the token.
        words: The same in words, for a title.
    """

    position: int
    words: str


@dataclass(frozen=True)
class AttributionTarget:
    """One class of a model that ends in logits.

    Args:
        task: The model's head.
        index: Of the class among the logits; with one logit, 1 is yes and 0 is no.
        label: Its name.
        at: Position of the logits, where there are some for every token.
    """

    task: str
    index: int
    label: str
    at: OutputPosition | None = None

    def logit(self, logits: Any) -> Any:
        """Return (batch,) of ``logits`` (batch, classes): an array of one or a tensor of one.

        Those of a model that predicts at every token are (batch, tokens, classes).

        Example:
            >>> AttributionTarget("classification", 0, "no").logit(np.array([[3.0]]))
            array([-3.])
        """
        logits = _at(self.at, logits)
        if logits.shape[-1] > 1:
            return logits[:, self.index]
        # One logit speaks for yes; what speaks against it speaks for no.
        return logits[:, 0] if is_regression(self.task) or self.index else -logits[:, 0]

    def score(self, logits: Array) -> Array:
        """Return the probability of the class, or the value of a regression, float (batch,)."""
        if is_regression(self.task):
            return np.asarray(self.logit(logits))
        return scores(_at(self.at, logits), self.task)[:, self.index]


@dataclass(frozen=True)
class SpanTarget:
    """An answer that is a part of a text: its beginning and its end together.

    Args:
        first: Number of its first token.
        last: Number of its last one.
        label: Its words.
        own: Indices of the tokens that answers are made of.
    """

    first: int
    last: int
    label: str
    own: tuple[int, ...]
    at: None = None

    def logit(self, logits: Any) -> Any:
        """Return (batch,) of ``logits`` (batch, tokens, 2), of beginnings and ends.

        Example:
            >>> SpanTarget(0, 1, "in Paris", (0, 1)).logit(np.array([[[3.0, 0.0], [0.0, 2.0]]]))
            array([5.])
        """
        return logits[:, self.first, 0] + logits[:, self.last, 1]

    def score(self, logits: Array) -> Array:
        """Return the probability of the answer, float (batch,)."""
        from scipy.special import softmax

        probable = softmax(logits[:, self.own], axis=1)
        first, last = self.own.index(self.first), self.own.index(self.last)
        return np.asarray(probable[:, first, 0] * probable[:, last, 1])


def answer_in(outputs: Mapping[str, Any], stack: Callable[..., Any]) -> Any:
    """Return the logits among a model's outputs: (..., 2) of beginnings and ends, or the only ones.

    Args:
        outputs: By name.
        stack: Of the library of their arrays.

    Example:
        >>> answer_in({"features": 0.5, "logits": 2.0}, np.stack)
        2.0
    """
    if set(ENDS) <= set(outputs):
        return stack([outputs[name] for name in ENDS], axis=-1)
    return outputs.get("logits", next(iter(outputs.values())))


def scores(logits: Array, task: str) -> Array:
    """Return probabilities float (batch, classes) of logits, or the values of a regression.

    Example:
        >>> scores(np.array([[0.0]]), "classification")
        array([[0.5, 0.5]])
    """
    from scipy.special import expit, softmax

    if is_regression(task):
        return logits
    if task == MULTI_LABEL:
        return np.asarray(expit(logits))
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return np.asarray(softmax(logits, axis=-1))


def choose_target(
    task: str,
    logits: Array,
    labels: Sequence[str] | None,
    wanted: str | None,
    at: OutputPosition | None = None,
) -> AttributionTarget:
    """Return the class to explain.

    Args:
        task: The model's head.
        logits: Of the input, float (1, classes), or (1, tokens, classes).
        labels: Names in the order of the classes; numbers name them where there are none.
        wanted: Name of the class; the most probable one by default.
        at: Position of the logits, where there are some for every token.

    Raises:
        UsageError: There is no such class.

    Example:
        >>> choose_target("classification", np.array([[0.0, 2.0]]), ["cat", "dog"], None).label
        'dog'
    """
    found = scores(_at(at, logits), task)[0]
    if is_regression(task):
        if wanted is not None:
            raise UsageError(f"A regression has no classes: leave the class '{wanted}' out.")
        return AttributionTarget(task, 0, "value")
    names = list(labels) if labels else [str(number) for number in range(len(found))]
    if wanted is None:
        index = int(found.argmax())
    elif wanted in names:
        index = names.index(wanted)
    else:
        hint = did_you_mean(wanted, names)
        if task in LANGUAGE_MODELS:
            raise UsageError(f"'{wanted}' is not a token of the vocabulary.{hint}")
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise UsageError(f"There is no class '{wanted}'.{hint} The classes are: {listed}.")
    return AttributionTarget(task, index, names[index], at)


def _at(at: OutputPosition | None, logits: Any) -> Any:
    return logits if at is None else logits[:, at.position]


@dataclass(frozen=True, eq=False)
class Features:
    """A prepared input and its parts.

    Args:
        kind: What the input is.
        inputs: What the model takes, one row each: (1, ...) by name.
        blank: Those of them that the features are parts of, with every feature taken away.
        name: Of the input whose elements the features are made of.
        members: int; the feature that each element of it belongs to, with its first axes as shape.
            Elements of feature -1 are never taken away.
        names: Of the features.
        spans: Where each feature begins and ends: in a text in characters, in an audio clip in
            samples.
        text: The text.
        sample_rate: Of an audio clip, in Hz.
    """

    kind: Literal["image", "text", "sound", "table"]
    inputs: Arrays
    blank: Arrays
    name: str
    members: Array
    names: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] = ()
    text: str = ""
    sample_rate: int = 0

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.names)

    def keep(self, present: Array) -> Arrays:
        """Return inputs that have only some of the features.

        Args:
            present: bool (rows, features).

        Returns:
            Arrays (rows, ...) by name.

        Example:
            >>> from zoo_recipes.explanation.segmentation import columns
            >>> row = {"features": np.array([[1.0, 2.0, 3.0]])}
            >>> columns(row, "features", np.zeros((1, 3))).keep(np.array([[True, False, True]]))
            {'features': array([[1., 0., 3.]])}
        """
        # The last column is of feature -1.
        kept = np.column_stack([present, np.ones(len(present), bool)])[:, self.members]
        rows = {name: np.repeat(array, len(present), 0) for name, array in self.inputs.items()}
        for name, blank in self.blank.items():
            where = kept.reshape(kept.shape + (1,) * (blank.ndim - kept.ndim))
            rows[name] = np.where(where, rows[name], blank)
        return rows

    def sums(self, elements: Array) -> Array:
        """Return the sum over each feature, float (features,), of values of the elements."""
        by_member = elements.reshape(*self.members.shape, -1).sum(axis=-1)
        inside = self.members >= 0
        counted = np.bincount(self.members[inside], by_member[inside], minlength=len(self))
        return np.asarray(counted)

    def spread(self, values: Array) -> Array:
        """Return values of features, float (features,), as values of the elements."""
        return np.asarray(np.append(values, 0)[self.members])


def pieces(features: Features, values: Array) -> list[tuple[str, float | None]]:
    """Return a text in pieces with their values; ``None`` is between the tokens.

    Tokens that share a character, as bytes of one do, are one piece.

    Args:
        features: Of a text.
        values: Of the features.

    Example:
        >>> spans = ((0, 1), (2, 3))
        >>> two = Features("text", {}, {}, "", np.array([0, 1]), ("a", "b"), spans, "a b")
        >>> pieces(two, np.array([2.0, -1.0]))
        [('a', 2.0), (' ', None), ('b', -1.0)]
    """
    merged: list[tuple[int, int, float]] = []
    for (start, end), value in zip(features.spans, values.tolist(), strict=True):
        if merged and start < merged[-1][1]:
            first, last, before = merged.pop()
            merged.append((first, max(last, end), before + value))
        else:
            merged.append((start, end, value))
    found: list[tuple[str, float | None]] = []
    at = 0
    for start, end, value in merged:
        found += [(features.text[at:start], None), (features.text[start:end], value)]
        at = end
    found.append((features.text[at:], None))
    return [(text, value) for text, value in found if text]
