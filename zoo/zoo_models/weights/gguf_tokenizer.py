"""The tokenizer in a GGUF file's metadata, by the ``tokenizers`` library.

A file has the vocabulary, and the merges or scores, of a tokenizer, but only the name of how texts
are split before. The names are those of llama.cpp's ``llama-vocab.cpp``; each is built as the
``tokenizer.json`` that it was made from, so that the ids are those of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo_models.weights.tokenizer import put_ends
from zoo_registry import UsageError
from zoo_runtime.tokenizing import asking

_OWN = "tokenizer.ggml."
WHOLE = "tokenizer.huggingface.json"
# Name of a special token in tokenizer_config.json -> how its id is called here.
SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
# Kinds of tokens.
_UNKNOWN, _CONTROL, _USER, _BYTE = 2, 3, 4, 6
_SPACE = "▁"
# Characters of a word with a score; SentencePiece makes none of more than 16 unless asked to.
_LONGEST = 256
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
# Expressions that split a text, one after the other, by name.
_SPLITS: Mapping[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "smollm": (r"\p{N}", _GPT2),
}
_ALIASES = {"llama3": "llama-bpe", "llama-v3": "llama-bpe"}
# Of SentencePiece, which its reader takes where a file has none.
_LLAMA_IDS = {"bos": 1, "eos": 2, "unknown": 0}


class UnreadTokenizerError(UsageError):
    """A tokenizer that is not built, as its ids would not be exactly those of the model."""


def special_ids(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Return the ids of special tokens, such as ``bos``, ``eos``, ``eot``, that a file gives.

    Raises:
        UsageError: One is no id of the vocabulary.
    """
    is_llama = _text(metadata, "model") == "llama"
    found = dict(_LLAMA_IDS) if is_llama else {}
    count = len(_tokens(metadata))
    for name in (*SPECIAL.values(), "eot", "eom"):
        key = f"{_OWN}{name}_token_id"
        value = metadata.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < max(count, 1):
            raise UsageError(f"{key}={value!r} is no token of the vocabulary of {count:,}.")
        found[name] = value
    return {name: index for name, index in found.items() if index < count}


