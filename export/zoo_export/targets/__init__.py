"""Targets: what a bundle is made ready for, beyond a runtime that loads its files."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from zoo_registry import UsageError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target, such as a browser, and what makes a bundle ready for it.

    Args:
        name: What the user types after ``--target``; also the folder in the bundle.
        formats: Formats that it needs, as ``FORMAT[:SCHEME]``.
        write: ``"module:function"`` that gets the bundle's folder and its
            :class:`zoo_runtime.manifest.Manifest`, writes into the folder ``name`` inside it, and
            returns plain facts for the manifest.
        module: A package that it needs beyond those of every installation, as it is imported.
        extra: The extra of this distribution that brings the package.
        summary: One line.
        next_step: What to type once it is written, where ``{folder}`` is that folder.
    """

    name: str
    formats: tuple[str, ...]
    write: str
    module: str = ""
    extra: str = ""
    summary: str
    next_step: str = "zoo verify {folder}/.."


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        row.name: row
        for row in (
            Target(
                name="microcontroller",
                formats=("tflite:int8-io",),
                write="zoo_export.targets.microcontroller:write",
                module="tflite_micro",
                extra="micro",
                summary="TensorFlow Lite Micro: a C array, headers, arena size and operators",
            ),
            Target(
                name="browser",
                formats=("onnx",),
                write="zoo_export.targets.browser:write",
                summary="a static page that runs the model with onnxruntime-web",
                next_step="python -m http.server --directory {folder}",
            ),
        )
    }
)


def find(word: str) -> Target:
    """Return the target of a name.

    Raises:
        UsageError: There is no such target.
    """
    if word not in TARGETS:
        hint = did_you_mean(word, TARGETS)
        raise UsageError(f"There is no target '{word}'.{hint} There are: {', '.join(TARGETS)}.")
    return TARGETS[word]


def check_installed(target: Target) -> None:
    """Refuse a target whose package is not installed, before any work is done for it.

    Raises:
        UsageError: It is not, with the line that installs it.
    """
    if target.module and importlib.util.find_spec(target.module) is None:
        raise UsageError(
            f"Target '{target.name}' needs {target.module.replace('_', '-')}: "
            f"pip install 'kerazoo[{target.extra}]'"
        )
