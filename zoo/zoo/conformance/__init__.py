"""The conformance kit: what everything with a name promises, tried out, ours or a plugin's.

``zoo check NAME`` and ``pytest --zoo-check PATTERN`` make the same checks. Nothing that a plugin
says is believed: each fact that it declares is compared with what is built, exported or trained.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import zoo_registry
from zoo.conformance.checks import Check, Examination, FaultError, Result
from zoo_registry import (
    ModelSpec,
    PluginError,
    Registry,
    UnknownNameError,
    did_you_mean,
    meaning_of,
)
from zoo_registry.plugins import PluginEntry
from zoo_system.untouched import untouched

__all__ = ["Examination", "FaultError", "Result", "check", "examinations"]


@untouched()
def check(
    name: str | ModelSpec,
    *,
    kind: str | None = None,
    task: str | None = None,
    full_size: bool = False,
    formats: Sequence[str] | None = None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Try out what a model, recipe, data set, format, tracker or launcher promises.

    Args:
        name: A registered name or a pattern of several, such as ``"acme-zoo/*"``, or a spec;
            ``"NAME:ARGUMENT"`` of a tracker that needs an argument.
        kind: Of what has such a name: ``"model"``, ``"recipe"``, ``"dataset"``, ``"format"``,
            ``"tracker"`` or ``"launcher"``; all of them by default.
        task: Of models: the head; the first by default.
        full_size: Of models: whether they are built as they are named, not with the spec's
            ``reduced`` sizes.
        formats: Of models: ``FORMAT[:SCHEME]`` to export to; by default those that the spec
            claims, else all that are built in; none if empty.
        on_result: Called after each check.

    Returns:
        What came of each check; one that says nothing, since another failed, is left out.

    Raises:
        UnknownNameError: Nothing has such a name.

    Example:
        >>> results = check("mlp", kind="model", formats=())
        >>> [result.name for result in results if not result.ok]
        []
        >>> next(result.detail for result in results if result.name == "parameters")
        '26,122'
    """
    results = []
    with tempfile.TemporaryDirectory() as work:
        options: dict[str, Any] = {"task": task, "full_size": full_size, "formats": formats}
        for examination in examinations(name, Path(work), kind=kind, **options):
            for result in examination.results():
                results.append(result)
                on_result(result)
    return results


def examinations(
    name: str | ModelSpec,
    work: Path,
    *,
    kind: str | None = None,
    task: str | None = None,
    full_size: bool = False,
    formats: Sequence[str] | None = None,
) -> Iterator[Examination]:
    """Yield the examination of everything that a name or a pattern means.

    Args:
        name: As for :func:`check`.
        work: A folder for files.
        kind: As for :func:`check`.
        task: As for :func:`check`.
        full_size: As for :func:`check`.
        formats: As for :func:`check`.

    Raises:
        UnknownNameError: Nothing has such a name.
    """
    options: dict[str, Any] = {"task": task, "full_size": full_size, "formats": formats}
    if isinstance(name, ModelSpec):
        yield _examined(f"model {name.name}", name, work, None, options)
        return
    for index, (registry, word) in enumerate(_matching(name, kind)):
        yield _of_name(registry, word, work / str(index), options)


def _matching(pattern: str, kind: str | None) -> list[tuple[Registry[Any], str]]:
    registries = [each for each in zoo_registry.REGISTRIES if kind in {None, each.kind}]
    if any(sign in pattern for sign in "*?["):
        found = [(each, name) for each in registries for name in each.names(pattern)]
    else:
        found = [(each, pattern) for each in registries if pattern.partition(":")[0] in each]
    if not found:
        names = [name for each in registries for name in each.names()]
        known = meaning_of(pattern, kind or "") or did_you_mean(pattern, names)
        raise UnknownNameError(
            f"There is no {kind or 'name'} '{pattern}'.{known} "
            "`zoo plugins` lists what other packages bring."
        )
    return found


def _of_name(
    registry: Registry[Any], word: str, work: Path, options: dict[str, Any]
) -> Examination:
    work.mkdir(parents=True)
    name = word.partition(":")[0]
    subject = f"{registry.kind} {word}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a name is deprecated is a check
            value = registry.get(name)
    except PluginError as error:
        reason = f"{error} Correct what the entry point names."
        return Examination(subject, None, [Check("import", lambda _: _refuse(reason))])
    return _examined(subject, value, work, registry.plugin(name), options)


def _refuse(reason: str) -> str:
    raise FaultError(reason)


def _examined(
    subject: str, value: Any, work: Path, entry: PluginEntry | None, options: dict[str, Any]
) -> Examination:
    """Return the examination of what a name stands for, with the checks of its kind."""
    from zoo.conformance import behaviour, data, facts, parts
    from zoo.conformance.imports import Import, import_checks

    kind, _, word = subject.partition(" ")
    about: Any
    checks: Iterable[Check]
    if kind == "model":
        about = facts.ModelSubject(value, options["task"], options["full_size"], work)
        of_behaviour = behaviour.behaviour_of(about, options["formats"])
        lazy, checks = facts.LAZY, [*facts.facts_of(about), *of_behaviour]
    elif kind == "dataset":
        about = data.DatasetSubject(value, work)
        lazy, checks = data.LAZY_DATASET, data.DATASET_CHECKS
    elif kind == "recipe":
        about = data.RecipeSubject(value, work)
        lazy, checks = data.LAZY_RECIPE, data.RECIPE_CHECKS
    elif kind == "format":
        about = parts.FormatSubject(value, work)
        lazy, checks = parts.LAZY_FORMAT, parts.checks_of_format(about)
    else:
        about = parts.FunctionSubject(value, word, work)
        lazy, checks = parts.LAZY_FUNCTION, parts.CHECKS_OF_FUNCTION[kind]
    if entry is None:
        return Examination(subject, about, list(checks))
    builder = getattr(value, "builder", "")
    watched = Import(entry, builder if isinstance(builder, str) else "", lazy)
    return Examination(subject, about, [*import_checks(watched), *checks])
