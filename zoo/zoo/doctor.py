"""What on this machine may keep Kerazoo from working, and how to fix each."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import Literal

from zoo_models.backend import check_backend
from zoo_registry import plugins as discovery
from zoo_registry.trial import try_plugins
from zoo_system import machine
from zoo_system.errors import UsageError
from zoo_system.folders import cache_folder

# Packages of which only one may be installed, since they bring the same modules.
ONE_OF = (
    ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    ("tensorflow", "tensorflow-cpu", "tf-nightly", "intel-tensorflow"),
    ("keras", "keras-nightly"),
    ("keras-hub", "keras-hub-nightly"),
)
SHOWN = ("tensorflow", "keras", "keras-nlp", "ai-edge-litert", "onnxruntime", "numpy")
# A training writes checkpoints beside a prepared data set; an export of BERT-base takes as much.
LEAST_DISK, LEAST_MEMORY = 2_000_000_000, 2_000_000_000
INT8_FEATURES = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: Such as ``tensorflow``.
        state: ``ok``, ``note`` (works, and is worth knowing) or ``problem``.
        said: What was found.
        fix: The command or the step that fixes it; empty if nothing is to be done.
    """

    what: str
    state: Literal["ok", "note", "problem"]
    said: str
    fix: str = ""


def examine() -> list[Finding]:
    """Look at versions, runtimes, memory, disk, folders, Keras' settings and plugins.

    Neither TensorFlow nor Keras is imported; plugins are, in a process of their own.

    Example:
        >>> [found.what for found in examine() if found.what == "python"]
        ['python']
    """
    looked: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _versions,
        _duplicates,
        _machine,
        _folders,
        _keras,
        _plugins,
    )
    return [finding for look in looked for finding in look()]


def _python() -> Iterator[Finding]:
    here = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    in_environment = sys.prefix != sys.base_prefix
    yield Finding(
        "python",
        "ok" if in_environment else "note",
        here if in_environment else f"{here}, not in a virtual environment",
        "" if in_environment else "python3 -m venv .venv",
    )


def _versions() -> Iterator[Finding]:
    """Compare what is installed with what our distributions ask for, those of extras too."""
    from packaging.requirements import Requirement

    asked: defaultdict[str, list[Requirement]] = defaultdict(list)
    for own in discovery.OURS:
        for text in _requires(own):
            requirement = Requirement(text)
            extras = ("", *_extras(requirement))
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            ):
                asked[discovery.normalized(requirement.name)].append(requirement)
    good = []
    for name, wanted in sorted(asked.items()):
        needed = any("extra" not in str(each.marker or "") for each in wanted)
        try:
            installed = version(name)
        except PackageNotFoundError:
            if needed:
                yield Finding(name, "problem", "is not installed", f"pip install '{wanted[0]}'")
            continue
        others = [each.specifier for each in wanted if not each.specifier.contains(installed, True)]
        if others:
            said = f"{installed} is installed, {others[0]} is what Kerazoo works with"
            yield Finding(name, "problem", said, f"pip install '{name}{others[0]}'")
        else:
            good.append(name)
    shown = ", ".join(f"{name} {version(name)}" for name in SHOWN if name in good)
    yield Finding("packages", "ok", f"{len(good)} in the versions asked for: {shown}")


def _requires(distribution: str) -> list[str]:
    try:
        return requires(distribution) or []
    except PackageNotFoundError:
        return []


def _extras(requirement: object) -> list[str]:
    return re.findall(r"extra == ['\"]([^'\"]+)['\"]", str(getattr(requirement, "marker", "")))


def _duplicates() -> Iterator[Finding]:
    names = Counter(discovery.normalized(found.name) for found in distributions() if found.name)
    for name, times in sorted(names.items()):
        if times > 1:
            yield Finding(
                name,
                "problem",
                f"{times} versions are on the path",
                f"pip uninstall {name}, until it says that there is none; then pip install {name}",
            )
    for group in ONE_OF:
        found = [name for name in group if names[name]]
        if len(found) > 1:
            yield Finding(
                found[0],
                "problem",
                f"{' and '.join(found)} bring the same modules, and the last one installed wins",
                f"pip uninstall {' '.join(found)}; pip install {found[-1]}",
            )


def _machine() -> Iterator[Finding]:
    yield Finding("processor", "ok", machine.in_short())
    flags = _flags()
    found = [name for name in INT8_FEATURES if name in flags]
    if flags:
        yield Finding(
            "int8",
            "ok" if found else "note",
            ", ".join(found) if found else "no instructions for products of int8",
            "" if found else "zoo bench shows whether an int8 file is faster than float here",
        )
    free = machine.free_bytes()
    if free is not None:
        yield Finding(
            "memory",
            "ok" if free >= LEAST_MEMORY else "problem",
            f"{free / 1e9:.1f} GB free",
            "" if free >= LEAST_MEMORY else "end other programs: TensorFlow alone takes 1 GB",
        )


def _flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.is_file() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _folders() -> Iterator[Finding]:
    for what, folder, variable in (
        ("cache", cache_folder(), "KERAZOO_CACHE"),
        ("working folder", Path.cwd(), ""),
        ("temporary files", Path(tempfile.gettempdir()), "TMPDIR"),
    ):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        elsewhere = f"set {variable} to another folder" if variable else "go to another folder"
        try:
            with tempfile.TemporaryFile(dir=there):
                free = shutil.disk_usage(there).free
        except OSError as error:
            said = f"{folder} cannot be written: {error.strerror or error}"
            yield Finding(what, "problem", said, elsewhere)
            continue
        state: Literal["ok", "problem"] = "ok" if free >= LEAST_DISK else "problem"
        said = f"{folder}, {free / 1e9:.1f} GB free"
        yield Finding(what, state, said, "" if state == "ok" else f"free some, or {elsewhere}")


def _keras() -> Iterator[Finding]:
    try:
        check_backend()
    except UsageError as error:
        message, _, fix = str(error).rpartition(": ")
        yield Finding("keras", "problem", message, fix)


def _plugins() -> Iterator[Finding]:
    others = [entry for entry in discovery.installed() if entry.distribution not in discovery.OURS]
    wanted = [entry for entry in others if discovery.wanted(entry.distribution)]
    for entry, outcome in zip(wanted, try_plugins(wanted), strict=True):
        name = f"{entry.group} {entry.name} of {entry.distribution} {entry.version}"
        if outcome.reason:
            fix = f"`zoo plugins` shows more: upgrade {entry.distribution}, or pip uninstall it"
            yield Finding(name, "problem", outcome.reason, fix)
        else:
            yield Finding(name, "ok", "can be used")
    if importlib.util.find_spec("kerazoo_data") is None:
        said = "is not installed: some recipes and data sets are only named"
        yield Finding("kerazoo-data", "note", said, "pip install kerazoo-data")
