"""A trained language model that generates texts, whatever computes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.generation.config import GenerationConfig, configured
from zoo_runtime.generation.grammar import Grammar
from zoo_runtime.generation.search import Decoder
from zoo_runtime.generation.texts import Completion, Piece, complete, prompt_tokens
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.tokenizing import encoded
from zoo_system.arguments import explained

# How a model of texts writes where nothing is said: greedy texts of small models repeat themselves.
BY_DEFAULT = GenerationConfig(do_sample=True, temperature=0.8, top_p=0.95)
# How one writes that translates: the most probable text.
OF_SOURCE = GenerationConfig()


# Of the inputs of an encoder, if there is one, and whether hidden states are wanted.
Decoders = Callable[[Arrays | None, bool], Decoder]


@dataclass(frozen=True, eq=False)
class TextGenerator:
    """A language model with its tokenizer.

    Args:
        name: Of the model, for messages.
        tokenizer: A ``tokenizers.Tokenizer``.
        config: How it generates where a call does not say.
        open_decoder: Returns what computes the logits.
        read_source: Of a seq2seq model: returns the inputs of its encoder for texts.
        chat: The template that makes one text of a conversation, if there is one.
    """

    name: str
    tokenizer: Any
    config: GenerationConfig
    open_decoder: Decoders
    read_source: Callable[[Sequence[str]], Arrays] | None = None
    chat: ChatTemplate | None = None

    @explained
    def stream(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        json_schema: Mapping[str, Any] | str | None = None,
        regex: str | None = None,
        logprobs: int | None = None,
        is_whole: bool = False,
        **options: Any,
    ) -> Iterator[Piece]:
        """Generate texts, and yield each part as soon as it is sure.

        Args:
            prompts: Beginnings, as texts or token ids; for a seq2seq model the sources, as texts.
            json_schema: What the texts are values of.
            regex: What the texts match, in Rust's syntax.
            logprobs: Of how many of the most probable tokens the probability is given beside that
                of each written one.
            is_whole: Whether the prompts have all special tokens themselves, as what
                :meth:`conversation` returns.
            options: Of :class:`zoo_runtime.generation.config.GenerationConfig`.

        Raises:
            UsageError: An option or a prompt that the model cannot follow.
        """
        config = configured(self.config, options)
        source, read = None, None
        if self.read_source is None:
            tokens = [
                prompt_tokens(self.tokenizer, prompt, config, is_whole=is_whole)
                for prompt in prompts
            ]
        else:
            source = self.read_source(_texts(prompts))
            # As its encoder reads them: cut to its length, and without padding.
            read = [sum(row.attention_mask) for row in encoded(self.tokenizer, prompts)]
            tokens = self._starts(len(prompts), config)
        decoder = self.open_decoder(source, config.penalty_alpha > 0)
        grammar = None
        if json_schema is not None or regex is not None:
            grammar = Grammar(
                self.tokenizer,
                decoder.vocab_size,
                config.eos_token_id,
                json_schema=json_schema,
                regex=regex,
            )
        return _ended(
            complete(
                decoder,
                self.tokenizer,
                tokens,
                config,
                grammar=grammar,
                read=read,
                logprobs=logprobs,
            )
        )

    @explained
    def complete(self, prompts: Sequence[str | Sequence[int]], **options: Any) -> list[Completion]:
        """Return the texts that :meth:`stream` yields in parts, those of the first prompt first."""
        pieces = self.stream(prompts, **options)
        found = {piece.row: piece.completion for piece in pieces if piece.completion is not None}
        return [found[row] for row in sorted(found)]

    def with_chat(self, template: str | None) -> TextGenerator:
        """Return the generator with another chat template, in Jinja; ``None`` keeps its own."""
        if template is None:
            return self
        tokens = None if self.chat is None else self.chat.tokens
        return replace(self, chat=ChatTemplate(template, tokens))

    def until(self, is_over: Callable[[], bool]) -> TextGenerator:
        """Return the generator whose texts end, without what completes them, once that is so."""
        opened = self.open_decoder
        return replace(
            self, open_decoder=lambda source, every: _Ending(opened(source, every), is_over)
        )

    def try_out(self) -> None:
        """Write a token, so that what is damaged is known."""
        prompt = [0] if self.read_source is None else "a"
        self.complete([prompt], max_new_tokens=1, do_sample=False)

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the prompt that a conversation makes, up to the beginning of the answer.

        Args:
            messages: Each with a ``role``, such as ``user``, and its ``content``.

        Raises:
            UsageError: A model without a chat template, or messages that it refuses.
        """
        if self.chat is None:
            raise UsageError(
                f"'{self.name}' has no chat template: it continues texts (zoo generate). Give it "
                "the one that it was trained with (--chat-template), or a prompt."
            )
        return self.chat.render(messages)

    def _starts(self, count: int, config: GenerationConfig) -> list[Array]:
        start = config.decoder_start_token_id
        if start is None:
            raise UsageError(
                f"'{self.name}' does not say with which token its texts begin: give "
                "decoder_start_token_id."
            )
        return [np.array([start], np.int32)] * count


class _OverError(Exception):
    pass


class _Ending:
    """A decoder that ends when nobody waits for its texts any more."""

    def __init__(self, decoder: Decoder, is_over: Callable[[], bool]) -> None:
        self._decoder, self._is_over = decoder, is_over

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def step(self, tokens: Array) -> Array:
        if self._is_over():
            raise _OverError
        return self._decoder.step(tokens)


def _ended(pieces: Iterator[Piece]) -> Iterator[Piece]:
    with contextlib.suppress(_OverError):
        yield from pieces


def _texts(prompts: Sequence[str | Sequence[int]]) -> list[str]:
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise UsageError(f"The source of a text is a text, not {type(prompt).__name__}.")
    return [str(prompt) for prompt in prompts]
