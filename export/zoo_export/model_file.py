"""The model as a file that another process can load."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo_export import files
from zoo_export.request import Request, naming_failures
from zoo_registry import UsageError


@contextlib.contextmanager
def model_file(request: Request, work: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give the model as a folder that Keras loads, and the modules its own layers come from.

    Raises:
        UsageError: A layer that a new process cannot import, or does not load.
    """
    _check_lambdas(request)
    path = work / "model"
    with naming_failures(f"Model '{request.name}'"):
        # A zip would be built, and read, in memory: twice the weights more.
        request.model.save(path, zipped=False)
    try:
        yield path, (*request.modules, *_own_modules(request, path))
    finally:
        files.remove(path)


def _check_lambdas(request: Request) -> None:
    import keras

    for layer in request.model._flatten_layers():
        is_lambda = isinstance(layer, keras.layers.Lambda)
        code = getattr(layer, "function" if is_lambda else "activation", None)
        if getattr(code, "__name__", None) == "<lambda>":
            what = "is a Lambda" if is_lambda else "has a lambda for its activation"
            raise UsageError(
                f"Layer '{layer.name}' of model '{request.name}' {what}, whose code the "
                "process that converts the model does not load, whatever is enabled in this one: "
                "use keras.ops on the tensors instead, or a layer class of a module, registered "
                "with keras.saving.register_keras_serializable()."
            )


def _own_modules(request: Request, path: Path) -> tuple[str, ...]:
    try:
        found = sorted(set(_modules(json.loads((path / "config.json").read_bytes()))))
    except LookupError as error:
        raise UsageError(
            f"Model '{request.name}' has the function '{error}', which Keras does not find where "
            "it loads the model, and a new process converts it: put the function in a module, "
            "registered with keras.saving.register_keras_serializable()."
        ) from error
    if "__main__" in found:
        raise UsageError(
            f"Model '{request.name}' has layers or functions that are defined in the running "
            "script: a new process converts the model and must import them. Move them to a module."
        )
    # Only what this process has imported too: a file does not choose what code runs.
    return tuple(module for module in found if module in sys.modules)


def _modules(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        module = _module(config)
        if isinstance(module, str) and module.partition(".")[0] not in {"keras", "builtins"}:
            yield module
        for key, value in config.items():
            # Losses and metrics are not loaded.
            if key != "compile_config":
                yield from _modules(value)
    elif isinstance(config, list):
        for value in config:
            yield from _modules(value)


def _module(config: Mapping[str, Any]) -> Any:
    import keras

    module, registered = config.get("module"), config.get("registered_name")
    if config.get("class_name") == "function" and module == "builtins":
        try:
            return keras.saving.deserialize_keras_object(config).__module__
        except TypeError as error:
            raise LookupError(config["config"]) from error
    if isinstance(registered, str):
        # Keras leaves the module out for what is defined in the running script.
        known = keras.saving.get_registered_object(registered)
        module = getattr(known, "__module__", module) or "__main__"
    return module
