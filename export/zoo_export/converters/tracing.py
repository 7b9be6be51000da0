"""TensorFlow graphs with readable names, and which layer an operator in them came from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.converters.compositions import ANYWHERE, composed
from zoo_export.options import ExportOptions
from zoo_export.reading.signature import layer_of, signature_of, tensor_specs
from zoo_registry import ZooError
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.running.sessions import BATCH_SIGNATURE, SIGNATURE
from zoo_runtime.tensors import Arrays, Tensor
from zoo_system.errors import plain

# How Keras puts what a layer or function raised.
_OF_KERAS = re.compile(
    r"Exception encountered when calling (?P<kind>\w+)\.call\(\)\.(?P<reason>.*?)"
    r"(?:Arguments received by|$)",
    re.DOTALL,
)
_LATER = "which a graph has only when it runs"
# TensorFlow's messages about code that a graph cannot hold, and what that is.
_IN_PYTHON = (
    (
        "as a Python `bool`",
        f"it decides in Python by the value of a tensor (if, while, and, or), {_LATER}: "
        "keras.ops.where and keras.ops.cond decide inside of it",
    ),
    (
        "Iterating over a symbolic",
        f"it goes through the values of a tensor in Python (for), {_LATER}: keras.ops.map and "
        "keras.ops.scan do that inside of it",
    ),
    (
        r"to a numpy array|numpy\(\) is only available|no attribute 'numpy'",
        f"it computes in NumPy with the values of a tensor, {_LATER}: take the functions of "
        "keras.ops",
    ),
    (
        r"partially known TensorShape|Failed to convert elements of \[.*None",
        "it needs a size as a number that is open in this file, such as the batch: fix it "
        "(keras.Input(shape, batch_size=1))",
    ),
    (
        "interpreted as an integer|Dimension value must be integer|int\\(\\) argument must be",
        f"it takes the value of a tensor for a number of Python, such as a size, {_LATER}",
    ),
)
_TENSOR = re.compile(r"<tf\.Tensor [^<>]*>|tf\.Tensor\([^()]*(\([^()]*\)[^()]*)*\)")
_CONVOLUTIONS = ("conv", "conv_transpose", "depthwise_conv", "separable_conv")


@dataclass(frozen=True)
class Function:
    """A function of a model that a file has beside the whole model, or for itself.

    Args:
        name: Of its signature.
        inputs: What it takes.
        outputs: What it gives.
        call: Computes the outputs by name, given the inputs by name.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    call: Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Conversion:
    """What a converter gets, inside the child process.

    Args:
        model: The ``keras.Model`` in float32.
        inputs: Inputs of the artifact; a size given as a name varies.
        outputs: Outputs of the artifact.
        path: The file or folder to write.
        calibration: Rows that the ranges of activations are measured on.
        first: Typical inputs: a sample batch that the artifact can take.
        about: Metadata of the file.
        options: How the file is made. It has a signature for each of the ``batch_sizes``, of which
            the first is that of ``inputs``; none where it varies.
        trained_for_int8: The model with the roundings that it was trained with, if it was.
        functions: What the file has beside the whole model.
        function: What is converted in place of the whole model.
    """

    model: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    path: Path
    calibration: Arrays = field(default_factory=dict)
    first: Arrays = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    options: ExportOptions = field(default_factory=ExportOptions)
    trained_for_int8: Any = None
    functions: tuple[Function, ...] = ()
    function: Function | None = None

    @property
    def signatures(self) -> dict[str, int | None]:
        """The batch that each signature takes, by its name; ``None`` where it varies."""
        first = self.inputs[0].shape[0]
        others = {BATCH_SIGNATURE.format(size): size for size in self.options.batch_sizes[1:]}
        return {SIGNATURE: first if isinstance(first, int) else None, **others}


def trace(conversion: Conversion, signature: str = SIGNATURE) -> tuple[Any, Any]:
    """Return the model as a ``tf.function`` with one trace, and that concrete function.

    Keyword names become the signature's input names, dictionary keys its output names.

    Args:
        conversion: What is converted.
        signature: Whose batch is taken; the trace has its name.
    """
    inputs = with_batch(conversion.inputs, conversion.signatures[signature])
    whole = signature_of(conversion.model).call
    return trace_function(conversion.model, Function(signature, inputs, conversion.outputs, whole))


def trace_function(model: Any, function: Function) -> tuple[Any, Any]:
    """Return a function of a model as :func:`trace` returns the whole model."""
    import tensorflow as tf

    def serve(**arrays: Any) -> dict[str, Any]:
        # Identity keeps an output that is passed through apart from its source.
        return {name: tf.identity(value) for name, value in function.call(arrays).items()}

    serve.__name__ = function.name
    traced = tf.function(serve, autograph=False)
    with exportable_operations(), images_scaled_by_rows(), as_a_graph(model):
        return traced, traced.get_concrete_function(**tensor_specs(function.inputs))


