"""Texts in, texts out: what stands between a person's words and the tokens of a search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.grammar import Grammar
from zoo_runtime.generation.search import LENGTH, STOP, Decoder, Generated, search
from zoo_runtime.tensors import Array
from zoo_runtime.tokenizing import asking

# What a decoder puts in the place of bytes that are no character, or not a whole one yet.
_CUT = "\N{REPLACEMENT CHARACTER}"
# Tokens of the prompt with which the first new ones are decoded: a word may begin before them.
_CONTEXT = 16
# A character has four bytes at most, and a token at least one.
_LONGEST_CHARACTER = 4
# Tokens that are decoded again with each new one: so a long text takes no longer by the token.
_WINDOW = 64


@dataclass(frozen=True)
class TokenProbability:
    """A token that was written, and how probable it was.

    Args:
        text: What it stands for, behind the token before it.
        logprob: Logarithm of its probability, as the model gave it.
        top: The most probable tokens there, each with its own.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Completion:
    """A text that was generated.

    Args:
        text: What comes behind the prompt, without the string or token that ended it.
        tokens: Its tokens.
        finish: ``"stop"`` at an end, ``"length"`` after ``max_new_tokens``, ``"context"`` where
            the model has no more positions.
        prompt_tokens: Tokens of the prompt; of a seq2seq model those of the source.
        score: Log-probability over the length in beam search.
        logprobs: Of each token, where they were asked for.
    """

    text: str
    tokens: tuple[int, ...]
    finish: str
    prompt_tokens: int
    score: float | None = None
    logprobs: tuple[TokenProbability, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Piece:
    """A part of a text as it is generated, of whole characters.

    Args:
        row: Which text; those of the first prompt come first.
        text: What is added to it; may be empty at the end.
        completion: The whole, with the last part.
        logprobs: Of the tokens since the part before, where they were asked for.
    """

    row: int
    text: str
    completion: Completion | None = None
    logprobs: tuple[TokenProbability, ...] = ()


def prompt_tokens(
    tokenizer: Any, text: str | Sequence[int], config: GenerationConfig, *, is_whole: bool = False
) -> Array:
    """Return int32 tokens of a prompt, with what its tokenizer puts before a text.

    What a tokenizer puts behind a text is left out: it would end it.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.
        text: The prompt; an empty one becomes ``bos_token_id``. Token ids are left as they are.
        config: Says which token begins a text that has none.
        is_whole: Whether the text has all special tokens itself, as a conversation has.

    Raises:
        UsageError: Something that is no text, or a text without a token.
    """
    if not isinstance(text, str):
        return _as_tokens(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The prompt is not text in UTF-8: {text[error.start]!r} (character {error.start}) is "
            "half a character, or a byte that is none."
        ) from error
    with asking("The tokenizer cannot read this prompt"):
        tokenizer.no_truncation()
        tokenizer.no_padding()
        plain = list(tokenizer.encode(text, add_special_tokens=False).ids)
        framed = list(tokenizer.encode(text, add_special_tokens=True).ids)
    before = [] if is_whole else framed[: _position(framed, plain)]
    tokens = [*before, *plain]
    if not tokens and config.bos_token_id is not None:
        tokens = [config.bos_token_id]
    if not tokens:
        raise UsageError(
            f"The prompt {text[:40]!r} has no token, and the model has none that begins a text."
        )
    return np.asarray(tokens, np.int32)


def _as_tokens(given: Any) -> Array:
    is_list = isinstance(given, Sequence | np.ndarray) and not isinstance(given, bytes)
    try:
        tokens = np.asarray(given) if is_list else np.zeros(())
    except (ValueError, OverflowError) as error:
        raise UsageError(f"A prompt of token ids is a list of whole numbers: {error}") from error
    if tokens.ndim != 1 or not (tokens.dtype.kind in "iu" or tokens.size == 0):
        raise UsageError(f"A prompt is a text or a list of token ids, not {type(given).__name__}.")
    wrong = tokens[(tokens < 0) | (tokens > np.iinfo(np.int32).max)]
    if wrong.size:
        raise UsageError(f"The prompt has the token {wrong[0]}: a token is a number from 0 on.")
    return tokens.astype(np.int32)


def complete(
    decoder: Decoder,
    tokenizer: Any,
    prompts: Sequence[Array],
    config: GenerationConfig,
    *,
    grammar: Grammar | None = None,
    read: Sequence[int] | None = None,
    logprobs: int | None = None,
) -> Iterator[Piece]:
    """Generate texts behind prompts, and yield each part as soon as it is sure.

    Args:
        decoder: What computes the logits.
        tokenizer: A ``tokenizers.Tokenizer``.
        prompts: int32 (tokens,) each, as :func:`prompt_tokens` returns them.
        config: How.
        grammar: What the texts may be.
        read: Tokens of what was read for each prompt, where that is not the prompt.
        logprobs: As for :func:`zoo_runtime.generation.search.search`.

    Yields:
        Parts of whole characters that no stop string can begin in.
    """
    texts = [
        _Text(tokenizer, prompt, config.stop_strings, count)
        for prompt, count in zip(prompts, read or map(len, prompts), strict=True)
        for _ in range(config.num_return_sequences)
    ]
    per_prompt = config.num_return_sequences

    def finished(row: int, new: Sequence[int]) -> bool:
        # Beams of a prompt share its row.
        text = texts[row * per_prompt if config.num_beams > 1 else row]
        if grammar is not None and grammar.is_complete(new):
            return True
        return bool(config.stop_strings) and text.is_stopped(new)

    if grammar is not None and grammar.is_complete(()):
        for row, text in enumerate(texts):
            yield Piece(row, "", text.completion(Generated((), STOP)))
        return
    more = () if grammar is None else (grammar.process,)
    events = search(decoder, prompts, config, more=more, finished=finished, logprobs=logprobs)
    for event in events:
        text = texts[event.row]
        if event.result is not None:
            last = text.end(event.result)
            yield Piece(event.row, last, text.completion(event.result), text.untold())
        elif event.token is not None:
            part = text.add(event.token, event.logprobs)
            if part:
                yield Piece(event.row, part, logprobs=text.untold())


def written(tokenizer: Any, prompt: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """Yield the parts of a text as soon as they are sure, whatever chose its tokens.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.
        prompt: Tokens before it.
        tokens: Its tokens, one after the other.

    Yields:
        Parts of whole characters.
    """
    text, found = _Text(tokenizer, np.asarray(prompt, np.int32), (), len(prompt)), []
    for token in tokens:
        found.append(token)
        yield text.add(token, ())
    yield text.end(Generated(tuple(found), LENGTH))


class _Text:
    """One text while it is generated.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.
        prompt: Its first tokens.
        stops: Strings that end it.
        read: Tokens that were read for it.
    """

    def __init__(self, tokenizer: Any, prompt: Array, stops: Sequence[str], read: int) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        self._read = read
        self._context = prompt[-_CONTEXT:].tolist()
        self._tokens: list[int] = []
        self._shown = ""
        # What is written of the first tokens, and stays; the others are decoded behind it.
        self._settled, self._settled_tokens = "", 0
        self._probable: list[TokenProbability] = []
        self._told = 0

    def decoded(self, tokens: Sequence[int], start: int = 0) -> str:
        """Return the text of new tokens behind the prompt, from one of them on."""
        before = [*self._context, *tokens[max(0, start - _CONTEXT) : start]][-_CONTEXT:]
        known, new = self._decode(before), list(tokens[start:])
        whole = self._decode([*before, *new])
        return whole[len(known) :] if whole.startswith(known) else self._decode(new)

    def is_stopped(self, tokens: Sequence[int]) -> bool:
        """Whether a stop string stands at the end of new tokens, none of which had one before."""
        longest = max((len(stop.encode()) for stop in self._stops), default=0)
        end = self.decoded(tokens, max(0, len(tokens) - longest - _CONTEXT))
        return self.stopped_at(end) is not None

    def stopped_at(self, text: str) -> int | None:
        """Return where the first stop string begins in a text."""
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        return min(found, default=None)

    def add(self, token: int, logprobs: Sequence[tuple[int, float]]) -> str:
        """Add a token; return what of the text is sure now and was not before."""
        if logprobs:
            (_, own), *top = logprobs
            others = tuple((self._spelled(other), value) for other, value in top)
            self._probable.append(TokenProbability(self._spelled(token), own, others))
        self._tokens.append(token)
        text = self._settled + self.decoded(self._tokens, self._settled_tokens)
        if len(self._tokens) - self._settled_tokens >= _WINDOW and not text.endswith(_CUT):
            self._settled, self._settled_tokens = text, len(self._tokens)
        sure = text[: self.stopped_at(text)]
        if sure.endswith(_CUT) and not self._is_no_character(sure):
            sure = sure.rstrip(_CUT)
        return self._show(sure[: len(sure) - self._begun_stop(sure)])

    def end(self, result: Generated) -> str:
        """Return what of the finished text was not shown yet."""
        return self._show(self._final(result))

    def completion(self, result: Generated) -> Completion:
        """Return the finished text with its tokens."""
        return Completion(
            self._final(result),
            result.tokens,
            result.finish,
            self._read,
            result.score,
            tuple(self._probable[: len(result.tokens)]),
        )

    def untold(self) -> tuple[TokenProbability, ...]:
        """Return what was not returned before of how probable the tokens were."""
        new, self._told = self._probable[self._told :], len(self._probable)
        return tuple(new)

    def _spelled(self, token: int) -> str:
        """Return what a token stands for behind those there: with a space before a word."""
        before = [*self._context, *self._tokens][-1:]
        known = self._spell(before)
        whole = self._spell([*before, token])
        return whole[len(known) :] if whole.startswith(known) else self._spell([token])

    def _spell(self, tokens: list[int]) -> str:
        with asking("The tokenizer cannot write these tokens"):
            return str(self._tokenizer.decode(tokens, skip_special_tokens=False))

    def _final(self, result: Generated) -> str:
        text = self.decoded(result.tokens)
        return text[: self.stopped_at(text)] if result.finish == STOP else text

    def _show(self, text: str) -> str:
        # A decoder may change what it wrote, such as bytes that turn out to be no character: what
        # was shown stays, and what comes behind it is shown as before.
        part = text[len(self._shown) :]
        self._shown = text if part else self._shown
        return part

    def _is_no_character(self, text: str) -> bool:
        """Whether bytes at the end have waited longer than any character is."""
        return len(text) - len(text.rstrip(_CUT)) >= _LONGEST_CHARACTER

    def _begun_stop(self, text: str) -> int:
        """Return how many letters at the end may be the beginning of a stop string."""
        sizes = (
            size
            for stop in self._stops
            for size in range(min(len(stop) - 1, len(text)), 0, -1)
            if text.endswith(stop[:size])
        )
        return max(sizes, default=0)

    def _decode(self, tokens: list[int]) -> str:
        with asking("The tokenizer cannot write these tokens"):
            return str(self._tokenizer.decode(tokens, skip_special_tokens=True))


def with_end(config: GenerationConfig, tokenizer: Any, end: str | None) -> GenerationConfig:
    """Return a configuration that ends texts at a token, if it ends them at none.

    Args:
        config: The configuration.
        tokenizer: A ``tokenizers.Tokenizer``.
        end: The token as text.
    """
    token = None if end is None else tokenizer.token_to_id(end)
    if config.eos_token_id or token is None:
        return config
    return replace(config, eos_token_id=(int(token),))


def _position(whole: list[int], part: list[int]) -> int:
    """Return where a part begins in a row of tokens: behind what stands before a text."""
    if not part:
        return min(1, len(whole))
    places = range(len(whole) - len(part) + 1)
    return next((at for at in places if whole[at : at + len(part)] == part), 0)
