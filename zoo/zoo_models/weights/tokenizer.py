"""The tokenizer that a snapshot comes with, by the ``tokenizers`` library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo_models.weights.snapshot import CONFIG, read_json
from zoo_registry import UsageError
from zoo_runtime.tokenizing import asking, open_tokenizer

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
SPECIAL, ADDED = "special_tokens_map.json", "added_tokens.json"
WORDPIECE, BYTE_BPE = ("vocab.txt",), ("vocab.json", "merges.txt")
# Of the SentencePiece library; transformers writes the same tokenizer as tokenizer.json.
SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model")
# Why there is no tokenizer of a GGUF file.
GGML = "tokenizer.ggml.txt"
BERT_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
GPT2_SPECIAL = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
ROBERTA_SPECIAL = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
# Whose byte-level files are framed as RoBERTa's are.
_AS_ROBERTA = ("roberta", "bart", "longformer", "led", "mvp", "deberta")
# Which put the space before a text themselves, whatever a whole file says.
_BYTE_CLASSES = (*_AS_ROBERTA, "gpt2")
# BertNormalizer's words for those of the settings.
_NORMALIZED = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# Of a vocabulary alone: transformers, too, leaves a whole tokenizer.json as it is.
_ENDS = ("add_bos_token", "add_eos_token")


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder has the files of a tokenizer that :func:`read_tokenizer` reads."""
    return any(_has(folder, names) for names in ((FILE,), WORDPIECE, BYTE_BPE))


def unread_tokenizer(folder: Path) -> tuple[str, ...]:
    """Return the tokenizer files of a folder that nothing here reads, and what to do."""
    if (folder / GGML).is_file():
        return ((folder / GGML).read_text(encoding="utf-8"),)
    held = [name for name in SENTENCEPIECE if (folder / name).is_file()]
    return tuple(
        f"{name} (SentencePiece; transformers' AutoTokenizer.from_pretrained(...)."
        f"save_pretrained(...) writes it as {FILE})"
        for name in held
    )


def read_tokenizer(folder: Path, *, lowered: bool = False) -> Any:
    """Return the tokenizer of a folder, as :func:`zoo.load_tokenizer` does.

    Args:
        folder: Where its files are.
        lowered: Whether a text has no capitals before anything else is done to it.
    """
    settings = _settings(folder)
    if (folder / FILE).is_file():
        tokenizer = _with_settings(open_tokenizer(folder / FILE), folder, settings)
    elif _has(folder, WORDPIECE):
        tokenizer = _wordpiece(folder, settings)
    elif _has(folder, BYTE_BPE):
        tokenizer = _byte_bpe(folder, settings)
    else:
        wanted = f"{FILE}, {WORDPIECE[0]} or {' and '.join(BYTE_BPE)}"
        unread = "".join(f" Not read: {file}." for file in unread_tokenizer(folder))
        raise UsageError(f"'{folder}' has no tokenizer: none of {wanted}.{unread}")
    if lowered:
        tokenizer.normalizer = _lowered(tokenizer.normalizer)
    # Whoever saved it may have left the lengths of an example there.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _lowered(normalizer: Any) -> Any:
    from tokenizers import normalizers

    first = normalizers.Lowercase()
    return first if normalizer is None else normalizers.Sequence([first, normalizer])


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in names)


def _settings(folder: Path) -> dict[str, Any]:
    files = [folder / name for name in (SPECIAL, SETTINGS)]
    tables = [read_json(file) for file in files if file.is_file()]
    return {key: value for table in tables for key, value in table.items()}


def _with_settings(tokenizer: Any, folder: Path, settings: Mapping[str, Any]) -> Any:
    """Return a whole tokenizer with what the settings beside it change."""
    from tokenizers import normalizers, pre_tokenizers

    whole = json.loads(tokenizer.to_str())
    before, prefixed = whole.get("pre_tokenizer") or {}, settings.get("add_prefix_space")
    of_bytes = before.get("type") == "ByteLevel" and _is_of(folder, settings, _BYTE_CLASSES)
    if of_bytes and isinstance(prefixed, bool) and prefixed != before["add_prefix_space"]:
        kept = {key: before[key] for key in ("trim_offsets", "use_regex") if key in before}
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefixed, **kept)
    state = whole.get("normalizer") or {}
    given = {word: settings[key] for key, word in _NORMALIZED.items() if key in settings}
    if state.get("type") == "BertNormalizer" and any(state.get(k) != v for k, v in given.items()):
        kept = {key: value for key, value in state.items() if key != "type"}
        tokenizer.normalizer = normalizers.BertNormalizer(**{**kept, **given})
    return tokenizer


