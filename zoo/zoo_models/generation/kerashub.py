"""KerasHub's causal language models as models that read new tokens behind a cache."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from keras import ops

from zoo_models.layers.cache import KEY, VALUE, Entry, Reading, written
from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.generator import BY_DEFAULT
from zoo_runtime.generation.sentencepiece import SentencePieceTokenizer

TOKENS = "token_ids"
# Tokens of the text that shows what a model keeps of one.
_TRIAL = 3
_SLIDING, _CAUSAL = "_mask_sliding_window", "compute_causal_mask"
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

        Padding stands before a text alone: KerasHub has one position for all rows of a batch.
        """
        hidden, new = self._read(tokens, reading)
        at = ops.reshape(reading.last, (-1, 1, 1))
        last = ops.take_along_axis(hidden, at, axis=1)
        return _logits(self.model, last)[:, 0], hidden if every else last, new

    def keep(self, tokens: Any, reading: Reading) -> dict[str, Any]:
        """Read new tokens and return what is new alone, by entry."""
        return self._read(tokens, reading)[1]

    def _read(self, tokens: Any, reading: Reading) -> tuple[Any, dict[str, Any]]:
        writing = _Writing(self.model, tokens, reading)
        rooms = {name: writing.room(name, entry) for name, entry in self.entries.items()}
        with writing.watched():
            _, hidden, cache = self.model.call_with_cache(tokens, self._cache(rooms), writing.slot)
            kept = self._entries(cache)
        new = {name: writing.new_of(tensor) for name, tensor in kept.items()}
        if reading.in_place:
            past, slot = reading.past, reading.slot
            new = {name: written(past[name], tensor, slot) for name, tensor in new.items()}
        return hidden, new

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


class _Writing:
    """One call of a model, whose layers look at real tokens alone and write into one cache.

    KerasHub makes a sliding window for all positions of the cache, squared, at every token, reads
    a row of its table of positions for padding too that is behind the last of them, and stacks
    the caches of all layers to take them apart again: here the parts are found again, and nothing
    is stacked in a graph. Where a call comes behind all that is kept, its keys and values are put
    there, not written into a slice that the running graph finds, which ONNX has no operator for.

    Args:
        model: The model.
        tokens: int32 (batch, tokens), new ones.
        reading: The call.
    """

    def __init__(self, model: Any, tokens: Any, reading: Reading) -> None:
        self.model, self.reading = model, reading
        self.rows, self.count = ops.shape(tokens)
        kept = reading.past.get(KEY.format(0))
        self.kept = 0 if kept is None else ops.shape(kept)[2]
        # Of a layer's arguments either all are tensors or none.
        slot = self.kept if reading.slot is None else reading.slot
        self.slot = ops.convert_to_tensor(slot, "int32")
        # Who reads one token has room for it.
        self.has_room = reading.slot is not None and kept is not None and tokens.shape[1] == 1
        self.rooms: list[tuple[Any, Any]] = []
        self.stacked: list[tuple[Any, Any]] = []
        self.written: list[tuple[Any, Any]] = []

    def room(self, name: str, entry: Entry) -> Any:
        """Return (batch, tokens, heads, head_dim) of an entry, with room for new tokens."""
        heads, _, width = entry.shape
        past = self.reading.past.get(name)
        past = None if past is None else ops.transpose(past, (0, 2, 1, 3))
        parts = [] if past is None else [past]
        if not self.has_room:
            parts.append(ops.zeros((self.rows, self.count, heads, width), entry.dtype))
        room = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
        self.rooms.append((room, past))
        return room

    def new_of(self, tensor: Any) -> Any:
        """Return (batch, heads, tokens, head_dim), what is new in an entry of the cache."""
        found = _found(self.written, tensor)
        if found is None:
            sizes = (self.rows, self.count, *tensor.shape[2:])
            found = ops.slice(tensor, (0, self.slot, 0, 0), sizes)
        return ops.transpose(found, (0, 2, 1, 3))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let the layers of the model read as this call does."""
        import keras_hub
        import tensorflow as tf

        positions = keras_hub.layers.PositionEmbedding
        layers = [kind for each in self.model._flatten_layers() for kind in type(each).__mro__]
        changes = [
            (ops, "slice_update", self._written(ops.slice_update)),
            (ops, "stack", self._stacked(ops.stack)),
            (tf.Tensor, "__getitem__", self._taken(tf.Tensor.__getitem__)),
            (positions, "call", self._positioned(positions.call)),
            *((kind, _SLIDING, _window) for kind in set(layers) if _SLIDING in vars(kind)),
            *(
                (module, _CAUSAL, self._causal(getattr(module, _CAUSAL)))
                for module in {sys.modules[kind.__module__] for kind in layers}
                if hasattr(module, _CAUSAL)
            ),
        ]
        with ExitStack() as stack:
            for owner, name, change in changes:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, change)
            yield

    def _written(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def operation(cache: Any, start: Any, new: Any) -> Any:
            is_room = any(room is cache for room, _ in self.rooms)
            if is_room and self.reading.slot is None:
                past = _found(self.rooms, cache)
                made = new if past is None else ops.concatenate([past, new], axis=1)
            else:
                made = update(cache, start, new)
            self.written.append((made, new))
            return made

        return operation

    def _stacked(self, stack: Callable[..., Any]) -> Callable[..., Any]:
        def operation(parts: Any, axis: int = 0) -> Any:
            made = stack(parts, axis=axis)
            if axis == 1:
                self.stacked.append((made, parts))
            return made

        return operation

    def _taken(self, take: Callable[..., Any]) -> Callable[..., Any]:
        def operation(tensor: Any, index: Any, *more: Any) -> Any:
            is_part = isinstance(index, tuple) and len(index) > 1 and isinstance(index[1], int)
            if is_part and index[0] == slice(None) and index[2:] in {(), (Ellipsis,)}:
                parts = _found(self.stacked, tensor)
                if parts is not None:
                    return parts[index[1]]
            return take(tensor, index, *more)

        return operation

    def _positioned(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def at(layer: Any, inputs: Any, start_index: Any = 0, positions: Any = None) -> Any:
            del start_index, positions
            last = layer.position_embeddings.shape[0] - 1
            return call(layer, inputs, positions=ops.minimum(self.reading.positions, last))

        return at

    def _causal(self, causal: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*sizes: Any, **named: Any) -> Any:
            return ops.logical_and(causal(*sizes, **named), self._real()[:, None])

        return operation

    def _real(self) -> Any:
        """Return bool (batch or 1, tokens of the cache), which of them are not padding."""
        if self.reading.slot is None:
            masks = [self.reading.past_mask, self.reading.new_mask]
            return ops.concatenate(masks, axis=1) > 0
        size = self.kept if self.has_room else self.kept + self.count
        slots = ops.arange(size, dtype="int32")[None]
        return slots >= self.reading.padding


def _found(pairs: Sequence[tuple[Any, Any]], tensor: Any) -> Any:
    return next((value for key, value in pairs if key is tensor), None)


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
        model, {}, model.outputs[0].shape[-1], positions(model), is_stacked=is_stacked
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


def positions(model: Any) -> int | None:
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