@contextmanager
def as_a_graph(model: Any) -> Iterator[None]:
    """Name what Keras runs step by step and TensorFlow cannot make a graph of.

    Args:
        model: What is traced inside.

    Raises:
        ExportError: Tracing raised something that is not a message of ours.
    """
    try:
        yield
    except (ZooError, MemoryError):
        raise
    except Exception as error:  # whatever Keras, TensorFlow or a layer of the user's raises
        message = plain(str(error)) or type(error).__name__
        raise ExportError(_not_a_graph(model, message)) from error


def _not_a_graph(model: Any, text: str) -> str:
    found = _OF_KERAS.search(text)
    reason = _in_our_words(found["reason"] if found else text)
    what = "it" if found is None else _named(model, found["kind"])
    return f"{what} runs in Keras step by step, but not as a graph, which a file is: {reason}"


def _named(model: Any, kind: str) -> str:
    named = [each.name for each in model.operations if type(each).__name__ == kind]
    return f"'{named[0]}' ({kind})" if named else kind


def _in_our_words(reason: str) -> str:
    for pattern, words in _IN_PYTHON:
        if re.search(pattern, reason, re.DOTALL):
            return words
    return " ".join(_TENSOR.sub("a tensor", reason).split())


def with_batch(tensors: Sequence[Tensor], batch: int | None) -> tuple[Tensor, ...]:
    """Return tensors with another first size; with that they have if it is ``None``."""
    return tuple(t if batch is None else replace(t, shape=(batch, *t.shape[1:])) for t in tensors)


def holder(concrete: Any) -> Any:
    """Return a plain ``tf.Module`` that owns the variables of a concrete function.

    The converters find the weights through it; handed the Keras model, the LiteRT converter
    writes a file without weights, and ``model.export`` stores each weight twice.
    """
    import tensorflow as tf

    module = tf.Module()
    module.held = list(concrete.graph.variables)
    return module


