"""What a task makes of examples: classes, ratings, boxes, tags, answers, texts, masked tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import (
    Arrays,
    ArraySource,
    LazyImages,
    PreparedArrays,
    Rows,
    token_stream,
    windows,
)
from zoo_recipes.arrays.vocabulary import SEPARATOR
from zoo_recipes.configs import MaskingConfig
from zoo_recipes.datasets.rows import Examples
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import asset_of
from zoo_recipes.tasks.answers import answer_rows
from zoo_recipes.tasks.boxes import Scenes
from zoo_recipes.tasks.masking import Masked, check_marks
from zoo_recipes.tasks.pairs import pairs
from zoo_recipes.tasks.ratings import RATING, rating_rows
from zoo_recipes.tasks.tagging import tag_rows
from zoo_recipes.tasks.views import Views
from zoo_recipes.validation import DETECTION
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL, is_regression
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import ImageStep, LookupStep, TableStep
from zoo_runtime.preprocess.tables import load_columns, to_json
from zoo_runtime.preprocess.texts import padded_encodings
from zoo_system import folders
from zoo_system.durable import write

LANGUAGE_MODEL, PAIRS, TAGS = "causal-lm", "seq2seq", "token-classification"
ANSWERS, MASKED, PRETRAINING = "question-answering", "masked-lm", "pretraining"
# They learn from texts alone.
UNLABELLED = {LANGUAGE_MODEL, MASKED, PRETRAINING}
SEVERAL_OUTPUTS = {ANSWERS, PRETRAINING, DETECTION}
ENCODED_AT_ONCE = 1000
# More than that as float32, and images are prepared batch by batch.
PREPARED_BYTES = 1 << 30
# Argument of a model's builder that is the size of the vocabulary of an input.
SIZES = {"user_id": "num_users", "item_id": "num_items"}


def make_source(examples: Examples, preprocessor: Any, task: str, recipe: Recipe) -> ArraySource:
    """Return prepared examples as a task learns them.

    Args:
        examples: One split.
        preprocessor: Carries out the recipe's preprocessing.
        task: The model's head.
        recipe: Says how long targets are, and the seed of what is masked.

    Raises:
        UsageError: A task of texts without the step that makes tokens of them, a tokenizer
            without the tokens that the task needs, or boxes of more classes than the model has.
    """
    prepare = _preparing(examples, preprocessor)
    if recipe.contrastive is not None:
        return _views(examples, prepare, task, recipe)
    if task not in UNLABELLED | {PAIRS, TAGS, ANSWERS}:
        return _without_tokens(examples, prepare, task, recipe)
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


def _preparing(examples: Examples, preprocessor: Any) -> Callable[[Sequence[Any]], Arrays]:
    """Return what makes inputs of raw ones; images that have been cropped are not once more."""
    if not examples.resized:
        prepare: Callable[[Sequence[Any]], Arrays] = preprocessor.batch
        return prepare
    (step,) = preprocessor.steps
    whole: ImageStep = replace(step, shorter_side=None, resized=None)
    return whole.batch


def _without_tokens(examples: Examples, prepare: Any, task: str, recipe: Recipe) -> ArraySource:
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
        return LazyImages(raws, labels, prepare)
    inputs = prepare(raws)
    return rating_rows(inputs, raws, labels) if task == RATING else PreparedArrays(inputs, labels)


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


def _views(examples: Examples, prepare: Any, task: str, recipe: Recipe) -> Views:
    if not isinstance(examples.raws[0], tuple):
        views = _without_tokens(examples, prepare, task, recipe)
        return Views(views, views, classes=views.targets)
    first, second = ([*side] for side in zip(*examples.raws, strict=True))
    nothing = np.zeros(len(first), np.float32)
    ours, theirs = (PreparedArrays(prepare(texts), nothing) for texts in (first, second))
    return Views(ours, theirs, texts=second)


def _are_large(raws: Sequence[Any]) -> bool:
    if isinstance(raws, Rows):
        return True
    first = raws[0]
    is_image = isinstance(first, np.ndarray) and first.dtype == np.uint8 and first.ndim > 1
    as_floats = np.dtype(np.float32).itemsize * len(raws) * (first.size if is_image else 0)
    return as_floats > PREPARED_BYTES


def _encodings(tokenizer: Any, raws: Sequence[Any], length: int) -> Iterator[Any]:
    # Encodings hold far more than is needed of them: not those of all texts together.
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
    """Return the feature to be predicted; what learns from texts alone has none."""
    learns_alone = task in UNLABELLED
    if recipe.contrastive is not None:
        # Views of one example are measured by classes, though no training looks at them.
        learns_alone = not isinstance(recipe.dataset.input, str)
    return None if learns_alone else recipe.dataset.label


def make_assets(recipe: Recipe, examples: Examples, folder: Path) -> dict[str, Any]:
    """Write what the recipe's steps need to know of the training split into the run's assets.

    Args:
        recipe: Its steps ``lookup`` have vocabularies, and ``table`` has columns.
        examples: The training split.
        folder: Of the run.

    Returns:
        What follows for the arguments of a builder: how many users and items there are, the
        unknown ones counted, and the mean rating; how many numbers a row becomes; mean and
        standard deviation of the targets of a regression.

    Raises:
        UsageError: The recipe has a model with fewer numbers than that, or targets that are no
            numbers.
    """
    found: dict[str, Any] = {}
    for step in map(as_step, recipe.preprocessing):
        if isinstance(step, LookupStep):
            found |= _vocabulary(step, recipe, examples, folder)
        elif isinstance(step, TableStep):
            found |= _columns(step, recipe, examples, folder)
    _check_sizes(recipe, found)
    if found.keys() & set(SIZES.values()):
        found["mean_rating"] = float(np.mean(examples.labels))
    return found | dict(_scale(recipe, examples))


def numbers(recipe: Recipe, labels: Any) -> Any:
    """Return the targets of a regression, float32 (examples,) or (examples, numbers).

    Raises:
        UsageError: They are none.
    """
    targets = np.asarray(labels)
    if targets.dtype.kind not in "iuf" or targets.ndim not in {1, 2}:
        raise UsageError(
            f"Task '{recipe.model.task}' learns numbers, and '{recipe.dataset.label}' of "
            f"'{recipe.dataset.name}' holds none (dataset.label)."
        )
    return targets.astype(np.float32)


def _vocabulary(
    step: LookupStep, recipe: Recipe, examples: Examples, folder: Path
) -> dict[str, int]:
    known = asset_of(recipe.model.weights, step.vocabulary)
    if known is not None:
        # The rows of the weights are those of these words.
        words = json.loads(known.read_text(encoding="utf-8"))
    else:
        counts = Counter(step.words(examples.raws))
        words = sorted(word for word, count in counts.items() if count >= step.min_count)
    _write(folder, step.vocabulary, json.dumps(words, indent=0))
    return {SIZES[step.input]: len(words) + 1} if step.input in SIZES else {}


def _columns(
    step: TableStep, recipe: Recipe, examples: Examples, folder: Path
) -> dict[str, tuple[int]]:
    names = recipe.dataset.input
    known = asset_of(recipe.model.weights, step.columns)
    if known is not None:
        # The first layer of the weights reads these columns, standardised so.
        columns = list(load_columns(known.parent, known.name))
    else:
        columns = step.look_at(examples.raws, [names] if isinstance(names, str) else list(names))
    _write(folder, step.columns, to_json(columns))
    return {"input_shape": (sum(column.width for column in columns),)}


def _write(folder: Path, name: str, text: str) -> None:
    write(folder / folders.ASSETS / name, partial(Path.write_text, data=text, encoding="utf-8"))


def _check_sizes(recipe: Recipe, found: dict[str, Any]) -> None:
    for key in found.keys() & set(SIZES.values()):
        needed = found[key]
        size = recipe.model.overrides.get(key, needed)
        if size < needed:
            raise UsageError(
                f"model.overrides.{key}={size}: the training split has {needed - 1:,} of them, and "
                f"the unknown one: set it to {needed}, or leave it out."
            )


def _scale(recipe: Recipe, examples: Examples) -> Iterator[tuple[str, Any]]:
    if not is_regression(recipe.model.task):
        return
    targets = numbers(recipe, examples.labels).astype(np.float64)
    spread = targets.std(axis=0)
    yield "target_mean", targets.mean(axis=0).tolist()
    yield "target_scale", np.where(spread > 0, spread, 1.0).tolist()
    if targets.ndim == 2:
        yield "num_classes", targets.shape[1]
