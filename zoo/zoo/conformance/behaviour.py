"""How every model behaves: what it computes, what is kept of it, how it trains and exports."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from zoo.conformance.checks import Check, FaultError
from zoo.conformance.facts import ModelSubject, outputs_of
from zoo.conformance.state import RANDOM
from zoo_system.errors import as_sentence, plain

TOLERANCE = 1e-5
# Fraction of the loss that the gradient promises to take away in the one training step.
STEP = 0.01
_LONGEST = 300
POLICIES = ("mixed_bfloat16", "mixed_float16")


def behaviour_of(subject: ModelSubject, formats: Sequence[str] | None) -> Iterator[Check]:
    """Yield the checks of a model once it is built.

    Args:
        subject: The model.
        formats: What to export to; ``None`` for what the spec claims, or all built-in formats.
    """
    from zoo_runtime.formats import FORMATS

    yield Check("clean-build", _clean_build, ("build",))
    yield Check("outputs", _outputs, ("build",))
    yield Check("determinism", _determinism, ("outputs", "clean-build"))
    yield Check("dynamic-batch", _dynamic_batch, ("determinism",))
    yield Check("dtype-policies", _dtype_policies, ("determinism",))
    yield Check("weights", _weights, ("determinism",))
    yield Check("save", _save, ("weights",))
    yield Check("clone", _clone, ("save",))
    yield Check("gradients", _gradients, ("outputs",))
    yield Check("training-step", _training_step, ("gradients", "determinism"))
    for name in (subject.spec.exports or sorted(FORMATS)) if formats is None else formats:
        yield Check(f"export-{name}", _export_to(name), ("save",))


def _clean_build(subject: ModelSubject) -> str:
    # The seeds of initializers are drawn, by Keras, from Python's random.
    different = [what for what in subject.changed if what not in RANDOM]
    _ = subject.other
    one = random.getstate()
    _ = subject.twin
    if random.getstate() == one:
        different.append("the random seed")
    if different:
        raise FaultError(
            f"{subject.spec.target} changes {' and '.join(different)}, which belongs to the user's "
            "program: take it out of the builder, and give layers their own dtype or seed."
        )
    return "changes nothing"


def _outputs(subject: ModelSubject) -> str:
    import numpy as np

    shapes = []
    for name, array in subject.outputs.items():
        if name in subject.inputs:
            raise FaultError(f"'{name}' is an input and an output: name the last layer otherwise.")
        if not np.isfinite(array).all():
            raise FaultError(
                f"Output '{name}' holds NaN or infinite values for ordinary inputs: look for "
                "divisions, logarithms and exponentials of unlimited values."
            )
        if not np.ptp(array, axis=0).any():
            raise FaultError(
                f"Output '{name}' is the same for every input: connect it with the inputs."
            )
        shapes.append(f"{name} {'x'.join(map(str, array.shape))}")
    return ", ".join(shapes)


def _dynamic_batch(subject: ModelSubject) -> str:
    from zoo_export.reading.signature import signature_of

    signature = signature_of(subject.model)
    tensors = {**signature.inputs, **signature.outputs}
    fixed = [name for name, tensor in tensors.items() if tensor.shape[0] is not None]
    if fixed:
        raise FaultError(
            f"{', '.join(fixed)} has a fixed batch: leave batch_size out of keras.Input, and "
            "reshape with -1 in front."
        )
    alone = outputs_of(subject.model, {name: array[:1] for name, array in subject.inputs.items()})
    together = {name: array[:1] for name, array in subject.outputs.items()}
    return _equal(
        alone,
        together,
        "between an example alone and the same one in a batch: let no layer mix the examples of "
        "a batch when training=False",
    )


def _determinism(subject: ModelSubject) -> str:
    import numpy as np

    again = outputs_of(subject.model, subject.inputs)
    _equal(
        again,
        subject.outputs,
        "between two calls with training=False: pass 'training' to layers, and let nothing "
        "random depend on anything else",
        tolerance=0.0,
    )
    for ours, theirs in zip(subject.model.weights, subject.twin.weights, strict=True):
        if not np.array_equal(ours.numpy(), theirs.numpy()):
            raise FaultError(
                f"Two models built after keras.utils.set_random_seed(0) differ in {ours.path}: "
                "draw from keras.random or an initializer, not from a generator of your own."
            )
    return _equal(
        outputs_of(subject.twin, subject.inputs),
        subject.outputs,
        "between two models built from one seed: draw constants from a fixed seed",
    )


def _dtype_policies(subject: ModelSubject) -> str:
    import numpy as np

    for policy in POLICIES:
        with _policy(policy):
            try:
                model = subject.build(seed=0)
                outputs = outputs_of(model, subject.inputs)
            except Exception as error:
                raise FaultError(
                    f"Under keras.config.set_dtype_policy('{policy}') the model fails: "
                    f"{_cause(error)} Cast to self.compute_dtype of the layer, not to float32."
                ) from error
        half = [w.path for w in model.trainable_weights if w.dtype != "float32"]
        if half:
            raise FaultError(
                f"Under '{policy}' {half[0]} is {policy.removeprefix('mixed_')}: leave dtype out "
                "of add_weight, so that weights stay float32."
            )
        for name, array in outputs.items():
            if not np.isfinite(array.astype("float32")).all():
                raise FaultError(
                    f"Under '{policy}' output '{name}' holds NaN or infinite values: compute what "
                    "overflows in float32, with dtype='float32' of that layer."
                )
    return ", ".join(POLICIES)


def _cause(error: Exception) -> str:
    """Return in one line what Keras' long messages say of the cause."""
    said = " ".join(plain(str(error)).rpartition("Exception encountered: ")[2].split())
    return as_sentence(shorten(f"{type(error).__name__}: {said}", _LONGEST, placeholder=" [...]"))


