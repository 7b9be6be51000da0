"""A Keras language model as one that reads a few tokens at a time.

The layers of the model are called in the order of its graph with what they need to know of the
tokens before: a layer that looks at other tokens has a method ``read`` beside ``call``, or stands
in a table here. All other layers must treat every token alone, which :func:`reading_model` proves
with a trial.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from zoo_models.generation.kerashub import KerasHubReading, is_keras_hub, keras_hub_reading
from zoo_models.layers.cache import (
    MEMORY_KEY,
    MEMORY_VALUE,
    CausalBias,
    Entry,
    Memory,
    Reading,
)
from zoo_registry import UsageError

TOKENS, MASK = "token_ids", "padding_mask"
DECODER_TOKENS, DECODER_MASK = "decoder_token_ids", "decoder_padding_mask"
# Tokens of the trial: read at once, and then one by one.
_TRIAL = 6
_TOLERANCE = 1e-3
_Made = TypeVar("_Made", "ReadingModel", KerasHubReading)


@dataclass(frozen=True)
class ReadingModel:
    """A language model that reads new tokens behind those that it has read.

    Args:
        model: A functional causal or seq2seq model.
        entries: What it keeps, by name.
        vocab_size: Number of tokens.
        max_length: Positions that it has; ``None`` is any number.
        last_mixing: The last operation that looks at other tokens; what comes behind it is
            computed for the tokens whose logits are wanted alone.
    """

    model: Any
    entries: Mapping[str, Entry]
    vocab_size: int
    max_length: int | None
    last_mixing: int

    @property
    def is_seq2seq(self) -> bool:
        """Whether it has a source, read by :meth:`encode`."""
        return any(tensor.name == DECODER_TOKENS for tensor in self.model.inputs)

    def encode(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of a source: its mask, and what each attention to it needs.

        Args:
            source: The inputs of the encoder, batch first.
        """
        graph = _Graph(self.model, lambda layer, *args, **kw: layer(*args, **kw), source)
        memories = [layer.memory_heads(memory) for layer, memory in graph.run_encoder()]
        heads = {
            pattern.format(index): tensor
            for index, pair in enumerate(memories)
            for pattern, tensor in zip((MEMORY_KEY, MEMORY_VALUE), pair, strict=True)
        }
        return {**heads, MASK: source[MASK]}

    def read(
        self, tokens: Any, reading: Reading, *, every: bool = False
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Read new tokens.

        Args:
            tokens: int32 (batch, tokens).
            reading: Where they stand, and what was kept, with what :meth:`encode` returned. A
                single token has room there.
            every: Whether the hidden states of all tokens are wanted, not of the last one.

        Returns:
            Logits float (batch, vocab_size) of the token behind the last real one; float (batch,
            tokens or 1, width), what they are computed from; and what is new, by entry.
        """
        given = _given(self.is_seq2seq, tokens, reading.new_mask, reading.past)
        graph = _Graph(self.model, partial(_read, reading), given)
        cut = None if every else self.last_mixing
        logits, hidden = graph.run_decoder(Memory(reading), cut, reading.last)
        if every:
            logits = _at(logits, reading.last)
        return logits[:, 0], hidden, reading.new

    def keep(self, tokens: Any, reading: Reading) -> dict[str, Any]:
        """Read new tokens and return what is new alone, by entry; the head is not computed."""
        given = _given(self.is_seq2seq, tokens, reading.new_mask, reading.past)
        graph = _Graph(self.model, partial(_read, reading), given)
        graph.run_decoder(Memory(reading), self.last_mixing, reading.last, stop=True)
        return reading.new


def reading_model(model: Any) -> ReadingModel | KerasHubReading:
    """Return a model as one that reads a few tokens at a time, proved with a trial.

    Args:
        model: A functional ``keras.Model`` with ``token_ids`` and, for seq2seq, the inputs of
            the decoder; it gives ``logits`` for the token behind each. Or a ``CausalLM`` of
            KerasHub, which reads through its own ``call_with_cache``.

    Raises:
        UsageError: A model that gives no logits for each token, or has a layer that looks at other
            tokens in a way that is not known here; the layer is named.
    """
    vocab_size = _logits(model).shape[-1]
    if is_keras_hub(model):
        return _proved(keras_hub_reading(model), {})
    limits = [
        layer.max_length
        for layer in model._flatten_layers()
        if hasattr(layer, "read") and getattr(layer, "max_length", None) is not None
    ]
    made = ReadingModel(model, {}, vocab_size, min(limits, default=None), -1)
    return _tried(made)


def _tried(made: ReadingModel) -> ReadingModel:
    """Return a model with what it keeps of a text, proved."""
    tokens = _trial_tokens(made)
    fixed = {}
    if made.is_seq2seq:
        source = {TOKENS: _int(tokens), MASK: _int(np.ones_like(tokens))}
        fixed = made.encode(source)
    entries, last = _watched(made, tokens, fixed)
    return _proved(replace(made, entries=entries, last_mixing=last), fixed)


def _trial_tokens(made: ReadingModel | KerasHubReading) -> Any:
    length = min(_TRIAL, made.max_length or _TRIAL)
    random = np.random.default_rng(0)
    return random.integers(0, made.vocab_size, (2, length)).astype(np.int32)


def _proved(made: _Made, fixed: Mapping[str, Any]) -> _Made:
    """Read texts of two lengths in two ways; both must give what the whole model gives."""
    model, tokens = made.model, _trial_tokens(made)
    length = tokens.shape[1]
    padding = np.array([0, length // 3], np.int32)
    lengths = (length - padding)[:, None]
    steps = np.arange(length)[None]
    mask = (steps < lengths).astype(np.int32)
    # Whole texts have their padding behind them.
    texts = np.take_along_axis(tokens, (steps + padding[:, None]) % length, axis=1) * mask
    read = {TOKENS: tokens, MASK: np.ones_like(tokens), DECODER_TOKENS: texts, DECODER_MASK: mask}
    whole = _whole(model, read if made.is_seq2seq else {TOKENS: texts, MASK: mask})
    before, slot, room = _int(padding), _int(length - 1), [(0, 0), (0, 0), (0, 1), (0, 0)]
    given, last = _int(tokens[:, :-1]), _int(tokens[:, -1:])
    first, _, new = made.read(given, Reading.behind(given, before, _int(0), slot, fixed))
    past = {
        name: ops.pad(tensor, room) if made.entries[name].grows else tensor
        for name, tensor in new.items()
    }
    following = Reading.behind(last, before, slot, _int(1), {**fixed, **past})
    second, _, _ = made.read(last, following)
    rows = np.arange(len(tokens))
    for at, found in ((lengths[:, 0] - 2, first), (lengths[:, 0] - 1, second)):
        far = np.abs(ops.convert_to_numpy(found) - whole[rows, at]).max()
        if not far <= _TOLERANCE * max(1.0, float(np.abs(whole).max())):
            raise UsageError(
                f"Model '{model.name}' cannot read token by token: its logits would be {far:.3g} "
                f"from those of the whole text. {_suspects(made)}"
            )
    return made


def _suspects(made: ReadingModel | KerasHubReading) -> str:
    if isinstance(made, KerasHubReading):
        return f"That is so in KerasHub too: generate() of {type(made.model).__name__} is wrong."
    plain = {layer.name for layer in made.model._flatten_layers() if not _is_known(layer)}
    names = ", ".join(f"'{name}'" for name in sorted(plain)) or "none"
    return f"Layers that may look at other tokens in a way that is not known: {names}."


def _is_known(layer: Any) -> bool:
    module = type(layer).__module__
    return hasattr(layer, "read") or type(layer) in _READERS or module.startswith("zoo_models.")


def _watched(
    made: ReadingModel, tokens: Any, fixed: Mapping[str, Any]
) -> tuple[dict[str, Entry], int]:
    """Return the entries, and which operation was the last to keep one."""
    reading = Reading.behind(tokens, _int([0, 0]), _int(0), _int(tokens.shape[1]), fixed)
    counts: list[int] = []

    def call(layer: Any, *args: Any, **keywords: Any) -> Any:
        before = len(reading.entries)
        result = _read(reading, layer, *args, **keywords)
        counts.append(len(reading.entries) - before)
        return result

    given = _given(made.is_seq2seq, _int(tokens), _int(np.ones_like(tokens)), fixed)
    _Graph(made.model, call, given).run_decoder(Memory(reading), None, None)
    kept = [index for index, count in enumerate(counts) if count]
    if not kept:
        raise UsageError(
            f"Model '{made.model.name}' keeps nothing of a text: no layer of it looks at other "
            f"tokens in a way that is known. {_suspects(made)}"
        )
    return dict(reading.entries), kept[-1]


def _given(is_seq2seq: bool, tokens: Any, real: Any, past: Mapping[str, Any]) -> dict[str, Any]:
    if is_seq2seq:
        return {MASK: past[MASK], DECODER_TOKENS: tokens, DECODER_MASK: real}
    return {TOKENS: tokens, MASK: real}


class _Graph:
    """The operations of a functional model, called one after the other.

    Args:
        model: The model.
        call: How an operation is called: with itself and its arguments.
        given: Those of its inputs that are known.
    """

    def __init__(self, model: Any, call: Callable[..., Any], given: Mapping[str, Any]) -> None:
        self.call = call
        self.logits = _logits(model)
        self.hidden = _hidden(self.logits)
        depths = sorted(model._nodes_by_depth, reverse=True)
        self.nodes = [n for d in depths for n in model._nodes_by_depth[d] if not n.is_input]
        self.values = {id(t): given[t.name] for t in model.inputs if t.name in given}

    def run_encoder(self) -> Iterator[tuple[Any, Any]]:
        """Call all that the given inputs are enough for; yield who takes a result as a memory."""
        for node in self.nodes:
            known = [t for t in node.input_tensors if id(t) in self.values]
            if len(known) == len(node.input_tensors):
                self._call(node, {})
            elif known and _is_block(node.operation):
                yield node.operation, self.values[id(known[0])]

    def run_decoder(
        self, memory: Memory, cut: int | None, at: Any, *, stop: bool = False
    ) -> tuple[Any, Any]:
        """Call all that the given inputs are enough for; return logits and hidden states.

        Args:
            memory: Stands for what is not given.
            cut: Behind so many operations the tokens ``at`` go on alone.
            at: int32 (batch,).
            stop: Whether nothing is called behind the cut; then nothing is returned.
        """
        count, short = 0, set[int]()
        for node in self.nodes:
            inputs = node.input_tensors
            missing = {id(t): memory for t in inputs if id(t) not in self.values}
            if missing and (id(inputs[0]) in missing or not _is_block(node.operation)):
                continue
            if stop and cut is not None and count > cut:
                return None, None
            if cut is not None and count > cut:
                for tensor in inputs:
                    if id(tensor) not in short and len(tensor.shape) == 3:
                        self.values[id(tensor)] = _at(self.values[id(tensor)], at)
                short |= {id(tensor) for tensor in (*inputs, *node.outputs)}
            self._call(node, missing)
            count += 1
        return self.values[id(self.logits)], self.values[id(self.hidden)]

    def _call(self, node: Any, missing: Mapping[int, Any]) -> None:
        arguments, keywords = node.arguments.fill_in({**self.values, **missing})
        outputs = self.call(node.operation, *arguments, **keywords)
        for symbol, value in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            self.values[id(symbol)] = value


def _is_block(operation: Any) -> bool:
    return hasattr(operation, "memory_heads")


def _read(reading: Reading, layer: Any, *args: Any, **keywords: Any) -> Any:
    """Call an operation as one of a model that reads new tokens."""
    if type(layer) in _READERS:
        return _READERS[type(layer)](layer, reading, *args, **keywords)
    if hasattr(layer, "read"):
        return layer.read(reading, *args, **keywords)
    bias = next((value for value in args if isinstance(value, CausalBias)), None)
    if bias is not None and not isinstance(layer, keras.Layer):
        # A padding bias is added to it, and what is read has no padding between.
        return bias
    if isinstance(layer, keras.Layer):
        # Keras takes what is no tensor by its keyword alone.
        names = [*inspect.signature(layer.call).parameters]
        behind = dict(zip(names[1:], args[1:], strict=False))
        training = {"training": False} if layer._call_has_training_arg else {}
        return layer(*args[:1], **{**behind, **keywords, **training})
    return layer(*args, **keywords)


def _read_recurrent(layer: Any, reading: Reading, x: Any, mask: Any = None, **keywords: Any) -> Any:
    """Call an LSTM or GRU with the states that it left, and keep those that it leaves."""
    del keywords
    if mask is None and x.shape[1] != 1:
        mask = ops.cast(reading.new_mask, "bool")
    twin = object.__new__(type(layer))  # the same weights; Keras copies a layer by saving it
    # cuDNN knows no padding before a text.
    twin.__dict__.update({**vars(layer), "return_state": True, "use_cudnn": False})
    states = reading.kept_states(len(keras.tree.flatten(layer.cell.state_size)))
    outputs, *states = twin.call(x, initial_state=states, mask=mask, training=False)
    reading.keep_states(states)
    return outputs


_READERS: Mapping[type, Callable[..., Any]] = {
    keras.layers.LSTM: _read_recurrent,
    keras.layers.GRU: _read_recurrent,
    keras.layers.SimpleRNN: _read_recurrent,
}


def _logits(model: Any) -> Any:
    """Return the symbolic output of a language model."""
    outputs = dict(zip(model.output_names, model.outputs, strict=True))
    found = model.outputs[0] if is_keras_hub(model) else outputs.get("logits")
    names = {tensor.name for tensor in model.inputs}
    if found is None or len(found.shape) != 3 or TOKENS not in names:
        raise UsageError(
            f"Model '{model.name}' is not a language model: one takes '{TOKENS}' (batch, tokens) "
            "and gives 'logits' (batch, tokens, vocabulary)."
        )
    more = names - {TOKENS, MASK, DECODER_TOKENS, DECODER_MASK}
    if more:
        raise UsageError(
            f"Model '{model.name}' reads more than a text: it takes {', '.join(sorted(more))} too. "
            "Build it for texts alone."
        )
    return found


def _hidden(logits: Any) -> Any:
    """Return the tensor that the last product makes logits of."""
    tensor = logits
    while tensor.shape[-1] == logits.shape[-1]:
        before = tensor._keras_history.operation._inbound_nodes[
            tensor._keras_history.node_index
        ].input_tensors
        if len(before) != 1 or len(before[0].shape) != 3:
            return tensor
        tensor = before[0]
    return tensor


def _at(x: Any, positions: Any) -> Any:
    """Return float (batch, 1, width) of float (batch, tokens, width)."""
    return ops.take_along_axis(x, ops.reshape(positions, (-1, 1, 1)), axis=1)


def _whole(model: Any, given: Mapping[str, Any]) -> Any:
    """Return the logits of whole texts, padded where the model has one length."""
    length = given[TOKENS].shape[1]

    def padded(tensor: Any) -> Any:
        size = tensor.shape[1] or length
        return np.pad(given[tensor.name][:, :size], [(0, 0), (0, max(0, size - length))])

    arrays = {tensor.name: padded(tensor) for tensor in model.inputs}
    structure = keras.tree.pack_sequence_as(model._inputs_struct, list(arrays.values()))
    outputs = keras.tree.flatten(model(structure, training=False))
    symbols = [id(tensor) for tensor in keras.tree.flatten(model.outputs)]
    found = outputs[symbols.index(id(_logits(model)))]
    return ops.convert_to_numpy(found)[:, :length]


def _int(values: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(values), "int32")
