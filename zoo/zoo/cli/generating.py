"""``zoo generate`` and ``zoo chat``: a text as it is written, and how fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from zoo.cli.output import print_json
from zoo_registry import UsageError
from zoo_system.errors import printable

_SAMPLING = (
    click.option("--max-new-tokens", type=click.IntRange(min=0), help="Tokens at most."),
    click.option("--temperature", type=float, help="0 takes the most probable token."),
    click.option("--top-k", type=int, help="Draw from so many of the most probable tokens."),
    click.option("--top-p", type=float, help="Draw from those that together are so probable."),
    click.option("--min-p", type=float, help="Draw from tokens with such a part of the greatest."),
    click.option("--repetition-penalty", type=float, help="Above 1: tokens that occur come less."),
    click.option("--no-repeat-ngram", type=int, help="No sequence of so many tokens comes twice."),
    click.option("--stop", multiple=True, help="A string that ends a text; may be given twice."),
    click.option("--overflow", help="stop, or slide: what happens when the context is full."),
    click.option("--seed", type=int, help="The same seed gives the same text."),
    click.option("--runtime", help="Of a bundle: a format of it, its first by default."),
    click.option("--weights", help="Of a model by name: a folder, a file, hf://org/name."),
    click.option("--tokenizer", help="A tokenizer.json, for a model that came with none."),
)


def _sampling(command: Any) -> Any:
    """Give a command the options of a search, in the order of the table."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


@click.command()
@click.argument("source", metavar="MODEL|RUN|BUNDLE")
@click.argument("prompts", metavar="PROMPT...", nargs=-1)
@_sampling
@click.option("--num-beams", type=int, help="Beam search with so many beams.")
@click.option("--num-return-sequences", type=int, help="Texts for each prompt.")
@click.option("--json-schema", help="A file: the text is JSON that it describes.")
@click.option("--regex", help="The text matches this expression.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def generate(
    *,
    source: str,
    prompts: tuple[str, ...],
    runtime: str | None,
    weights: str | None,
    tokenizer: str | None,
    as_json: bool,
    json_schema: str | None,
    **options: Any,
) -> None:
    """Let a language model continue a text, or a seq2seq model answer it.

    PROMPT "-" reads the text from standard input. The text is printed as it is written.
    """
    from zoo.generating import text_generator

    texts = [sys.stdin.read() if prompt == "-" else prompt for prompt in prompts]
    if not texts:
        raise UsageError('A prompt is missing: zoo generate MODEL "Once upon a time".')
    options = _as_config(options)
    if json_schema is not None:
        options["json_schema"] = _read_text(json_schema)
    if options["num_return_sequences"] == 1:
        del options["num_return_sequences"]
    generator = text_generator(source, runtime=runtime, weights=weights, tokenizer=tokenizer)
    if as_json:
        print_json([asdict(text) for text in generator.complete(texts, **options)])
        return
    for index, text in enumerate(texts):
        if index:
            click.echo()
        _print_stream(generator, text, options)


def _print_stream(generator: Any, prompt: str, options: dict[str, Any]) -> str:
    """Print the texts of one prompt as they come, and on standard error how fast they came.

    Returns the last of them.
    """
    begun, first, tokens, row, text = time.perf_counter(), None, 0, 0, ""
    waiting: dict[int, list[str]] = {}
    for piece in generator.stream([prompt], **options):
        first = time.perf_counter() if first is None else first
        if piece.completion is not None:
            tokens += len(piece.completion.tokens)
            text = piece.completion.text
        if piece.row == row and row not in waiting:
            click.echo(printable(piece.text), nl=False)
            sys.stdout.flush()
        else:
            waiting.setdefault(piece.row, []).append(piece.text)
        if piece.completion is not None and piece.row == row:
            click.echo()
            row += 1
    for texts in waiting.values():
        click.echo(printable("".join(texts)))
    seconds = time.perf_counter() - begun
    waited = (first or begun) - begun
    click.echo(
        f"{tokens} tokens, {tokens / seconds:.1f} tokens/s, the first after {waited:.2f} s",
        err=True,
    )
    return text


@click.command()
@click.argument("source", metavar="MODEL|BUNDLE")
@_sampling
@click.option("--system", help="What the model is told before the conversation.")
def chat(
    *,
    source: str,
    runtime: str | None,
    weights: str | None,
    tokenizer: str | None,
    system: str | None,
    **options: Any,
) -> None:
    """Talk with a language model, by the chat template that it came with.

    An empty line or Ctrl-D ends the conversation, /new begins another one.
    """
    from zoo.generating import text_generator

    generator = text_generator(source, runtime=runtime, weights=weights, tokenizer=tokenizer)
    options = {"max_new_tokens": 512, **{k: v for k, v in _as_config(options).items() if v}}
    first = [{"role": "system", "content": system}] if system else []
    messages = list(first)
    for line in _lines():
        if line == "/new":
            messages = list(first)
            continue
        messages.append({"role": "user", "content": line})
        prompt = generator.conversation(messages)
        answer = _print_stream(generator, prompt, {**options, "is_whole": True})
        messages.append({"role": "assistant", "content": answer})


def _lines() -> Iterator[str]:
    """Yield what the user types, or a pipe holds, up to an empty line or the end."""
    is_terminal = sys.stdin.isatty()
    while True:
        try:
            line = input("> " if is_terminal else "")
        except EOFError:
            return
        if not line.strip():
            return
        yield line.strip()


def _as_config(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command under the names of a ``GenerationConfig``."""
    renamed = dict(options)
    renamed["no_repeat_ngram_size"] = renamed.pop("no_repeat_ngram")
    renamed["stop_strings"] = renamed.pop("stop") or None
    return renamed


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from error
