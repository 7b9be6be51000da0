"""What a model predicts for the examples of a split, and the metrics of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_models.saved import fed, use_xla
from zoo_recipes.arrays.sources import (
    BATCH_SIZE,
    ArraySource,
    LazyImages,
    Predictor,
    Windows,
    batches_of,
    eager_predictor,
    keras_predictor,
    only_logits,
)
from zoo_recipes.metrics.classification import Classes, MultiLabels
from zoo_recipes.metrics.resampling import Numbers, Outcomes, WithLoss, count_hits, joined, point
from zoo_recipes.metrics.texts import (
    ENTITY_F1,
    count_entities,
    count_texts,
    count_written,
    read_windows,
)
from zoo_recipes.recipe import Recipe
from zoo_recipes.tasks.answers import Answers, answer_metrics, count_answers
from zoo_recipes.tasks.boxes import Scenes, count_boxes, found_in
from zoo_recipes.tasks.masking import Masked
from zoo_recipes.tasks.pairs import Pairs, written
from zoo_recipes.tasks.ratings import RatingOutcomes, Ratings, rating_metrics
from zoo_recipes.tasks.tagging import Tags, count_tags, tag_metrics
from zoo_recipes.tasks.views import Views, count_views
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL

HEADLINES = (ENTITY_F1, "f1_micro")


def measure(model: Any, recipe: Recipe, source: ArraySource) -> dict[str, float]:
    """Return what a run records of its model: loss and metrics on examples.

    Args:
        model: Ends in logits.
        recipe: Names loss and metrics.
        source: The examples.
    """
    from zoo_recipes.compiling.components import usual_numbers

    with usual_numbers():
        return _measured(model, recipe, source)


def _measured(model: Any, recipe: Recipe, source: ArraySource) -> dict[str, float]:
    from zoo_recipes.compiling.components import penalty

    if isinstance(source, Windows):
        metrics = point(read_windows(eager_predictor(model), source))
        return {name: metrics[name] for name in ("loss", "accuracy", "bits_per_character")}
    jit_compile = use_xla(recipe.compile.jit_compile)
    if isinstance(source, Views):
        return point(count_views(keras_predictor(model, jit_compile), source))
    if isinstance(source, LazyImages | Scenes):
        return _in_batches(keras_predictor(model, jit_compile), recipe, source)
    model.compile(**_scored(recipe, model.output_names), jit_compile=jit_compile)
    inputs, targets = source.take(np.arange(len(source)))
    results = model.evaluate(
        fed(model, inputs), targets, batch_size=BATCH_SIZE, verbose=0, return_dict=True
    )
    measured = {name: float(value) for name, value in results.items()}
    # Keras adds what the sizes of weights cost, which is not a loss of these examples.
    measured["loss"] -= penalty(model)
    predict = keras_predictor(model, jit_compile)
    return headline_first(measured | _counted(predict, recipe, source))


def headline_first(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics with the one in front that tells most, where it is known which that is.

    Of tags that mark entities it is the F1 of these: most words are of none. So it is of several
    classes an example, of which most do not apply.
    """
    return dict(sorted(metrics.items(), key=lambda item: item[0] not in HEADLINES))


def _in_batches(predict: Predictor, recipe: Recipe, source: ArraySource) -> dict[str, float]:
    scores, found = Scores(recipe), []
    for indices in batches_of(source):
        inputs, targets = source.take(indices)
        made = scored_outputs(predict(inputs), targets)
        scores.add(targets, made)
        found += found_in(made) if isinstance(source, Scenes) else []
    metrics = point(count_boxes(source, found)) if isinstance(source, Scenes) else {}
    if isinstance(source, LazyImages):
        metrics = _counted(predict, recipe, source)
    return scores.results() | metrics


def scored_outputs(outputs: Mapping[str, Any], targets: Any) -> Any:
    """Return the outputs that targets are of, float32, by name where there are several."""
    if isinstance(targets, dict):
        return {name: np.asarray(outputs[name], np.float32) for name in targets}
    return np.asarray(only_logits(outputs), np.float32)


def _counted(predict: Predictor, recipe: Recipe, source: ArraySource) -> dict[str, float]:
    """Return the metrics that need all predictions, some of them as words again."""
    if isinstance(source, Pairs):
        return point(count_written(written(predict, source), source.texts))
    if isinstance(source, Tags):
        return tag_metrics(predict, source)
    if isinstance(source, Ratings):
        return rating_metrics(predict, source)
    if isinstance(source, Answers):
        return answer_metrics(predict, source)
    if recipe.model.task == MULTI_LABEL:
        return point(MultiLabels(source.targets, _answers(predict, source)))
    return _of_numbers(predict, source) if _are_numbers(source.targets) else {}


def _are_numbers(targets: Any) -> bool:
    return getattr(getattr(targets, "dtype", None), "kind", "") == "f" and targets.ndim == 1


def _of_numbers(predict: Predictor, source: ArraySource) -> dict[str, float]:
    found = _answers(predict, source)
    return point(Numbers(source.targets, found)) if found.size == len(source) else {}


def _answers(predict: Predictor, source: ArraySource) -> Any:
    made = [only_logits(predict(source.take(indices)[0])) for indices in batches_of(source)]
    return np.concatenate(made)


