"""A recurrent layer in LiteRT: a loop over its steps, or every step written out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from keras import ops, tree

from zoo_export.converters.litert.recurrent_steps import projected_ahead
from zoo_export.options import LOOP, UNROLL
from zoo_runtime.errors import ExportError

# Up to so many steps a layer written out took 0.35 to 1.05 times as long as its loop (4 to 16
# steps, 16 to 256 units, masked); beyond, kernels that are packed for every step fill the caches.
MOST_UNROLLED = 16


@contextmanager
def recurrent_layers(
    model: Any, wanted: str | None, *, loops: bool
) -> Iterator[dict[str, dict[str, Any]]]:
    """Let the recurrent layers of a model be traced as loops or written out.

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
                "and its steps cannot be written out"
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
