"""What a package gives to others, imported on first use: the names of its ``__init__.pyi``."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

from zoo_system.arguments import explained


def face(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Type checkers and editors read the same stub, so that there is one list of names. Where a
    function fails over an argument it says which.

    Args:
        package: Its ``__name__``.
        file: Its ``__file__``; the stub lies beside it and is made of lines such as
            ``from zoo_models.build import get_model as get_model``.

    Example:
        >>> import zoo
        >>> getattr_, _, names = face("zoo", zoo.__file__)
        >>> "get_model" in names, getattr_("get_model").__name__
        (True, 'get_model')
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    homes = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    given: dict[str, Any] = {}

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes the package's
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        if name not in given:
            module, attribute = homes[name]
            value = getattr(importlib.import_module(module), attribute)
            given[name] = _of_package(value) if isinstance(value, FunctionType) else value
        return given[name]

    def _of_package(function: Callable[..., Any]) -> Callable[..., Any]:
        told = explained(function)
        told.__module__ = package  # where pickle finds it
        return told

    return __getattr__, lambda: sorted(homes), sorted(homes)
