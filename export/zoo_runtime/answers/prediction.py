"""From raw inputs to what the outputs mean: labels, boxes, spans of a text, or the next token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo_registry import UsageError
from zoo_registry.specs import is_regression
from zoo_runtime.answers.boxes import MAPS, Box, boxes_in
from zoo_runtime.errors import BundleError
from zoo_runtime.manifest import Decoding
from zoo_runtime.preprocess import Preprocessor, as_step
from zoo_runtime.preprocess.steps import ImageStep, TokenizeStep
from zoo_runtime.preprocess.texts import load_tokenizer, padded_encodings
from zoo_runtime.tensors import Array, Arrays, Tensor
from zoo_runtime.tokenizing import asking

TOP_K = 5
_THRESHOLD = 0.5
OUTSIDE = "O"
MAX_ANSWER_TOKENS = 15
_OF_TEXT = {"question-answering", "token-classification"}
_MASK = "padding_mask"
# By task, its outputs and their axes, where other ones have no meaning.
_NEEDED = {
    "question-answering": {"start_logits": 2, "end_logits": 2},
    "token-classification": {"logits": 3},
    "causal-lm": {"logits": 3},
    "seq2seq": {"logits": 3},
}


@dataclass(frozen=True)
class Span:
    """A span of a raw text.

    Args:
        text: Of the span.
        start: Its first character.
        end: The character after its last.
        score: Its probability.
        label: Kind of entity, if it is one.
    """

    text: str
    start: int
    end: int
    score: float
    label: str | None = None


class Described(Protocol):
    """What must be known of a model to interpret its outputs; a manifest has it."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def task(self) -> str | None:
        """Its head."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits."""

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Steps from a raw input to its inputs."""

    @property
    def decoding(self) -> Decoding | None:
        """How it generates a text."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The prediction for one raw input.

    Args:
        outputs: The raw outputs by name, without the batch.
        label: Most probable class, or next token; ``None`` where the task has none.
        index: Its position among the logits.
        probability: Its probability.
        probabilities: Those of all classes or tokens, in the order of the logits.
        top: The most probable ones with their probabilities, best first.
        labels: Where several may apply, those whose probability is at least a half, maybe none;
            ``None`` where one does.
        spans: Spans of the raw text where the task has them: answers, best first, or entities.
        text: What a model that generates text has generated.
        value: The number that a regression gives, or a rating.
        boxes: Objects in an image where the task detects them, the most probable first.

    Example:
        >>> Prediction({"logits": np.zeros(3)}, label="a", probability=1 / 3, top=(("a", 1 / 3),))
        Prediction(label='a', probability=0.3333, top=[('a', 0.3333)])
        >>> Prediction({"embedding": np.zeros(384, np.float32)})
        Prediction(embedding=float32[384])
    """

    outputs: Mapping[str, Array]
    label: str | None = None
    index: int | None = None
    probability: float | None = None
    probabilities: Array | None = None
    top: tuple[tuple[str, float], ...] = ()
    labels: tuple[str, ...] | None = None
    spans: tuple[Span, ...] | None = None
    text: str | None = None
    value: float | None = None
    boxes: tuple[Box, ...] | None = None

    def __repr__(self) -> str:
        """Return what was found, in a line; of outputs that no task explains, dtype and shape."""
        shown = {
            "text": self.text,
            "value": self.value,
            "boxes": self.boxes,
            "spans": self.spans,
            "labels": self.labels,
            "label": self.label,
            "probability": None if self.probability is None else round(self.probability, 4),
            "top": [(label, round(share, 4)) for label, share in self.top] or None,
        }
        found = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        arrays = [f"{name}={a.dtype}{list(a.shape)}" for name, a in self.outputs.items()]
        return f"Prediction({', '.join(found or arrays)})"


def preprocessor_of(about: Described, assets: Path) -> Preprocessor:
    """Return the steps of a model, with a mask that marks where a text ends in any case.

    Args:
        about: The model.
        assets: Its folder of assets.
    """
    steps = [
        {**step, _MASK: True} if step.get("step") == "tokenize" else step
        for step in about.preprocessing
    ]
    return Preprocessor(steps, assets, [tensor.name for tensor in about.inputs])


def prepare(preprocessor: Preprocessor, raws: Sequence[Any]) -> tuple[Arrays, Array | None]:
    """Return the model's inputs, and where each row's real tokens end if it has tokens.

    Args:
        preprocessor: As :func:`preprocessor_of` returns it.
        raws: Raw inputs.
    """
    arrays = dict(preprocessor.batch(raws))
    mask = arrays.get(_MASK)
    ends = None if mask is None else np.maximum(mask.sum(axis=1) - 1, 0)
    if _MASK not in preprocessor.inputs:
        arrays.pop(_MASK, None)
    return arrays, ends


def as_texts(about: Described, raws: Sequence[Any]) -> list[Any]:
    """Return raw inputs with words that are to be tagged joined as in training, by a space.

    Args:
        about: The model.
        raws: Raw inputs.
    """
    if about.task != "token-classification":
        return list(raws)
    return [
        # A space inside a word would make two of it.
        " ".join("".join(word.split()) or "?" for word in raw)
        if isinstance(raw, list | tuple) and all(isinstance(word, str) for word in raw)
        else raw
        for raw in raws
    ]


def answer(
    about: Described,
    assets: Path,
    outputs: Arrays,
    *,
    raws: Sequence[Any] = (),
    ends: Array | None = None,
    top_k: int | None = None,
) -> list[Prediction]:
    """Return what the outputs of a batch mean, row by row.

    Args:
        about: The model; its task decides.
        assets: Its folder of assets, where a tokenizer may be.
        outputs: Raw outputs by name.
        raws: The raw inputs, which parts of a text are cut from.
        ends: Position of each row's last real token.
        top_k: How many answers to list.
    """
    check_outputs(about, outputs)
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise UsageError(f"top_k={top_k!r} must be a whole number from 1 on.")
    count = len(next(iter(outputs.values())))
    rows = [{name: array[i] for name, array in outputs.items()} for i in range(count)]
    task, logits = about.task, outputs.get("logits")
    if task in _OF_TEXT and (encodings := text_encodings(about, assets, raws)):
        cut = _best_spans if task == "question-answering" else _entities
        parts = [cut(about, *each, top_k) for each in zip(rows, encodings, raws, strict=True)]
        return [Prediction(row, spans=spans) for row, spans in zip(rows, parts, strict=True)]
    if task == "object-detection" and _are_images(about, outputs):
        name = _label_names(about)
        things = [boxes_in(raw, row, name, top_k) for row, raw in zip(rows, raws, strict=True)]
        return [Prediction(row, boxes=boxes) for row, boxes in zip(rows, things, strict=True)]
    number = _number(task, outputs)
    if number is not None and outputs[number].size == count:
        return [Prediction(row, value=float(row[number].item())) for row in rows]
    table = None if logits is None else _table(task, logits, ends)
    if table is None:
        return [Prediction(row) for row in rows]
    name = _token_names(about, assets) if task == "causal-lm" else _label_names(about)
    found = [_prediction(row, p, name, top_k or TOP_K) for row, p in zip(rows, table, strict=True)]
    return [_marked(row, name) for row in found] if task == "multi-label" else found


def _number(task: str | None, outputs: Arrays) -> str | None:
    """Return the output that is the answer of a task whose answer is a number."""
    names = ("value", "logits") if is_regression(task) else ("rating",) if task == "rating" else ()
    return next((name for name in names if name in outputs), None)


def check_outputs(about: Described, outputs: Arrays) -> None:
    """Refuse outputs that a task cannot be answered from.

    Raises:
        BundleError: One is missing, or has another number of axes.
    """
    for name, axes in _NEEDED.get(about.task or "", {}).items():
        if name not in outputs or outputs[name].ndim != axes:
            shapes = {name: array.shape for name, array in outputs.items()}
            raise BundleError(
                f"'{about.name}' is of task '{about.task}', whose output '{name}' has "
                f"{axes} axes; its outputs are {shapes}. Export it with its own task (task=)."
            )


def _are_images(about: Described, outputs: Arrays) -> bool:
    steps = [as_step(step) for step in about.preprocessing]
    return set(MAPS) <= set(outputs) and any(isinstance(step, ImageStep) for step in steps)


def _table(task: str | None, logits: Array, ends: Array | None) -> Array | None:
    """Return probabilities (batch, classes or tokens) where the task has them."""
    if task == "causal-lm":
        last = np.full(len(logits), logits.shape[1] - 1) if ends is None else ends
        return probabilities(logits[np.arange(len(logits)), last])
    if logits.ndim != 2:
        return None
    if task == "multi-label":
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
    return probabilities(logits) if task and task.endswith("classification") else None


def _best_spans(
    about: Described, row: Arrays, encoding: Any, raw: Any, top_k: int | None
) -> tuple[Span, ...]:
    text = raw[1] if isinstance(raw, tuple) else raw
    return best_spans(row["start_logits"], row["end_logits"], encoding, text, count=top_k or 1)


def _entities(
    about: Described, row: Arrays, encoding: Any, raw: Any, top_k: int | None
) -> tuple[Span, ...]:
    return entities(probabilities(row["logits"]), encoding, raw, _label_names(about))


def text_encodings(about: Described, assets: Path, raws: Sequence[Any]) -> list[Any] | None:
    """Return where each token of the raw texts is in them, or ``None`` for a model without text."""
    preprocessor = Preprocessor(about.preprocessing, assets)
    steps = [step for step in preprocessor.steps if isinstance(step, TokenizeStep)]
    if not steps:
        return None
    return padded_encodings(preprocessor.tokenizer(steps[0].tokenizer), raws, steps[0].length)


def as_plain(prediction: Prediction) -> dict[str, Any]:
    """Return what a prediction says as plain data, as JSON has it.

    Args:
        prediction: For one raw input.

    Example:
        >>> as_plain(Prediction({}, value=2.5))
        {'value': 2.5}
    """
    if prediction.text is not None:
        return {"text": prediction.text}
    if prediction.spans is not None:
        return {"spans": [asdict(span) for span in prediction.spans]}
    if prediction.boxes is not None:
        return {"boxes": [asdict(box) for box in prediction.boxes]}
    if prediction.value is not None:
        return {"value": prediction.value}
    if prediction.label is None:
        return {name: array.tolist() for name, array in prediction.outputs.items()}
    return {
        "label": prediction.label,
        "index": prediction.index,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": p} for label, p in prediction.top],
        **({} if prediction.labels is None else {"labels": prediction.labels}),
    }


def _marked(found: Prediction, name: Any) -> Prediction:
    chosen = np.flatnonzero(np.asarray(found.probabilities) >= _THRESHOLD)
    return replace(found, labels=tuple(name(int(i)) for i in chosen))


def probabilities(logits: Array) -> Array:
    """Return probabilities of logits (batch, classes); one logit alone means no or yes.

    Example:
        >>> probabilities(np.array([[2.0, 2.0]])).tolist()
        [[0.5, 0.5]]
        >>> probabilities(np.array([[0.0]])).tolist()
        [[0.5, 0.5]]
    """
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return _softmax(logits)


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _prediction(row: Arrays, p: Array, name: Any, top_k: int) -> Prediction:
    order = np.argsort(-p, kind="stable")[:top_k]
    best = int(order[0])
    top = tuple((name(int(i)), float(p[i])) for i in order)
    return Prediction(row, name(best), best, float(p[best]), p, top)


def _label_names(about: Described) -> Any:
    labels = about.labels

    def name(index: int) -> str:
        if labels is None:
            return str(index)
        if index >= len(labels):
            raise BundleError(
                f"'{about.name}' has {len(labels)} labels, and its answer is class {index}, "
                "counted from 0: its manifest does not belong to its files. Export it again."
            )
        return labels[index]

    return name


def _token_names(about: Described, assets: Path) -> Any:
    steps = [as_step(step) for step in about.preprocessing]
    files = [step.tokenizer for step in steps if isinstance(step, TokenizeStep)]
    if not files:
        return str
    tokenizer = load_tokenizer(assets, files[0])

    def name(index: int) -> str:
        with asking(f"The tokenizer has no token {index}"):
            return str(tokenizer.decode([index], skip_special_tokens=False))

    return name


@dataclass(frozen=True)
class _Token:
    label: str
    begins: bool
    start: int
    end: int
    score: float


def best_spans(
    start_logits: Array,
    end_logits: Array,
    encoding: Any,
    text: str,
    *,
    count: int,
    max_tokens: int = MAX_ANSWER_TOKENS,
) -> tuple[Span, ...]:
    """Return the most probable spans of a text, from a first to a last token.

    Args:
        start_logits: float (tokens,), where an answer begins.
        end_logits: float (tokens,), where it ends.
        encoding: A ``tokenizers.Encoding`` of the text, or of a question and the text.
        text: The text that answers are cut from.
        count: How many to return.
        max_tokens: Tokens of an answer at most.
    """
    allowed = _own_tokens(encoding)
    first, last = (
        _softmax(np.where(allowed, logits.astype(np.float64), -np.inf))
        for logits in (start_logits, end_logits)
    )
    scores = np.tril(np.triu(np.outer(first, last)), max_tokens - 1)
    found = []
    for index in np.argsort(-scores, axis=None, kind="stable")[:count]:
        begin, stop = np.unravel_index(int(index), scores.shape)
        score = float(scores[begin, stop])
        if score > 0:
            start, end = encoding.offsets[begin][0], encoding.offsets[stop][1]
            found.append(Span(text[start:end], start, end, score))
    return tuple(found)


def entities(
    probabilities: Array, encoding: Any, text: str, name: Callable[[int], str]
) -> tuple[Span, ...]:
    """Join tokens of one label to spans of a text, as Hugging Face's strategy ``simple`` does.

    A label is ``B-KIND``, ``I-KIND``, a plain ``KIND``, or ``O`` for no entity. A part ends where
    the kind changes or a ``B-`` begins a new one; its score is the mean of its tokens.

    Args:
        probabilities: float (tokens, labels).
        encoding: A ``tokenizers.Encoding`` of the text.
        text: The text.
        name: Gives the label of an index.
    """
    tokens = []
    for at in np.flatnonzero(_own_tokens(encoding)):
        index = int(probabilities[at].argmax())
        mark, dash, kind = name(index).partition("-")
        marked = dash and mark in {"B", "I"}
        start, end = encoding.offsets[at]
        score = float(probabilities[at, index])
        label = kind if marked else name(index)
        tokens.append(_Token(label, bool(marked) and mark == "B", start, end, score))
    return tuple(_joined(part, text) for part in _parts(tokens) if part[0].label != OUTSIDE)


def _parts(tokens: Sequence[_Token]) -> list[list[_Token]]:
    parts: list[list[_Token]] = []
    for _, same in groupby(tokens, key=lambda token: token.label):
        for at, token in enumerate(same):
            if at == 0 or token.begins:
                parts.append([])
            parts[-1].append(token)
    return parts


def _joined(part: Sequence[_Token], text: str) -> Span:
    start, end = part[0].start, part[-1].end
    score = sum(token.score for token in part) / len(part)
    return Span(text[start:end], start, end, score, part[0].label)


def _own_tokens(encoding: Any) -> Array:
    """Return which tokens are of the text: the second one where there is a question before it."""
    sequences = encoding.sequence_ids
    last = max(number for number in sequences if number is not None)
    return np.array([number == last for number in sequences])
