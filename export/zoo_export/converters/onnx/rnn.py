"""LSTM, GRU and SimpleRNN layers as the one operator that ONNX has for each of them.

tf2onnx recognises few of the loops that Keras writes, and none with a mask; a loop takes ten times
as long. While a model is traced here, each such layer becomes one CudnnRNNV3, which nothing ever
runs: it carries the weights to :func:`write_recurrent`. Layers and cells of the user's own, derived
from these, stay loops: what they compute is theirs.

The operator takes a length for each row, Keras a mask of any form. So the steps that are not masked
are moved to the front before it, and each step finds its output behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo_export.converters.litert.recurrent import zeroed
from zoo_runtime.tensors import Array

OPERATOR = "CudnnRNNV3"
# By what the marking operator calls them: the operator of ONNX, and how it orders the gates that
# Keras has as input, forget, cell, output; of a GRU they agree.
_OPERATORS = {
    "lstm": ("LSTM", (0, 3, 1, 2)),
    "gru": ("GRU", (0, 1, 2)),
    "rnn_tanh": ("RNN", (0,)),
}
# An attribute of the marking operator that has one meaning here: a GRU with reset_after=False.
_RESET_FIRST = "skip_input"


@contextmanager
def recurrent_operators() -> Iterator[None]:
    """Let recurrent layers traced inside become one operator each, where ONNX has it."""
    from keras import layers

    # SimpleRNN has the loop of RNN.
    kinds = (layers.RNN, layers.LSTM, layers.GRU)
    loops = [kind.inner_loop for kind in kinds]
    try:
        for kind, loop in zip(kinds, loops, strict=True):
            kind.inner_loop = _with_operator(loop)
        yield
    finally:
        for kind, loop in zip(kinds, loops, strict=True):
            kind.inner_loop = loop


def write_recurrent(context: Any, node: Any, name: str, _: Any) -> None:
    """Write the marked operator as LSTM, GRU or RNN: a handler for tf2onnx."""
    mode = node.get_attr_value("rnn_mode").decode()
    x, first_h, first_c, params, lengths = node.input
    hidden = context.get_shape(first_h)[-1]
    packed = context.get_node_by_output(params).get_tensor_value(as_list=False)
    weights = [
        context.make_const(f"{name}/{letter}", array).output[0]
        for letter, array in zip("WRB", _unpacked(packed, mode, hidden), strict=True)
    ]
    states = [first_h, first_c] if mode == "lstm" else [first_h]
    zeros = all(_holds_zeros(context.get_node_by_output(state)) for state in states)
    shapes = [context.get_shape(output) for output in node.output]
    dtypes = [context.get_dtype(output) for output in node.output]
    outputs = list(node.output)
    attributes = {"hidden_size": hidden}
    if mode == "gru":
        attributes["linear_before_reset"] = int(
            node.get_attr_value("input_mode").decode() != _RESET_FIRST
        )
    context.remove_node(node.name)
    made = context.make_node(
        _OPERATORS[mode][0],
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


def _holds_zeros(node: Any) -> bool:
    return node.is_const() and not np.any(node.get_tensor_value(as_list=False))


def _with_operator(loop: Any) -> Any:
    def inner_loop(
        layer: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        mode = _mode(layer)
        if mode is None:
            return loop(layer, sequences, initial_state, mask, training=training)
        return _run(layer, mode, sequences, list(initial_state), _flat(mask))

    return inner_loop


def _mode(layer: Any) -> str | None:
    """Return what the marking operator is to be, or ``None`` for a layer that ONNX has not."""
    from keras import activations, layers

    if type(layer) not in {layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN}:
        return None
    cell, kind = layer.cell, type(layer.cell)
    if kind is layers.SimpleRNNCell:
        return "rnn_tanh" if cell.activation is activations.tanh else None
    if kind not in {layers.LSTMCell, layers.GRUCell}:
        return None
    usual = cell.activation is activations.tanh
    usual &= cell.recurrent_activation is activations.sigmoid
    return {layers.LSTMCell: "lstm", layers.GRUCell: "gru"}[kind] if usual else None


def _flat(mask: Any) -> Any:
    # Keras passes one mask for each input, if there are several.
    return mask[0] if isinstance(mask, (list, tuple)) else mask


def _run(layer: Any, mode: str, x: Any, states: list[Any], mask: Any) -> Any:
    """Return the last output, all outputs and the last states, as Keras' loop does."""
    import tensorflow as tf

    given, units = mask, layer.cell.units
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
        first = [tf.zeros((1, 1, units))]
    made = tf.raw_ops.CudnnRNNV3(
        input=tf.transpose(x, [1, 0, 2]),
        input_h=first[0],
        input_c=first[-1],
        params=tf.constant(_packed(layer.cell, mode)),
        sequence_lengths=lengths,
        rnn_mode=mode,
        input_mode="linear_input" if getattr(layer.cell, "reset_after", True) else _RESET_FIRST,
        is_training=False,
    )
    last = [made.output_h, made.output_c][: len(states)]
    last = [tf.ensure_shape(tf.squeeze(state, 0), [states[0].shape[0], units]) for state in last]
    outputs = tf.transpose(made.output, [1, 0, 2])
    if mask is None:
        return last[0], outputs, last
    outputs = _spread(outputs, mask)
    # What Keras gives last is the last step's output, which is zero where no step ever counted.
    made = outputs[:, -1], outputs, last
    return zeroed(layer, given, made, unrolled_by_author=layer.unroll)


def _is_zero(state: Any) -> bool:
    import tensorflow as tf

    return state.op.type == "Fill" and bool(tf.get_static_value(state.op.inputs[1]) == 0)


def _spread(outputs: Any, mask: Any) -> Any:
    # A masked step has the output of the step before it, and zeros where there is none.
    import tensorflow as tf

    position = tf.cumsum(mask, axis=1) - 1
    spread = tf.gather(outputs, tf.maximum(position, 0), batch_dims=1)
    return tf.where((position >= 0)[:, :, None], spread, tf.zeros_like(spread))


def _packed(cell: Any, mode: str) -> Array:
    kernel, recurrent = (_value(w) for w in (cell.kernel, cell.recurrent_kernel))
    hidden, gates = len(recurrent), len(_OPERATORS[mode][1])
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
    gates = np.split(rows, len(_OPERATORS[mode][1]))
    return np.concatenate([gates[gate] for gate in _OPERATORS[mode][1]])


def _unpacked(packed: Array, mode: str, hidden: int) -> list[Array]:
    rows = len(_OPERATORS[mode][1]) * hidden
    recurrent, bias = rows * hidden, 2 * rows
    width = (len(packed) - recurrent - bias) // rows
    ends = np.cumsum([rows * width, recurrent])
    shapes = [(1, rows, width), (1, rows, hidden), (1, bias)]
    return [part.reshape(shape) for part, shape in zip(np.split(packed, ends), shapes, strict=True)]
