"""A tokenizer in a SentencePiece model file, with the functions of a ``tokenizers.Tokenizer``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.optional import need


@dataclass(frozen=True)
class Encoding:
    """A text as tokens.

    Args:
        ids: Of its tokens.
    """

    ids: list[int]


class SentencePieceTokenizer:
    """What generation asks of a tokenizer, of a SentencePiece model.

    Args:
        model: Content of the ``.model`` file (https://github.com/google/sentencepiece).
        start: Token that is put before a text; none by default.

    Raises:
        MissingPackageError: sentencepiece is not installed.
        UsageError: Bytes that are not such a model.
    """

    def __init__(self, model: bytes, start: int | None = None) -> None:
        library = need("sentencepiece", "A SentencePiece tokenizer")
        self.model, self.start = model, start
        try:
            self._processor = library.SentencePieceProcessor(model_proto=model)
        except Exception as error:  # RuntimeError or OSError, as the bytes are
            raise UsageError(f"This is not a SentencePiece model: {error}") from error

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Encoding:
        """Return the tokens of a text, behind the start token."""
        begin = [self.start] if add_special_tokens and self.start is not None else []
        return Encoding([*begin, *self._processor.encode(text)])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of tokens; control tokens stand for no text."""
        del skip_special_tokens
        most = self._processor.vocab_size()
        return str(self._processor.decode([int(token) for token in ids if token < most]))

    def encode_batch(self, texts: Sequence[str], **options: bool) -> list[Encoding]:
        """Return the tokens of several texts."""
        return [self.encode(text, **options) for text in texts]

    def decode_batch(self, rows: Sequence[Sequence[int]], **options: bool) -> list[str]:
        """Return the texts of several rows of tokens."""
        return [self.decode(row, **options) for row in rows]

    def token_to_id(self, token: str) -> int | None:
        """Return the index of a token, ``None`` where there is none."""
        found = int(self._processor.piece_to_id(token))
        return found if self._processor.id_to_piece(found) == token else None

    def id_to_token(self, token: int) -> str | None:
        """Return a token as text, ``None`` where there is none of the index."""
        is_one = 0 <= token < self._processor.vocab_size()
        return str(self._processor.id_to_piece(int(token))) if is_one else None

    def get_vocab_size(self) -> int:
        """Return the number of tokens."""
        return int(self._processor.vocab_size())

    def no_truncation(self) -> None:
        """Do nothing: texts are never cut."""

    def no_padding(self) -> None:
        """Do nothing: texts are never padded."""


def is_sentence_piece(tokenizer: Any) -> bool:
    """Return whether a tokenizer is in a SentencePiece model file."""
    return isinstance(tokenizer, SentencePieceTokenizer)
