"""Tokenizers made from the training split: the same texts always give the same file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from zoo_recipes.configs import TokenizerConfig

PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[EOS]"
CLASS, SEPARATOR, MASK = "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PADDING, UNKNOWN, END)
BERT_SPECIAL = (PADDING, UNKNOWN, CLASS, SEPARATOR, MASK)


def make_tokenizer(config: TokenizerConfig, texts: Sequence[str]) -> Any:
    """Return a ``tokenizers.Tokenizer`` made from texts.

    Args:
        config: The recipe's table.
        texts: Those of the training split, in their fixed order.

    Example:
        >>> tokenizer = make_tokenizer(TokenizerConfig(kind="char", vocab_size=5), ["abba", "cab"])
        >>> tokenizer.encode("bad").tokens
        ['b', 'a', '[UNK]']
    """
    return {"char": _char, "bpe": _bpe, "wordpiece": _wordpiece}[config.kind](config, texts)


def _char(config: TokenizerConfig, texts: Sequence[str]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    normalizer = _normalizer(config)
    counts = Counter(c for text in texts for c in normalizer.normalize_str(text))
    ranked = _by_frequency(counts)[: config.vocab_size - len(SPECIAL)]
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *ranked])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _bpe(config: TokenizerConfig, texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    # On bytes, as GPT-2 has it: every text of every script can be written.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = _normalizer(config)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(config.add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(BERT_SPECIAL if config.framed else SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if config.framed:
        tokenizer.post_processor = _frame(tokenizer)
    return tokenizer


def _wordpiece(config: TokenizerConfig, texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(
        lowercase=config.lowercase, strip_accents=config.strip_accents
    )
    pieces = _pieces(config, texts, normalizer)
    vocabulary = {token: index for index, token in enumerate([*BERT_SPECIAL, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(BERT_SPECIAL))
    tokenizer.post_processor = _frame(tokenizer)
    return tokenizer


def _frame(tokenizer: Any) -> Any:
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=f"{CLASS} $A {SEPARATOR}",
        pair=f"{CLASS} $A {SEPARATOR} $B:1 {SEPARATOR}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLASS, SEPARATOR)],
    )


def _pieces(config: TokenizerConfig, texts: Sequence[str], normalizer: Any) -> list[str]:
    # The library's own WordPiece trainer gives another vocabulary in every process. Its BPE
    # trainer does not: take the pieces that BPE cuts the words into, the most frequent first.
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizer
    bpe.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(vocab_size=config.vocab_size, show_progress=False)
    bpe.train_from_iterator(texts, trainer)
    letters: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for encoding in bpe.encode_batch(list(texts)):
        numbered = zip(encoding.word_ids, encoding.tokens, strict=True)
        for _, tokens in groupby(numbered, key=itemgetter(0)):
            parts = [token for _, token in tokens]
            pieces.update(_marked(parts))
            letters.update(_marked("".join(parts)))
    # Without a letter a whole word is unknown: letters come before longer pieces.
    ranked = [*_by_frequency(letters), *_by_frequency(pieces)]
    return list(dict.fromkeys(ranked))[: config.vocab_size - len(BERT_SPECIAL)]


def _marked(parts: Sequence[str]) -> list[str]:
    return [part if at == 0 else f"##{part}" for at, part in enumerate(parts)]


def _by_frequency(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda token: (-counts[token], token))


def _normalizer(config: TokenizerConfig) -> Any:
    from tokenizers import normalizers

    parts: list[Any] = [normalizers.NFC()]
    if config.lowercase:
        parts.append(normalizers.Lowercase())
    if config.strip_accents:
        parts += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
    return normalizers.Sequence(parts)
