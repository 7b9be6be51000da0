"""Packages that some inputs and formats need, imported when one of these is there to be read."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from zoo_runtime.errors import MissingPackageError

# The packages of each extra of kerazoo-runtime, by what they are imported as.
_EXTRAS = MappingProxyType(
    {
        "PIL": ("pillow", "images"),
        "tokenizers": ("tokenizers", "text"),
        "minijinja": ("minijinja", "text"),
        "llguidance": ("llguidance", "grammar"),
        "litert_lm": ("litert-lm-api", "litertlm"),
        "onnxruntime_genai": ("onnxruntime-genai", "genai"),
        "starlette": ("starlette", "serve"),
        "uvicorn": ("uvicorn", "serve"),
        "prometheus_client": ("prometheus-client", "serve"),
        "soundfile": ("soundfile", "audio"),
        "soxr": ("soxr", "audio"),
        "ai_edge_litert": ("ai-edge-litert", "litert"),
        "onnxruntime": ("onnxruntime", "onnx"),
    }
)


def need(module: str, what: str, package: str = "") -> Any:
    """Import a module of a package that may not be there.

    Args:
        module: What is imported, such as ``PIL.Image``.
        what: What needs it, as the message begins.
        package: What it is called where it is installed from, if it is in no extra of ours.

    Raises:
        MissingPackageError: It is not installed, or cannot be imported.

    Example:
        >>> need("json", "A manifest").loads("[1]")
        [1]
        >>> need("no_such.thing", "A smell", "no-such")
        Traceback (most recent call last):
        zoo_runtime.errors.MissingPackageError: A smell needs the package 'no-such', which is not installed: pip install no-such
    """  # noqa: E501 - the message
    if not is_installed(module.partition(".")[0]):
        raise MissingPackageError(missing(module, what, package))
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # such as a library of the system that it loads
        raise MissingPackageError(
            f"{what} needs the package '{_name(module, package)}', which is installed and cannot "
            f"be imported: {error}"
        ) from error


def is_installed(module: str) -> bool:
    """Return whether a module is there; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False


def missing(module: str, what: str, package: str = "") -> str:
    """Return the message about a package that is not there, as for :func:`need`."""
    return (
        f"{what} needs the package '{_name(module, package)}', which is not installed: "
        f"pip install {source(module, package)}"
    )


def source(module: str, package: str = "") -> str:
    """Return what to give to ``pip install``: an extra of ours, or else the package.

    Example:
        >>> source("PIL.Image"), source("tensorflow", "tensorflow")
        ("'kerazoo-runtime[images]'", 'tensorflow')
    """
    root = module.partition(".")[0]
    return f"'{with_extras([root])}'" if root in _EXTRAS else package or root


def with_extras(modules: Iterable[str]) -> str:
    """Return this distribution with its extras for some modules; others count for nothing.

    Example:
        >>> with_extras(["onnxruntime", "PIL"]), with_extras(["tensorflow"])
        ('kerazoo-runtime[images,onnx]', 'kerazoo-runtime')
    """
    extras = sorted({_EXTRAS[module][1] for module in modules if module in _EXTRAS})
    return f"kerazoo-runtime[{','.join(extras)}]" if extras else "kerazoo-runtime"


def _name(module: str, package: str) -> str:
    root = module.partition(".")[0]
    return _EXTRAS[root][0] if root in _EXTRAS else package or root
