"""A language model as the signatures that LiteRT-LM calls: ``prefill_N`` and ``decode``.

Names and layout are those that its executor looks for: ``tokens`` int32 (1, N), ``input_pos`` int32
(N,), and for each layer ``kv_cache_k_I`` and ``kv_cache_v_I`` (1, heads, context, head_dim), which
go in and come out; ``decode`` also gives ``logits`` (1, 1, vocab_size). The positions of padding
behind the tokens of a call are 0, so new rows go to ``input_pos[0]`` and on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo_models.layers.cache import KEY, VALUE, Entry, Reading
from zoo_registry import UsageError
from zoo_runtime.generation.files import DECODE, LOGITS

PREFILL = "prefill_{}"
TOKENS, POSITIONS = "tokens", "input_pos"
_CACHES = {KEY: "kv_cache_k_{}", VALUE: "kv_cache_v_{}"}


def cache_names(reading: Any) -> dict[str, str]:
    """Return what LiteRT-LM calls each entry of a reading model.

    Args:
        reading: As :func:`zoo_models.generation.reading.reading_model` returns it.

    Raises:
        UsageError: A model that keeps something else than keys and values of all tokens.
    """
    entries: Mapping[str, Entry] = reading.entries
    layers = range(len(entries))
    known = {
        pattern.format(layer): theirs.format(layer)
        for layer in layers
        for pattern, theirs in _CACHES.items()
    }
    other = [name for name, entry in entries.items() if name not in known or not entry.grows]
    if reading.is_seq2seq or other:
        what = "a source that it reads first" if reading.is_seq2seq else f"'{other[0]}'"
        raise UsageError(
            f"model '{reading.model.name}' keeps {what}, and LiteRT-LM keeps the keys and values "
            "of one text alone: export it to tflite or onnx"
        )
    return {name: known[name] for name in entries}


def traced(
    reading: Any, context: int, prefill_lengths: Sequence[int], vocab_size: int
) -> dict[str, tuple[Any, Any]]:
    """Return each signature as a ``tf.function`` and its concrete function; ``decode`` is first.

    Args:
        reading: As :func:`zoo_models.generation.reading.reading_model` returns it.
        context: Positions of the cache.
        prefill_lengths: Tokens that each prefill signature reads.
        vocab_size: Tokens that the tokenizer has; further ones are never written.
    """
    found = {DECODE: _traced(reading, context, 1, vocab_size)}
    return found | {PREFILL.format(n): _traced(reading, context, n) for n in prefill_lengths}


def _traced(
    reading: Any, context: int, steps: int, vocab_size: int | None = None
) -> tuple[Any, Any]:
    """Return a signature; without a size of the vocabulary one without logits."""
    import tensorflow as tf

    names = cache_names(reading)

    def run(**inputs: Any) -> dict[str, Any]:
        past = {entry: inputs[name] for entry, name in names.items()}
        begin = inputs[POSITIONS][:1]
        call = Reading.behind(
            inputs[TOKENS], tf.zeros(1, tf.int32), begin[0], tf.constant(steps), past
        )
        scores: dict[str, Any] = {}
        if vocab_size is None:
            new = reading.keep(inputs[TOKENS], call)
        else:
            logits, _, new = reading.read(inputs[TOKENS], call)
            scores = {LOGITS: logits[:, None, :vocab_size]}
        written = {n: _written(past[entry], new[entry], begin[0]) for entry, n in names.items()}
        return {**scores, **written}

    run.__name__ = PREFILL.format(steps) if vocab_size is None else DECODE
    specs = {
        TOKENS: tf.TensorSpec((1, steps), tf.int32, TOKENS),
        POSITIONS: tf.TensorSpec((steps,), tf.int32, POSITIONS),
    }
    for entry, name in names.items():
        heads, _, width = reading.entries[entry].shape
        specs[name] = tf.TensorSpec((1, heads, context, width), tf.float32, name)
    function = tf.function(run, autograph=False)
    return function, function.get_concrete_function(**specs)


def _written(cache: Any, new: Any, begin: Any) -> Any:
    """Return a cache with new rows from a position on."""
    from keras import ops

    context, steps = cache.shape[2], new.shape[2]
    # Padding behind the last tokens of a full context has no position in it.
    room = cache if steps == 1 else ops.pad(cache, [(0, 0), (0, 0), (0, steps), (0, 0)])
    return ops.slice_update(room, (0, 0, begin, 0), new)[:, :, :context]
