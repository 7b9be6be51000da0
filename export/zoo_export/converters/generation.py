"""Functions with a cache, beside the whole model, that a file of a language model has.

Where sizes may vary (ONNX, SavedModel) ``decode`` takes ``past`` tensors and gives ``present``
ones, named as other programs read them. Where they are fixed (LiteRT) it takes the whole cache and
gives the slice of the new tokens alone, which its caller writes behind the others: no cache is
copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from zoo_export.converters.cache_names import (
    DOTTED,
    DOTTED_DECODER,
    LITERT,
    LITERT_LM,
    PLAIN,
    Names,
)
from zoo_export.converters.cached_functions import CachedFunctions
from zoo_export.converters.onnx.weights import share_weights
from zoo_export.converters.tracing import Conversion, Function
from zoo_export.options import ExportOptions
from zoo_models.generation.kerashub import KerasHubReading
from zoo_models.generation.reading import ReadingModel, reading_model
from zoo_registry import UsageError
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import FLOAT32
from zoo_runtime.generation.files import (
    DECODE,
    GENERATION,
    LOGITS,
    PREFILL,
    Generation,
    beside,
)

# Positions that a file of fixed sizes has where nothing is said and the model has more.
_MOST_POSITIONS = 1024


_Convert = Callable[[Conversion], dict[str, Any]]
_Make = Callable[[Conversion], tuple[tuple[Function, ...], Generation]]
# Among the facts: why each token reads the whole text again.
_UNCACHED = "no_cache"


def make_onnx(conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    """Write an ONNX file, and one for each function beside it, whose weights it has."""
    made = _functions(for_onnx, conversion)
    facts = convert(conversion)
    if isinstance(made, str):
        return facts | {_UNCACHED: made}
    functions, about = made
    for function in functions:
        path = beside(conversion.path, function.name)
        convert(
            replace(
                conversion,
                path=path,
                inputs=function.inputs,
                outputs=function.outputs,
                function=function,
            )
        )
        share_weights(path, conversion.path)
    return _with(facts, about, conversion.model)


def make_litert(conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    """Write a LiteRT file with a signature for each function."""
    return _together(for_litert, conversion, convert)


def make_saved_model(conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    """Write a SavedModel with a signature for each function."""
    return _together(for_saved_model, conversion, convert)


def _together(make: _Make, conversion: Conversion, convert: _Convert) -> dict[str, Any]:
    made = _functions(make, conversion)
    if isinstance(made, str):
        return convert(conversion) | {_UNCACHED: made}
    functions, about = made
    return _with(convert(replace(conversion, functions=functions)), about, conversion.model)


def _functions(
    make: _Make, conversion: Conversion
) -> tuple[tuple[Function, ...], Generation] | str:
    """Return the functions of a model, or why it has none."""
    try:
        return make(conversion)
    except UsageError as error:
        if conversion.options.cache_dtype != FLOAT32:
            raise ExportError(
                f"cache_dtype='{conversion.options.cache_dtype}' is for a cache, and it has none: "
                f"{str(error).rstrip('.')}. Leave it out"
            ) from error
        return str(error)


def _with(facts: dict[str, Any], about: Generation, model: Any) -> dict[str, Any]:
    weights = facts.get("weights", {"float32": model.count_params() * np.float32().nbytes})
    about = replace(about, weight_bytes=sum(weights.values()), cache_bytes=bytes_per_token(about))
    return {**facts, GENERATION: asdict(about)}


def bytes_per_token(about: Generation) -> int:
    """Return what one token adds to a cache."""
    return sum(
        math.prod(size for size in entry.shape if size is not None) * np.dtype(entry.dtype).itemsize
        for entry in about.cache
        if entry.grows
    )


def for_onnx(conversion: Conversion) -> tuple[tuple[Function, ...], Generation]:
    """Return ``decode``, and ``encode`` of a seq2seq model, as optimum names their tensors."""
    reading = reading_model(conversion.model)
    names = DOTTED_DECODER if reading.is_seq2seq else DOTTED
    made = CachedFunctions(reading, names, conversion, "int64")
    return (*made.encoders(), made.present(DECODE, with_past=True)), made.about()


def for_saved_model(conversion: Conversion) -> tuple[tuple[Function, ...], Generation]:
    """Return ``prefill`` and ``decode``, and ``encode`` of a seq2seq model."""
    made = CachedFunctions(reading_model(conversion.model), PLAIN, conversion, "int32")
    return (
        *made.encoders(),
        made.present(PREFILL, with_past=False),
        made.present(DECODE, with_past=True),
    ), made.about()


def for_litert(conversion: Conversion) -> tuple[tuple[Function, ...], Generation]:
    """Return ``prefill_N`` and ``decode``, and ``encode`` of a seq2seq model."""
    return _of_fixed_sizes(conversion, LITERT, in_place=False)


def _of_fixed_sizes(
    conversion: Conversion, names: Names, *, in_place: bool
) -> tuple[tuple[Function, ...], Generation]:
    made = CachedFunctions(reading_model(conversion.model), names, conversion, "int32", in_place)
    length, chosen = sizes(made.reading, conversion.options, conversion.model.name)
    functions = (
        *made.encoders(),
        *(made.slices(f"{PREFILL}_{n}", n, length, head=False) for n in chosen),
        made.slices(DECODE, 1, length, head=True),
    )
    grows = any(entry.grows for entry in made.reading.entries.values())
    most = length if grows else made.reading.max_length
    return functions, replace(made.about(), max_length=most, prefill_lengths=chosen)


def for_litertlm(
    conversion: Conversion, vocab_size: int
) -> tuple[tuple[Function, ...], Generation]:
    """Return ``decode`` and ``prefill_N`` as LiteRT-LM calls them, which write into the cache.

    Args:
        conversion: What is converted.
        vocab_size: Tokens that the tokenizer has; further ones are never written.
    """
    functions, about = _of_fixed_sizes(conversion, LITERT_LM, in_place=True)
    first = sorted(functions, key=lambda function: function.name != DECODE)
    return tuple(_with_vocabulary(function, vocab_size) for function in first), about


def sizes(
    reading: ReadingModel | KerasHubReading, options: ExportOptions, name: str
) -> tuple[int, tuple[int, ...]]:
    """Return the positions of a cache of fixed size, and what functions of their own read.

    Args:
        reading: The model.
        options: What was asked for.
        name: Of the model, for messages.

    Raises:
        ExportError: More positions than the model has.
    """
    most, wanted = reading.max_length, options.max_length
    length = min(most or _MOST_POSITIONS, _MOST_POSITIONS) if wanted is None else wanted
    if most is not None and length > most:
        raise ExportError(
            f"max_length={length:,}: model '{name}' has {most:,} positions: give as many or fewer"
        )
    chosen = tuple(n for n in options.prefill_lengths if n <= length)
    if options.prefill_lengths != ExportOptions().prefill_lengths:
        return length, chosen
    # A target text begins with one token, and a long function is for long texts.
    return length, tuple(
        n for n in chosen if 2 * n <= length and (n == chosen[0] or not reading.is_seq2seq)
    )


def _with_vocabulary(function: Function, vocab_size: int) -> Function:
    """Return a function whose logits end with the tokens that the tokenizer has."""

    def call(arrays: Mapping[str, Any]) -> dict[str, Any]:
        made = function.call(arrays)
        return {**made, LOGITS: made[LOGITS][..., :vocab_size]}

    outputs = tuple(
        replace(tensor, shape=(*tensor.shape[:-1], vocab_size)) if tensor.name == LOGITS else tensor
        for tensor in function.outputs
    )
    return (
        function if outputs == function.outputs else replace(function, outputs=outputs, call=call)
    )
