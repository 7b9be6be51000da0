"""What a model answers on examples, as outcomes that figures are counted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Predictor, Source, Windows, batches_of
from zoo_recipes.evaluation.measuring import Scores, scored_outputs
from zoo_recipes.metrics.classification import Classes, MultiLabels
from zoo_recipes.metrics.regression import Numbers
from zoo_recipes.metrics.resampling import Outcomes, WithLoss, joined, told_tokens
from zoo_recipes.metrics.texts import count_entities, count_texts, read_windows
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.answers import Answers, count_answers
from zoo_recipes.tasks.boxes import Scenes, count_boxes, found_in
from zoo_recipes.tasks.masking import Masked
from zoo_recipes.tasks.pairs import Pairs, written
from zoo_recipes.tasks.ratings import RatingFigures, Ratings
from zoo_recipes.tasks.tagging import Tags, count_tags
from zoo_recipes.tasks.twins import Twins, count_twins
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL


@dataclass(frozen=True)
class Observed:
    """What a model answered.

    Args:
        outcomes: An example, or a window of text, a row.
        scores: Loss and metrics of the recipe.
        losses: Of each row, or ``None`` where it has none of its own.
        together: int (rows,): rows of the same number are drawn together for intervals; ``None``
            draws each by itself.
    """

    outcomes: Outcomes
    scores: dict[str, float]
    losses: Any = None
    together: Any = None

    @property
    def rows(self) -> Outcomes:
        """The outcomes, with the losses where there are any."""
        return self.outcomes if self.losses is None else WithLoss(self.outcomes, self.losses)


def observe(
    predict: Predictor, recipe: Recipe, task: str, source: Source, labels: Sequence[str]
) -> Observed:
    """Run a model on all examples of a split.

    Args:
        predict: Computes its outputs.
        recipe: Names loss and metrics.
        task: The model's head.
        source: The examples.
        labels: Class names, for tags of words.

    Raises:
        UsageError: A task that has no figures yet.
    """
    if isinstance(source, Windows):
        return Observed(read_windows(predict, source), {})
    if isinstance(source, Twins):
        return Observed(count_twins(predict, source), {})
    scores = Scores(recipe)
    kept = []
    for numbers in batches_of(source):
        inputs, targets = source.take(numbers)
        made = scored_outputs(predict(inputs), targets)
        if _one_class(targets, made):
            _check_classes(targets, max(2, made.shape[1]))
        scores.add(targets, made)
        kept.append(_kept(source, targets, made))
    # Nothing is kept of answers that are written token by token.
    outcomes: Outcomes = (
        count_texts(*written(predict, source))
        if isinstance(source, Pairs)
        else _counted(task, source, kept, labels)
    )
    together = source.users if isinstance(source, Ratings) else None
    return Observed(outcomes, scores.results(), scores.losses(), together)


def _counted(task: str, source: Source, kept: Sequence[Any], labels: Sequence[str]) -> Outcomes:
    """Return the outcomes of what was kept of each batch."""
    if isinstance(source, Masked):
        return joined(list(kept))
    if isinstance(source, Scenes):
        return count_boxes(source, [found for part in kept for found in part])
    if isinstance(source, Answers):
        ends = {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}
        return count_answers(source, ends)
    made = np.concatenate(kept)
    if isinstance(source, Ratings):
        return RatingFigures(source.targets, made, source.users)
    if isinstance(source, Tags):
        return count_tags(source, made, labels)
    return _outcomes(task, source, made, labels)


def _kept(source: Source, targets: Any, made: Any) -> Any:
    """Return as little of a batch as its figures need: logits of texts are one a token."""
    if isinstance(source, Pairs):
        return None
    if isinstance(source, Tags):
        return made.argmax(axis=-1)
    if isinstance(source, Scenes):
        return found_in(made)
    if isinstance(source, Masked):
        if isinstance(targets, dict):
            return {f"{name}_accuracy": told_tokens(targets[name], made[name]) for name in targets}
        return {"accuracy": told_tokens(targets, made)}
    return made


def _outcomes(task: str, source: Any, logits: Any, labels: Sequence[str]) -> Outcomes:
    targets = np.asarray(source.targets)
    if task == MULTI_LABEL:
        return MultiLabels(targets, logits)
    if _one_class(targets, logits):
        return Classes(targets.astype(np.int64), logits)
    if task == "token-classification" and targets.shape == logits.shape[:2]:
        return _entities(source, targets, logits, labels)
    if targets.dtype.kind == "f" and targets.size == logits.size:
        return Numbers(targets, logits)
    raise UsageError(
        f"Task '{task}' with targets {targets.dtype}{list(targets.shape)} and outputs "
        f"{list(logits.shape)} has no figures yet: there are some for classes, several classes, "
        "tagged words, numbers, written texts and language models."
    )


def _one_class(targets: Any, logits: Any) -> bool:
    return not isinstance(targets, dict) and bool(
        targets.dtype.kind in "iub" and targets.ndim == 1 and logits.ndim == 2
    )


def _check_classes(targets: Any, count: int) -> None:
    # Test splits of competitions have -1 for what is kept secret.
    for worst in (int(targets.min()), int(targets.max())):
        if not 0 <= worst < count:
            raise UsageError(
                f"The split has label {worst}, and the model {count} classes, 0 to {count - 1}: "
                "choose a split whose right classes are known (--split, split=)."
            )


def _entities(source: Any, targets: Any, logits: Any, labels: Sequence[str]) -> Outcomes:
    mask = source.inputs.get("padding_mask", np.ones_like(targets)) > 0
    # A negative tag marks a token that does not count, such as the rest of a word.
    counted = mask & (targets >= 0)
    wanted, given = (
        [[labels[tag] for tag in row[keep]] for row, keep in zip(tags, counted, strict=True)]
        for tags in (targets, logits.argmax(axis=-1))
    )
    return count_entities(wanted, given, names=labels)
