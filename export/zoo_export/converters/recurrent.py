"""A recurrent layer in LiteRT: a loop over its steps, or every step written out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from zoo_export.converters.recurrent_steps import projected_ahead
from zoo_export.litert_options import LOOP, UNROLL

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
    plain, unroll = layer.inner_loop, layer.unroll

    def inner_loop(sequences: Any, *rest: Any, **named: Any) -> Any:
        steps = int(sequences.shape[1])
        short = unroll or steps <= MOST_UNROLLED
        layer.unroll = short if wanted is None else wanted == UNROLL
        found[layer.name] = {"strategy": UNROLL if layer.unroll else LOOP, "steps": steps}
        with projected_ahead(layer, sequences) as projected:
            return plain(projected, *rest, **named)

    layer.inner_loop = inner_loop
    try:
        yield
    finally:
        del layer.inner_loop
        layer.unroll = unroll
