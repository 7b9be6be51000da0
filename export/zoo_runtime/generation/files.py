"""What a bundle says of the functions with a cache that a file of a language model has."""

from __future__ import annotations

from dataclasses import dataclass

ENCODE, PREFILL, DECODE = "encode", "prefill", "decode"
LOGITS = "logits"
SOURCE_MASK = "encoder_attention_mask"


@dataclass(frozen=True)
class CacheEntry:
    """One tensor that is kept from call to call.

    Args:
        past: Its name as an input.
        present: Its name as an output.
        shape: Without the batch; ``None`` is the axis of the tokens.
        grows: Whether there is more of it with each token; what does not grow is replaced.
        fixed: Whether ``encode`` computes it, once for a source.
    """

    past: str
    present: str
    shape: tuple[int | None, ...]
    grows: bool = True
    fixed: bool = False


@dataclass(frozen=True)
class Generation:
    """The functions with a cache of one artifact.

    Args:
        vocab_size: Number of tokens.
        max_length: Positions; ``None`` is any number.
        cache: What is kept.
        prefill_lengths: Tokens that the functions ``prefill_N`` of a LiteRT file read.
        files: File of each function, by its name, where they are not all in the artifact's.
        weight_bytes: What one token reads of the weights, at most: all that the file has.
        cache_bytes: What one token adds to the cache.
    """

    vocab_size: int
    max_length: int | None
    cache: tuple[CacheEntry, ...]
    prefill_lengths: tuple[int, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    weight_bytes: int = 0
    cache_bytes: int = 0
