"""The reference of the site, from the tables that the code itself reads.

A page says ``<!-- reference: losses -->`` where it wants one of ``TABLES``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from importlib import import_module
from typing import Any, get_args, get_type_hints

import click

import zoo_registry
from zoo.cli import main
from zoo.cli.output import count
from zoo_recipes.compiling.components import CALLBACKS, KINDS
from zoo_recipes.configs import Component
from zoo_recipes.recipe import Recipe
from zoo_registry import ModelSpec
from zoo_runtime.preprocess.steps import STEPS

NOT_SAID = "—"


# -- what a user may write in a recipe ---------------------------------------------------------


def settings() -> str:
    """Every key of a recipe, a table for each of its tables."""
    return "\n".join(_settings_of(Recipe, ""))


def _settings_of(kind: Any, path: str) -> Iterator[str]:
    inner = []
    rows = []
    hints, told, schema = get_type_hints(kind), _arguments(kind), _schema(kind)
    for field in fields(kind):
        below = [t for t in _parts(hints[field.name]) if is_dataclass(t) and t is not Component]
        if below:
            inner.append((below[0], f"{path}{field.name}."))
        values = _values(schema[field.name])
        rows.append((f"`{path}{field.name}`", values, _default(field), told[field.name]))
    yield f"## {_title(path)}\n"
    if path:
        yield f"{_summary(kind)}\n"
    yield _table(("key", "value", "default", ""), rows)
    for each, where in inner:
        yield from _settings_of(each, where)


def _title(path: str) -> str:
    return f"`[{path.rstrip('.')}]`" if path else "The recipe itself"


def steps() -> str:
    """Every preprocessing step with its keys."""
    parts = []
    for name, kind in STEPS.items():
        told, schema = _arguments(kind), _schema(kind)
        rows = [
            (f"`{f.name}`", _values(schema[f.name]), _default(f), told[f.name])
            for f in fields(kind)
        ]
        table = _table(("key", "value", "default", ""), rows)
        parts.append(f"## `{name}`\n\n{_paragraphs(kind)}\n\n{table}")
    return "\n".join(parts)


def _parts(hint: Any) -> Iterator[Any]:
    """Yield a type and those inside of it."""
    yield hint
    for each in get_args(hint):
        yield from _parts(each)


def _schema(kind: type) -> Mapping[str, Any]:
    """Return what a field takes as JSON schema says it, by name."""
    from pydantic import TypeAdapter

    found: Mapping[str, Any] = TypeAdapter(kind).json_schema()
    if "$ref" in found:
        found = found["$defs"][kind.__name__]
    properties: Mapping[str, Any] = found["properties"]
    return properties


_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true`, `false`",
    "object": "table",
    "array": "list",
}
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _values(schema: Mapping[str, Any]) -> str:
    """Return in words what JSON schema says of a value."""
    if "anyOf" in schema:
        kinds = [_values(each) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in schema:
        is_component = schema["$ref"].endswith(Component.__name__)
        return "name, or table with `name`" if is_component else "table"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        inner = {_values(each) for each in schema["prefixItems"]}
        return f"list of {len(schema['prefixItems'])}: {' or '.join(sorted(inner))}"
    if schema.get("type") == "array":
        return f"list: {_values(schema['items'])}"
    limits = [f"{sign} {schema[key]:,}" for key, sign in _LIMITS.items() if key in schema]
    return " ".join([_WORDS.get(schema.get("type", ""), "any value"), ", ".join(limits)]).strip()


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if is_dataclass(value) and not isinstance(value, Component):
        return "those of the table"
    return _shown(value)


def _shown(value: Any) -> str:
    if value is None or value in ((), "") or value == {}:
        return NOT_SAID
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, Component):
        return f"`{value.name}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


# -- what of Keras and of ours a name in a recipe may be ---------------------------------------


def kinds_of(where: str, wanted: Callable[[Any], bool] = lambda kind: True) -> str:
    """Return a table of the classes that a name at a key of a recipe may mean.

    Args:
        where: The key.
        wanted: Which of them.
    """
    kinds = {kind.__name__: kind for kind in KINDS[where]().values() if wanted(kind)}
    rows = [(f"`{n}`", _signature(kinds[n]), _summary(kinds[n])) for n in sorted(kinds)]
    return _table(("name", "arguments and defaults", ""), rows)


def image_changes() -> str:
    """The layers of Keras that change images at random, and those that change colours."""
    import keras

    from zoo_recipes.augmentation.mixing import MIXES, PHOTOMETRIC

    base = keras.layers.RandomFlip.__base__

    def changes(kind: Any) -> bool:
        if not issubclass(kind, base) or kind.__name__.lower() in {
            name.replace("_", "") for name in MIXES
        }:
            return False
        is_random = "seed" in inspect.signature(kind).parameters
        return is_random or kind.__name__.lower() in PHOTOMETRIC

    return kinds_of("augmentation", changes)


def own_changes() -> str:
    """The augmentations of our own: mixes of images, changes of texts and of audio clips."""
    from zoo_recipes.augmentation.changes import AUDIO_CHANGES, TEXT_CHANGES
    from zoo_recipes.augmentation.mixing import MIXES

    of: dict[str, Mapping[str, Any]] = {
        "images": MIXES,
        "texts": {name: change for name, (change, _) in TEXT_CHANGES.items()},
        "audio clips": {name: change for name, (change, *_) in AUDIO_CHANGES.items()},
    }
    rows = [
        (f"`{name}`", what, _signature(change, ("marks",)), _summary(change))
        for what, changes in of.items()
        for name, change in changes.items()
    ]
    return _table(("name", "of", "arguments and defaults", ""), rows)


def _signature(kind: Any, hidden: Sequence[str] = ()) -> str:
    """Return the keyword arguments of a class or function with their defaults."""
    known = inspect.signature(kind).parameters.values()
    is_function = inspect.isfunction(kind)
    kept = [
        p
        for p in known
        if p.kind is not p.VAR_KEYWORD
        and p.name not in {"name", *hidden}
        and (p.kind is p.KEYWORD_ONLY or not is_function)
    ]
    words = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in kept]
    return ", ".join(f"`{word}`" for word in words) or NOT_SAID


# -- catalogues --------------------------------------------------------------------------------


def models() -> str:
    """Our own models."""
    names = sorted({*zoo_registry.models.names()} - {*zoo_registry.models.cataloged()})
    specs = [spec for name in names if (spec := zoo_registry.models.peek(name)) is not None]
    rows = [
        (
            f"`{spec.name}`",
            spec.summary.removesuffix("."),
            _count(spec.num_params),
            count(spec.macs) if spec.macs else NOT_SAID,
            _paper(spec),
            "yes" if spec.weights else NOT_SAID,
            ", ".join(spec.tasks),
        )
        for spec in specs
    ]
    head = ("model", "what", "parameters", "multiply-adds", "paper", "pretrained", "tasks")
    return _table(head, rows)


def cataloged_models() -> str:
    """The models of other libraries."""
    rows = []
    for name in sorted(zoo_registry.models.cataloged()):
        spec = zoo_registry.models.peek(name)
        if spec is not None:
            what = spec.summary.removesuffix(".")
            rows.append((f"`{name}`", what, _count(spec.num_params), ", ".join(spec.tasks)))
    return _table(("model", "what", "parameters", "tasks"), rows)


def _paper(spec: ModelSpec) -> str:
    """Return where an architecture is described, which a spec has as its authors and an address."""
    authors, _, address = spec.paper.rpartition(", ")
    return f"[{authors}]({address})" if authors and address.startswith("http") else spec.paper


def _count(number: int | None) -> str:
    return f"{number:,}" if number else NOT_SAID


def datasets() -> str:
    """The data sets that packages carry."""
    specs = [zoo_registry.datasets.get(name) for name in zoo_registry.datasets.names()]
    rows = [(f"`{spec.name}`", spec.summary, spec.license) for spec in specs]
    return _table(("data set", "what", "licence"), rows)


def formats() -> str:
    """Formats, a section each, with their schemes."""
    parts = []
    for name in zoo_registry.formats.names():
        form = zoo_registry.formats.get(name)
        parts.append(f"## `{name}`\n\n{form.summary}.\n")
        if not form.schemes:
            continue
        rows = [
            (
                f"`{name}:{scheme.name}`",
                scheme.summary,
                f"{scheme.max_loss:g}",
                f"{scheme.min_agreement:.0%}",
                "yes" if scheme.calibrated else NOT_SAID,
            )
            for scheme in form.schemes
        ]
        head = ("scheme", "what", "may lose", "same answers", "needs calibration data")
        parts.append(_table(head, rows))
    return "\n".join(parts)


# -- the command line --------------------------------------------------------------------------


def commands() -> str:
    """Every command in its group, as its ``--help`` has it."""
    top = click.Context(main.cli, info_name="zoo")
    parts = []
    for title, group in main.GROUPS.items():
        parts.append(f"## {title}\n")
        for name in group:
            command = main.cli.get_command(top, name)
            parts += _command(click.Context(command, info_name=name, parent=top)) if command else []
    return "\n".join(parts)


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f"### `{context.command_path}`\n\n{_help(command)}\n"
    yield f"```\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    options = [each for each in command.params if isinstance(each, click.Option)]
    records = [each.get_help_record(context) for each in options]
    rows = [(f"`{words}`", _one_line(text)) for words, text in filter(None, records)]
    yield _table(("option", ""), rows)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from (
                _command(click.Context(inner, info_name=name, parent=context)) if inner else ()
            )


def _help(command: click.Command) -> str:
    """Return what ``--help`` says first; what it keeps in lines is a block."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    kept = "\b\n"
    return "\n\n".join(
        f"```\n{each.removeprefix(kept)}\n```" if each.startswith(kept) else _as_markdown(each)
        for each in paragraphs
    )


