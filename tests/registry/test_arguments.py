"""Arguments that no function of ours takes: each is named, whatever failed over it."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest

import zoo
from zoo_registry import UsageError, ZooError
from zoo_system.arguments import explained

FUNCTIONS = [name for name in dir(zoo) if inspect.isfunction(getattr(zoo, name))]


class Odd:
    """What nobody expects."""

    def __repr__(self) -> str:
        return "<odd>"


# `register` with a name alone is a decorator.
@pytest.mark.parametrize(
    "name", sorted(set(FUNCTIONS) - {"quiet_tensorflow", "list_formats", "register"})
)
def test_what_is_no_name_folder_or_model_is_refused_with_a_message(name: str) -> None:
    function = getattr(zoo, name)
    needed = [
        each
        for each in [*inspect.signature(function).parameters.values()][1:]
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    ]
    others = ["x" for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD]
    keywords = {each.name: 1 for each in needed if each.kind is each.KEYWORD_ONLY}
    with pytest.raises(ZooError):
        function(Odd(), *others, **keywords)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_misspelt_argument_has_a_closest_match(name: str) -> None:
    function = getattr(zoo, name)
    parameters = inspect.signature(function).parameters.values()
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    if takes_any or not keywords:
        pytest.skip("it takes any keyword, or none")
    wrong = f"{keywords[0]}x"
    with pytest.raises(UsageError, match=f"no argument '{wrong}'. Did you mean '{keywords[0]}'?"):
        function(**{wrong: 1})


def test_what_is_given_by_name_has_to_be() -> None:
    with pytest.raises(UsageError, match=r"^export: too many positional arguments: others are giv"):
        zoo.export("mlp", "tflite")
    with pytest.raises(UsageError, match=r"^choose: missing a required .*argument: 'task'\.$"):
        zoo.choose()


def test_the_functions_of_a_face_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(zoo.train)) is zoo.train
    assert zoo.train.__doc__.startswith("Train a recipe")


class Named(Protocol):
    """Whatever has a name."""

    name: str

    def title(self) -> str:
        """Return the name as people write it."""


def greet(
    who: Named | str, words: Sequence[str] = (), call: Callable[[], Any] | None = None
) -> str:
    text = " ".join([who if isinstance(who, str) else who.title(), *words])
    return text if call is None else call()


def test_only_a_call_that_fails_is_looked_at() -> None:
    told = explained(greet)
    assert told("Ada", ["dear"]) == "Ada dear"
    with pytest.raises(UsageError, match=r"^greet: who must be Named or str, not 3 \(int\)\.$"):
        told(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^greet: words='dear' is one text: give a list, such as"):
        told("Ada", "dear")

    def fails() -> None:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        told("Ada", call=fails)


def test_an_annotation_in_brackets_is_one_alternative() -> None:
    def count(rows: Sequence[str | Sequence[int]] | None) -> int:
        return len(rows or ())

    with pytest.raises(UsageError, match=r"rows must be Sequence\[str \| Sequence\[int\]\], not 3"):
        explained(count)(3)  # type: ignore[arg-type]
