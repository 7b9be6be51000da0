"""Texts that follow a JSON schema or a regular expression, by llguidance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.generation.processors import NEVER
from zoo_runtime.optional import need
from zoo_runtime.tensors import Array

_WHAT = "Text by a schema or an expression"


class Grammar:
    """What a text may be; it forbids every token after which that is impossible.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.
        vocab_size: Number of tokens that the model has logits for.
        ends: Tokens that end a text.
        json_schema: A JSON schema, as a mapping or as text; the text is one value of it.
        regex: A regular expression in Rust's syntax that the whole text matches.

    Raises:
        MissingPackageError: llguidance is not installed.
        UsageError: Both or none are given, or what is given cannot be followed.
    """

    def __init__(
        self,
        tokenizer: Any,
        vocab_size: int,
        ends: Sequence[int],
        *,
        json_schema: Mapping[str, Any] | str | None = None,
        regex: str | None = None,
    ) -> None:
        library = need("llguidance", _WHAT)
        if (json_schema is None) == (regex is None):
            raise UsageError("Give a json_schema or a regex, one of them.")
        try:
            if regex is None:
                grammar = library.LLMatcher.grammar_from_json_schema(
                    json_schema if isinstance(json_schema, str) else json.dumps(json_schema)
                )
            else:
                grammar = library.LLMatcher.grammar_from_regex(regex)
            written, unused = (tokenizer.to_str(), []) if ends else _with_end(tokenizer)
            most = max([vocab_size, *(end + 1 for end in unused)])
            ids = list(ends) or unused
            words = library.LLTokenizer(written, n_vocab=most, eos_token=ids)
        except (ValueError, TypeError) as error:
            raise UsageError(f"The grammar cannot be read: {error}") from error
        matcher = library.LLMatcher(words, grammar, log_level=0)
        if matcher.is_error():
            raise UsageError(f"The grammar cannot be followed: {matcher.get_error()}")
        # Of the model's tokens those that are none of its texts: a place in a table may be free.
        self._is_never = np.isin(np.arange(vocab_size), unused)
        self._matchers: dict[tuple[int, ...], Any] = {(): matcher}

    def process(self, tokens: Array, prompt: int, scores: Array) -> Array:
        """Return the scores with those of forbidden tokens at -inf."""
        matcher = self._after(tuple(tokens[prompt:].tolist()))
        return np.where(self._allowed(matcher), scores, np.float32(NEVER))

    def is_complete(self, tokens: Sequence[int]) -> bool:
        """Whether nothing can follow the new tokens of a text but its end."""
        matcher = self._after(tuple(tokens))
        return bool(matcher.is_stopped()) or not self._allowed(matcher).any()

    def _allowed(self, matcher: Any) -> Array:
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: len(self._is_never)].astype(bool)
        return np.asarray(allowed & ~self._is_never)

    def _after(self, tokens: tuple[int, ...]) -> Any:
        """Return the state behind some tokens: that behind all but the last, one step on."""
        if tokens not in self._matchers:
            matcher = self._after(tokens[:-1]).deep_copy()
            matcher.consume_token(tokens[-1])
            # Texts grow side by side: shorter beginnings are not asked for again.
            if len(self._matchers) > _KEPT:
                first = self._matchers[()]
                kept = {k: v for k, v in self._matchers.items() if len(k) >= len(tokens) - 1}
                self._matchers = {(): first, **kept}
            self._matchers[tokens] = matcher
        return self._matchers[tokens]


_KEPT = 256
_END = "<|end of the grammar|>"


def _with_end(tokenizer: Any) -> tuple[str, list[int]]:
    """Return a tokenizer with a token for the end, and the id of that.

    llguidance takes the first token for the end where a model has none, and then allows it.
    """
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.add_special_tokens([_END])
    return copy.to_str(), [int(copy.token_to_id(_END))]
