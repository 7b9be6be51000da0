"""The steps of recurrent layers with the product of inputs and kernel taken out of them.

Keras multiplies the input of every step by the kernel in the step. All of them at once are one
large product, which takes less time than so many small ones that each read the kernel again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras import layers, ops


@contextmanager
def projected_ahead(layer: Any, sequences: Any) -> Iterator[Any]:
    """Give what a layer is to take instead of ``sequences``, and let its cell take that.

    Cells and layers that are not Keras' own are left as they are.

    Args:
        layer: A recurrent layer, built.
        sequences: What it is called with: (batch, steps, features).
    """
    cell = layer.cell
    step = _STEPS.get(type(cell))
    if step is None or type(layer) not in _LAYERS:
        yield sequences
        return
    batch, steps, features = sequences.shape
    # One matrix: a product of more axes is another, slower operator of LiteRT.
    rows = ops.reshape(sequences, (-1, features))
    projected = ops.matmul(rows, cell.kernel)
    bias = _input_bias(cell)
    if bias is not None:
        projected = ops.add(projected, bias)
    cell.call = lambda inputs, states, training=False: step(cell, inputs, states)
    try:
        yield ops.reshape(projected, (batch or -1, steps, cell.kernel.shape[1]))
    finally:
        del cell.call


def _input_bias(cell: Any) -> Any:
    if not cell.use_bias:
        return None
    return cell.bias[0] if _has_two_biases(cell) else cell.bias


def _has_two_biases(cell: Any) -> bool:
    return cell.use_bias and len(cell.bias.shape) == 2


def _lstm(cell: Any, projected: Any, states: Any) -> tuple[Any, list[Any]]:
    hidden, carry = states
    sums = ops.split(ops.add(projected, ops.matmul(hidden, cell.recurrent_kernel)), 4, axis=1)
    let_in, keep, let_out = (cell.recurrent_activation(sums[gate]) for gate in (0, 1, 3))
    carry = keep * carry + let_in * cell.activation(sums[2])
    hidden = let_out * cell.activation(carry)
    return hidden, [hidden, carry]


def _gru(cell: Any, projected: Any, states: Any) -> tuple[Any, list[Any]]:
    (hidden,) = states
    of_update, of_reset, of_new = ops.split(projected, 3, axis=-1)
    units = cell.units
    kernel = cell.recurrent_kernel if cell.reset_after else cell.recurrent_kernel[:, : 2 * units]
    recurrent = ops.matmul(hidden, kernel)
    if _has_two_biases(cell):
        recurrent = ops.add(recurrent, cell.bias[1])
    update = cell.recurrent_activation(of_update + recurrent[:, :units])
    reset = cell.recurrent_activation(of_reset + recurrent[:, units : 2 * units])
    if cell.reset_after:
        candidate = reset * recurrent[:, 2 * units :]
    else:
        candidate = ops.matmul(reset * hidden, cell.recurrent_kernel[:, 2 * units :])
    hidden = update * hidden + (1 - update) * cell.activation(of_new + candidate)
    return hidden, [hidden]


def _simple(cell: Any, projected: Any, states: Any) -> tuple[Any, list[Any]]:
    hidden = ops.add(projected, ops.matmul(states[0], cell.recurrent_kernel))
    hidden = hidden if cell.activation is None else cell.activation(hidden)
    return hidden, [hidden]


_STEPS: dict[type, Callable[[Any, Any, Any], tuple[Any, list[Any]]]] = {
    layers.LSTMCell: _lstm,
    layers.GRUCell: _gru,
    layers.SimpleRNNCell: _simple,
}
_LAYERS = {layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN}
