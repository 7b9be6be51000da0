"""Metrics of texts: those that a model writes, entities of tagged words, language models."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Predictor, Windows, only_logits
from zoo_recipes.metrics.classification import precision_recall_f1
from zoo_registry import ZooError

ROUGE = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
# Scripts without spaces between words, as Unicode names their letters: each one is a word.
_SPACELESS = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"}
Tags = Sequence[str]
ENTITY_F1 = "entity_f1"
_MARKS, _OUTSIDE = ("B-", "I-"), "O"
# What others call beginning, inside, last and unit of an entity, as seqeval calls it.
_SAME_MARKS = {"L-": "E-", "U-": "S-"}
_WINDOWS_A_BATCH = 16


@dataclass(frozen=True)
class Words:
    """Words of written texts, counted.

    Args:
        right: float (texts,): 1 where all words are right.
        edits: float (texts,): words to insert, delete or replace.
        lengths: float (texts,): words that were to be written.
    """

    right: Any
    edits: Any
    lengths: Any

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.right)

    def take(self, rows: Any) -> Words:
        """Return some of the texts."""
        return Words(self.right[rows], self.edits[rows], self.lengths[rows])

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return the fraction of texts that are right, and wrong words over words to write."""
        return {
            "exact_match": weights @ self.right / weights.sum(axis=1),
            "error_rate": weights @ self.edits / (weights @ self.lengths),
        }


def count_words(made: Sequence[str], wanted: Sequence[str]) -> Words:
    """Return the counts of written texts.

    Example:
        >>> words = count_words(["a b", "c"], ["a b", "d e"])
        >>> words.right.tolist(), words.edits.tolist(), words.lengths.tolist()
        ([1.0, 0.0], [0.0, 2.0], [2.0, 2.0])
    """
    rows = [(one.split(), other.split()) for one, other in zip(made, wanted, strict=True)]
    return Words(
        np.array([float(one == other) for one, other in rows]),
        np.array([float(edit_distance(one, other)) for one, other in rows]),
        np.array([float(len(other)) for _, other in rows]),
    )


@dataclass(frozen=True)
class Texts:
    """Written texts, counted as sacrebleu and rouge-score do.

    Args:
        made: The texts.
        wanted: What they were to be.
        words: Of the same texts.
        ngrams: By metric, what sacrebleu counts in each text, float (texts, counts).
        rouge: By metric, the F1 of each text, float (texts,).
    """

    made: Sequence[str]
    wanted: Sequence[str]
    words: Words
    ngrams: dict[str, Any]
    rouge: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.words)

    def take(self, rows: Any) -> Texts:
        """Return some of the texts."""
        ngrams, rouge = (
            {name: array[rows] for name, array in arrays.items()}
            for arrays in (self.ngrams, self.rouge)
        )
        made, wanted = (np.asarray(texts, object)[rows] for texts in (self.made, self.wanted))
        return Texts(made, wanted, self.words.take(rows), ngrams, rouge)

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name; BLEU and chrF are in 0..100, all else is a fraction."""
        metrics = self.words.metrics(weights)
        for name, metric in text_metrics().items():
            sums = (weights @ self.ngrams[name]).astype(int)
            # What sacrebleu's own bootstrap calls: the score of a corpus from its counts.
            scores = [metric._compute_score_from_stats(row.tolist()).score for row in sums]
            metrics[name] = np.array(scores)
        return metrics | {
            name: weights @ scores / weights.sum(axis=1) for name, scores in self.rouge.items()
        }


def count_texts(made: Sequence[str], wanted: Sequence[str]) -> Texts:
    """Return the counts of written texts.

    Args:
        made: What the model wrote.
        wanted: What it was to write.

    Raises:
        ZooError: sacrebleu or rouge-score is not installed.

    Example:
        >>> found = count_texts(["the cat sat here"], ["the cat sat there"])
        >>> found.metrics(np.ones((1, 1)))["rouge_1"].tolist()
        [0.75]
    """
    metrics = text_metrics()
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE), tokenizer=_WordsOfAnyScript())
    scored = [scorer.score(right, text) for right, text in zip(wanted, made, strict=True)]
    return Texts(
        made,
        wanted,
        count_words(made, wanted),
        {
            name: np.asarray(metric._extract_corpus_statistics(made, [list(wanted)]), np.float64)
            for name, metric in metrics.items()
        },
        {name: np.array([row[known].fmeasure for row in scored]) for known, name in ROUGE.items()},
    )


class _WordsOfAnyScript:
    """Takes texts apart as rouge-score does, which knows no letters but ``a`` to ``z``."""

    def tokenize(self, text: str) -> list[str]:
        return "".join(map(_apart, text.lower())).split()


def _apart(letter: str) -> str:
    if unicodedata.category(letter)[0] not in "LMN":
        return " "
    is_word = unicodedata.name(letter, "").partition(" ")[0] in _SPACELESS
    return f" {letter} " if is_word else letter


def count_written(made: Sequence[str], wanted: Sequence[str]) -> Texts | Words:
    """Return the counts of written texts, those of their words alone without ``text-metrics``.

    A training does not fail at its end for a metric that evaluation can add.

    Args:
        made: What the model wrote.
        wanted: What it was to write.
    """
    is_installed = find_spec("sacrebleu") and find_spec("rouge_score")
    return (count_texts if is_installed else count_words)(made, wanted)


def text_metrics() -> dict[str, Any]:
    """Return the metrics of sacrebleu by name.

    Raises:
        ZooError: sacrebleu or rouge-score is not installed.
    """
    try:
        import rouge_score as _  # noqa: F401
        from sacrebleu.metrics import BLEU, CHRF
    except ModuleNotFoundError as error:
        raise ZooError(
            f"Metrics of written texts need {error.name}: pip install 'kerazoo[text-metrics]'."
        ) from error
    return {"bleu": BLEU(), "chrf": CHRF()}


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and replacements between two lists of words.

    Example:
        >>> edit_distance("HH AH L OW".split(), "HH EH L OW Z".split())
        2
    """
    row = list(range(len(other) + 1))
    for at, word in enumerate(one, 1):
        previous, row[0] = row[0], at
        for position, wanted in enumerate(other, 1):
            replaced = previous + (word != wanted)
            previous, row[position] = (
                row[position],
                min(row[position] + 1, row[position - 1] + 1, replaced),
            )
    return row[-1]


