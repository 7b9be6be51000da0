"""LSTM and GRU layers as the one operator that ONNX has for them.

tf2onnx recognises few of the loops that Keras writes, and none with a mask; a loop takes ten times
as long. While a model is traced here, each such layer becomes one CudnnRNNV3, which nothing ever
runs: it carries the weights to :func:`write_recurrent`.

The operator takes a length for each row, Keras a mask of any form. So the steps that are not masked
are moved to the front before it, and each step finds its output behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo_export.tensors import Array

OPERATOR = "CudnnRNNV3"
# How ONNX orders the gates that Keras has as input, forget, cell, output; of a GRU they agree.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2)}


@contextmanager
def recurrent_operators() -> Iterator[None]:
    """Let LSTM and GRU layers traced inside become one operator each, where ONNX has it."""
    import keras

    kinds = (keras.layers.LSTM, keras.layers.GRU)
    loops = [kind.inner_loop for kind in kinds]
    try:
        for kind, loop in zip(kinds, loops, strict=True):
            kind.inner_loop = _with_operator(kind.__name__.lower(), loop)
        yield
    finally:
        for kind, loop in zip(kinds, loops, strict=True):
            kind.inner_loop = loop


def write_recurrent(context: Any, node: Any, name: str, _: Any) -> None:
    """Write the marked operator as LSTM or GRU: a handler for tf2onnx."""
    mode = node.get_attr_value("rnn_mode").decode()
    x, first_h, first_c, params, lengths = node.input
    hidden = context.get_shape(first_h)[-1]
    packed = context.get_node_by_output(params).get_tensor_value(as_list=False)
    weights = [
        context.make_const(f"{name}/{letter}", array).output[0]
        for letter, array in zip("WRB", _unpacked(packed, mode, hidden), strict=True)
    ]
    states = [first_h, first_c] if mode == "lstm" else [first_h]
    zeros = all(context.get_node_by_output(state).is_const() for state in states)
    shapes = [context.get_shape(output) for output in node.output]
    dtypes = [context.get_dtype(output) for output in node.output]
    outputs = list(node.output)
    attributes = {"hidden_size": hidden}
    if mode == "gru":
        attributes["linear_before_reset"] = 1
    context.remove_node(node.name)
    made = context.make_node(
        mode.upper(),
        [x, *weights, lengths, *([] if zeros else states)],
        attr=attributes,
        name=name,
        outputs=[f"{name}/all", *outputs[1 : len(states) + 1]],
        shapes=[None, *shapes[1 : len(states) + 1]],
        dtypes=dtypes[: len(states) + 1],
    )
    axis = context.make_const(f"{name}/direction", np.array([1])).output[0]
    context.make_node(
        "Squeeze", [made.output[0], axis], outputs=outputs[:1], shapes=shapes[:1], dtypes=dtypes[:1]
    )


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {OPERATOR: (write_recurrent, [])}


def _with_operator(mode: str, loop: Any) -> Any:
    def inner_loop(
        layer: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        if not _is_standard(layer):
            return loop(layer, sequences, initial_state, mask, training=training)
        return _run(layer, mode, sequences, list(initial_state), _flat(mask))

    return inner_loop


def _is_standard(layer: Any) -> bool:
    import keras

    return (
        layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and getattr(layer.cell, "reset_after", True)
    )


def _flat(mask: Any) -> Any:
    # Keras passes one mask for each input, if there are several.
    return mask[0] if isinstance(mask, (list, tuple)) else mask


def _run(layer: Any, mode: str, x: Any, states: list[Any], mask: Any) -> Any:
    """Return the last output, all outputs and the last states, as Keras' loop does."""
    import tensorflow as tf

    if layer.go_backwards:
        x = tf.reverse(x, [1])
        mask = None if mask is None else tf.reverse(mask, [1])
    lengths = tf.fill([tf.shape(x)[0]], tf.shape(x)[1])
    if mask is not None:
        mask = tf.cast(tf.reshape(mask, tf.shape(x)[:2]), tf.int32)
        lengths = tf.reduce_sum(mask, axis=1)
        x = tf.gather(x, tf.argsort(1 - mask, axis=1, stable=True), batch_dims=1)
    states = [tf.convert_to_tensor(state) for state in states]  # variables of a stateful layer
    first = [tf.expand_dims(state, 0) for state in states]
    if all(_is_zero(state) for state in states):  # what the operator begins with by itself
        first = [tf.zeros((1, 1, layer.units))]
    made = tf.raw_ops.CudnnRNNV3(
        input=tf.transpose(x, [1, 0, 2]),
        input_h=first[0],
        input_c=first[-1],
        params=tf.constant(_packed(layer.cell, mode)),
        sequence_lengths=lengths,
        rnn_mode=mode,
        is_training=False,
    )
    last = [made.output_h, made.output_c][: len(states)]
    last = [
        tf.ensure_shape(tf.squeeze(state, 0), [states[0].shape[0], layer.units]) for state in last
    ]
    outputs = tf.transpose(made.output, [1, 0, 2])
    if mask is None:
        return last[0], outputs, last
    outputs = _spread(outputs, mask, layer.zero_output_for_mask)
    return (outputs[:, -1] if layer.zero_output_for_mask else last[0]), outputs, last


def _is_zero(state: Any) -> bool:
    import tensorflow as tf

    return state.op.type == "Fill" and bool(tf.get_static_value(state.op.inputs[1]) == 0)


def _spread(outputs: Any, mask: Any, zero_output: bool) -> Any:
    # A masked step has the output of the step before it, or zeros.
    import tensorflow as tf

    position = tf.cumsum(mask, axis=1) - 1
    spread = tf.gather(outputs, tf.maximum(position, 0), batch_dims=1)
    counts = mask if zero_output else tf.cast(position >= 0, tf.int32)
    return spread * tf.cast(counts, spread.dtype)[:, :, None]


def _packed(cell: Any, mode: str) -> Array:
    kernel, recurrent = (_value(w) for w in (cell.kernel, cell.recurrent_kernel))
    hidden, gates = len(recurrent), len(_GATES[mode])
    bias = np.zeros((2, gates * hidden), np.float32)
    if cell.bias is not None:
        given = _value(cell.bias)  # a GRU has one for the input and one for the state
        bias[: given.ndim] = given if given.ndim == 2 else given[None]
    parts = [_ordered(part.T, mode) for part in (kernel, recurrent)]
    parts += [_ordered(row[:, None], mode) for row in bias]
    return np.concatenate([part.ravel() for part in parts])


def _value(variable: Any) -> Array:
    import tensorflow as tf

    value: Array = tf.get_static_value(tf.convert_to_tensor(variable))
    return value


def _ordered(rows: Array, mode: str) -> Array:
    gates = np.split(rows, len(_GATES[mode]))
    return np.concatenate([gates[gate] for gate in _GATES[mode]])


def _unpacked(packed: Array, mode: str, hidden: int) -> list[Array]:
    rows = len(_GATES[mode]) * hidden
    recurrent, bias = rows * hidden, 2 * rows
    width = (len(packed) - recurrent - bias) // rows
    ends = np.cumsum([rows * width, recurrent])
    shapes = [(1, rows, width), (1, rows, hidden), (1, bias)]
    return [part.reshape(shape) for part, shape in zip(np.split(packed, ends), shapes, strict=True)]
