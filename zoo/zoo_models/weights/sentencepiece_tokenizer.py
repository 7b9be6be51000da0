"""A SentencePiece model as a tokenizer of the ``tokenizers`` library, as every bundle has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo_models.weights.gguf_tokenizer import UnreadTokenizerError, build_tokenizer
from zoo_runtime.generation.sentencepiece import SentencePieceTokenizer
from zoo_runtime.optional import need
from zoo_runtime.tokenizing import encoded

# What such models read in ways of their own: spaces, digits, new lines, what is in no vocabulary.
_TEXTS = (
    "Hello world",
    "  two  spaces ",
    "It's 1,234.50 of\n\n\tthem.",
    "naïve 中文 😀 \N{GREEK SMALL LETTER OMEGA}",
    "for (int i = 0; i < 10; ++i) {}",
    "",
)


def as_tokenizers(source: SentencePieceTokenizer) -> Any:
    """Return a ``tokenizers.Tokenizer`` that gives the same tokens.

    Args:
        source: Of byte pairs, as those of Gemma, Llama, Mistral and Phi.

    Raises:
        MissingPackageError: protobuf is not installed.
        UnreadTokenizerError: A model of another kind, or one that reads a text otherwise.
    """
    library = need("sentencepiece.sentencepiece_model_pb2", "A SentencePiece tokenizer")
    proto = library.ModelProto.FromString(source.model)
    if proto.trainer_spec.model_type != library.TrainerSpec.BPE:
        kind = library.TrainerSpec.ModelType.Name(proto.trainer_spec.model_type).lower()
        raise UnreadTokenizerError(f"a SentencePiece model of kind {kind}; one of bpe is read")
    tokenizer = build_tokenizer(_metadata(proto, source.start))
    rows = zip(_TEXTS, encoded(source, _TEXTS), encoded(tokenizer, _TEXTS), strict=True)
    for text, wanted, found in rows:
        if wanted.ids != found.ids:
            raise UnreadTokenizerError(
                f"the SentencePiece model reads {text!r} as {wanted.ids[:8]}, and what is made of "
                f"it as {found.ids[:8]}"
            )
    return tokenizer


def _metadata(proto: Any, start: int | None) -> dict[str, Any]:
    """Return a model as a GGUF file has it, which numbers kinds of tokens alike."""
    trained, rules = proto.trainer_spec, proto.normalizer_spec
    ids = {"bos": trained.bos_id if start is None else start, "eos": trained.eos_id}
    found = {
        "model": "llama",
        "tokens": [piece.piece for piece in proto.pieces],
        "scores": np.array([piece.score for piece in proto.pieces], np.float32),
        "token_type": np.array([piece.type for piece in proto.pieces], np.int32),
        "add_space_prefix": rules.add_dummy_prefix,
        "remove_extra_whitespaces": rules.remove_extra_whitespaces,
        "add_bos_token": start is not None,
        **{f"{name}_token_id": at for name, at in ids.items() if at >= 0},
        "unknown_token_id": trained.unk_id,
    }
    if rules.precompiled_charsmap:
        found["precompiled_charsmap"] = rules.precompiled_charsmap
    return {f"tokenizer.ggml.{name}": value for name, value in found.items()}
