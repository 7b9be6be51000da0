"""KerasHub's causal language models as models that read new tokens behind a cache."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import keras_hub
from keras import ops

from zoo_models.layers.cache import KEY, VALUE, Entry, Reading
from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.generator import BY_DEFAULT
from zoo_runtime.generation.sentencepiece import SentencePieceTokenizer

TOKENS = "token_ids"
# Tokens of the text that shows what a model keeps of one.
_TRIAL = 3
_SLIDING = "_mask_sliding_window"
# What KerasHub's own `generate` ends a text at, beside the end of a text.
_ENDS_OF_TURNS = ("<end_of_turn>",)
# Files of a preset that has one.
_TOKENIZERS = ("preprocessor.json", "tokenizer.json")


def is_keras_hub(model: Any) -> bool:
    """Return whether a model is a ``CausalLM`` of KerasHub, with its functions of a cache."""
    return callable(getattr(model, "call_with_cache", None)) and hasattr(model, "_build_cache")


@dataclass(frozen=True)
class KerasHubReading:
    """A ``CausalLM`` of KerasHub as a ``ReadingModel``, through its own ``call_with_cache``.

    Args:
        model: The model.
        entries: Keys and values of each layer, by name.
        vocab_size: Number of tokens.
        max_length: Positions that it has; ``None`` is any number.
        is_stacked: Whether its cache is one tensor (batch, layers, 2, tokens, heads, head_dim), as
            that of most families, and not a tuple of a pair for each layer.
    """

    model: Any
    entries: Mapping[str, Entry]
    vocab_size: int
    max_length: int | None
    is_stacked: bool
    is_seq2seq: bool = False

    def encode(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse a source: no causal model has one."""
        raise UsageError(f"Model '{self.model.name}' reads no source: it is a causal model.")

    def read(
        self, tokens: Any, reading: Reading, *, every: bool = False
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Read new tokens; as :meth:`zoo_models.generation.reading.ReadingModel.read`.

        What was kept is of tokens from the first entry on, as :meth:`Reading.behind` has it.
        """
        hidden, new = self._read(tokens, reading)
        at = ops.reshape(reading.last, (-1, 1, 1))
        last = ops.take_along_axis(hidden, at, axis=1)
        return _logits(self.model, last)[:, 0], hidden if every else last, new

    def keep(self, tokens: Any, reading: Reading) -> dict[str, Any]:
        """Read new tokens and return what is new alone, by entry."""
        return self._read(tokens, reading)[1]

    def _read(self, tokens: Any, reading: Reading) -> tuple[Any, dict[str, Any]]:
        import tensorflow as tf

        past, begin = reading.past, reading.positions[:, 0]
        if not past or tokens.shape[0] == 1:
            return self._read_at(tokens, begin[0], past)
        # KerasHub has one position for all rows of a batch.
        is_same = tf.reduce_all(begin == begin[0])
        together, apart = self._read_at, self._read_rows
        read: tuple[Any, dict[str, Any]] = tf.cond(
            is_same, lambda: together(tokens, begin[0], past), lambda: apart(tokens, begin, past)
        )
        return read

    def _read_rows(
        self, tokens: Any, begin: Any, past: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        import tensorflow as tf

        names = sorted(past)

        def one(row: tuple[Any, ...]) -> Any:
            kept = {name: tensor[None] for name, tensor in zip(names, row[2:], strict=True)}
            read = self._read_at(row[0][None], row[1], kept)
            return keras.tree.map_structure(lambda tensor: tensor[0], read)

        given = (tokens, begin, *(past[name] for name in names))
        dtypes = {name: entry.dtype for name, entry in self.entries.items()}
        hidden = tf.as_dtype(self.model.compute_dtype)
        read: tuple[Any, dict[str, Any]] = tf.map_fn(
            one, given, fn_output_signature=(hidden, dtypes)
        )
        return read

    def _read_at(
        self, tokens: Any, index: Any, past: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Read tokens of which the first has the position ``index`` in every row."""
        rooms = {name: self._room(tokens, past.get(name), name) for name in self.entries}
        with _layers_that_read(self.model):
            _, hidden, cache = self.model.call_with_cache(tokens, self._cache(rooms), index)
            kept = self._entries(cache)
        rows, count = ops.shape(tokens)[0], ops.shape(tokens)[1]
        new = {}
        for name, tensor in kept.items():
            sizes = (rows, count, *tensor.shape[2:])
            new[name] = ops.transpose(ops.slice(tensor, (0, index, 0, 0), sizes), (0, 2, 1, 3))
        return hidden, new

    def _room(self, tokens: Any, past: Any, name: str) -> Any:
        """Return (batch, tokens, heads, head_dim) with room for new tokens behind those there."""
        heads, _, width = self.entries[name].shape
        rows, count = ops.shape(tokens)[0], ops.shape(tokens)[1]
        free = ops.zeros((rows, count, heads, width), self.entries[name].dtype)
        if past is None:
            return free
        if tokens.shape[1] == 1:  # who reads one token has room for it
            return ops.transpose(past, (0, 2, 1, 3))
        return ops.concatenate([ops.transpose(past, (0, 2, 1, 3)), free], axis=1)

    def _cache(self, tensors: Mapping[str, Any]) -> Any:
        """Return entries of (batch, tokens, heads, head_dim) as KerasHub has them."""
        layers = range(len(self.entries) // 2)
        pairs = [(tensors[KEY.format(at)], tensors[VALUE.format(at)]) for at in layers]
        if not self.is_stacked:
            return tuple(pairs)
        return ops.stack([ops.stack(pair, axis=1) for pair in pairs], axis=1)

    def _entries(self, cache: Any) -> dict[str, Any]:
        """Return what :meth:`_cache` was given."""
        layers = range(len(self.entries) // 2)
        pairs = [cache[:, at] for at in layers] if self.is_stacked else cache
        return {
            pattern.format(at): pair[:, kind] if self.is_stacked else pair[kind]
            for at, pair in enumerate(pairs)
            for kind, pattern in enumerate((KEY, VALUE))
        }


@contextmanager
def _layers_that_read(model: Any) -> Iterator[None]:
    """Let layers of a model look at the tokens of a call alone, and at no position beyond theirs.

    KerasHub makes a sliding window for all positions of the cache, squared, at every token, reads
    a row of its table of positions for padding too that is behind the last of them, and stacks
    the caches of all layers to take them apart again: here the parts are found again, and nothing
    is stacked in a graph.
    """
    import tensorflow as tf

    positions = keras_hub.layers.PositionEmbedding
    stacked: list[tuple[Any, Any]] = []
    sliding = {type(layer) for layer in model._flatten_layers() if hasattr(layer, _SLIDING)}
    with ExitStack() as stack:
        for owner, name, change in (
            (ops, "stack", _remembered(ops.stack, stacked)),
            (tf.Tensor, "__getitem__", _found_again(tf.Tensor.__getitem__, stacked)),
            (positions, "call", _within_table(positions.call)),
            *((kind, _SLIDING, _window) for kind in sliding),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, change)
        yield


def _remembered(stack: Callable[..., Any], stacked: list[tuple[Any, Any]]) -> Callable[..., Any]:
    def operation(parts: Any, axis: int = 0) -> Any:
        made = stack(parts, axis=axis)
        if axis == 1:
            stacked.append((made, parts))
        return made

    return operation


def _found_again(take: Callable[..., Any], stacked: list[tuple[Any, Any]]) -> Callable[..., Any]:
    def operation(tensor: Any, index: Any, *more: Any) -> Any:
        is_part = isinstance(index, tuple) and len(index) > 1 and isinstance(index[1], int)
        if is_part and index[0] == slice(None) and index[2:] in {(), (Ellipsis,)}:
            for made, parts in stacked:
                if made is tensor:
                    return parts[index[1]]
        return take(tensor, index, *more)

    return operation


def _within_table(call: Callable[..., Any]) -> Callable[..., Any]:
    def clipped(layer: Any, inputs: Any, start_index: Any = 0, positions: Any = None) -> Any:
        if positions is None:
            rows = start_index + ops.arange(ops.shape(inputs)[-2], dtype="int32")
            positions = ops.minimum(rows, layer.position_embeddings.shape[0] - 1)
        return call(layer, inputs, positions=positions)

    return clipped


def _window(layer: Any, attention_mask: Any, cache_update_index: Any = 0) -> Any:
    queries, keys = ops.shape(attention_mask)[1:]
    rows = cache_update_index + ops.arange(queries, dtype="int32")[:, None]
    columns = ops.arange(keys, dtype="int32")[None]
    is_near = ops.abs(rows - columns) < layer.sliding_window_size
    return ops.logical_and(attention_mask, is_near[None])


def keras_hub_reading(model: Any) -> KerasHubReading:
    """Return a ``CausalLM`` of KerasHub as one that reads new tokens behind a cache.

    Args:
        model: The model; its preprocessor is not used.

    Raises:
        UsageError: A model that keeps something else than keys and values of all tokens, such as
            the states of a linear attention.
    """
    tokens = ops.zeros((1, _TRIAL), "int32")
    asked = list(inspect.signature(model._build_cache).parameters)[1:]
    given: dict[str, Any] = dict.fromkeys(asked)
    if "padding_mask" in given:
        given["padding_mask"] = ops.ones((1, _TRIAL), "bool")
    _, cache = model._build_cache(tokens, **given)
    is_stacked = ops.is_tensor(cache)
    made = KerasHubReading(
        model, {}, model.outputs[0].shape[-1], _positions(model), is_stacked=is_stacked
    )
    if not _holds_heads(cache, is_stacked):
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(cache)]
        raise UsageError(
            f"Model '{model.name}' ({type(model).__name__}) keeps something else than keys and "
            f"values of all tokens: its cache has the shapes {shapes[:4]}."
        )
    sizes = cache.shape[-2:] if is_stacked else cache[0][0].shape[-2:]
    entry = Entry((sizes[0], None, sizes[1]), model.compute_dtype)
    layers = cache.shape[1] if is_stacked else len(cache)
    names = [pattern.format(at) for at in range(layers) for pattern in (KEY, VALUE)]
    return replace(made, entries=dict.fromkeys(names, entry))


def _holds_heads(cache: Any, is_stacked: bool) -> bool:
    if is_stacked:
        return len(cache.shape) == 6 and cache.shape[2:4] == (2, _TRIAL)
    pairs = list(cache) if isinstance(cache, list | tuple) else []
    return bool(pairs) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(len(x.shape) == 4 and x.shape[1] == _TRIAL for x in pair)
        for pair in pairs
    )


def _positions(model: Any) -> int | None:
    """Return how many positions a model was made for, where that is a table of it."""
    found = getattr(model.backbone, "max_sequence_length", None)
    return found if isinstance(found, int) else None


def _logits(model: Any, hidden: Any) -> Any:
    """Return what the model computes of hidden states of the backbone's last norm."""
    history = model.outputs[0]._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    first, *others = node.arguments.args
    del first
    return history.operation(hidden, *others, **node.arguments.kwargs)


def keras_hub_tokenizer(model: Any) -> tuple[Any, GenerationConfig] | None:
    """Return the tokenizer of a model's preprocessor, and how its texts end.

    Args:
        model: A ``CausalLM`` of KerasHub, with a preprocessor or loaded from a preset.

    Returns:
        A ``tokenizers.Tokenizer`` or :class:`SentencePieceTokenizer`, which puts before a text
        what KerasHub puts there; ``None`` where the model has no preprocessor.

    Raises:
        UsageError: A tokenizer of a kind that is not known here.
    """
    preprocessor = getattr(model, "preprocessor", None)
    preset = getattr(model, "keras_hub_preset", None)
    if preprocessor is None and preset is not None:
        preprocessor = _of_preset(model, preset)
    if preprocessor is None:
        return None
    source = preprocessor.tokenizer
    start = source.start_token_id if getattr(preprocessor, "add_start_token", True) else None
    kind = next((make for name, make in _KINDS if hasattr(source, name)), None)
    if kind is None:
        raise UsageError(
            f"Model '{model.name}' has a {type(source).__name__}: of KerasHub's tokenizers those "
            "of byte pairs and of SentencePiece are read; give one (tokenizer=)."
        )
    tokenizer = kind(source, start)
    config = replace(BY_DEFAULT, eos_token_id=_ends(source, tokenizer), bos_token_id=start)
    return tokenizer, config


def _of_preset(model: Any, preset: str) -> Any:
    if Path(preset).is_dir() and not any((Path(preset) / name).is_file() for name in _TOKENIZERS):
        return None
    try:
        return type(model).preprocessor_cls.from_preset(preset)
    except Exception as error:  # KerasHub, Kaggle's client and the network raise many kinds
        raise UsageError(
            f"KerasHub cannot load the tokenizer of '{preset}': {type(error).__name__}: {error}"
        ) from error


def _ends(source: Any, tokenizer: Any) -> tuple[int, ...]:
    found: Sequence[Any] = [
        source.end_token_id,
        getattr(source, "end_token2_id", None),
        *map(tokenizer.token_to_id, _ENDS_OF_TURNS),
    ]
    return tuple(dict.fromkeys(int(token) for token in found if token is not None))


def _byte_pairs(source: Any, start: int | None) -> Any:
    from tokenizers.processors import TemplateProcessing

    source._maybe_initialized_tokenizers()
    tokenizer = copy.deepcopy(source._tokenizer)
    if start is not None:
        token = tokenizer.id_to_token(start)
        tokenizer.post_processor = TemplateProcessing(
            single=[token, "$A"], special_tokens=[(token, start)]
        )
    return tokenizer


def _sentence_piece(source: Any, start: int | None) -> Any:
    return SentencePieceTokenizer(source.proto, start)


# What only a tokenizer of the kind has, and how it is made ours.
_KINDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("merges", _byte_pairs),
    ("proto", _sentence_piece),
)
