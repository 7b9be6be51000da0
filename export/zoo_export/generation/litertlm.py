"""A Keras language model to a ``.litertlm`` file, and the file run on what Keras wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.converters.cached_functions import POSITIONS, TOKENS
from zoo_export.converters.compositions import LITERT, composed
from zoo_export.converters.generation import bytes_per_token, for_litertlm
from zoo_export.converters.litert import edits
from zoo_export.converters.litert.convert import from_graphs, operators_in, weights_in
from zoo_export.converters.litert.merging import merge_products
from zoo_export.converters.mixed_precision import float_layers
from zoo_export.converters.tracing import Conversion, trace_function
from zoo_export.generation.dialect import CONVERSATION, PLAN, Dialect, Language, plain_tokenizer
from zoo_export.generation.packing import builder_module, pack, section
from zoo_runtime import schema
from zoo_runtime.errors import ExportError
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.generation.files import DECODE, LOGITS, PREFILL
from zoo_runtime.generation.sentencepiece import is_sentence_piece
from zoo_runtime.running.writing import Writer, open_litertlm
from zoo_runtime.tensors import Array, Arrays

_MODEL_FILE = "tokenizer.model"


def convert(
    conversion: Conversion,
    configure: Callable[[Any], None] = lambda converter: None,
    *,
    change: Callable[[bytes], bytes | bytearray] = lambda content: content,
) -> dict[str, Any]:
    """Write a ``.litertlm`` file and return what it holds.

    Args:
        conversion: What is converted; ``about`` has the plain data of a
            :class:`zoo_export.generation.plan.Plan` as ``plan``.
        configure: Sets further options of the ``TFLiteConverter``.
        change: Corrects what it made.

    Raises:
        ExportError: litert-lm-builder is not installed, or an operator that LiteRT has no built-in
            kernel for.
    """
    builder_module("litertlm_builder")  # a missing package is known before it takes long
    plan, model = conversion.about[PLAN], conversion.model
    context, lengths = plan["context"], tuple(plan["prefill_lengths"])
    options = replace(conversion.options, max_length=context, prefill_lengths=lengths)
    with composed(LITERT):
        functions, about = for_litertlm(replace(conversion, options=options), plan["vocab_size"])
        graphs = [trace_function(model, function) for function in functions]
    content = bytes(change(merge_products(from_graphs(graphs, model, configure))))
    facts = {
        "operators": operators_in(content),
        "weights": weights_in(content),
        "context_length": context,
        "prefill_lengths": list(lengths),
        "cache_bytes": context * bytes_per_token(about),
    }
    language = schema.read(Language, plan["language"], "language")
    known = {"Authors": "Kerazoo", "model_name": conversion.about["name"]}
    pack(conversion.path, content, context, language, known)
    return facts


def float16(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in float16."""
    return convert(conversion, change=edits.to_float16)


def dynamic_int8(conversion: Conversion) -> dict[str, Any]:
    """Store the weights in int8; activations are quantized while the model runs.

    Raises:
        ExportError: A layer that has to stay in float.
    """
    import tensorflow as tf

    for name in float_layers(conversion.model):
        raise ExportError(
            f"layer '{name}' has to stay in float, and LiteRT's converter leaves no layer out of "
            "this scheme"
        )

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return convert(conversion, configure, change=edits.share_tied)


class _Signatures:
    """The LiteRT file inside of a ``.litertlm`` file, called as LiteRT-LM does."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content)
        names = self._interpreter.get_signature_list()
        found = (name.partition("_")[2] for name in names if name.startswith(PREFILL))
        self._lengths = sorted(map(int, found))
        self._caches = {
            name: row
            for name, row in self._runner(DECODE).get_input_details().items()
            if name not in {TOKENS, POSITIONS}
        }

    def logits(self, tokens: Sequence[int], prompt: int) -> Array:
        """Return float32 (tokens - prompt, vocab_size) before each token behind the prompt."""
        kept = {name: np.zeros(row["shape"], row["dtype"]) for name, row in self._caches.items()}
        for begin, end, length in _chunks(prompt - 1, self._lengths):
            kept = self._call(f"{PREFILL}_{length}", tokens[begin:end], begin, length, kept)
        found = []
        for at in range(prompt - 1, len(tokens) - 1):
            kept = self._call(DECODE, tokens[at : at + 1], at, 1, kept)
            found.append(kept.pop(LOGITS)[0, 0])
        return np.asarray(found, np.float32)

    def _runner(self, name: str) -> Any:
        return self._interpreter.get_signature_runner(name)

    def _call(
        self, name: str, tokens: Sequence[int], begin: int, length: int, kept: Arrays
    ) -> dict[str, Array]:
        row, positions = np.zeros((1, length), np.int32), np.zeros(length, np.int32)
        row[0, : len(tokens)] = tokens
        positions[: len(tokens)] = np.arange(begin, begin + len(tokens))
        found: dict[str, Array] = self._runner(name)(**{TOKENS: row, POSITIONS: positions}, **kept)
        return found


def _chunks(count: int, lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield which tokens are read by a signature of which length, as LiteRT-LM chooses.

    Example:
        >>> list(_chunks(21, [4, 16]))
        [(0, 16, 16), (16, 21, 16)]
    """
    begin, largest = 0, max(lengths)
    while begin < count:
        rest = count - begin
        length = largest if rest >= largest else min(n for n in lengths if n >= rest)
        yield begin, begin + min(length, rest), length
        begin += length


def _logits(path: Path, writer: Writer) -> Callable[[Sequence[int], int], Array]:
    del writer  # it gives none
    return _Signatures(section(path, "TFLiteModel")).logits


def _written_tokenizer(tokenizer: Any, folder: Path) -> Path:
    if not is_sentence_piece(tokenizer):
        return plain_tokenizer(tokenizer, folder)
    path = folder / _MODEL_FILE
    path.write_bytes(tokenizer.model)
    return path


# LiteRT-LM gives the content of a message as a list of parts where a template does not refuse it.
_AS_TEXTS = (
    "{%- set texts = namespace(all=[]) -%}{%- for message in messages -%}"
    "{%- set parts = namespace(text='') -%}"
    "{%- if message.content is string -%}{%- set parts.text = message.content -%}{%- else -%}"
    "{%- for part in message.content -%}{%- set parts.text = parts.text ~ part.text -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- set texts.all = texts.all + [{'role': message.role, 'content': parts.text}] -%}"
    "{%- endfor -%}{%- set messages = texts.all -%}"
)


def _template(chat: ChatTemplate, start: int | None) -> tuple[str, str]:
    """LiteRT-LM knows no special tokens by name, and puts the start token there itself."""
    tokens = dict(chat.tokens or {})
    if start is not None:
        tokens["bos_token"] = ""
    named = "".join(f"{{%- set {name} = {json.dumps(text)} -%}}" for name, text in tokens.items())
    wanted = replace(chat, tokens=tokens).render(CONVERSATION)
    return f"{named}{_AS_TEXTS}{chat.template}", wanted


LITERT_LM = Dialect(
    runtime="LiteRT-LM",
    written_tokenizer=_written_tokenizer,
    template=_template,
    sampling=("temperature", "top_k", "top_p"),
    open=open_litertlm,
    logits=_logits,
)
