"""The tokenizer that a snapshot comes with, by the ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.weights.opening import open_weights, place_of
from zoo.weights.snapshot import read_json
from zoo_registry import UsageError, models
from zoo_registry.tokenizing import asking, open_tokenizer

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
WORDPIECE, BYTE_BPE = ("vocab.txt",), ("vocab.json", "merges.txt")
BERT_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
GPT2_SPECIAL = {"eos_token": "<|endoftext|>"}


def load_tokenizer(source: str | Path) -> Any:
    r"""Return the tokenizer that belongs to pretrained weights.

    Args:
        source: A registered model with pretrained weights, a folder with ``tokenizer.json``,
            ``vocab.txt`` or ``vocab.json`` and ``merges.txt``, or a hub's address as for
            :func:`zoo.get_model`.

    Returns:
        A ``tokenizers.Tokenizer`` that neither cuts nor pads. Its numbers are those of Hugging
        Face transformers.

    Raises:
        UsageError: There is no tokenizer, or it is damaged.
        ZooError: A hub cannot be reached.

    Example:
        >>> import os, tempfile, zoo
        >>> folder, words = tempfile.mkdtemp(), "[PAD] [UNK] [CLS] [SEP] [MASK] cafe ##s"
        >>> with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        ...     _ = file.write(words.replace(" ", "\n"))
        >>> zoo.load_tokenizer(folder).encode("Cafés").tokens
        ['[CLS]', 'cafe', '##s', '[SEP]']
    """
    if str(source) in models:
        return read_tokenizer(open_weights(models.get(str(source)), "pretrained").folder)
    return read_tokenizer(place_of(str(source)))


def read_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a folder, as :func:`load_tokenizer` does."""
    if (folder / FILE).is_file():
        tokenizer = open_tokenizer(folder / FILE)
    elif _has(folder, WORDPIECE):
        tokenizer = _wordpiece(folder, _settings(folder))
    elif _has(folder, BYTE_BPE):
        tokenizer = _byte_bpe(folder, _settings(folder))
    else:
        wanted = f"{FILE}, {WORDPIECE[0]} or {' and '.join(BYTE_BPE)}"
        raise UsageError(f"'{folder}' has no tokenizer: none of {wanted}.")
    # Whoever saved it may have left the lengths of an example there.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in names)


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS
    return read_json(file) if file.is_file() else {}


def _special(settings: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    # A token is a word, or a table with its `content`.
    given = {key: settings.get(key) or word for key, word in defaults.items()}
    return {k: v["content"] if isinstance(v, Mapping) else str(v) for k, v in given.items()}


def _wordpiece(folder: Path, settings: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = _special(settings, BERT_SPECIAL)
    words = (folder / WORDPIECE[0]).read_text(encoding="utf-8").rstrip("\n").split("\n")
    numbers = {word.rstrip("\r"): number for number, word in enumerate(words)}
    missing = [token for token in special.values() if token not in numbers]
    if missing:
        raise UsageError(f"'{folder / WORDPIECE[0]}' lacks {', '.join(missing)}.")
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(special.values()))
    frame = [(special[key], numbers[special[key]]) for key in ("sep_token", "cls_token")]
    tokenizer.post_processor = processors.BertProcessing(*frame)
    return tokenizer


def _byte_bpe(folder: Path, settings: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    files = [str(folder / name) for name in BYTE_BPE]
    with asking(f"'{files[0]}' and '{files[1]}' are no tokenizer"):
        tokenizer = Tokenizer(models.BPE.from_file(*files))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(settings.get("add_prefix_space", False))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(list(_special(settings, GPT2_SPECIAL).values()))
    return tokenizer
