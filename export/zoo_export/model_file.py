"""The model as a file that another process can load."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from zoo_export import files
from zoo_export.model_code import module_of, objects_in
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
        described = objects_in(json.loads((path / "config.json").read_bytes()))
        found = sorted({module for row in described if (module := module_of(row)) is not None})
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
