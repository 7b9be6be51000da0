"""A recurrent layer in LiteRT: a loop over its steps, or every step unrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from keras import layers, ops, tree

from zoo_export.options import LOOP, UNROLL
from zoo_runtime.errors import ExportError

# Up to so many steps an unrolled layer took 0.35 to 1.05 times as long as its loop (4 to 16
# steps, 16 to 256 units, masked); beyond, kernels that are packed for every step fill the caches.
MOST_UNROLLED = 16
_LAYERS = {layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN}


@contextmanager
def recurrent_layers(
    model: Any, wanted: str | None, *, loops: bool
) -> Iterator[dict[str, dict[str, Any]]]:
    """Let the recurrent layers of a model be traced as loops or unrolled.

    Args:
        model: The Keras model.
        wanted: ``"loop"`` or ``"unroll"`` for all of them; by default, what suits the number of
            their steps, and what its author has unrolled stays so.
        loops: Whether the converter can take loops.

    Yields:
        What each layer that was traced inside became: ``strategy`` and number of ``steps``.
    """
    import keras

    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.RNN):
                stack.enter_context(_decided(layer, wanted if loops else UNROLL, found))
        yield found


@contextmanager
def _decided(layer: Any, wanted: str | None, found: dict[str, dict[str, Any]]) -> Iterator[None]:
    # Only inside its call is the number of steps known.
    plain, unroll, zeroes = layer.inner_loop, layer.unroll, layer.zero_output_for_mask

    def inner_loop(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        steps = sequences.shape[1]
        short = unroll or (steps is not None and steps <= MOST_UNROLLED)
        layer.unroll = short if wanted is None else wanted == UNROLL
        if layer.unroll and steps is None:
            raise ExportError(
                f"layer '{layer.name}' has a number of steps that is known only when data arrive, "
                "and its steps cannot be unrolled"
            )
        found[layer.name] = {"strategy": UNROLL if layer.unroll else LOOP, "steps": steps}
        with projected_ahead(layer, sequences) as projected:
            layer.zero_output_for_mask = zeroes and mask is None
            made = plain(projected, initial_state, mask, training=training)
        layer.zero_output_for_mask = zeroes
        return zeroed(layer, mask, made, unrolled_by_author=unroll)

    layer.inner_loop = inner_loop
    try:
        yield
    finally:
        del layer.inner_loop
        layer.unroll, layer.zero_output_for_mask = unroll, zeroes


def zeroed(layer: Any, mask: Any, made: Any, *, unrolled_by_author: bool) -> Any:
    """Return what the steps of a layer made, with zeros for masked steps if it asks for them.

    Keras does that inside its loop. Its unrolled code does it behind the steps, by the mask in the
    order of the input even where the steps run backwards: right only for a layer that its author
    has unrolled, whose answers are those.

    Args:
        layer: The recurrent layer.
        mask: The mask of its input: (batch, steps); one, or one for each input.
        made: Its last output, all outputs, both as if it asked for no zeros, and last states.
        unrolled_by_author: Whether Keras itself runs its unrolled code.
    """
    if mask is None or not layer.zero_output_for_mask:
        return made
    last, outputs, states = made
    given = ops.cast(tree.flatten(mask)[0], "bool")
    in_order = ops.flip(given, axis=1) if layer.go_backwards else given
    if layer.return_sequences:
        outputs = _where(given if unrolled_by_author else in_order, outputs)
    return _where(in_order[:, -1], last), outputs, states


def _where(mask: Any, values: Any) -> Any:
    missing = len(values.shape) - len(mask.shape)
    mask = ops.expand_dims(mask, axis=list(range(-missing, 0))) if missing > 0 else mask
    return ops.where(mask, values, ops.zeros_like(values))


# The steps of recurrent layers with the product of inputs and kernel taken out of them.
#
# Keras multiplies the input of every step by the kernel in the step. All of them at once are one
# large product, which takes less time than so many small ones that each read the kernel again.


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
