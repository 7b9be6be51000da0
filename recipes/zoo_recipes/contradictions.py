"""Settings of a recipe that contradict each other, or miss what they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zoo_models.build import check_trainable
from zoo_recipes.augmentation.mixing import MIXES, moving_mistakes
from zoo_registry import UsageError

MASKS_TOKENS = ("masked-lm", "pretraining")
DETECTION, DETECTION_LOSS = "object-detection", "centernet"


def contradictions(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a recipe in which every setting by itself may be right.

    Args:
        data: TOML-shaped.
    """
    yield from _fit_mistakes(data)
    yield from _weights_mistakes(data)
    yield from _mixing_mistakes(data)
    yield from _detection_mistakes(data)
    yield from _tune_mistakes(data)
    yield from _masking_mistakes(data)
    yield from _contrastive_mistakes(data)
    if table(data, "distillation") and _augmentations(data).keys() & MIXES.keys():
        yield "distillation: mixed images have no one class; leave mix_up and cut_mix out."


def table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of the recipe, empty if it is none."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _fit_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    fit = table(data, "fit")
    stopping = table(fit, "early_stopping")
    watched = {"keep_best": fit.get("keep_best")}
    if stopping:
        watched["early_stopping"] = stopping.get("monitor", "val_loss")
    for key, monitor in watched.items():
        if str(monitor).startswith("val_") and "validation" not in table(data, "dataset"):
            yield f'fit.{key}: monitor "{monitor}" needs dataset.validation.'
    callbacks = fit.get("callbacks")
    for callback in callbacks if isinstance(callbacks, list | tuple) else ():
        name = callback.get("name") if isinstance(callback, Mapping) else callback
        if name == "ReduceLROnPlateau" and table(data, "compile").get("schedule"):
            yield f"fit.callbacks: {name} cannot change what compile.schedule sets; leave one out."
    if stopping and fit.get("keep_best") is not None:
        yield "fit.keep_best: fit.early_stopping keeps the best weights already; leave one out."


def _weights_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    model = table(data, "model")
    trainable, kind = model.get("trainable", "all"), table(data, "tokenizer").get("kind")
    if isinstance(trainable, str):
        try:
            check_trainable(trainable)
        except UsageError as error:
            yield f"model.{error}"
    if table(data, "compile").get("quantization_aware") is True and trainable != "all":
        yield (
            f'model.trainable = "{trainable}": compile.quantization_aware trains all of a model; '
            "leave one of them out."
        )
    if kind == "pretrained" and "weights" not in model:
        yield 'tokenizer.kind = "pretrained" needs model.weights, which it comes with.'


def _components(value: Any) -> dict[str, Mapping[str, Any]]:
    """Return the arguments of a component, or of each of a list of them, by name."""
    rows = value if isinstance(value, list | tuple) else [] if value is None else [value]
    tables = [row if isinstance(row, Mapping) else {"name": row} for row in rows]
    return {str(row.get("name")): row for row in tables}


def _augmentations(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return _components(data.get("augmentation"))


def _loss_name(data: Mapping[str, Any]) -> str | None:
    return next(iter(_components(table(data, "compile").get("loss"))), None)


def _mixing_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(_augmentations(data).keys() & MIXES.keys()):
        if _loss_name(data) != "smoothed_crossentropy":
            yield (
                f"augmentation: {name} makes shares of classes, which of all losses only "
                "smoothed_crossentropy takes: set compile.loss (label_smoothing may be 0)."
            )
        if table(data, "fit").get("class_weight") is not None:
            yield f"augmentation: {name} does not go with fit.class_weight: leave one of them out."


def _masking_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    task = table(data, "model").get("task")
    if data.get("masking") is not None and task not in MASKS_TOKENS:
        yield (
            f"masking: only the tasks {' and '.join(MASKS_TOKENS)} hide tokens; set model.task to "
            "one of them, or leave masking out."
        )


def _contrastive_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("contrastive") is None:
        return
    compiled, fit, dataset = (table(data, key) for key in ("compile", "fit", "dataset"))
    # What a recipe has by default says nothing.
    given = {
        "compile.loss": _components(compiled.get("loss")).keys()
        - {"sparse_categorical_crossentropy"},
        "compile.metrics": _components(compiled.get("metrics")).keys() - {"accuracy"},
        "fit.class_weight": fit.get("class_weight"),
        "fit.sampling": fit.get("sampling", "shuffled") != "shuffled",
        "distillation": data.get("distillation"),
        "mix_up and cut_mix": _augmentations(data).keys() & MIXES.keys(),
    }
    for key in (key for key, is_given in given.items() if is_given):
        yield f"contrastive: there are no targets to learn; leave {key} out."
    if dataset.get("validation") and isinstance(dataset.get("input", "image"), str):
        yield (
            "contrastive: views of one example differ by augmentation, which validation has none "
            "of; leave dataset.validation out."
        )


def loss_mistakes(data: Mapping[str, Any], task: str | None) -> Iterator[str]:
    """Yield what is wrong with a loss that its task cannot be trained with.

    Args:
        data: TOML-shaped.
        task: The model's head.
    """
    name = _loss_name(data)
    if task == DETECTION and name != DETECTION_LOSS:
        yield f'compile.loss: task "{task}" is trained with loss = "{DETECTION_LOSS}".'
    elif task != DETECTION and name == DETECTION_LOSS:
        yield f'compile.loss = "{name}": it is for task "{DETECTION}", not "{task}".'


def _detection_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    if _loss_name(data) != DETECTION_LOSS:
        return
    fit, listed = table(data, "fit"), table(data, "compile").get("metrics", ("accuracy",))
    if listed:
        yield (
            f"compile.metrics: what {DETECTION_LOSS} trains is measured by mean average precision, "
            "and by no metric of Keras: set compile.metrics=[]."
        )
    for key in ("class_weight", "sampling"):
        if fit.get(key) not in (None, "shuffled"):
            yield f"fit.{key}: an image with boxes is of no one class; leave it out."
    if table(data, "distillation"):
        yield "distillation: a teacher of classes has no boxes; leave it out."
    yield from moving_mistakes(_augmentations(data))


def _tune_mistakes(data: Mapping[str, Any]) -> Iterator[str]:
    for key, values in table(table(data, "tune"), "space").items():
        if not isinstance(values, Mapping):
            continue
        ends = [values[name] for name in ("low", "high") if name in values]
        if not all(isinstance(end, int | float) for end in ends):
            continue  # said of its type already
        where = f"tune.space.{key}"
        if bool(values.get("choices")) == bool(ends):
            yield f"{where}: needs low and high, or choices."
        elif ends and (len(ends) < 2 or not ends[0] < ends[1]):
            yield f"{where}: needs a low that is less than its high."
        elif ends and values.get("log") and ends[0] <= 0:
            yield f"{where}: log needs a low above 0, not {ends[0]}."