@contextmanager
def _policy(name: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _equal(
    got: Mapping[str, Any], wanted: Mapping[str, Any], where: str, tolerance: float = TOLERANCE
) -> str:
    import numpy as np

    largest = 0.0
    for name, array in wanted.items():
        difference = float(np.abs(got[name] - array).max() / max(1.0, np.abs(array).max()))
        if not difference <= tolerance:
            raise FaultError(f"Output '{name}' differs by {difference:.1e} {where}.")
        largest = max(largest, difference)
    return f"differs by {largest:.1e}"


# -- what is kept of it ------------------------------------------------------------------------


def _weights(subject: ModelSubject) -> str:
    path = subject.work / "model.weights.h5"
    subject.model.save_weights(path)
    subject.other.load_weights(path)
    return _equal(
        outputs_of(subject.other, subject.inputs),
        subject.outputs,
        "once its weights were saved and loaded into another model: make every array that is "
        "learned or drawn with add_weight",
    )


def _save(subject: ModelSubject) -> str:
    import keras

    path = subject.work / "model.keras"
    subject.model.save(path)
    try:
        loaded = keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        raise FaultError(
            f"What model.save wrote cannot be loaded: {_cause(error)} Register layers of your own "
            "with @keras.saving.register_keras_serializable(package=...), and use no Lambda."
        ) from error
    return _equal(
        outputs_of(loaded, subject.inputs),
        subject.outputs,
        "once the model was saved and loaded: return every argument of a layer's __init__ from "
        "its get_config",
    )


def _clone(subject: ModelSubject) -> str:
    import keras

    clone = keras.models.clone_model(subject.model)
    clone.set_weights(subject.model.get_weights())
    return _equal(
        outputs_of(clone, subject.inputs),
        subject.outputs,
        "from that of keras.models.clone_model: let from_config give what get_config wrote",
    )


# -- how it is trained -------------------------------------------------------------------------


def _gradients(subject: ModelSubject) -> str:
    """Ask for a gradient of every weight; weights are moved first: many begin as zeros."""
    import numpy as np
    import tensorflow as tf

    generator = np.random.default_rng(0)
    with _as_it_was(subject.model):
        for variable in subject.model.trainable_variables:
            noise = 0.02 * generator.standard_normal(variable.shape)
            variable.assign_add(noise.astype(variable.dtype))
        _, gradients = _gradients_of(subject)
    missing = [v.path for v, g in gradients if g is None or not np.any(tf.convert_to_tensor(g))]
    if missing:
        raise FaultError(
            f"The loss does not reach {', '.join(missing)}: look for stop_gradient, rounding and "
            "NumPy on the way, or make what is not learned with trainable=False."
        )
    return f"{len(gradients)} weights"


def _training_step(subject: ModelSubject) -> str:
    """Step against the gradient, by how much the loss falls as the gradient says."""
    import tensorflow as tf

    with _as_it_was(subject.model):
        state = [(v, v.numpy()) for v in subject.model.non_trainable_variables]
        loss, gradients = _gradients_of(subject)
        scale = STEP * loss / sum(tf.reduce_sum(tf.square(gradient)) for _, gradient in gradients)
        for variable, gradient in gradients:
            variable.assign_sub(scale * tf.convert_to_tensor(gradient))
        for variable, value in state:  # the same dropout, the same statistics
            variable.assign(value)
        after = _loss(subject)
    if not after < loss:
        raise FaultError(
            f"One training step changed the loss from {loss:.4f} to {after:.4f}: look for custom "
            "gradients, and for layers that compute something else when training=True."
        )
    return f"loss {loss:.4f} to {after:.4f}"


def _gradients_of(subject: ModelSubject) -> tuple[Any, list[tuple[Any, Any]]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = _loss(subject)
    variables = subject.model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return loss, list(zip(variables, gradients, strict=True))


@contextmanager
def _as_it_was(model: Any) -> Iterator[None]:
    before = [(variable, variable.numpy()) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def _loss(subject: ModelSubject) -> Any:
    """Return the summed losses of all outputs, against targets drawn once and for all."""
    import keras
    import numpy as np

    from zoo_export.reading.signature import signature_of

    model = subject.model
    generator = np.random.default_rng(0)
    outputs = signature_of(model).call(subject.inputs, lambda given: model(given, training=True))
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


# -- what it is exported to --------------------------------------------------------------------


def _export_to(name: str) -> Callable[[ModelSubject], str]:
    def exported(subject: ModelSubject) -> str:
        from zoo.support_measuring import calibration_for
        from zoo_export import export

        bundle = export(
            subject.model,
            to=[name],
            out=subject.work / name.replace(":", "-"),
            name=subject.spec.name.rpartition("/")[2],
            calibration=calibration_for(subject.model) if ":" in name else None,
        )
        (artifact,) = bundle.artifacts
        return f"differs by {artifact.verification.max_abs_diff:.1e}, {artifact.bytes:,} bytes"

    return exported
