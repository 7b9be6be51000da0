"""Listing, describing and registering: what the facade adds to the rooms behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import zoo_registry
from zoo_models.backend import check_backend
from zoo_registry import ModelSpec, UsageError, did_you_mean
from zoo_registry.search import search

# Words of `list_models` for fields of a spec.
SORTED_BY = {"name": None, "params": "num_params", "macs": "macs"}
F = TypeVar("F", bound=Callable[..., Any])


def list_models(
    pattern: str = "*",
    *,
    task: str | None = None,
    family: str | None = None,
    tag: str | None = None,
    max_params: int | None = None,
    max_macs: int | None = None,
    sort: Literal["name", "params", "macs"] = "name",
) -> list[str]:
    """Return the names of models, sorted.

    Args:
        pattern: A shell-style glob.
        task: Keep the models with this head, such as ``"causal-lm"``.
        family: Keep this family, such as ``"bert"``.
        tag: Keep the models with this tag.
        max_params: Keep those with at most so many parameters.
        max_macs: Keep those with at most so many multiply-adds an example.
        sort: By name, or by parameters or multiply-adds, fewest first.

    Raises:
        UsageError: Another word to sort by.

    Example:
        >>> list_models("*-lm", task="causal-lm", family="rnn")
        ['gru-lm', 'lstm-lm']
        >>> list_models(task="image-classification", max_macs=300_000_000, sort="macs")[-2:]
        ['mobilenet-v3-large', 'resnet110']
    """
    if sort not in SORTED_BY:
        raise UsageError(
            f"sort='{sort}' is not one of: {', '.join(SORTED_BY)}.{did_you_mean(sort, SORTED_BY)}"
        )
    return search(
        zoo_registry.models,
        pattern,
        at_most={"num_params": max_params, "macs": max_macs},
        sort=SORTED_BY[sort],
        task=task,
        family=family,
        tag=tag,
    )


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the names of recipes that match a glob, sorted.

    Example:
        >>> list_recipes("digits-c*")
        ['digits-cnn']
    """
    return zoo_registry.recipes.names(pattern)


def list_datasets(pattern: str = "*") -> list[str]:
    """Return the names of the data sets that Kerazoo and its plugins add to TFDS.

    Example:
        >>> list_datasets("digits")
        ['digits']
    """
    return zoo_registry.datasets.names(pattern)


def list_formats(pattern: str = "*") -> list[str]:
    """Return the names of export formats, sorted.

    Example:
        >>> list_formats()
        ['litertlm', 'onnx', 'onnxruntime-genai', 'saved_model', 'tflite']
    """
    return zoo_registry.formats.names(pattern)


def describe(name: str) -> ModelSpec:
    """Return what is known about a model without building it.

    Args:
        name: A registered name or ``owner/name``.

    Returns:
        The spec: inputs, tasks, defaults, parameters, paper, licence and where it came from.

    Raises:
        UnknownNameError: No such model; the message has the closest name.

    Example:
        >>> describe("mnist-mlp").num_params
        118282
    """
    return zoo_registry.models.get(name)


def load_model(path: str | Path) -> Any:
    """Load a model that was saved with ``model.save("name.keras")``, in a fresh process too.

    Keras alone does not find the layers of other packages until they are imported.

    Args:
        path: A ``.keras`` or ``.h5`` file; of Keras 2 it is made anew with layers of Keras 3.

    Returns:
        The ``keras.Model``, compiled if it was when Keras 3 saved it.

    Raises:
        UsageError: There is no such file, it is of another kind or damaged, or its model is larger
            than the free memory.
        ZooError: Keras cannot load it, or it holds what cannot be loaded safely.

    Example:
        >>> import os, tempfile, zoo
        >>> file = os.path.join(tempfile.mkdtemp(), "mlp.keras")
        >>> zoo.get_model("mlp").save(file)
        >>> zoo.load_model(file).count_params()
        26122
    """
    if not Path(path).is_file():
        raise UsageError(f"There is no model file '{path}'.")
    check_backend()
    from zoo_export.reading.keras_files import read_model

    return read_model(Path(path), compiled=True)


@overload
def register(name: str, value: ModelSpec, *, replace: bool = ...) -> ModelSpec: ...
@overload
def register(name: str, value: F, *, replace: bool = ...) -> F: ...
@overload
def register(name: str, value: None = ..., *, replace: bool = ...) -> Callable[[F], F]: ...


def register(name: str, value: Any = None, *, replace: bool = False) -> Any:
    """Add a model to this process; packages add theirs through the entry point ``zoo.models``.

    Args:
        name: Lower case, ``-`` between words.
        value: A function that returns a ``keras.Model``, or a :class:`ModelSpec`. Left out,
            the call is a decorator.
        replace: Take the place of a model registered before in this process, as when a
            notebook cell is run again.

    Returns:
        ``value``, so that a decorated function stays itself.

    Raises:
        UsageError: A name outside the grammar.
        DuplicateNameError: The name is taken.

    Example:
        >>> @register("linear-probe")
        ... def linear_probe(*, num_classes: int = 2):
        ...     import keras
        ...     inputs = keras.Input((8,), name="features")
        ...     logits = keras.layers.Dense(num_classes, name="logits")(inputs)
        ...     return keras.Model(inputs, logits)
        >>> import zoo
        >>> zoo.get_model("linear-probe", num_classes=3).count_params()
        27
    """
    if value is None:
        return lambda decorated: register(name, decorated, replace=replace)
    zoo_registry.models.add(name, value, replace=replace)
    return value
