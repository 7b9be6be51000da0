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
            words = library.LLTokenizer(
                tokenizer.to_str(), n_vocab=vocab_size, eos_token=list(ends) or None
            )
        except (ValueError, TypeError) as error:
            raise UsageError(f"The grammar cannot be read: {error}") from error
        matcher = library.LLMatcher(words, grammar, log_level=0)
        if matcher.is_error():
            raise UsageError(f"The grammar cannot be followed: {matcher.get_error()}")
        self._vocab_size, self._ends = vocab_size, tuple(ends)
        self._matchers: dict[tuple[int, ...], Any] = {(): matcher}

    def process(self, tokens: Array, prompt: int, scores: Array) -> Array:
        """Return the scores with those of forbidden tokens at -inf."""
        matcher = self._after(tuple(tokens[prompt:].tolist()))
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._vocab_size].astype(bool)
        allowed = np.pad(allowed, (0, self._vocab_size - len(allowed)))
        return np.where(allowed, scores, np.float32(NEVER))

    def is_complete(self, tokens: Sequence[int]) -> bool:
        """Whether nothing can follow the new tokens of a text but its end."""
        return bool(self._after(tuple(tokens)).is_stopped())

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