def put_ends(tokenizer: Any, settings: Mapping[str, Any], defaults: Mapping[str, str]) -> None:
    """Put a first and a last token around every text, where the settings ask for them."""
    from tokenizers import processors

    words = [
        _word(settings.get(key.removeprefix("add_")) or defaults.get(key.removeprefix("add_")))
        if settings.get(key)
        else None
        for key in _ENDS
    ]
    ids = [None if word is None else tokenizer.token_to_id(word) for word in words]
    first, last = (word if i is not None else None for word, i in zip(words, ids, strict=True))
    one, two = (
        " ".join(f"{part}:{kind}" for part in (first, text, last) if part)
        for kind, text in enumerate(("$A", "$B"))
    )
    tokens = [(w, n) for w, n in zip(words, ids, strict=True) if n is not None]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=one, pair=f"{one} {two}", special_tokens=tokens
    )


def _word(token: Any) -> Any:
    # A token is a word, or a table with its `content`.
    return token.get("content") if isinstance(token, Mapping) else token


def _special(settings: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    return {key: str(_word(settings.get(key)) or word) for key, word in defaults.items()}


def _add_tokens(
    tokenizer: Any, folder: Path, settings: Mapping[str, Any], special: Iterable[str]
) -> None:
    """Add the tokens that a snapshot has beside its vocabulary, under the ids it gives them.

    Raises:
        UsageError: The ids do not follow those of the vocabulary.
    """
    tokenizer.add_special_tokens(list(dict.fromkeys(special)))
    rows = _numbered(folder, settings)
    for word, (number, row) in sorted(rows.items(), key=lambda pair: pair[1][0]):
        if tokenizer.token_to_id(word) is None:
            _add(tokenizer, word, row)
        if tokenizer.token_to_id(word) != number:
            raise UsageError(
                f"'{folder / (SETTINGS if row else ADDED)}' gives {word!r} the id {number!r}; "
                f"after the vocabulary's comes {tokenizer.token_to_id(word)}."
            )
    for token in settings.get("additional_special_tokens") or ():
        _add(tokenizer, str(_word(token)), {"special": True})


def _numbered(folder: Path, settings: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return ids and settings of added tokens, which either of two files may have."""
    file = folder / ADDED
    try:
        plain = read_json(file) if file.is_file() else {}
        more = settings.get("added_tokens_decoder") or {}
        rows: dict[str, tuple[int, dict[str, Any]]] = {w: (int(n), {}) for w, n in plain.items()}
        return rows | {str(row["content"]): (int(number), row) for number, row in more.items()}
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(
            f"'{folder}': its added tokens are damaged: {type(error).__name__}: {error}."
        ) from error


def _add(tokenizer: Any, word: str, row: Mapping[str, Any]) -> None:
    """Add a token that stands for itself in every text."""
    from tokenizers import AddedToken

    known = ("lstrip", "rstrip", "single_word", "normalized", "special")
    given = {key: bool(row[key]) for key in known if key in row}
    tokenizer.add_tokens([AddedToken(word, **{"normalized": False, **given})])


def _wordpiece(folder: Path, settings: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = _special(settings, BERT_SPECIAL)
    words = (folder / WORDPIECE[0]).read_text(encoding="utf-8").rstrip("\n").split("\n")
    ids = {word.rstrip("\r"): index for index, word in enumerate(words)}
    missing = [token for token in special.values() if token not in ids]
    if missing:
        raise UsageError(f"'{folder / WORDPIECE[0]}' lacks {', '.join(missing)}.")
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    _add_tokens(tokenizer, folder, settings, special.values())
    frame = [(special[key], ids[special[key]]) for key in ("sep_token", "cls_token")]
    tokenizer.post_processor = processors.BertProcessing(*frame)
    return tokenizer


def _byte_bpe(folder: Path, settings: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    files = [str(folder / name) for name in BYTE_BPE]
    with asking(f"'{files[0]}' and '{files[1]}' are not a tokenizer"):
        tokenizer = Tokenizer(models.BPE.from_file(*files))
    prefixed = bool(settings.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(prefixed)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    # RoBERTa's texts stand between its first and last token.
    if not _is_of(folder, settings, _AS_ROBERTA):
        special = _special(settings, GPT2_SPECIAL)
        _add_tokens(tokenizer, folder, settings, special.values())
        if any(settings.get(key) for key in _ENDS):
            put_ends(tokenizer, settings, GPT2_SPECIAL)
        return tokenizer
    special = _special(settings, ROBERTA_SPECIAL)
    _add_tokens(tokenizer, folder, settings, special.values())
    ids = tokenizer.get_vocab()
    last, first = ((special[key], ids[special[key]]) for key in ("sep_token", "cls_token"))
    tokenizer.post_processor = processors.RobertaProcessing(last, first, add_prefix_space=prefixed)
    return tokenizer


def _is_of(folder: Path, settings: Mapping[str, Any], families: Iterable[str]) -> bool:
    """Return whether transformers' class of a tokenizer is one of some families."""
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    name = settings.get("tokenizer_class") or config.get("model_type") or ""
    return any(word in str(name).lower() for word in families)
