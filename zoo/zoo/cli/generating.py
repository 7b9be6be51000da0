"""``zoo generate`` and ``zoo chat``: a text as it is written, and how fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import names_of
from zoo.cli.output import print_json
from zoo_registry import UsageError
from zoo_system.errors import printable

if TYPE_CHECKING:
    from zoo_runtime.generation.by_runtime import Generator
    from zoo_runtime.generation.texts import Completion, Piece

# Tokens of an answer at most, where nothing is said.
_ANSWER = 512
# And what a model without a template adds to a text; it has the whole of it as one.
_PASSAGE = 100
_ONE_TEXT = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
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
@click.argument(
    "source", metavar="MODEL|RUN|BUNDLE", shell_complete=names_of("run", "bundle", "model")
)
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

    texts = [_standard_input() if prompt == "-" else prompt for prompt in prompts]
    if not texts:
        raise UsageError('A prompt is missing: zoo generate MODEL "Once upon a time".')
    options = _as_config(options)
    if json_schema is not None:
        options["json_schema"] = read_text("--json-schema", json_schema)
    if options["num_return_sequences"] == 1:
        del options["num_return_sequences"]
    generator = text_generator(source, runtime=runtime, weights=weights, tokenizer=tokenizer)
    if as_json:
        print_json([asdict(text) for text in generator.complete(texts, **options)])
        return
    for index, text in enumerate(texts):
        if index:
            click.echo()
        written = _Written()
        _print_stream(generator.stream([text], **options), written)
        click.echo(written.said(), err=True)


@dataclass
class _Written:
    """Texts as they are written, and how fast.

    Args:
        texts: What was written so far, by row.
        ends: The finished ones, by row.
        begun: When the first of them was asked for.
        first: When the first part of one came.
    """

    texts: dict[int, str] = field(default_factory=dict)
    ends: dict[int, Completion] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)
    first: float | None = None

    def add(self, piece: Piece) -> None:
        """Add a part of a text."""
        if self.first is None:
            self.first = time.perf_counter()
        self.texts[piece.row] = self.texts.get(piece.row, "") + piece.text
        if piece.completion is not None:
            self.ends[piece.row] = piece.completion

    def said(self) -> str:
        """Return how many tokens were written, how fast, and whether the context was full."""
        from zoo_runtime.generation.search import CONTEXT

        now, tokens = time.perf_counter(), sum(len(text.tokens) for text in self.ends.values())
        said = f"{tokens} tokens"
        if tokens and self.first is not None:
            rate, waited = tokens / (now - self.begun), 1000 * (self.first - self.begun)
            said += f", {rate:.1f} tokens/s, the first after {waited:,.0f} ms"
        if any(text.finish == CONTEXT for text in self.ends.values()):
            said += "\nThe context is full: --overflow slide forgets its beginning and goes on."
        return said


def _print_stream(pieces: Iterator[Piece], written: _Written) -> None:
    """Print texts one after another: the first as it comes, others once those before are whole."""
    row, shown, begun = 0, 0, 0
    for piece in pieces:
        written.add(piece)
        while row in written.texts:
            if row > begun:
                click.echo()
                begun = row
            click.echo(printable(written.texts[row][shown:]), nl=False)
            sys.stdout.flush()
            shown = len(written.texts[row])
            if row not in written.ends:
                break
            click.echo()
            shown, row = 0, row + 1


@click.command()
@click.argument(
    "source", metavar="MODEL|RUN|BUNDLE", shell_complete=names_of("run", "bundle", "model")
)
@_sampling
@click.option("--system", help="What the model is told before the conversation.")
@click.option("--chat-template", help="A file: the template of a conversation, in Jinja.")
def chat(
    *,
    source: str,
    runtime: str | None,
    weights: str | None,
    tokenizer: str | None,
    system: str | None,
    chat_template: str | None,
    **options: Any,
) -> None:
    """Talk with a language model, by the chat template that it came with.

    One that came with none, as it was trained to continue texts, continues yours line by line. An
    empty line or Ctrl-D ends the conversation, /new begins another one, Ctrl-C ends an answer.
    """
    from zoo.generating import text_generator
    from zoo_runtime.generation.generator import TextGenerator

    template = None if chat_template is None else read_text("--chat-template", chat_template)
    generator = text_generator(source, runtime=runtime, weights=weights, tokenizer=tokenizer)
    generator = generator.with_chat(template)
    given = {name: value for name, value in _as_config(options).items() if value is not None}
    usual: dict[str, Any] = {"max_new_tokens": _ANSWER, "is_whole": True}
    if generator.chat is None:
        click.echo(f"'{generator.name}' has no chat template: it continues your text.", err=True)
        generator = generator.with_chat(_ONE_TEXT)
        usual = {"max_new_tokens": _PASSAGE, "is_whole": False}
        if isinstance(generator, TextGenerator):  # a runtime that generates by itself forgets none
            usual["overflow"] = "slide"
    options = {**usual, **given}
    first = [{"role": "system", "content": system}] if system else []
    generator.conversation([*first, {"role": "user", "content": ""}])
    messages = list(first)
    for line in _lines():
        if line == "/new":
            messages = list(first)
            continue
        asked = [*messages, {"role": "user", "content": line}]
        answer = _answer(generator, asked, options)
        if answer is not None:
            messages = [*asked, {"role": "assistant", "content": answer}]


def _answer(
    generator: Generator,
    messages: list[dict[str, str]],
    options: Mapping[str, Any],
) -> str | None:
    """Print the answer to a conversation and return it; ``None`` for one that has no answer."""
    written = _Written()
    try:
        prompt = generator.conversation(messages)
        _print_stream(generator.stream([prompt], **options), written)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        click.echo()
    except UsageError as error:
        if not sys.stdin.isatty():
            raise
        click.echo(f"error: {printable(str(error))}\n/new begins another conversation.", err=True)
        return None
    if written.ends:
        click.echo(written.said(), err=True)
    return written.texts.get(0, "")


def _lines() -> Iterator[str]:
    """Yield what the user types, or a pipe holds, up to an empty line or the end."""
    is_terminal = sys.stdin.isatty()
    while True:
        try:
            line = input("> " if is_terminal else "")
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UsageError(f"Standard input is not text in UTF-8: {error}") from error
        if not line.strip():
            return
        yield line.strip()


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"Standard input is not text in UTF-8: {error}") from error


def _as_config(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command under the names of a ``GenerationConfig``."""
    renamed = dict(options)
    renamed["no_repeat_ngram_size"] = renamed.pop("no_repeat_ngram")
    renamed["stop_strings"] = renamed.pop("stop") or None
    return renamed


def read_text(option: str, path: str) -> str:
    """Return the text of a file that an option names.

    Args:
        option: As it is typed.
        path: Its value.

    Raises:
        UsageError: A file that is not there, or is no text in UTF-8.
    """
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{option} '{path}' cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise UsageError(f"{option} '{path}' is not text in UTF-8: {error}.") from error
