"""What formats, trackers and launchers promise."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo_registry
from zoo.conformance.checks import Check, FaultError
from zoo.conformance.data import two_steps
from zoo_registry import FunctionSpec
from zoo_runtime.formats import Format, check_format

# What a tracker follows: the smallest of our own.
FOLLOWED = "digits-mlp"
LAZY_FORMAT = "keep the Format in a module apart from its converter and its runtime."
LAZY_FUNCTION = "import such packages in the methods that use them."


@dataclass
class FormatSubject:
    """A format that is examined.

    Args:
        format: The format.
        work: A folder for files.
    """

    format: Format
    work: Path


def checks_of_format(subject: FormatSubject) -> Iterator[Check]:
    """Yield the checks of a format: a file of each of its schemes is made and compared."""
    yield Check("documentation", lambda about: _summary(about.format.name, about.format.summary))
    yield Check("targets", _targets)
    # A language model with a tokenizer would be needed for those that continue texts.
    if not subject.format.writes:
        yield Check("export", _exported(""), ("targets",))
        for scheme in subject.format.schemes:
            if not scheme.tasks:
                yield Check(f"export-{scheme.name}", _exported(scheme.name), ("export",))


def _summary(name: str, text: str) -> str:
    if not text.strip():
        raise FaultError(f"'{name}' says nothing of itself: give it a summary or a docstring.")
    return text


def _targets(subject: FormatSubject) -> str:
    try:
        check_format(subject.format)
    except (ImportError, AttributeError) as error:
        raise FaultError(
            f"Format '{subject.format.name}' names what is not there: {error}. Correct its "
            "'module:function' texts."
        ) from error
    return f"{subject.format.converter}, {subject.format.runtime}"


def _exported(scheme: str) -> Callable[[FormatSubject], str]:
    def export_small(subject: FormatSubject) -> str:
        from zoo.support_measuring import calibration_for
        from zoo_export import export
        from zoo_models.build import get_model

        word = f"{subject.format.name}:{scheme}" if scheme else subject.format.name
        model = get_model("mlp", input_shape=(6,), hidden_dims=(8,), num_classes=3)
        out = subject.work / word.replace(":", "-")
        calibration = calibration_for(model) if scheme else None
        bundle = export(model, to=[word], out=out, name="mlp", calibration=calibration)
        (artifact,) = bundle.artifacts
        return f"differs by {artifact.verification.max_abs_diff:.1e}, {artifact.bytes:,} bytes"

    return export_small


@dataclass
class FunctionSubject:
    """A tracker or a launcher that is examined.

    Args:
        spec: It.
        asked: ``NAME``, or ``NAME:ARGUMENT`` of a tracker.
        work: A folder for files.
    """

    spec: FunctionSpec
    asked: str
    work: Path


def _documented(subject: FunctionSubject) -> str:
    return _summary(subject.spec.name, subject.spec.summary)


def _is_tracker(subject: FunctionSubject) -> str:
    from zoo_recipes.trackers.tracking import Tracker

    function = subject.spec.function
    if not (isinstance(function, type) and issubclass(function, Tracker)):
        raise FaultError(f"'{subject.spec.name}' is no subclass of zoo.Tracker: make it one.")
    return function.__name__


def _follows(subject: FunctionSubject) -> str:
    """Follow a training of two steps; what a tracker raises there becomes a warning."""
    recipe: Any = zoo_registry.recipes.get(FOLLOWED)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        two_steps(recipe, subject.work, [subject.asked])
    said = [str(warning.message) for warning in caught if subject.spec.name in str(warning.message)]
    if said:
        raise FaultError(f"Following a training of two steps: {said[0]}")
    return f"followed {FOLLOWED}"


def _starts_workers(subject: FunctionSubject) -> str:
    try:
        inspect.signature(subject.spec.function).bind(object(), 2)
    except TypeError as error:
        raise FaultError(
            f"Launcher '{subject.spec.name}' cannot be called with a job and a number of workers: "
            f"{error}. Let it take these two."
        ) from error
    return str(inspect.signature(subject.spec.function))


CHECKS_OF_FUNCTION = {
    "tracker": (
        Check("documentation", _documented),
        Check("class", _is_tracker),
        Check("follow", _follows, ("class",)),
    ),
    "launcher": (
        Check("documentation", _documented),
        Check("signature", _starts_workers),
    ),
}
