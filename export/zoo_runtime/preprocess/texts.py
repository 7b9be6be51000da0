"""Texts as rows of token ids, by the ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.preprocess.pixels import kind_of
from zoo_runtime.tokenizing import asking, open_tokenizer

Rows = np.ndarray[Any, Any]


def load_tokenizer(assets: Path | None, name: str) -> Any:
    """Return a ``tokenizers.Tokenizer`` from the folder of assets.

    Raises:
        UsageError: There is no such file, or it is not a tokenizer.
    """
    path = None if assets is None else Path(assets) / name
    if path is None or not path.is_file():
        raise UsageError(f"Step 'tokenize' needs the file '{name}' among the assets: {assets}.")
    return open_tokenizer(path)


def encode(tokenizer: Any, texts: Sequence[Any], length: int) -> tuple[Rows, Rows, Rows]:
    """Return int32 token ids, padding mask and segment ids, all (texts, length).

    Args:
        tokenizer: A ``tokenizers.Tokenizer``; its padding settings are replaced.
        texts: Texts with at least one visible character, or pairs of them.
        length: Tokens in every row; longer texts are cut, shorter ones padded at the end.

    Raises:
        UsageError: As :func:`padded_encodings`.
    """
    encodings = padded_encodings(tokenizer, texts, length)
    try:
        token_ids = np.asarray([encoding.ids for encoding in encodings], np.int32)
    except OverflowError as error:
        raise UsageError(f"The tokenizer gives token ids beyond int32: {error}") from error
    masks = np.asarray([encoding.attention_mask for encoding in encodings], np.int32)
    return token_ids, masks, np.asarray([encoding.type_ids for encoding in encodings], np.int32)


def padded_encodings(tokenizer: Any, texts: Sequence[Any], length: int) -> list[Any]:
    """Return a ``tokenizers.Encoding`` for each text, cut and padded to ``length`` tokens.

    Raises:
        UsageError: Something that is not a text, a text without a token, or a tokenizer that cannot
            read it.
    """
    for index, raw in enumerate(texts):
        for text in raw if isinstance(raw, tuple) else (raw,):
            _check_text(text, index)
    with asking("The tokenizer cannot read this text"):
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=padding_id(tokenizer))
        encodings: list[Any] = tokenizer.encode_batch(list(texts))
    for index, encoding in enumerate(encodings):
        _check_tokens(encoding, texts[index], index)
    return encodings


def padding_id(tokenizer: Any) -> int:
    """Return the id of the padding token.

    It is BERT's or SentencePiece's; without one, the mask hides any token.
    """
    known = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
    return next((int(token_id) for token_id in known if token_id is not None), 0)


def _check_text(text: Any, index: int) -> None:
    if not isinstance(text, str):
        raise UsageError(f"Input {index} must be a text, not {kind_of(text)}.")
    if not text.strip():
        raise UsageError(f"Input {index} is an empty text: there is nothing to read in it.")


def _check_tokens(encoding: Any, raw: Any, index: int) -> None:
    if all(encoding.special_tokens_mask):
        text = " ".join(raw) if isinstance(raw, tuple) else raw
        raise UsageError(f"Input {index}, {text[:40]!r}, has no token once it is normalised.")