def blame(graph: Any, model: Any, operators: Iterable[str]) -> list[Blame]:
    """Return the operators with the layers whose scopes they stand in.

    Args:
        graph: The traced ``FuncGraph``.
        model: The Keras model.
        operators: Types of operators, as TensorFlow calls them.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    found = {
        Blame(operator, layer_of(model, node.name))
        for operator in operators
        for node in nodes
        if node.op == operator
    }
    named = {item.operator for item in found}
    found |= {Blame(operator) for operator in operators if operator not in named}
    return sorted(found, key=str)


# Keras operations that no exporter takes, in a form that all of them do.


@contextmanager
def exportable_operations() -> Iterator[None]:
    """Let models traced inside use plain operators that every format and processor has.

    Keras looks at the sign bit of every number, to distinguish a negative zero from a positive one;
    that takes a Bitcast, which neither LiteRT nor ONNX has. Zeros of both signs are equal here. It
    asks whether the new size of an image is positive, which in a graph may not be known yet. It
    leaves convolutions with channels first to TensorFlow, which has them on few processors. And it
    maps a layer over a number of steps that is open, one after the other, and carries what a scan
    carries in an array: loops that no converter understands. Operators that no format has are made
    of others (``compositions``).
    """
    import keras
    import tensorflow as tf
    from keras.src.backend.tensorflow import core, nn
    from keras.src.backend.tensorflow import numpy as backend
    from keras.src.ops import image

    distributed = keras.layers.TimeDistributed
    changes = [
        (backend, "argmax", _plain(tf.argmax)),
        (backend, "argmin", _plain(tf.argmin)),
        (core, "scan", _scan),
        (distributed, "call", _at_once(distributed.call)),
        (image, "resize", resize := _to_any_size(image.resize, image._resize)),
        (keras.ops.image, "resize", resize),
        *((nn, name, _channels_last(getattr(nn, name))) for name in _CONVOLUTIONS),
    ]
    with ExitStack() as stack:
        for owner, name, change in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, change)
        with composed(ANYWHERE):
            yield


@contextmanager
def images_scaled_by_rows() -> Iterator[None]:
    """Let Rescaling layers traced inside multiply and add whole rows of pixels.

    The numbers are the same. XNNPACK takes several times as long for factors of three neighbours,
    which in a small network is a fifth of all its time.
    """
    import keras

    before = keras.layers.Rescaling.call

    def call(layer: Any, inputs: Any) -> Any:
        scaled = _scaled_by_rows(layer, inputs)
        return before(layer, inputs) if scaled is None else scaled

    keras.layers.Rescaling.call = call
    try:
        yield
    finally:
        keras.layers.Rescaling.call = before


def _scaled_by_rows(layer: Any, inputs: Any) -> Any:
    import tensorflow as tf

    factors = [np.asarray(factor, layer.compute_dtype) for factor in (layer.scale, layer.offset)]
    factors = [f.reshape(-1) if f.shape[:-1] == (1, 1) else f for f in factors]
    sizes = inputs.shape[1:]
    by_channel = any(factor.shape == tuple(sizes[-1:]) and factor.size > 1 for factor in factors)
    if len(sizes) != 3 or None in sizes or not by_channel or max(f.ndim for f in factors) > 1:
        return None
    height, width, channels = sizes
    scale, offset = (np.tile(f, width) if f.size > 1 else f for f in factors)
    rows = tf.reshape(tf.cast(inputs, layer.compute_dtype), [-1, height, width * channels])
    return tf.reshape(rows * scale + offset, [-1, height, width, channels])


def _to_any_size(resize: Callable[..., Any], unchecked: Callable[..., Any]) -> Callable[..., Any]:
    def operation(images: Any, size: Any, *options: Any, **named: Any) -> Any:
        is_known = all(isinstance(side, int) for side in size)
        return (resize if is_known else unchecked)(images, size, *options, **named)

    return operation


def _plain(reduce: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    def operation(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        values = tf.reshape(x, [-1]) if axis is None else x
        indices = reduce(values, axis=0 if axis is None else axis, output_type=tf.int32)
        if not keepdims:
            return indices
        if axis is None:
            return tf.reshape(indices, [1] * len(x.shape))
        return tf.expand_dims(indices, axis)

    return operation


def _channels_last(convolve: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf
    from keras.src import backend

    signature = inspect.signature(convolve)

    def operation(inputs: Any, *arguments: Any, **named: Any) -> Any:
        given = signature.bind(inputs, *arguments, **named).arguments
        if backend.standardize_data_format(given.get("data_format")) != "channels_first":
            return convolve(**given)
        rank = len(inputs.shape)
        given["inputs"] = tf.transpose(inputs, [0, *range(2, rank), 1])
        given["data_format"] = "channels_last"
        return tf.transpose(convolve(**given), [0, rank - 1, *range(1, rank - 1)])

    return operation


def _at_once(one_by_one: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    def call(layer: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if inputs.shape[1] is not None:
            return one_by_one(layer, inputs, training=training, mask=mask)
        rows, steps = tf.unstack(tf.shape(inputs)[:2])
        named: dict[str, Any] = {"training": training} if layer.layer._call_has_training_arg else {}
        if layer.layer._call_has_mask_arg and mask is not None:
            named["mask"] = tf.reshape(mask, [-1, *tf.unstack(tf.shape(mask)[2:])])
        made = layer.layer.call(_joined(inputs), **named)
        sizes, known = tf.concat([[rows, steps], tf.shape(made)[1:]], axis=0), made.shape[1:]
        return tf.ensure_shape(tf.reshape(made, sizes), [inputs.shape[0], None, *known])

    return call


def _joined(inputs: Any) -> Any:
    import tensorflow as tf

    shape = tf.shape(inputs)
    sizes = [shape[at] if size is None else size for at, size in enumerate(inputs.shape)]
    return tf.reshape(inputs, [-1, *sizes[2:]])


def _scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: Any = None,
    *,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """Do what Keras' scan does, with what is carried as variables of the loop."""
    import tensorflow as tf
    from keras import tree

    taken = [tf.convert_to_tensor(x) for x in tree.flatten(xs)] if xs is not None else []
    count = int(length) if length is not None else taken[0].shape[0]
    count = tf.shape(taken[0])[0] if count is None else count
    taken = [tf.reverse(x[:count], [0]) if reverse else x for x in taken]
    arrays = [tf.TensorArray(x.dtype, count).unstack(x[:count]) for x in taken]
    first = [tf.convert_to_tensor(carry) for carry in tree.flatten(init)]
    made = [tf.TensorArray(c.dtype, count, element_shape=c.shape) for c in first]

    def packed(structure: Any, values: Any) -> Any:
        nested = tree.is_nested(structure)
        return tree.pack_sequence_as(structure, list(values)) if nested else values[0]

    def step(at: Any, carried: Any, given: Any) -> Any:
        x = packed(xs, [array.read(at) for array in arrays]) if arrays else None
        carry, y = f(packed(init, carried), x)
        carried = carried if carry is None else tuple(tree.flatten(carry))
        if y is not None:
            ys = zip(given, tree.flatten(y), strict=True)
            given = tuple(array.write(at, value) for array, value in ys)
        return at + 1, carried, given

    _, carried, given = tf.while_loop(
        lambda at, *_: at < count,
        step,
        (0, tuple(first), tuple(made)),
        maximum_iterations=count,
    )
    stacked = [array.stack() for array in given]
    stacked = [tf.reverse(y, [0]) if reverse else y for y in stacked]
    return packed(init, carried), packed(init, stacked)
