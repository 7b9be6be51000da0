"""What every model promises, tried out: ours, a plugin's or a bridged one, at any size."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_models.build import get_model
from zoo_models.sizing import abstract_model, size_of
from zoo_registry import ModelSpec, TensorSpec, ZooError
from zoo_system.untouched import untouched

# Fraction of the loss that the gradient promises to take away in the one training step.
STEP = 0.01
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Step:
    """The result of one part of the check.

    Args:
        name: Such as ``"save"``.
        ok: Whether the model kept its promise.
        detail: What was seen, or what went wrong.
        seconds: How long it took.
    """

    name: str
    ok: bool
    detail: str
    seconds: float


@untouched()
def check(
    name: str | ModelSpec,
    *,
    task: str | None = None,
    full_size: bool = False,
    formats: Sequence[str] | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> list[Step]:
    """Build a model, run, save, clone and train it, and export it to every format.

    Args:
        name: A registered name or a spec.
        task: The head; the model's first by default.
        full_size: Whether the model is built as it is named, not with the spec's ``reduced`` sizes.
        formats: Export formats; all that are built in by default, none if empty.
        on_step: Called after each step.

    Returns:
        A step for ``build``, ``spec`` (all that the spec declares against what is built; for the
        first task), ``forward``, ``save``, ``clone``, ``train`` and each format. After a failed
        build there are no others.

    Raises:
        UnknownNameError: No such model.

    Example:
        >>> [step.ok for step in check("mlp", formats=())]
        [True, True, True, True, True, True]
    """
    from zoo_runtime.formats import FORMATS

    spec = zoo_registry.models.get(name) if isinstance(name, str) else name
    wanted = sorted(FORMATS) if formats is None else formats
    built: list[Any] = []
    steps = []
    with tempfile.TemporaryDirectory() as work:
        for title, act in _plan(spec, wanted, Path(work), built, task=task, full_size=full_size):
            steps.append(_tried(title, act))
            on_step(steps[-1])
            if not built:
                break
    return steps


def _plan(
    spec: ModelSpec,
    formats: Sequence[str],
    work: Path,
    built: list[Any],
    *,
    task: str | None,
    full_size: bool,
) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "build", lambda: _build(spec, built, task=task, full_size=full_size)
    from zoo_export.reading.samples import drawn_for

    model = built[0]
    inputs = drawn_for(model)
    if task in (None, *spec.tasks[:1]):
        yield "spec", lambda: _declared(spec)
    yield "forward", lambda: _forward(model, inputs)
    yield "save", lambda: _saved(model, inputs, work / "model.keras")
    yield "clone", lambda: _cloned(model, inputs)
    yield "train", lambda: _trained(model, inputs)
    for name in formats:
        yield name, lambda name=name: _exported(model, spec, name, work)  # type: ignore[misc]


def _tried(title: str, act: Callable[[], str]) -> Step:
    start = time.perf_counter()
    try:
        ok, detail = True, act()
    except Exception as error:  # whatever a plugin's model raises is what is reported
        ok, detail = False, f"{type(error).__name__}: {error}"
    return Step(title, ok, detail, time.perf_counter() - start)


def _build(spec: ModelSpec, built: list[Any], *, task: str | None, full_size: bool) -> str:
    import keras

    keras.utils.set_random_seed(0)
    model = get_model(spec, task=task, **({} if full_size else spec.reduced))
    built.append(model)
    return f"{_trainable(model):,} trainable parameters"


def _trainable(model: Any) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _declared(spec: ModelSpec) -> str:
    """Compare all that a spec says with the model of its default task at its default sizes."""
    model = abstract_model(spec, None)
    for name in spec.tasks[1:]:
        abstract_model(spec, name, **spec.reduced)
    declared = {
        "num_params": spec.num_params,
        "inputs": spec.inputs and _in_words(spec.inputs),
        "macs": spec.macs,
    }
    given = {name: value for name, value in declared.items() if value not in (None, ())}
    built = {
        "num_params": _trainable(model),
        "inputs": _in_words(_inputs(model)),
        "macs": size_of(model, spec.name).macs if "macs" in given else None,
    }
    wrong = [
        f"{name} is {_shown(built[name])} and not {_shown(value)}"
        for name, value in given.items()
        if built[name] != value
    ]
    if wrong:
        raise ZooError(f"Of what the spec of '{spec.name}' says, {'; '.join(wrong)}.")
    return f"as declared: {', '.join(given) or 'nothing but how it is built'}"


def _inputs(model: Any) -> list[TensorSpec]:
    from zoo_export.reading.signature import signature_of

    return [
        TensorSpec(name, tuple(tensor.shape[1:]), str(tensor.dtype))
        for name, tensor in signature_of(model).inputs.items()
    ]


def _in_words(tensors: Sequence[TensorSpec]) -> str:
    return ", ".join(sorted(map(str, tensors)))


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _outputs(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    from zoo_export.reading.signature import signature_of

    return signature_of(model).reference(inputs)


def _forward(model: Any, inputs: Mapping[str, Any]) -> str:
    import numpy as np

    shapes = []
    for name, array in _outputs(model, inputs).items():
        if not np.isfinite(array).all():
            raise ZooError(f"Output '{name}' holds NaN or infinite values.")
        if not np.ptp(array, axis=0).any():
            raise ZooError(f"Output '{name}' is the same for every input.")
        shapes.append(f"{name} {'x'.join(map(str, array.shape))}")
    return ", ".join(shapes)


def _equal(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    import numpy as np

    largest = 0.0
    for name, array in wanted.items():
        difference = float(np.abs(got[name] - array).max() / max(1.0, np.abs(array).max()))
        if not difference <= TOLERANCE:
            raise ZooError(f"Output '{name}' differs by {difference:.1e}.")
        largest = max(largest, difference)
    return f"differs by {largest:.1e}"


def _saved(model: Any, inputs: Mapping[str, Any], path: Path) -> str:
    import keras

    model.save(path)
    return _equal(
        _outputs(keras.models.load_model(path, safe_mode=True), inputs), _outputs(model, inputs)
    )


def _cloned(model: Any, inputs: Mapping[str, Any]) -> str:
    import keras

    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return _equal(_outputs(clone, inputs), _outputs(model, inputs))


def _trained(model: Any, inputs: Mapping[str, Any]) -> str:
    """Step against the gradient, by how much the loss falls as the gradient says."""
    import tensorflow as tf

    state = [(v, v.numpy()) for v in model.non_trainable_variables]
    before = model.get_weights()
    with tf.GradientTape() as tape:
        loss = _loss(model, inputs)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    unreached = [v.path for v, g in zip(variables, gradients, strict=True) if g is None]
    if unreached:
        raise ZooError(f"The loss does not reach {', '.join(unreached)}.")
    scale = STEP * loss / sum(tf.reduce_sum(tf.square(gradient)) for gradient in gradients)
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(scale * tf.convert_to_tensor(gradient))
    for variable, value in state:  # the same dropout, the same statistics
        variable.assign(value)
    after = _loss(model, inputs)
    model.set_weights(before)
    if not after < loss:
        raise ZooError(f"One training step changed the loss from {loss:.4f} to {after:.4f}.")
    return f"loss {loss:.4f} to {after:.4f}"


def _loss(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the summed losses of all outputs, against targets drawn once and for all."""
    import keras
    import numpy as np

    from zoo_export.reading.signature import signature_of

    generator = np.random.default_rng(0)
    outputs = signature_of(model).call(inputs, lambda given: model(given, training=True))
    losses = []
    for name, output in outputs.items():
        shape = tuple(output.shape)
        if name.endswith("logits") and shape[-1] > 1:
            labels = generator.integers(0, shape[-1], shape[:-1])
            rows = keras.losses.sparse_categorical_crossentropy(labels, output, from_logits=True)
        else:
            rows = keras.ops.square(output - generator.standard_normal(shape).astype("float32"))
        losses.append(keras.ops.mean(rows))
    return sum(losses)


def _exported(model: Any, spec: ModelSpec, name: str, work: Path) -> str:
    from zoo_export import export

    bundle = export(model, to=[name], out=work / name, name=spec.name.rpartition("/")[2])
    (artifact,) = bundle.artifacts
    figures = artifact.verification
    return f"differs by {figures.max_abs_diff:.1e}, {artifact.bytes:,} bytes"
