"""The call of a builder: its arguments are checked, and a plugin's failure is a message.

Keras itself is imported only by the builder.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import zoo_registry
from zoo_registry.entries import BUILTIN_OWNER
from zoo_registry.plugins import LOCAL_OWNER
from zoo_registry.specs import ModelSpec
from zoo_registry.trial import guarded, one_line, seconds_by_name
from zoo_system.errors import PluginError, UsageError, ZooError, did_you_mean

# What `get_model` itself passes to a builder.
OWN = {"task", "weights"}
# What Keras raises of sizes that do not go together.
_OF_ARGUMENTS = (ValueError, TypeError, ZeroDivisionError, IndexError)


def accepted_overrides(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword arguments that a builder takes beside task and weights, by name."""
    parameters = inspect.signature(builder).parameters.values()
    kinds = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return {p.name: p for p in parameters if p.kind in kinds and p.name not in OWN}


def check_overrides(spec: ModelSpec, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides as the builder takes them, lists as tuples; nothing is built.

    Args:
        spec: The model.
        overrides: Arguments of its builder.

    Raises:
        UsageError: All the mistakes, with the arguments that are accepted.
        PluginError: The builder of a plugin cannot be imported.
    """
    builder = load_builder(spec)
    overrides = {key: _tuples(value) for key, value in overrides.items()}
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(builder).parameters.values()):
        return overrides
    accepted = accepted_overrides(builder)
    hints = typing.get_type_hints(builder)
    mistakes = [
        f"no override '{key}'.{did_you_mean(key, accepted)}"
        if key not in accepted
        else type_mistake(key, value, hints.get(key, Any))
        for key, value in overrides.items()
    ]
    found = [mistake for mistake in mistakes if mistake]
    if found:
        raise UsageError(
            f"Model '{spec.name}': {' '.join(found)} Accepted: {', '.join(sorted(accepted))}."
        )
    return overrides


def load_builder(spec: ModelSpec) -> Callable[..., Any]:
    """Import the builder of a model and return it; one of a plugin is held as a plugin is.

    Raises:
        PluginError: A plugin's cannot be imported, or ends the process that imports it.
    """
    held = _held(spec, seconds_by_name())
    try:
        with held:
            return spec.load_builder()
    except Exception as error:
        raise _plugin_failure(spec, "cannot be imported", error) from error


def call_builder(spec: ModelSpec, arguments: Mapping[str, Any]) -> Any:
    """Return the model of a builder; one of a plugin is held as a plugin is.

    Args:
        spec: The model.
        arguments: All that its builder is given.

    Raises:
        UsageError: Arguments that a builder of ours refuses.
        PluginError: A plugin's builder failed, or returned no model.
    """
    try:
        with _held(spec):
            model = load_builder(spec)(**arguments)
    except ZooError:
        raise
    except Exception as error:
        if _is_ours(spec):
            raise _refused(spec, error) from error
        raise _plugin_failure(spec, "failed", error) from error
    if not hasattr(model, "count_params"):
        wrong = TypeError(f"it returned a {type(model).__name__}, not a keras.Model")
        raise _plugin_failure(spec, "failed", wrong)
    return model


def _refused(spec: ModelSpec, error: Exception) -> Exception:
    """Return the error for arguments that no check of ours knows; other failures as they are."""
    is_builtin = spec.origin is not None and spec.origin.distribution == BUILTIN_OWNER
    if not is_builtin or not isinstance(error, _OF_ARGUMENTS):
        return error
    return UsageError(f"Model '{spec.name}' cannot be built with these arguments: {error}")


def _held(spec: ModelSpec, seconds: float | None = None) -> AbstractContextManager[None]:
    if spec.origin is None or _is_ours(spec):
        return nullcontext()
    return guarded(spec.origin.distribution, seconds=seconds)


def _is_ours(spec: ModelSpec) -> bool:
    return spec.origin is None or spec.origin.distribution in {BUILTIN_OWNER, LOCAL_OWNER}


def _plugin_failure(spec: ModelSpec, what: str, error: Exception) -> PluginError:
    source = ""
    if spec.origin:
        source = f" of '{spec.origin.distribution}' {spec.origin.version}".rstrip()
        zoo_registry.models.record_problem(spec.name, spec.origin, error)
    return PluginError(
        f"The builder {spec.target} of model '{spec.name}'{source} {what}: {one_line(error)}"
    )


def carried_over(model: Any, made: Any) -> Any:
    """Return a model that was made of another, with the spec and the report of its weights."""
    for name in ("zoo_spec", "zoo_weights"):
        if hasattr(model, name):
            setattr(made, name, getattr(model, name))
    return made


def check_task(spec: ModelSpec, task: str | None) -> str:
    """Return the head for a task, the model's first where none is named.

    Raises:
        UsageError: The model has no such task.
    """
    if task is None:
        return str(spec.defaults.get("task", spec.tasks[0]))
    head = spec.head_of(task)
    if head is None:
        raise UsageError(
            f"Model '{spec.name}' has no task '{task}'.{did_you_mean(task, spec.tasks)} "
            f"It has: {', '.join(spec.tasks)}."
        )
    return head


def type_mistake(key: str, value: Any, hint: Any) -> str | None:
    """Return what is wrong with an argument of another type than wanted, or ``None``.

    Args:
        key: Its name.
        value: What was received; no text is a number, and no number is a text.
        hint: The type.

    Example:
        >>> type_mistake("rate", "abc", float)
        "rate='abc' must be float (input should be a valid number)."
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        first = error.errors()[0]
        return f"{key}={value!r} must be {wanted} ({first['msg'].lower()})."
    return None


def _tuples(value: Any) -> Any:
    # TOML, JSON and the command line have lists where builders name tuples.
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    return value