@dataclass(frozen=True)
class Entities:
    """Entities and tokens of sentences, counted.

    Args:
        kinds: Of entities, such as ``PER``.
        counts: int (sentences, kinds, 3): entities found rightly, found, and there.
        hits: int (sentences,): tokens with the right tag.
        tokens: int (sentences,): tokens in all.
        fraction: Name of the metric that is the fraction of right tags.
        are_marked: Whether they are entities of several words, or each word is by itself.
    """

    kinds: tuple[str, ...]
    counts: Any
    hits: Any
    tokens: Any
    fraction: str = "accuracy"
    are_marked: bool = True

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.hits)

    def take(self, rows: Any) -> Entities:
        """Return some of the sentences."""
        counts, hits, tokens = (array[rows] for array in (self.counts, self.hits, self.tokens))
        return Entities(self.kinds, counts, hits, tokens, self.fraction, self.are_marked)

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name; ``fraction`` is that of tokens, all else of whole entities.

        ``entity_f1`` comes first where there are such: most words are of none, and who says so of
        all of them has a high fraction of right tags.
        """
        sums = np.tensordot(weights, self.counts.astype(np.float64), axes=1)
        metrics = precision_recall_f1(*np.moveaxis(sums, -1, 0))
        fraction = {self.fraction: weights @ self.hits / (weights @ self.tokens)}
        if not self.are_marked:
            return fraction | metrics
        of_all = {f"entity_{n}": metrics.pop(f"{n}_micro") for n in ("f1", "precision", "recall")}
        return of_all | fraction | metrics


def are_entities(names: Sequence[str]) -> bool:
    """Return whether tags mark where entities begin, as parts of speech do not.

    Example:
        >>> are_entities(["B-PER", "I-PER", "O"]), are_entities(["NOUN", "VERB"])
        (True, False)
    """
    return any(name[:2] in _MARKS for name in names)


def count_entities(
    wanted: Sequence[Tags],
    given: Sequence[Tags],
    *,
    fraction: str = "accuracy",
    names: Sequence[str] = (),
) -> Entities:
    """Return the counts of sentences.

    Where no tag begins with ``B-`` or ``I-``, as with parts of speech, each word is by itself.

    Args:
        wanted: The right tags of each sentence, such as ``["B-PER", "I-PER", "O"]``.
        given: The model's, as many; an empty tag is none, and never right.
        fraction: Name of the metric that is the fraction of right tags.
        names: All tags that there are, where the sentences may lack some.

    Raises:
        ZooError: seqeval is not installed.

    Example:
        >>> found = count_entities([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]])
        >>> found.kinds, found.counts.tolist(), found.hits.tolist()
        (('PER',), [[[0, 1, 1]]], [2])
    """
    try:
        from seqeval.metrics.sequence_labeling import get_entities
    except ModuleNotFoundError as error:
        raise ZooError(
            "Metrics of entities need seqeval: pip install 'kerazoo[text-metrics]'."
        ) from error
    marked = are_entities(names) or any(are_entities(tags) for tags in wanted)

    def found_in(tags: Tags) -> set[Any]:
        known = [_same(tag) if marked else tag or _OUTSIDE for tag in tags]
        alone = [tag if tag == _OUTSIDE else f"B-{tag}" for tag in known]
        return set(get_entities(known if marked else alone))

    rows = [(found_in(right), found_in(made)) for right, made in zip(wanted, given, strict=True)]
    kinds = sorted({kind for row in rows for found in row for kind, _, _ in found})
    counted = []
    for right, made in rows:
        parts = [Counter(kind for kind, _, _ in found) for found in (right & made, made, right)]
        counted.append([[part[kind] for part in parts] for kind in kinds])
    pairs = list(zip(wanted, given, strict=True))
    return Entities(
        tuple(kinds),
        np.asarray(counted, np.int64).reshape(len(rows), len(kinds), 3),
        np.asarray([sum(a == b for a, b in zip(*pair, strict=True)) for pair in pairs]),
        np.asarray([len(right) for right in wanted]),
        fraction,
        marked,
    )


def _same(tag: str) -> str:
    return _SAME_MARKS.get(tag[:2], tag[:2]) + tag[2:] or _OUTSIDE


@dataclass(frozen=True)
class Tokens:
    """What a language model makes of windows of a text.

    Args:
        nats: float (windows,): surprise at all tokens of a window.
        hits: int (windows,): how many of them were the most probable ones.
        tokens: int (windows,): how many there are.
        characters: Of the text, for each token, on average.
    """

    nats: Any
    hits: Any
    tokens: Any
    characters: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.nats)

    def take(self, rows: Any) -> Tokens:
        """Return some of the windows."""
        return Tokens(self.nats[rows], self.hits[rows], self.tokens[rows], self.characters)

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return metrics by name."""
        tokens = weights @ self.tokens
        loss = weights @ self.nats / tokens
        return {
            "loss": loss,
            "perplexity": np.exp(loss),
            "accuracy": weights @ self.hits / tokens,
            "bits_per_character": loss / math.log(2) / self.characters,
        }


