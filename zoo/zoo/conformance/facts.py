"""What the spec of a model says, compared with its builder and with what that builds."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import zoo_registry
from zoo.conformance.checks import Check, FaultError
from zoo.conformance.state import changed, global_state
from zoo_models.build import get_model
from zoo_models.calling import accepted_overrides, check_overrides, load_builder
from zoo_models.sizing import abstract_model, size_of
from zoo_registry import ModelSpec, TensorSpec, UnknownNameError
from zoo_registry.specs import CLASSIFICATION

# What a head of other classes than the default is built with.
CLASSES = 5
LAZY = (
    "let it name a ModelSpec whose builder is the text 'package.module:function', in a module "
    "that imports neither Keras nor what imports it."
)


@dataclass
class ModelSubject:
    """A model that is examined.

    Args:
        spec: The model.
        task: Its head; the first by default.
        full_size: Whether it is built as it is named, not with the ``reduced`` sizes of the spec.
        work: A folder for files.
    """

    spec: ModelSpec
    task: str | None
    full_size: bool
    work: Path
    # What the builder changed that is not its own.
    changed: Sequence[str] = field(default=(), init=False)

    @property
    def is_first(self) -> bool:
        """Whether the task is the one that the facts of the spec are of."""
        return self.task in (None, *self.spec.tasks[:1])

    def build(self, *, seed: int) -> Any:
        """Build the model with weights drawn from a seed."""
        import keras

        keras.utils.set_random_seed(seed)
        return get_model(self.spec, task=self.task, **({} if self.full_size else self.spec.reduced))

    @cached_property
    def model(self) -> Any:
        """The model, built once."""
        return self.build(seed=0)

    @cached_property
    def twin(self) -> Any:
        """The model, built once more from the same seed."""
        return self.build(seed=0)

    @cached_property
    def other(self) -> Any:
        """The same with other weights."""
        return self.build(seed=1)

    @cached_property
    def inputs(self) -> Mapping[str, Any]:
        """Some rows of random inputs by name."""
        from zoo_export.reading.samples import drawn_for

        return drawn_for(self.model)

    @cached_property
    def outputs(self) -> Mapping[str, Any]:
        """What the model gives for them."""
        return outputs_of(self.model, self.inputs)

    @cached_property
    def abstract(self) -> Any:
        """The model of the first task at its default sizes, its weights not allocated."""
        return abstract_model(self.spec, None)


def outputs_of(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs of a model by name, as NumPy arrays."""
    from zoo_export.reading.signature import signature_of

    return signature_of(model).reference(inputs)


def facts_of(subject: ModelSubject) -> Iterator[Check]:
    """Yield the checks of what a spec says, which is of the first task; and that of the build."""
    first = subject.is_first
    if first:
        yield Check("license", _license)
        yield Check("source", _source)
        yield Check("documentation", _documentation)
        yield Check("deprecation", _deprecation)
        yield Check("signature", _signature)
    yield Check("build", _build, ("signature",))
    if first:
        yield Check("tasks", _tasks, ("build",))
        yield Check("full-size", _full_size, ("build",))
        yield Check("parameters", _parameters, ("full-size",))
        yield Check("inputs", _inputs, ("full-size",))
        yield Check("multiply-adds", _multiply_adds, ("full-size",))


def _license(subject: ModelSubject) -> str:
    if not subject.spec.license.strip():
        raise FaultError(
            f"The spec of '{subject.spec.name}' states no licence: set license='Apache-2.0', or "
            "whichever the code and the weights are under."
        )
    return subject.spec.license


def _source(subject: ModelSubject) -> str:
    if not re.search(r"https?://\S", subject.spec.paper):
        raise FaultError(
            f"The spec of '{subject.spec.name}' says paper={subject.spec.paper!r}, without an "
            "address: set paper='Authors, Title, Year, https://...' to where the architecture is "
            "described, which may be a page of your own."
        )
    return subject.spec.paper


def _documentation(subject: ModelSubject) -> str:
    spec = subject.spec
    builder = load_builder(spec)
    text = inspect.getdoc(builder) or ""
    if not spec.summary.strip():
        raise FaultError(f"Set summary in the spec of '{spec.name}' to one line for listings.")
    if not text:
        raise FaultError(f"{spec.target} has no docstring: say what it builds, takes and returns.")
    left_out = [name for name in accepted_overrides(builder) if not re.search(rf"\b{name}\b", text)]
    if left_out:
        raise FaultError(
            f"The docstring of {spec.target} does not mention {', '.join(left_out)}: say under "
            "'Args:' what each argument is."
        )
    return text.partition("\n")[0]


