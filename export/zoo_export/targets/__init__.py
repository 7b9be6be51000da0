"""Places a bundle is made ready for, beyond a runtime that loads its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from zoo_registry import UsageError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Target:
    """One place, such as a browser, and what makes a bundle ready for it.

    Args:
        name: What the user types after ``--target``; also the folder in the bundle.
        formats: Formats that it needs, as ``FORMAT[:SCHEME]``.
        write: ``"module:function"`` that gets the bundle's folder and its
            :class:`zoo_export.manifest.Manifest`, writes into the folder ``name`` inside it, and
            returns plain facts for the manifest.
        summary: One line.
        next_step: What to type once it is written, where ``{folder}`` is that folder.
    """

    name: str
    formats: tuple[str, ...]
    write: str
    summary: str
    next_step: str = "zoo verify {folder}/.."


_BROWSER = Target(
    name="browser",
    formats=("onnx",),
    write="zoo_export.targets.browser:write",
    summary="A static page that runs the model with onnxruntime-web.",
    next_step="python -m http.server --directory {folder}",
)

TARGETS: Mapping[str, Target] = MappingProxyType({"browser": _BROWSER})


def find(word: str) -> Target:
    """Return the target of a name.

    Raises:
        UsageError: There is no such target.
    """
    if word not in TARGETS:
        hint = did_you_mean(word, TARGETS)
        raise UsageError(f"There is no target '{word}'.{hint} There are: {', '.join(TARGETS)}.")
    return TARGETS[word]
