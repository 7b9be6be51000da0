"""Where the code of a model lies that is not Keras's own, found without importing it."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Hashed whole by themselves: what they import is theirs.
CONVERTING = frozenset({"zoo_export", "zoo_models", "zoo_registry", "zoo_runtime", "zoo_system"})
OURS = CONVERTING | {"zoo", "zoo_recipes"}
_KNOWN = {"keras", "keras_hub", "keras_nlp", *OURS}
_INSTALLED = {"site-packages", "dist-packages"}


def objects_in(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the layers and functions of a model that Keras saved, each as Keras describes it.

    Args:
        config: What the model's JSON holds.
    """
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for key, value in config.items():
            # Losses and metrics are not loaded.
            if key != "compile_config":
                yield from objects_in(value)
    elif isinstance(config, list):
        for value in config:
            yield from objects_in(value)


def has_own_code(model: Any) -> bool:
    """Return whether a model has layers that are neither Keras's nor of a library on top of it.

    Those may be in the running script, and need not give Keras what they were made from.
    """
    import keras

    layers = model._flatten_layers()
    return any(
        isinstance(layer, keras.layers.Lambda) or not is_known(type(layer).__module__)
        for layer in layers
    )


def is_known(module: str) -> bool:
    """Return whether a module is one of those whose layers Keras rebuilds from their file.

    Example:
        >>> [is_known(name) for name in ("keras.src.layers", "zoo_models.layers", "my.layers")]
        [True, True, False]
    """
    return module.partition(".")[0] in _KNOWN


def module_of(described: Mapping[str, Any]) -> str | None:
    """Return the module that a layer or function comes from, ``None`` for those of Keras.

    Args:
        described: As :func:`objects_in` gives it.

    Raises:
        LookupError: A function that Keras does not find; its text is the name.

    Example:
        >>> module_of({"class_name": "Mine", "module": "my.layers", "registered_name": None})
        'my.layers'
    """
    module = _module(described)
    if not isinstance(module, str) or module.partition(".")[0] in {"keras", "builtins"}:
        return None
    return module


def _module(described: Mapping[str, Any]) -> Any:
    module, registered = described.get("module"), described.get("registered_name")
    keras: Any = sys.modules.get("keras")
    if keras is None:  # nothing can be registered in this process
        return module
    if described["class_name"] == "function" and module == "builtins":
        try:
            return keras.saving.deserialize_keras_object(described).__module__
        except TypeError as error:
            raise LookupError(described["config"]) from error
    if isinstance(registered, str):
        # Keras leaves the module out for what is defined in the running script.
        known = keras.saving.get_registered_object(registered)
        module = getattr(known, "__module__", module) or "__main__"
    return module


def files_of(modules: Iterable[str]) -> list[Path]:
    """Return all files of the packages that modules are of, and of custom ones that they import.

    What is installed, or comes with Python, is not followed further.

    Example:
        >>> [path.name for path in files_of(["zoo_system.durable"]) if path.stem == "durable"]
        ['durable.py']
    """
    waiting = {module.partition(".")[0] for module in modules}
    found: dict[str, list[Path]] = {}
    while waiting:
        name = waiting.pop()
        found[name] = paths = _files(name)
        if name not in OURS and not any(map(_is_installed, paths)):
            imported = {top for path in paths if path.suffix == ".py" for top in _imports(path)}
            own = {top for top in imported - found.keys() if not _comes_with_python(top)}
            waiting |= {top for top in own if not any(map(_is_installed, _files(top)))}
    return sorted(path for paths in found.values() for path in paths)


def _files(name: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # the running script, or a module that was made by hand
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)] if spec.has_location and spec.origin else []
    folders = map(Path, spec.submodule_search_locations)
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if "__pycache__" not in path.parts]


def _is_installed(path: Path) -> bool:
    return not _INSTALLED.isdisjoint(path.parts)


def _comes_with_python(name: str) -> bool:
    return name in sys.stdlib_module_names


def _imports(path: Path) -> Iterator[str]:
    """Yield the names of packages that a file imports, wherever in it."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]
