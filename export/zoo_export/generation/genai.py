"""A Keras language model to a folder that onnxruntime-genai runs by itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_export.converters.cache_names import DOTTED
from zoo_export.converters.generation import bytes_per_token, for_onnx
from zoo_export.converters.tracing import Conversion
from zoo_export.generation.dialect import (
    CONVERSATION,
    PLAN,
    Dialect,
    Language,
    plain_tokenizer,
)
from zoo_registry import UsageError
from zoo_runtime import schema
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.generation.genai import (
    CONFIG,
    MODEL,
    SAMPLING,
    TOKENIZER,
    TOKENIZER_CONFIG,
    open_genai,
)
from zoo_runtime.generation.sentencepiece import is_sentence_piece
from zoo_runtime.running.writing import Writer
from zoo_runtime.tensors import Array

# What its tokenizer must be called to be read as what it is, by the kind of its vocabulary.
_CLASSES = {"BPE": "PreTrainedTokenizerFast", "Unigram": "T5Tokenizer"}
# The plainest of its decoders: the graph itself counts positions, from the attention mask.
_TYPE = "llama"


def make(conversion: Conversion, convert: Callable[[Conversion], dict[str, Any]]) -> dict[str, Any]:
    """Write the folder and return what it holds.

    Args:
        conversion: What is converted; ``about`` has the plain data of a
            :class:`zoo_export.generation.plan.Plan` as ``plan``.
        convert: Writes an ONNX file.
    """
    plan, folder = conversion.about[PLAN], conversion.path
    functions, about = for_onnx(conversion)
    function = functions[-1]
    folder.mkdir()
    graph = replace(
        conversion,
        path=folder / MODEL,
        inputs=function.inputs,
        outputs=function.outputs,
        function=function,
        about={key: value for key, value in conversion.about.items() if key != PLAN},
    )
    facts = convert(graph)
    language = schema.read(Language, plan["language"], "language")
    shutil.copyfile(language.tokenizer, folder / TOKENIZER)
    _write(folder / TOKENIZER_CONFIG, _tokenizer_config(language, plan["context"]))
    shapes = [entry.shape for entry in about.cache]
    _write(folder / CONFIG, _config(language, plan["context"], about.vocab_size, shapes))
    return {
        **facts,
        "context_length": plan["context"],
        "cache_bytes": plan["context"] * bytes_per_token(about),
    }


def _tokenizer_config(language: Language, context: int) -> dict[str, Any]:
    kind = json.loads(Path(language.tokenizer).read_text("utf-8"))["model"]["type"]
    template = {} if language.template is None else {"chat_template": language.template}
    return {
        "tokenizer_class": _CLASSES[kind],
        "model_max_length": context,
        "add_bos_token": language.start is not None,
        "clean_up_tokenization_spaces": False,
        **language.special,
        **template,
    }


def _config(
    language: Language, context: int, vocab_size: int, shapes: Sequence[tuple[int | None, ...]]
) -> dict[str, Any]:
    heads, _, size = shapes[0]
    kinds = ("key", "value")
    past = {f"past_{kind}_names": DOTTED.past[kind].format("%d") for kind in kinds}
    present = {f"present_{kind}_names": DOTTED.new[kind].format("%d") for kind in kinds}
    start = {} if language.start is None else {"bos_token_id": language.start}
    return {
        "model": {
            "type": _TYPE,
            **start,
            "eos_token_id": list(language.stops),
            "pad_token_id": next(iter(language.stops), 0),
            "context_length": context,
            "vocab_size": vocab_size,
            "decoder": {
                "filename": MODEL,
                "head_size": size,
                "num_key_value_heads": heads,
                "num_hidden_layers": len(shapes) // len(kinds),
                "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **past},
                "outputs": {"logits": "logits", **present},
            },
        },
        "search": {**language.sampler, "max_length": context, "past_present_share_buffer": False},
    }


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _written_tokenizer(tokenizer: Any, folder: Path) -> Path:
    kind = "SentencePiece"
    if not is_sentence_piece(tokenizer):
        path = plain_tokenizer(tokenizer, folder)
        kind = str(json.loads(path.read_text("utf-8"))["model"]["type"])
        if kind in _CLASSES:
            return path
    raise UsageError(
        f"its tokenizer is one of {kind}, and onnxruntime-genai reads a tokenizer.json of "
        f"{' or '.join(_CLASSES)}: export it to onnx"
    )


def _template(chat: ChatTemplate, start: int | None) -> tuple[str, str]:
    del start  # the template has it where it belongs
    return chat.template, chat.render(CONVERSATION)


def _logits(path: Path, writer: Writer) -> Callable[[Sequence[int], int], Array]:
    del path
    found: Callable[[Sequence[int], int], Array] = writer.logits  # type: ignore[attr-defined]
    return found


GENAI = Dialect(
    runtime="onnxruntime-genai",
    is_uniform=True,
    written_tokenizer=_written_tokenizer,
    template=_template,
    sampling=SAMPLING,
    open=open_genai,
    logits=_logits,
)
