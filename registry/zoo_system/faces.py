"""What a package gives to others, imported on first use: the names of its ``__init__.pyi``."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def face(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Type checkers and editors read the same stub, so that there is one list of names.

    Args:
        package: Its ``__name__``.
        file: Its ``__file__``; the stub lies beside it and is made of lines such as
            ``from zoo_models.build import get_model as get_model``.

    Example:
        >>> import zoo
        >>> getattr_, _, names = face("zoo", zoo.__file__)
        >>> "get_model" in names, getattr_("get_model").__module__
        (True, 'zoo_models.build')
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    homes = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes the package's
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, attribute = homes[name]
        return getattr(importlib.import_module(module), attribute)

    return __getattr__, lambda: sorted(homes), sorted(homes)
