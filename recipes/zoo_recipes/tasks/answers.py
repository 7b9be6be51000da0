"""Questions whose answer is a part of a text: arrays of training, and what is answered right."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED, Arrays, Predictor, PreparedArrays
from zoo_recipes.metrics.resampling import Ratios, point

BATCH_SIZE = 64
# Of an answer, as the runtime looks for one.
MAX_TOKENS = 15
ENDS = ("start_logits", "end_logits")


@dataclass(frozen=True)
class Answers(PreparedArrays):
    """Rows of a question and a text; the targets are the first and the last token of the answer.

    Args:
        texts: Those that answers are cut from.
        offsets: int32 (examples, tokens, 2), the first character of each token and that after it.
        own: bool (examples, tokens), whether a token is of the text.
        known: All right answers to each question.
    """

    texts: Sequence[str]
    offsets: Any
    own: Any
    known: Sequence[Sequence[str]]


def answer_rows(
    inputs: Arrays,
    raws: Sequence[tuple[str, str]],
    answers: Sequence[Mapping[str, Any]],
    encodings: Iterable[Any],
) -> Answers:
    """Return prepared questions with where their first answer begins and ends.

    Args:
        inputs: By name of the model input, int32 (examples, tokens).
        raws: A question and a text each.
        answers: ``text`` and ``answer_start`` of all answers to each, as SQuAD has them. One that
            was cut off is not learned.
        encodings: A ``tokenizers.Encoding`` of each, cut and padded to all tokens.
    """
    shape = next(iter(inputs.values())).shape
    offsets, own = np.zeros((*shape, 2), np.int32), np.zeros(shape, bool)
    ends = np.full((len(raws), len(ENDS)), IGNORED, np.int32)
    for row, (answer, encoding) in enumerate(zip(answers, encodings, strict=True)):
        offsets[row] = encoding.offsets
        own[row] = [number == 1 for number in encoding.sequence_ids]
        if len(answer["text"]):
            start = int(answer["answer_start"][0])
            end = start + len(answer["text"][0])
            ends[row] = tokens_between(offsets[row], own[row], start, end)
    targets = {name: ends[:, at] for at, name in enumerate(ENDS)}
    texts, known = [text for _, text in raws], [list(answer["text"]) for answer in answers]
    return Answers(inputs, targets, texts, offsets, own, known)


def tokens_between(offsets: Any, own: Any, start: int, end: int) -> tuple[int, int]:
    """Return the first and the last token of a part of a text; twice ``IGNORED`` if it was cut off.

    Args:
        offsets: int (tokens, 2), as :class:`Answers` has them.
        own: bool (tokens,), whether a token is of the text.
        start: First character of the part.
        end: The one after its last.
    """
    positions = np.flatnonzero(own & (offsets[:, 0] < end) & (offsets[:, 1] > start))
    # The answer must be there to its end.
    is_whole = len(positions) > 0 and offsets[positions[-1], 1] >= end
    return (int(positions[0]), int(positions[-1])) if is_whole else (IGNORED, IGNORED)


def answer_metrics(predict: Predictor, source: Answers) -> dict[str, float]:
    """Return ``exact_match`` and ``f1`` of the answers as SQuAD counts them, with the best answer.

    Case, punctuation and articles do not count (https://arxiv.org/abs/1606.05250).
    """
    made = []
    for start in range(0, len(source), BATCH_SIZE):
        inputs, _ = source.take(np.arange(start, min(start + BATCH_SIZE, len(source))))
        made.append(predict(inputs))
    ends = {name: np.concatenate([outputs[name] for outputs in made]) for name in ENDS}
    return point(count_answers(source, ends))


def count_answers(source: Answers, ends: Mapping[str, Any]) -> Ratios:
    """Return ``exact_match`` and ``f1`` of each question that has an answer.

    Args:
        source: The questions.
        ends: Logits of all of them by output, float (examples, tokens).
    """
    made = predicted_answers(source, ends)
    exact, shared = np.zeros((2, len(made)))
    for row, (text, known) in enumerate(zip(made, source.known, strict=True)):
        exact[row] = any(normal(text) == normal(right) for right in known)
        shared[row] = max((overlap(text, right) for right in known), default=0.0)
    answered = np.array([bool(known) for known in source.known], float)
    return Ratios({"exact_match": (exact, answered), "f1": (shared, answered)})


def predicted_answers(source: Answers, ends: Mapping[str, Any]) -> list[str]:
    """Return the part of each text that is the most probable answer."""
    found = []
    rows = zip(source.texts, source.offsets, source.own, *(ends[n] for n in ENDS), strict=True)
    for text, offsets, own, first, last in rows:
        begin, stop = best_span(own, first, last)
        found.append(text[offsets[begin, 0] : offsets[stop, 1]])
    return found


def best_span(own: Any, first: Any, last: Any) -> tuple[Any, ...]:
    """Return the first and the last token of the most probable answer.

    Args:
        own: bool (tokens,), whether a token is of the text.
        first: Logits float (tokens,) of an answer beginning there.
        last: Those of one ending there.
    """
    scores = np.where(own[:, np.newaxis] & own, first[:, np.newaxis] + last, -np.inf)
    band = np.tril(np.triu(np.ones_like(scores)), MAX_TOKENS - 1)
    return np.unravel_index(int(np.argmax(np.where(band, scores, -np.inf))), scores.shape)


def normal(text: str) -> str:
    """Return a text without case, punctuation, articles and superfluous spaces.

    Example:
        >>> normal("The  Eiffel-Tower.")
        'eiffeltower'
    """
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def overlap(made: str, wanted: str) -> float:
    """Return F1 of the words that two answers share.

    Example:
        >>> overlap("in Paris, France", "Paris")
        0.5
    """
    one, other = normal(made).split(), normal(wanted).split()
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other)) if shared else float(one == other)