def _deprecation(subject: ModelSubject) -> str:
    spec = subject.spec
    if spec.deprecated_by is None:
        return "not deprecated"
    if spec.removed_in is None:
        raise FaultError(
            f"'{spec.name}' is deprecated and does not say until when it is there: set removed_in "
            "to the version of its package that will not have it."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            successor = zoo_registry.models.get(spec.deprecated_by)
    except UnknownNameError as error:
        raise FaultError(
            f"'{spec.name}' has deprecated_by='{spec.deprecated_by}', which is no model: {error}"
        ) from error
    if successor.deprecated_by:
        raise FaultError(
            f"'{spec.name}' has deprecated_by='{spec.deprecated_by}', which is deprecated itself: "
            f"set deprecated_by='{successor.deprecated_by}'."
        )
    return f"use {spec.deprecated_by}; removed in {spec.removed_in}"


def _signature(subject: ModelSubject) -> str:
    spec = subject.spec
    builder = load_builder(spec)
    parameters = inspect.signature(builder).parameters
    for key in ("defaults", "reduced"):
        values = {name: v for name, v in getattr(spec, key).items() if name != "task"}
        check_overrides(spec, values)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    without = [
        name
        for name, p in accepted_overrides(builder).items()
        if p.default is p.empty and name not in spec.defaults
    ]
    if without:
        raise FaultError(
            f"{spec.target} needs {', '.join(without)}, which nobody gives it: put a value into "
            "the spec's defaults, or a default into the function."
        )
    if spec.tasks and "task" not in parameters and not takes_any:
        raise FaultError(
            f"The spec of '{spec.name}' has tasks={spec.tasks} and {spec.target} takes no task: "
            "give the function an argument 'task', or take tasks out of the spec."
        )
    heads = [task for task in spec.tasks if task.endswith(CLASSIFICATION)]
    if heads and "num_classes" not in parameters and not takes_any:
        raise FaultError(
            f"{spec.target} has the task '{heads[0]}' and no argument 'num_classes': without it a "
            "recipe cannot give it the classes of its data."
        )
    return ", ".join(accepted_overrides(builder)) or "no arguments"


def _parameters(subject: ModelSubject) -> str:
    return _as_declared(subject.spec, "num_params", trainable(subject.abstract))


def _inputs(subject: ModelSubject) -> str:
    from zoo_export.reading.signature import signature_of

    found = (
        TensorSpec(name, tuple(tensor.shape[1:]), str(tensor.dtype))
        for name, tensor in signature_of(subject.abstract).inputs.items()
    )
    return _as_declared(subject.spec, "inputs", tuple(found))


def _multiply_adds(subject: ModelSubject) -> str:
    if subject.spec.macs is None:
        return "not declared"
    return _as_declared(subject.spec, "macs", size_of(subject.abstract, subject.spec.name).macs)


def _as_declared(spec: ModelSpec, key: str, built: Any) -> str:
    """Compare what a spec says of the model of its first task with what is built."""
    declared = getattr(spec, key)
    if declared in (None, ()):
        return "not declared"
    if _in_words(declared) != _in_words(built):
        raise FaultError(
            f"The spec of '{spec.name}' says {key}: {_in_words(declared)}, and the model that is "
            f"built has {_in_words(built)}: correct the spec, or what is built."
        )
    return _in_words(built)


def _in_words(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ", ".join(sorted(map(str, value)))


def trainable(model: Any) -> int:
    """Return the number of trainable parameters."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _build(subject: ModelSubject) -> str:
    import keras

    keras.utils.set_random_seed(0)
    before = global_state()
    model = subject.model
    subject.changed = changed(before, global_state())
    if not getattr(model, "inputs", None) or not hasattr(model, "output_names"):
        raise FaultError(
            f"{subject.spec.target} returns a {type(model).__name__} without symbolic inputs: "
            "return keras.Model(inputs, outputs), made of keras.Input(..., name=...)."
        )
    return f"{trainable(model):,} trainable parameters"


def _tasks(subject: ModelSubject) -> str:
    """Build all heads, and those that classify with another number of classes."""
    spec = subject.spec
    for task in spec.tasks or (None,):
        classifies = task is not None and task.endswith(CLASSIFICATION)
        sizes = {**spec.reduced, **({"num_classes": CLASSES} if classifies else {})}
        model = abstract_model(spec, task, **sizes)
        shapes = dict(zip(model.output_names, model.outputs, strict=True))
        if classifies and "logits" in shapes and shapes["logits"].shape[-1] != CLASSES:
            raise FaultError(
                f"{spec.target} gives logits of {shapes['logits'].shape[-1]} classes for "
                f"num_classes={CLASSES} and task='{task}': make its last layer that wide."
            )
    return ", ".join(spec.tasks) or "one head"


def _full_size(subject: ModelSubject) -> str:
    return f"{trainable(subject.abstract):,} trainable parameters"