def read_windows(predict: Predictor, source: Windows) -> Tokens:
    """Return what a model makes of every token of a stream, once, the shorter last window too.

    Args:
        predict: Its logits are float (windows, length, tokens).
        source: The stream.
    """
    length, count = source.length, len(source.stream) - 1
    positions = np.arange(count)
    nats, hits = np.zeros(-(-count // length) * length), np.zeros(-(-count // length) * length, int)
    for rows in np.array_split(positions, range(0, count, length * _WINDOWS_A_BATCH)[1:]):
        padded = np.resize(rows, (-(-len(rows) // length), length))
        outputs = predict({source.name: source.stream[padded]})
        logits = np.asarray(only_logits(outputs), np.float64)
        logits = logits.reshape(-1, logits.shape[-1])[: len(rows)]
        targets = source.stream[rows + 1]
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = logits[np.arange(len(rows)), targets]
        nats[rows] = np.log(np.exp(logits).sum(axis=-1)) - chosen
        hits[rows] = logits.argmax(axis=-1) == targets
    windows = (-1, length)
    sizes = (np.arange(len(nats)) < count).reshape(windows).sum(axis=1)
    return Tokens(
        nats.reshape(windows).sum(axis=1),
        hits.reshape(windows).sum(axis=1),
        sizes,
        source.characters / count,
    )
