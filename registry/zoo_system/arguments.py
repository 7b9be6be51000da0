"""What a caller gave that a function does not take, in place of how Python failed over it."""

from __future__ import annotations

import functools
import itertools
import numbers
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from zoo_system.errors import UsageError, ZooError, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")
# What is taken where annotations say less than they allow, or what is no name of a module.
_KINDS: Mapping[str, type] = {
    "None": type(None),
    "bool": bool,
    "int": numbers.Integral,
    "float": numbers.Real,
    "str": str,
    "Path": os.PathLike,
    "Any": object,
}
# What stands in brackets, the innermost first.
_BRACKETS = re.compile(r"\[[^\[\]]*\]")


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that says which argument is wrong where it fails over one.

    A text for a list of texts, which Python would take letter by letter, is refused before. Nothing
    else is checked of a call that succeeds, and an error that the arguments do not explain, such as
    that of a callback, is left as it is.

    Args:
        function: Annotated with names: ``from __future__ import annotations``.

    Example:
        >>> def shout(text: str, times: int = 1) -> str:
        ...     return text.upper() * times
        >>> shout.__annotations__ = {"text": "str", "times": "int"}
        >>> explained(shout)("a", 2)
        'AA'
        >>> explained(shout)(3)
        Traceback (most recent call last):
        ...
        zoo_system.errors.UsageError: shout: text must be str, not 3 (int).
        >>> explained(shout)("a", tims=2)
        Traceback (most recent call last):
        ...
        zoo_system.errors.UsageError: shout: there is no argument 'tims'. Did you mean 'times'?
    """
    lists = _lists_of_texts(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, at in lists:
            value = args[at] if at < len(args) else kwargs.get(name)
            if isinstance(value, str):
                raise UsageError(
                    f"{function.__name__}: {name}={_cut(value)} is one text: give a list, such as "
                    f"[{_cut(value)}]."
                )
        try:
            return function(*args, **kwargs)
        except ZooError:  # some are ValueErrors too
            raise
        except (TypeError, ValueError, AttributeError) as error:
            mistake = next(_mistakes(function, args, kwargs), None)
            if mistake is None:
                raise
            raise UsageError(f"{function.__name__}: {mistake}") from error

    return call


def _lists_of_texts(function: Callable[..., Any]) -> tuple[tuple[str, int], ...]:
    """Return the arguments that are lists of texts, and where each stands among all."""
    inner: Any = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    kinds = {name: _alternatives(kind) for name, kind in inner.__annotations__.items()}
    return tuple(
        (name, at)
        for at, name in enumerate(inner.__code__.co_varnames)
        if "str" not in kinds.get(name, ["str"])
        and any(re.match(r"(Sequence|Iterable)\[.*\bstr\b", kind) for kind in kinds[name])
    )


def _mistakes(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[str]:
    import inspect  # where nothing failed it is not needed

    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        known = list(signature.parameters)
        unknown = next((name for name in kwargs if name not in known), None)
        if unknown is None:
            all_of_them = signature.parameters.values()
            named = next((each.name for each in all_of_them if each.kind is each.KEYWORD_ONLY), "")
            how = f": others are given by name, such as {named}=..." if named else ""
            yield f"{error}{how if 'too many' in str(error) else ''}."
            return
        hint = did_you_mean(unknown, known) or f" There are: {', '.join(known)}."
        yield f"there is no argument '{unknown}'.{hint}"
        return
    known_names = getattr(inspect.unwrap(function), "__globals__", {})
    for name, value in given.items():
        parameter = signature.parameters[name]
        is_one = parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        if not is_one or parameter.annotation is parameter.empty:  # such as self
            continue
        taken = _alternatives(parameter.annotation)
        if not any(_is(value, kind, known_names) for kind in taken):
            yield f"{name} must be {_or(taken)}, not {_shown(value)}."


def _is(value: Any, kind: str, known_names: Mapping[str, Any]) -> bool:
    """Return whether a value is what one alternative of an annotation says, as far as is known."""
    name = kind.partition("[")[0].strip().rpartition(".")[2]
    found = _KINDS.get(name, known_names.get(name))
    if getattr(found, "_is_protocol", False):
        return all(hasattr(value, member) for member in vars(found) if not member.startswith("_"))
    if found is None:  # only a type checker imports it
        return any(parent.__name__ == name for parent in type(value).__mro__)
    return not isinstance(found, type) or isinstance(value, found)


def _alternatives(annotation: object) -> list[str]:
    """Return what an annotation allows: what is between bars that are in no brackets."""
    text = hidden = str(annotation)
    while found := _BRACKETS.search(hidden):
        hidden = hidden[: found.start()] + "_" * len(found[0]) + hidden[found.end() :]
    ends = [-1, *(at for at, letter in enumerate(hidden) if letter == "|"), len(text)]
    return [text[start + 1 : end].strip() for start, end in itertools.pairwise(ends)]


def _or(kinds: Sequence[str]) -> str:
    shown = [kind for kind in kinds if kind != "None"]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _shown(value: Any) -> str:
    return f"{_cut(value)} ({type(value).__name__})"


def _cut(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
