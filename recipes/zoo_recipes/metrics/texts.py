"""Figures of texts that a model wrote, beside those it was to write."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_registry import ZooError

ROUGE = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
# Scripts without spaces between words, as Unicode names their letters: each one is a word.
_SPACELESS = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"}


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

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return the share of texts that are right, and wrong words over words to write."""
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
        words: Of the same texts.
        ngrams: By metric, what sacrebleu counts in each text, float (texts, counts).
        rouge: By metric, the F1 of each text, float (texts,).
    """

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
        return Texts(self.words.take(rows), ngrams, rouge)

    def figures(self, weights: Any) -> dict[str, Any]:
        """Return figures by name; BLEU and chrF are in 0..100, all else is a share."""
        figures = self.words.figures(weights)
        for name, metric in text_metrics().items():
            sums = (weights @ self.ngrams[name]).astype(int)
            # What sacrebleu's own bootstrap calls: the score of a corpus from its counts.
            scores = [metric._compute_score_from_stats(row.tolist()).score for row in sums]
            figures[name] = np.array(scores)
        return figures | {
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
        >>> found.figures(np.ones((1, 1)))["rouge_1"].tolist()
        [0.75]
    """
    metrics = text_metrics()
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE), tokenizer=_WordsOfAnyScript())
    scored = [scorer.score(right, text) for right, text in zip(wanted, made, strict=True)]
    return Texts(
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
            f"Figures of written texts need {error.name}: pip install 'kerazoo[text-metrics]'."
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
        for place, wanted in enumerate(other, 1):
            replaced = previous + (word != wanted)
            previous, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, replaced)
    return row[-1]
