"""The tokenizer that a model of KerasHub brings, as a file of its bundle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_export.reading.request import Request
from zoo_models.generation.kerashub import is_keras_hub, keras_hub_tokenizer, positions
from zoo_models.weights.sentencepiece_tokenizer import as_tokenizers
from zoo_registry import UsageError
from zoo_runtime.generation.files import GENERATING
from zoo_runtime.generation.sentencepiece import is_sentence_piece
from zoo_runtime.manifest import Decoding
from zoo_runtime.tokenizing import trust
from zoo_system.folders import ASSETS, TOKENIZER

# Tokens of a text in a whole model of fixed sizes, where nobody says how many.
_LENGTH = 128


def with_tokenizer(request: Request, work: Path) -> Request:
    """Return what is known of a ``CausalLM`` of KerasHub, with what reads and ends its texts.

    Args:
        request: The model, whatever it is; what a caller gave stays.
        work: A folder, for the tokenizer's file.
    """
    if request.is_run or not is_keras_hub(request.model):
        return request
    request = replace(request, task=request.task or GENERATING[0])
    if request.preprocessing or request.assets is not None:
        return request
    try:
        own = keras_hub_tokenizer(request.model)
        if own is None:
            return request
        tokenizer, config = own
        request = replace(request, tokenizer=own)
        text = (as_tokenizers(tokenizer) if is_sentence_piece(tokenizer) else tokenizer).to_str()
    except UsageError as error:
        return replace(request, no_tokenizer=str(error))
    folder = work / ASSETS
    folder.mkdir()
    (folder / TOKENIZER).write_text(text, encoding="utf-8")
    trust(text)
    length = request.options.sequence_length or min(_LENGTH, positions(request.model) or _LENGTH)
    step = {"step": "tokenize", "tokenizer": TOKENIZER, "length": length}
    return replace(
        request,
        preprocessing=(step,),
        assets=folder,
        decoding=request.decoding or Decoding(config=config),
    )


def tokenizer_content(model: Any) -> Iterator[bytes | str]:
    """Yield what decides how a ``CausalLM`` of KerasHub reads and ends texts."""
    own = None
    if is_keras_hub(model):
        with contextlib.suppress(UsageError):  # an export says why it has none
            own = keras_hub_tokenizer(model)
    if own is not None:
        tokenizer, config = own
        yield tokenizer.model if is_sentence_piece(tokenizer) else tokenizer.to_str()
        yield str(config)