class Scores:
    """Loss and metrics of a recipe, from outputs that anything may have computed.

    Args:
        recipe: Names loss and metrics.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._scored: dict[str, Any] = {}
        self._model: Any = None
        self._results: dict[str, Any] = {}
        self._losses: list[Any] = []

    def add(self, targets: Any, made: Any) -> None:
        """Count a batch of examples.

        Args:
            targets: As the source gives them: by name where the model has several outputs.
            made: The outputs, in the same way.
        """
        from zoo_recipes.compiling.components import usual_numbers

        with usual_numbers():
            self._add(targets, made)

    def _add(self, targets: Any, made: Any) -> None:
        import keras

        if self._model is None:
            several = isinstance(made, dict)
            parts = made if several else {"logits": made}
            self._scored = _scored(self._recipe, list(parts))
            # Keras scores what a model gives: this one gives what it is given.
            given = {name: keras.Input(part.shape[1:], name=name) for name, part in parts.items()}
            same = {name: tensor * 1.0 for name, tensor in given.items()}
            self._model = keras.Model(given, same if several else same["logits"])
            self._model.compile(**self._scored, jit_compile=False)
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, made)
        # Counted from the first batch on, where `test_on_batch` would forget those before.
        inputs = tensors if isinstance(made, dict) else {"logits": tensors}
        self._results = self._model.test_step((inputs, targets))
        if not isinstance(made, dict):
            losses = np.asarray(self._scored["loss"].call(targets, tensors))
            self._losses.append(losses.reshape(len(made), -1).mean(axis=1, dtype=np.float64))

    def results(self) -> dict[str, float]:
        """Return loss and metrics of all batches by name."""
        return {name: float(value) for name, value in self._results.items()}

    def losses(self) -> Any:
        """Return the loss of each example; ``None`` where the mean of them is not the loss.

        That is so where some steps do not count, and examples have unequal numbers of them.
        """
        if not self._losses:
            return None
        rows = np.concatenate(self._losses)
        return rows if np.isclose(rows.mean(), self._results["loss"], rtol=1e-4) else None


def _scored(recipe: Recipe, outputs: Sequence[str]) -> dict[str, Any]:
    from zoo_recipes.compiling.components import make_loss, make_metrics

    compiled = recipe.compile
    return {"loss": make_loss(compiled.loss), "metrics": make_metrics(compiled, outputs)}


@dataclass(frozen=True)
class Observed:
    """What a model predicted.

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
    predict: Predictor,
    recipe: Recipe,
    task: str,
    source: ArraySource,
    labels: Sequence[str],
    *,
    write: Callable[[], Sequence[str]] | None = None,
) -> Observed:
    """Run a model on all examples of a split.

    Args:
        predict: Computes its outputs.
        recipe: Names loss and metrics.
        task: The model's head.
        source: The examples.
        labels: Class names, for tags of words.
        write: Returns the texts that a seq2seq model writes, of all examples; by default they are
            written by ``predict``, token by token.

    Raises:
        UsageError: A task that has no metrics yet.
    """
    if isinstance(source, Windows):
        return Observed(read_windows(predict, source), {})
    if isinstance(source, Views):
        return Observed(count_views(predict, source), {})
    scores = Scores(recipe)
    collected = []
    for indices in batches_of(source):
        inputs, targets = source.take(indices)
        made = scored_outputs(predict(inputs), targets)
        if _one_class(targets, made):
            _check_classes(targets, max(2, made.shape[1]))
        scores.add(targets, made)
        collected.append(_kept(source, targets, made))
    # Nothing is collected of texts that are generated token by token.
    outcomes: Outcomes = (
        count_texts(write() if write else written(predict, source), source.texts)
        if isinstance(source, Pairs)
        else _joined_outcomes(task, source, collected, labels)
    )
    together = source.users if isinstance(source, Ratings) else None
    return Observed(outcomes, scores.results(), scores.losses(), together)


def _joined_outcomes(
    task: str, source: ArraySource, collected: Sequence[Any], labels: Sequence[str]
) -> Outcomes:
    """Return the outcomes of what was collected of each batch."""
    if isinstance(source, Masked):
        return joined(list(collected))
    if isinstance(source, Scenes):
        return count_boxes(source, [found for part in collected for found in part])
    if isinstance(source, Answers):
        ends = {name: np.concatenate([part[name] for part in collected]) for name in collected[0]}
        return count_answers(source, ends)
    made = np.concatenate(collected)
    if isinstance(source, Ratings):
        return RatingOutcomes(source.targets, made, source.users)
    if isinstance(source, Tags):
        return count_tags(source, made, labels)
    return _outcomes(task, source, made, labels)


def _kept(source: ArraySource, targets: Any, made: Any) -> Any:
    """Return as little of a batch as its metrics need: logits of texts are one a token."""
    if isinstance(source, Pairs):
        return None
    if isinstance(source, Tags):
        return made.argmax(axis=-1)
    if isinstance(source, Scenes):
        return found_in(made)
    if isinstance(source, Masked):
        if isinstance(targets, dict):
            return {f"{name}_accuracy": count_hits(targets[name], made[name]) for name in targets}
        return {"accuracy": count_hits(targets, made)}
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
        f"{list(logits.shape)} has no metrics yet: there are some for classes, several classes, "
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
