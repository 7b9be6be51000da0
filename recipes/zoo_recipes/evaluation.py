"""What a model is given of a split, and the metrics of it that a run records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.datasets.loading import Examples, open_dataset, read_split
from zoo_recipes.metrics.language import read_windows
from zoo_recipes.metrics.resampling import point
from zoo_recipes.metrics.texts import count_words
from zoo_recipes.pairs import Pairs, pairs, written
from zoo_recipes.predicting import eager_predictor, keras_predictor
from zoo_recipes.recipe import Recipe
from zoo_recipes.sources import Rows, Source, Windows, fed, windows
from zoo_registry import UsageError

BATCH_SIZE = 256
LANGUAGE_MODEL, PAIRS = "causal-lm", "seq2seq"


@dataclass(frozen=True)
class Given:
    """What turns the examples of a data set into what a trained model takes.

    Args:
        recipe: The recipe that the model was trained with.
        task: The model's head.
        preprocessing: The recipe's steps.
        assets: Folder with the files that the steps name.
        inputs: Names of the model's inputs.
    """

    recipe: Recipe
    task: str
    preprocessing: Sequence[Mapping[str, Any]]
    assets: Path
    inputs: Sequence[str]

    def source(self, examples: Examples) -> Source:
        """Return examples as the model takes them."""
        from zoo_export.preprocess import Preprocessor

        preprocessor = Preprocessor(self.preprocessing, self.assets, list(self.inputs))
        return make_source(examples, preprocessor, self.task, self.recipe.dataset.target_length)

    def read(self, dataset: str, split: str | None, **options: Any) -> tuple[dict[str, Any], Any]:
        """Return inputs by name and targets of a data set that has the recipe's features.

        Args:
            dataset: Its name.
            split: In slicing syntax; the recipe's test split by default.
            options: ``data_dir`` and ``download``, as :func:`zoo.evaluate` takes them.

        Raises:
            UsageError: No such data set or split, or other features.
        """
        wanted = self.recipe.dataset
        examples = read_split(
            open_dataset(dataset, **wanted.reading, **options),
            split or wanted.test,
            input=wanted.input,
            label=label_feature(self.recipe, self.task),
            steps=self.preprocessing,
        )
        source = self.source(examples)
        # Windows of text are taken by number: a slice would not do.
        return source.take(np.arange(len(source)))


def measure(model: Any, recipe: Recipe, source: Source) -> dict[str, float]:
    """Return what a run records of its model: loss and metrics on examples.

    Args:
        model: Ends in logits.
        recipe: Names loss and metrics.
        source: The examples.
    """
    from zoo_recipes.components import use_xla

    if isinstance(source, Windows):
        figures = point(read_windows(eager_predictor(model), source))
        return {name: figures[name] for name in ("loss", "accuracy", "bits_per_character")}
    jit_compile = use_xla(recipe.compile.jit_compile)
    model.compile(**_scored(recipe), jit_compile=jit_compile)
    inputs, targets = source.take(slice(None))
    results = model.evaluate(
        fed(model, inputs), targets, batch_size=BATCH_SIZE, verbose=0, return_dict=True
    )
    measured = {name: float(value) for name, value in results.items()}
    if isinstance(source, Pairs):
        measured |= point(count_words(*written(keras_predictor(model, jit_compile), source)))
    return measured


class Scores:
    """Loss and metrics of a recipe, from logits that anything may have computed.

    Args:
        recipe: Names loss and metrics.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._scored = _scored(recipe)
        self._model: Any = None
        self._results: dict[str, Any] = {}
        self._losses: list[Any] = []

    def add(self, targets: Any, logits: Any) -> None:
        """Count a batch of examples."""
        import keras

        if self._model is None:
            # Keras scores what a model gives: this one gives what it is given.
            self._model = keras.Sequential([keras.Input(logits.shape[1:]), keras.layers.Identity()])
            self._model.compile(**self._scored, jit_compile=False)
        tensor = keras.ops.convert_to_tensor(logits)
        # Counted from the first batch on, where `test_on_batch` would forget those before.
        self._results = self._model.test_step((tensor, targets))
        losses = np.asarray(self._scored["loss"].call(targets, tensor))
        self._losses.append(losses.reshape(len(logits), -1).mean(axis=1, dtype=np.float64))

    def results(self) -> dict[str, float]:
        """Return loss and metrics of all batches by name."""
        return {name: float(value) for name, value in self._results.items()}

    def losses(self) -> Any:
        """Return the loss of each example; ``None`` where the mean of them is not the loss.

        That is so where some steps do not count, and examples have unequal numbers of them.
        """
        rows = np.concatenate(self._losses)
        return rows if np.isclose(rows.mean(), self._results["loss"], rtol=1e-4) else None


def _scored(recipe: Recipe) -> dict[str, Any]:
    from zoo_recipes.components import make_loss, make_metric

    compiled = recipe.compile
    metrics = [make_metric(metric) for metric in compiled.metrics]
    return {"loss": make_loss(compiled.loss), "metrics": metrics}


def make_source(examples: Examples, preprocessor: Any, task: str, target_length: int) -> Source:
    """Return prepared examples: windows of text for language models, pairs of texts, or rows."""
    if task not in {LANGUAGE_MODEL, PAIRS}:
        return Rows(preprocessor.batch(examples.raws), examples.labels)
    step = preprocessor.tokenize_step
    if step is None:
        raise UsageError(f"Task '{task}' needs the preprocessing step 'tokenize'.")
    tokenizer = preprocessor.tokenizer(step.tokenizer)
    if task == LANGUAGE_MODEL:
        return windows(tokenizer, examples.raws, step.length, step.input)
    inputs = preprocessor.batch(examples.raws)
    return pairs(inputs, examples.labels.tolist(), tokenizer, target_length)


def label_feature(recipe: Recipe, task: str) -> str | None:
    """Return the feature that holds the class; language models have none."""
    return None if task == LANGUAGE_MODEL else recipe.dataset.label
