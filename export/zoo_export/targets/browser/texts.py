"""What the page can do with texts: which tokenizers it knows, and what it is told of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo_runtime.errors import ExportError
from zoo_runtime.generation.config import FILE, GenerationConfig
from zoo_runtime.generation.files import DECODE, beside
from zoo_runtime.generation.trained import default_config
from zoo_runtime.manifest import ASSETS, Artifact, Decoding, Manifest
from zoo_runtime.preprocess.steps import Step, TokenizeStep
from zoo_runtime.preprocess.texts import load_tokenizer, padding_id
from zoo_runtime.tokenizing import decoded, encoded

# What page/tokenizer.js knows; a test compares the names, and their ids with Python's.
NORMALIZERS = {
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Sequence",
}  # fmt: skip
SPLITTERS = {"BertPreTokenizer", "ByteLevel", "Digits", "Split", "Sequence"}
MODELS = {"BPE", "WordPiece", "WordLevel"}
# And what page/text.js knows.
DECODERS = {"ByteLevel", "Fuse", "Sequence", "WordPiece"}

# By model: settings that change the ids in ways that the page does not know.
_UNKNOWN_SETTINGS = {
    "BPE": (
        "dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
    ),
}  # fmt: skip
_LETTERS = {"Regex": r"[\s\S]"}


def facts(
    bundle: Path, manifest: Manifest, artifact: Artifact, steps: list[Step]
) -> dict[str, Any]:
    """Return what the page is told of a model of texts.

    Args:
        bundle: The bundle's folder.
        manifest: Its manifest to be.
        artifact: The one that the page runs.
        steps: Of its preprocessing; one is a :class:`TokenizeStep`.

    Raises:
        ExportError: The page cannot read or write texts as this model does.
    """
    name = next(step.tokenizer for step in steps if isinstance(step, TokenizeStep))
    check_tokenizer(bundle / ASSETS / name)
    tokenizer = load_tokenizer(bundle / ASSETS, name)
    found: dict[str, Any] = {"frame": frame(tokenizer)}
    if manifest.task != "causal-lm":
        return found
    if artifact.generation is not None:
        check_decoder(bundle / ASSETS / name)
        config = default_config(manifest.task, manifest.decoding or Decoding(), tokenizer)
        return found | {
            "kind": "writing",
            "generation": {
                "file": beside(bundle / artifact.path, DECODE).name,
                **asdict(artifact.generation),
                "config": _config(manifest, config),
            },
        }
    ids = [[token_id] for token_id in range(tokenizer.get_vocab_size())]
    found["labels"] = decoded(tokenizer, ids, skip_special_tokens=False)
    return found


def _config(manifest: Manifest, config: GenerationConfig) -> dict[str, Any]:
    """Return how the page writes: one text, by drawing or the most probable tokens."""
    for name in ("num_beams", "penalty_alpha"):
        if getattr(config, name) != getattr(GenerationConfig(), name):
            raise ExportError(
                f"The page draws tokens or takes the most probable ones; '{manifest.name}' is to "
                f"generate with {name}={getattr(config, name)}. Leave it out of its {FILE}."
            )
    return asdict(config)


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


def check_decoder(path: Path) -> None:
    """Refuse a tokenizer whose tokens the page cannot write as text.

    Args:
        path: Its file, as for :func:`check_tokenizer`.

    Raises:
        ExportError: It has a decoder that the page does not know.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    for part in _parts(data.get("decoder"), "decoders"):
        if part["type"] not in DECODERS:
            raise ExportError(
                f"The page cannot write text as '{path.name}' does: it has the decoder "
                f"{part['type']}. It knows {', '.join(sorted(DECODERS))}."
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
