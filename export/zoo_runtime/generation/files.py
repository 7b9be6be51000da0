"""What a bundle says of the functions with a cache that a file of a language model has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ENCODE, PREFILL, DECODE = "encode", "prefill", "decode"
LOGITS = "logits"
# Tasks of models that generate texts.
GENERATING = ("causal-lm", "seq2seq")
# Among the facts of a converted file: what is said of its functions, and how they compare.
GENERATION, CACHED = "generation", "cached"
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
        dtype: Of its elements.
    """

    past: str
    present: str
    shape: tuple[int | None, ...]
    grows: bool = True
    fixed: bool = False
    dtype: str = "float32"


@dataclass(frozen=True)
class Generation:
    """The functions with a cache of one artifact.

    Args:
        vocab_size: Number of tokens.
        max_length: Positions; ``None`` is any number.
        cache: What is kept.
        prefill_lengths: Tokens that the functions ``prefill_N`` of a LiteRT file read.
        weight_bytes: What one token reads of the weights, at most: all that the file has.
        cache_bytes: What one token adds to the cache, and what every later one reads of it.
    """

    vocab_size: int
    max_length: int | None
    cache: tuple[CacheEntry, ...]
    prefill_lengths: tuple[int, ...] = ()
    weight_bytes: int = 0
    cache_bytes: int = 0

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions that are files of their own, where they are."""
        return (ENCODE, DECODE) if any(entry.fixed for entry in self.cache) else (DECODE,)


def beside(artifact: Path, function: str) -> Path:
    """Return the file of a function that is not in the artifact's own.

    Example:
        >>> beside(Path("gpt.onnx"), "decode").name
        'gpt.onnx.decode.onnx'
    """
    return artifact.with_name(f"{artifact.name}.{function}{artifact.suffix}")