def special_words(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens as ``tokenizer_config.json`` names them."""
    ids, tokens = special_ids(metadata), _tokens(metadata)
    return {name: tokens[ids[own]] for name, own in SPECIAL.items() if own in ids}


def has_tokens(metadata: Mapping[str, Any]) -> bool:
    """Return whether a file has a tokenizer, of whatever kind."""
    return metadata.get(f"{_OWN}model") not in (None, "none", "no_vocab")


def count_tokens(metadata: Mapping[str, Any]) -> int:
    """Return how many tokens the vocabulary of a file has."""
    return len(_tokens(metadata))


def build_tokenizer(metadata: Mapping[str, Any]) -> Any:
    """Return the ``tokenizers.Tokenizer`` of a file.

    Args:
        metadata: Of the file.

    Raises:
        UnreadTokenizerError: Its ids cannot be told exactly from what the file says.
        UsageError: The metadata is damaged.
    """
    kind, tokens = _text(metadata, "model"), _tokens(metadata)
    if kind not in {"gpt2", "llama"}:
        raise UnreadTokenizerError(f"{_OWN}model={kind!r}; gpt2 and llama are read")
    ids = {word: index for index, word in enumerate(tokens)}
    if len(ids) != len(tokens):
        raise UnreadTokenizerError(f"{_OWN}tokens has {len(tokens) - len(ids):,} words twice")
    with asking(f"{_OWN}tokens are not a tokenizer"):
        build = _byte_bpe if kind == "gpt2" else _sentencepiece
        tokenizer = build(metadata, ids)
        _add_tokens(tokenizer, metadata, tokens)
        _put_ends(tokenizer, metadata)
    return tokenizer


def _byte_bpe(metadata: Mapping[str, Any], ids: Mapping[str, int]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    split = _split_name(metadata)
    if split not in _SPLITS:
        raise UnreadTokenizerError(
            f"{_OWN}pre={split!r}, another way to split texts than {', '.join(sorted(_SPLITS))}"
        )
    model = models.BPE(dict(ids), _merges(metadata), ignore_merges=split == "llama-bpe")
    tokenizer = Tokenizer(model)
    if split == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    steps = [pre_tokenizers.Split(Regex(each), "isolated") for each in _SPLITS[split]]
    of_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, of_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(metadata: Mapping[str, Any], ids: Mapping[str, int]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers

    if _flag(metadata, "remove_extra_whitespaces", default=False):
        raise UnreadTokenizerError(f"{_OWN}remove_extra_whitespaces=True")
    if f"{_OWN}precompiled_charsmap" in metadata:
        raise UnreadTokenizerError(f"{_OWN}precompiled_charsmap, a normalization of its own")
    unknown = special_ids(metadata).get("unknown")
    model = models.BPE(
        dict(ids),
        _merges_by_score(metadata, ids),
        unk_token=None if unknown is None else _tokens(metadata)[unknown],
        fuse_unk=True,
        byte_fallback=_BYTE in _kinds(metadata),
    )
    tokenizer = Tokenizer(model)
    spaces = normalizers.Replace(" ", _SPACE)
    parts = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if _flag(metadata, "add_space_prefix", default=True):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), spaces])
        parts.append(decoders.Strip(" ", 1, 0))
    else:
        tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(parts)
    return tokenizer


def _tokens(metadata: Mapping[str, Any]) -> list[str]:
    return _texts(metadata, f"{_OWN}tokens")


def _text(metadata: Mapping[str, Any], key: str, default: str = "") -> str:
    return str(metadata.get(f"{_OWN}{key}", default))


def _flag(metadata: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = metadata.get(f"{_OWN}{key}", default)
    if not isinstance(value, bool):
        raise UsageError(f"{_OWN}{key} is neither true nor false, but {str(value)[:60]}.")
    return value


def _texts(metadata: Mapping[str, Any], key: str) -> list[str]:
    found = metadata.get(key, [])
    if not isinstance(found, list):
        raise UsageError(f"{key} is not a list of texts.")
    return found


def _array(metadata: Mapping[str, Any], key: str) -> list[Any]:
    """Return numbers, one a token, or none."""
    found = metadata.get(f"{_OWN}{key}")
    values = [] if found is None else getattr(found, "tolist", lambda: [found])()
    if values and len(values) != len(_tokens(metadata)):
        raise UsageError(
            f"{_OWN}{key} has {len(values):,} numbers for {len(_tokens(metadata)):,} tokens."
        )
    return values


def _kinds(metadata: Mapping[str, Any]) -> list[int]:
    return _array(metadata, "token_type")


def _split_name(metadata: Mapping[str, Any]) -> str:
    # As llama.cpp reads the files of before it had names.
    name = _text(metadata, "pre", "default")
    return _ALIASES.get(name, name)


def _merges(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = [tuple(row.split(" ")) for row in _texts(metadata, f"{_OWN}merges")]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong is not None:
        raise UsageError(f"{_OWN}merges has {' '.join(wrong)!r}, which is not two words.")
    return [(left, right) for left, right in pairs]


def _merges_by_score(metadata: Mapping[str, Any], ids: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the pairs that make each word, those of the highest score first, as transformers."""
    scores = _array(metadata, "scores")
    if not scores:
        raise UnreadTokenizerError(f"no {_OWN}scores, by which words are made of their parts")
    longest = max(map(len, ids), default=0)
    if longest > _LONGEST:
        raise UnreadTokenizerError(f"{_OWN}tokens has a word of {longest:,} characters")
    scored = zip(ids, scores, strict=True)
    rows = [row for word, score in scored for row in _pairs(word, score, ids)]
    rows.sort(key=lambda row: (row[2], len(row[0]), len(row[1])), reverse=True)
    return [(left, right) for left, right, _ in rows]


def _pairs(word: str, score: float, ids: Mapping[str, int]) -> list[tuple[str, str, float]]:
    halves = [(word[:cut], word[cut:]) for cut in range(1, len(word))]
    known = [(left, right) for left, right in halves if left in ids and right in ids]
    known.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return [(left, right, score) for left, right in known]


def _add_tokens(tokenizer: Any, metadata: Mapping[str, Any], tokens: Sequence[str]) -> None:
    """Let the tokens that no text is split in stand for themselves, in the order of their ids."""
    from tokenizers import AddedToken

    kinds = dict(enumerate(_kinds(metadata)))
    named = dict.fromkeys(special_ids(metadata).values(), _CONTROL)
    alone = {index: kind for index, kind in kinds.items() if kind in {_UNKNOWN, _CONTROL, _USER}}
    kinds = {**named, **alone}
    rows = [(tokens[index], kinds[index] != _USER) for index in sorted(kinds)]
    # All at once: each call reads all of them again.
    tokenizer.add_tokens([AddedToken(word, normalized=False, special=s) for word, s in rows])


def _put_ends(tokenizer: Any, metadata: Mapping[str, Any]) -> None:
    begins = _text(metadata, "model") == "llama" or _split_name(metadata) == "llama-bpe"
    settings: dict[str, Any] = {
        "add_bos_token": _flag(metadata, "add_bos_token", default=begins),
        "add_eos_token": _flag(metadata, "add_eos_token", default=False),
        **special_words(metadata),
    }
    if settings["add_bos_token"] or settings["add_eos_token"]:
        put_ends(tokenizer, settings, {})
