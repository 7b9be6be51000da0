"""What a runtime that continues texts by itself wants to find in a language model's file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import load_target
from zoo_runtime.errors import ExportError
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.generation.files import LOGITS
from zoo_runtime.running.writing import NEW, PROMPT, TEXT, Writer
from zoo_runtime.tensors import Array, Arrays
from zoo_system.folders import TOKENIZER

# What a conversion's `about` has beside what every file says of itself: a plan, as plain data.
PLAN = "plan"
# Of a sample batch: the tokens of each prompt and of what Keras writes, with zeros behind them,
# and how many there are of both.
ALL_TOKENS, PROMPT_LENGTH, WRITTEN_LENGTH = "tokens", "prompt_length", "written_length"
# What a chat template is tried with.
CONVERSATION = (
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "And then?"},
)


@dataclass(frozen=True, kw_only=True)
class Language:
    """What a language model's file says of its texts, as plain data.

    Args:
        tokenizer: Path of ``tokenizer.json``, or of a SentencePiece ``.model``.
        start: Token that stands before every text.
        stops: Tokens that end a text.
        special: Special tokens as text, by what transformers calls them, such as ``bos_token``.
        template: Chat template in Jinja's language.
        sampler: How a token is chosen where a program does not say, in the names of
            :class:`zoo_runtime.generation.config.GenerationConfig`.
    """

    tokenizer: str
    start: int | None = None
    stops: tuple[int, ...] = ()
    special: dict[str, str] = field(default_factory=dict)
    template: str | None = None
    sampler: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a runtime wants what a language model's file says.

    Args:
        runtime: Its name, for messages.
        written_tokenizer: Writes a tokenizer into a folder and returns the path, or raises one.
        template: Returns a chat template as the runtime renders it, given the start token, and what
            it makes of :data:`CONVERSATION`.
        sampling: What of a ``GenerationConfig`` it has, beside ``do_sample``.
        open: Loads a file.
        logits: Takes the file and it, loaded, and returns a function of all tokens of a text and
            the number of those that are its prompt, which returns the float32 (others, vocab_size)
            logits before each other token.
        is_uniform: Whether keys and values of all layers have to have one size.
    """

    runtime: str
    written_tokenizer: Callable[[Any, Path], Path]
    template: Callable[[ChatTemplate, int | None], tuple[str, str]]
    sampling: tuple[str, ...]
    open: Callable[[Path], Writer]
    logits: Callable[[Path, Writer], Callable[[Sequence[int], int], Array]]
    is_uniform: bool = False


def dialect_of(target: str) -> Dialect:
    """Return the dialect of a format, which is called ``"module:NAME"`` there."""
    found: Dialect = load_target(target)
    return found


def plain_tokenizer(tokenizer: Any, folder: Path) -> Path:
    """Write a ``tokenizer.json`` that adds, cuts and pads nothing, which is the runtime's to do."""
    data = json.loads(tokenizer.to_str())
    data |= {"post_processor": None, "truncation": None, "padding": None}
    path = folder / TOKENIZER
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def run_samples(
    dialect: Dialect, path: Path, samples: Arrays, conversation: str | None
) -> dict[str, Array]:
    """Let a runtime continue prompts, and compute the logits of what Keras wrote.

    Args:
        dialect: Of the runtime.
        path: The file.
        samples: Prompts, how many tokens are to be added, and all tokens as Keras has them.
        conversation: What the chat template makes of :data:`CONVERSATION`, if there is one.

    Returns:
        The texts; float32 (tokens, vocab_size) logits before each token that Keras wrote.

    Raises:
        ExportError: The runtime reads a prompt or a conversation as something else.
    """
    writer = dialect.open(path)
    rows = list(_rows(samples))
    for prompt, tokens, length in rows:
        _check_tokens(dialect, writer, prompt, tokens[:length].tolist())
    if conversation is not None:
        _check_conversation(dialect, writer, conversation)
    texts = writer.run({PROMPT: samples[PROMPT], NEW: samples[NEW]})[TEXT]
    logits_of = dialect.logits(path, writer)
    logits = [
        logits_of(tokens[: length + written].tolist(), length)
        for (_, tokens, length), written in zip(rows, samples[WRITTEN_LENGTH], strict=True)
    ]
    return {TEXT: texts, LOGITS: np.concatenate(logits)}


def _rows(samples: Arrays) -> Iterator[tuple[str, Array, int]]:
    columns = (samples[PROMPT], samples[ALL_TOKENS], samples[PROMPT_LENGTH])
    for prompt, tokens, length in zip(*columns, strict=True):
        yield str(prompt), tokens, int(length)


def _check_tokens(dialect: Dialect, writer: Writer, prompt: str, wanted: list[int]) -> None:
    found = writer.tokenize(prompt)
    if wanted[len(wanted) - len(found) :] != found:
        raise ExportError(
            f"{dialect.runtime} reads the text {prompt[:40]!r} as other tokens ({found[:8]}) than "
            f"its tokenizer here ({wanted[:8]})"
        )


def _check_conversation(dialect: Dialect, writer: Writer, wanted: str) -> None:
    try:
        found = writer.rendered(CONVERSATION)
    except RuntimeError as error:
        raise ExportError(f"{dialect.runtime} cannot render its chat template: {error}") from error
    if found != wanted:
        raise ExportError(
            f"{dialect.runtime} makes {found!r} of a conversation with its chat template, and "
            f"transformers {wanted!r}"
        )
