"""Whether a page can give a text the same token numbers as the ``tokenizers`` library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo_runtime.errors import ExportError
from zoo_runtime.preprocess.texts import padding_id
from zoo_runtime.tokenizing import encoded

# What page/tokenizer.js knows; a test compares the names, and their numbers with Python's.
NORMALIZERS = {
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Sequence",
}  # fmt: skip
SPLITTERS = {"BertPreTokenizer", "ByteLevel", "Split", "Sequence"}
MODELS = {"BPE", "WordPiece", "WordLevel"}

# By model: settings that change the numbers in ways that the page does not know.
_UNKNOWN_SETTINGS = {
    "BPE": (
        "dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
    ),
}  # fmt: skip
_LETTERS = {"Regex": r"[\s\S]"}


def check_tokenizer(path: Path) -> None:
    """Refuse a tokenizer that the page does not know.

    Args:
        path: Its file, which the ``tokenizers`` library can read.

    Raises:
        ExportError: It has a part or a setting that the page would have to guess.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    for problem in _problems(data):
        raise ExportError(
            f"The page cannot tokenise as '{path.name}' does: it has {problem}. It knows the "
            f"models {', '.join(sorted(MODELS))}, the normalizers {', '.join(sorted(NORMALIZERS))} "
            f"and the pre-tokenizers {', '.join(sorted(SPLITTERS))}."
        )


def frame(tokenizer: Any) -> dict[str, Any]:
    """Return the tokens that are put before and after every text, and the one that fills up.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.

    Raises:
        ExportError: It puts a single text in other segments than the first.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> frame(Tokenizer(models.WordLevel({"a": 0, "[PAD]": 1}, unk_token="a")))
        {'prefix': [], 'suffix': [], 'padding': 1}
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = encoded(tokenizer, ["a"])[0]
    if any(encoding.type_ids):
        raise ExportError("The page cannot tokenise as this: one text alone is not all segment 0.")
    own = [at for at, special in enumerate(encoding.special_tokens_mask) if not special]
    first, end = (own[0], own[-1] + 1) if own else (len(encoding.ids), len(encoding.ids))
    return {
        "prefix": encoding.ids[:first],
        "suffix": encoding.ids[end:],
        "padding": padding_id(tokenizer),
    }


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    for part in _parts(data.get("normalizer"), "normalizers"):
        if part["type"] not in NORMALIZERS:
            yield f"the normalizer {part['type']}"
    for part in _parts(data.get("pre_tokenizer"), "pretokenizers"):
        if part["type"] not in SPLITTERS:
            yield f"the pre-tokenizer {part['type']}"
        elif part["type"] == "Split" and not _by_letters(part):
            yield f"a Split at {part['pattern']}"
    model = data["model"]
    if model["type"] not in MODELS:
        yield f"a model of type {model['type']}"
    for setting in _UNKNOWN_SETTINGS.get(model["type"], ()):
        if model.get(setting):
            yield f"{setting}={model[setting]!r}"
    for token in data.get("added_tokens", ()):
        yield from _token_problems(token, has_normalizer=data.get("normalizer") is not None)


def _parts(part: Mapping[str, Any] | None, key: str) -> Iterator[Mapping[str, Any]]:
    if part is not None:
        yield part
        for inner in part.get(key, ()):
            yield from _parts(inner, key)


def _by_letters(part: Mapping[str, Any]) -> bool:
    return part["pattern"] == _LETTERS and part["behavior"] == "Isolated" and not part["invert"]


def _token_problems(token: Mapping[str, Any], *, has_normalizer: bool) -> Iterator[str]:
    for setting in ("lstrip", "rstrip", "single_word"):
        if token.get(setting):
            yield f"the token {token['content']} with {setting}"
    if token.get("normalized") and has_normalizer:
        yield f"the token {token['content']} that is looked for after normalising"
