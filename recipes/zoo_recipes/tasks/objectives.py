"""What a task makes of examples: classes, ratings, boxes, tags, answers, texts, hidden tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Pictures, Rows, Source, token_stream, windows
from zoo_recipes.arrays.vocabulary import SEPARATOR
from zoo_recipes.configs import MaskingConfig
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.answers import answer_rows
from zoo_recipes.tasks.assets import numbers
from zoo_recipes.tasks.boxes import Scenes
from zoo_recipes.tasks.masking import Masked, check_marks
from zoo_recipes.tasks.pairs import pairs
from zoo_recipes.tasks.ratings import RATING, rating_rows
from zoo_recipes.tasks.tagging import tag_rows
from zoo_recipes.tasks.twins import Twins
from zoo_recipes.validation import DETECTION
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL, is_regression
from zoo_runtime.preprocess.texts import padded_encodings

LANGUAGE_MODEL, PAIRS, TAGS = "causal-lm", "seq2seq", "token-classification"
ANSWERS, MASKED, PRETRAINING = "question-answering", "masked-lm", "pretraining"
# They learn from texts alone.
UNLABELLED = {LANGUAGE_MODEL, MASKED, PRETRAINING}
SEVERAL_OUTPUTS = {ANSWERS, PRETRAINING, DETECTION}
ENCODED_AT_ONCE = 1000
# More than that as float32, and pictures are prepared batch by batch.
PREPARED_BYTES = 1 << 30


def make_source(examples: Examples, preprocessor: Any, task: str, recipe: Recipe) -> Source:
    """Return prepared examples as a task learns them.

    Args:
        examples: One split.
        preprocessor: Carries out the recipe's preprocessing.
        task: The model's head.
        recipe: Says how long targets are, and the seed of what is hidden.

    Raises:
        UsageError: A task of texts without the step that makes tokens of them, a tokenizer
            without the tokens that the task needs, or boxes of more classes than the model has.
    """
    if recipe.contrastive is not None:
        return _twins(examples, preprocessor.batch, task, recipe)
    if task not in UNLABELLED | {PAIRS, TAGS, ANSWERS}:
        return _without_tokens(examples, preprocessor.batch, task, recipe)
    step = preprocessor.tokenize_step
    if step is None:
        raise UsageError(f"Task '{task}' needs the preprocessing step 'tokenize'.")
    tokenizer = preprocessor.tokenizer(step.tokenizer)
    if task == LANGUAGE_MODEL:
        return windows(tokenizer, examples.raws, step.length, step.input)
    if task in UNLABELLED:
        return _masked(examples, step, tokenizer, task, recipe)
    inputs = preprocessor.batch(examples.raws)
    if task == PAIRS:
        return pairs(inputs, examples.labels.tolist(), tokenizer, recipe.dataset.target_length)
    encodings = _encodings(tokenizer, examples.raws, step.length)
    make = partial(tag_rows, names=examples.classes) if task == TAGS else answer_rows
    return make(inputs, examples.raws, examples.labels, encodings)


def _without_tokens(examples: Examples, prepare: Any, task: str, recipe: Recipe) -> Source:
    raws, labels = examples.raws, _labels(examples, task, recipe)
    if task == DETECTION:
        there = len(examples.classes)
        count = recipe.model.overrides.get("num_classes", there)
        if count < there:
            raise UsageError(
                f"model.overrides.num_classes={count}, and the boxes of '{recipe.dataset.name}' "
                f"are of {there} classes: leave it out."
            )
        return Scenes(raws, labels, prepare, count)
    if _are_large(raws):
        return Pictures(raws, labels, prepare)
    inputs = prepare(raws)
    return rating_rows(inputs, raws, labels) if task == RATING else Rows(inputs, labels)


def _labels(examples: Examples, task: str, recipe: Recipe) -> Any:
    if task == MULTI_LABEL:
        return _many_hot(examples, recipe)
    if not is_regression(task):
        return examples.labels
    if examples.classes:
        raise UsageError(
            f"Task '{task}' learns numbers, and '{recipe.dataset.label}' of "
            f"'{recipe.dataset.name}' are classes, such as '{examples.classes[0]}'."
        )
    return numbers(recipe, examples.labels)


def _many_hot(examples: Examples, recipe: Recipe) -> Any:
    """Return 1 for each class of each example, float32 (examples, classes)."""
    labels, count = examples.labels, len(examples.classes)
    if not count or np.ndim(labels[0]) != 1:
        raise UsageError(
            f"Task '{MULTI_LABEL}' learns any number of classes an example, and "
            f"'{recipe.dataset.label}' of '{recipe.dataset.name}' is none (dataset.label)."
        )
    targets = np.zeros((len(labels), count), np.float32)
    for row, numbers_of in enumerate(labels):
        targets[row, numbers_of] = 1.0
    return targets


def _twins(examples: Examples, prepare: Any, task: str, recipe: Recipe) -> Twins:
    if not isinstance(examples.raws[0], tuple):
        views = _without_tokens(examples, prepare, task, recipe)
        return Twins(views, views, classes=views.targets)
    first, second = ([*side] for side in zip(*examples.raws, strict=True))
    nothing = np.zeros(len(first), np.float32)
    ours, theirs = (Rows(prepare(texts), nothing) for texts in (first, second))
    return Twins(ours, theirs, texts=second)


def _are_large(raws: Sequence[Any]) -> bool:
    first = raws[0]
    is_picture = isinstance(first, np.ndarray) and first.dtype == np.uint8 and first.ndim > 1
    as_floats = np.dtype(np.float32).itemsize * len(raws) * (first.size if is_picture else 0)
    return as_floats > PREPARED_BYTES


def _encodings(tokenizer: Any, raws: Sequence[Any], length: int) -> Iterator[Any]:
    # Encodings hold far more than is needed of them: not those of all texts at once.
    for start in range(0, len(raws), ENCODED_AT_ONCE):
        yield from padded_encodings(tokenizer, raws[start : start + ENCODED_AT_ONCE], length)


def _masked(examples: Examples, step: Any, tokenizer: Any, task: str, recipe: Recipe) -> Masked:
    check_marks(tokenizer, task)
    made = {"token_ids": step.input}
    made |= {"padding_mask": "padding_mask"} if step.padding_mask else {}
    made |= {"segment_ids": "segment_ids"} if step.segment_ids else {}
    stream = np.asarray(token_stream(tokenizer, examples.raws, SEPARATOR), np.int32)
    source = Masked(
        stream,
        step.length,
        tokenizer,
        made,
        recipe.seed,
        recipe.masking or MaskingConfig(),
        pairs=task == PRETRAINING,
    )
    if not len(source):
        raise UsageError(
            f"The split has {len(stream)} tokens: too few for one row of {step.length}."
        )
    return source


def label_feature(recipe: Recipe, task: str) -> str | None:
    """Return the feature that holds what is to be told; what learns from texts alone has none."""
    learns_alone = task in UNLABELLED
    if recipe.contrastive is not None:
        # Views of one example are measured by classes, though no training looks at them.
        learns_alone = not isinstance(recipe.dataset.input, str)
    return None if learns_alone else recipe.dataset.label