# -- the Python API ----------------------------------------------------------------------------


# In this order: what is public in several of them is described with the first.
PACKAGES = ("zoo_registry", "zoo_runtime", "zoo")


def api(package: str) -> str:
    """Return what has mkdocstrings write the public classes and functions of a package."""
    before = PACKAGES[: PACKAGES.index(package)]
    described = {path: each for each in reversed(before) for path in _public(each).values()}
    here = _public(package)
    parts = [f"::: {path}" for path in here.values() if path not in described]
    others = [f"[`{name}`][{path}]" for name, path in here.items() if path in described]
    if others:
        parts.append(f"## Described elsewhere\n\n{', '.join(others)}")
    return "\n\n".join(parts)


def _public(package: str) -> dict[str, str]:
    """Return where each public class and function of a package is defined, by name."""
    module = import_module(package)
    found = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
    return {
        name: f"{inspect.unwrap(thing).__module__}.{thing.__qualname__}"
        for name, thing in found.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    }


# -- from docstrings ---------------------------------------------------------------------------


def _arguments(kind: type) -> Mapping[str, str]:
    """Return what the docstring of a class says of each argument."""
    import griffe

    parsed = griffe.Docstring(inspect.getdoc(kind) or "", lineno=1).parse("google", warnings=False)
    sections = [each for each in parsed if isinstance(each, griffe.DocstringSectionParameters)]
    told = {each.name: _one_line(each.description) for part in sections for each in part.value}
    missing = [field.name for field in fields(kind) if field.name not in told]
    if missing:
        raise ValueError(f"The docstring of {kind.__name__} does not say: {', '.join(missing)}")
    return told


def _summary(kind: Any) -> str:
    return _one_line(_paragraphs(kind).partition("\n\n")[0])


def _paragraphs(kind: Any) -> str:
    """Return a docstring up to its first section."""
    text = inspect.getdoc(kind) or ""
    return _as_markdown(text.partition("\n\nArgs:")[0])


def _one_line(text: str) -> str:
    return " ".join(_as_markdown(text).split()).replace("|", "\\|")


def _as_markdown(text: str) -> str:
    without_roles = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return without_roles.replace("``", "`")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "steps": steps,
    "image changes": image_changes,
    "own changes": own_changes,
    "optimizers": lambda: kinds_of("compile.optimizer"),
    "schedules": lambda: kinds_of("compile.schedule"),
    "losses": lambda: kinds_of("compile.loss"),
    "metrics": lambda: kinds_of("compile.metrics"),
    "callbacks": lambda: kinds_of("fit.callbacks", lambda kind: kind.__name__ in CALLBACKS),
    "models": models,
    "models of other libraries": cataloged_models,
    "datasets": datasets,
    "formats": formats,
    "commands": commands,
    **{package: partial(api, package) for package in PACKAGES},
}
