"""A language model whose runtime generates by itself, such as LiteRT-LM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.generation.chat import ChatTemplate
from zoo_runtime.generation.config import GenerationConfig, configured
from zoo_runtime.generation.generator import TextGenerator
from zoo_runtime.generation.search import LENGTH, STOP
from zoo_runtime.generation.texts import Completion, Piece
from zoo_runtime.running.writing import Writer
from zoo_system.arguments import explained

# What every such runtime is given, beside what its sampler has; all other options have to be as
# they are where nothing is said.
_KNOWN = ("max_new_tokens", "num_return_sequences", "do_sample", "stop_strings")
_SEEDS = 1 << 31
# LiteRT-LM draws from so many tokens, where nothing limits them.
MOST_DRAWN = 1000


@dataclass(frozen=True, eq=False)
class RuntimeGenerator:
    """A language model in a runtime with a tokenizer, cache and sampler of its own.

    It has the functions of a :class:`zoo_runtime.generation.generator.TextGenerator`.

    Args:
        name: Of the model, for messages.
        runtime: Of the format, for messages.
        writer: The loaded file.
        chat: The chat template, if there is one.
        is_own: Whether that is the file's own.
        is_over: Whether nobody waits for a text any more.
    """

    name: str
    runtime: str
    writer: Writer
    chat: ChatTemplate | None = None
    is_own: bool = True
    is_over: Callable[[], bool] = lambda: False

    @explained
    def stream(
        self,
        prompts: Sequence[str],
        *,
        json_schema: Mapping[str, Any] | str | None = None,
        regex: str | None = None,
        logprobs: int | None = None,
        is_whole: bool = False,
        **options: Any,
    ) -> Iterator[Piece]:
        """Generate texts one after the other, and yield each part as it is written.

        Args:
            prompts: Beginnings.
            json_schema: Not known to such a runtime.
            regex: The same.
            logprobs: The same.
            is_whole: Whether the prompts have all special tokens themselves; the token that begins
                every text is the runtime's to put there.
            options: Of :class:`zoo_runtime.generation.config.GenerationConfig`; where none says how
                a token is drawn, the file does.

        Raises:
            UsageError: An option that the runtime does not have.
        """
        del is_whole
        for name, value in (
            ("json_schema", json_schema),
            ("regex", regex),
            ("logprobs", logprobs),
        ):
            if value is not None:
                self._refuse(name)
        config = configured(GenerationConfig(), options)
        plain, sampling = GenerationConfig(), self.writer.sampling
        for name in (field.name for field in fields(config)):
            is_known = name in _KNOWN or name in sampling
            if not is_known and getattr(config, name) != getattr(plain, name):
                self._refuse(name)
        is_said = any(options.get(name) is not None for name in (*sampling, "do_sample"))
        sampler = _sampler(config) if is_said else {}
        return self._pieces(prompts, config, sampler)

    @explained
    def complete(self, prompts: Sequence[str], **options: Any) -> list[Completion]:
        """Return the texts that :meth:`stream` yields in parts."""
        pieces = self.stream(prompts, **options)
        return [piece.completion for piece in pieces if piece.completion is not None]

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the prompt that a conversation makes, up to the beginning of the answer.

        Raises:
            UsageError: There is no chat template.
        """
        if self.chat is None:
            raise UsageError(
                f"'{self.name}' has no chat template: it continues texts (zoo generate)."
            )
        if not self.is_own:
            return self.chat.render(messages)
        return self.writer.rendered([dict(message) for message in messages])

    def with_chat(self, template: str | None) -> RuntimeGenerator:
        """Return the generator with another chat template, in Jinja; ``None`` keeps its own."""
        if template is None:
            return self
        return replace(self, chat=ChatTemplate(template), is_own=False)

    def until(self, is_over: Callable[[], bool]) -> RuntimeGenerator:
        """Return the generator whose texts end, without what completes them, once that is so."""
        return replace(self, is_over=is_over)

    def try_out(self) -> None:
        """Write a token, so that what is damaged is known."""
        self.complete(["a"], max_new_tokens=1, do_sample=False)

    def _refuse(self, name: str) -> None:
        known = ", ".join(sorted((*_KNOWN, *self.writer.sampling)))
        raise UsageError(
            f"{name} is not an option of {self.runtime}, which generates by itself: it has "
            f"{known}. Use another format of '{self.name}'."
        )

    def _pieces(
        self, prompts: Sequence[str], config: GenerationConfig, sampler: Mapping[str, float]
    ) -> Iterator[Piece]:
        count = config.num_return_sequences
        for row in range(len(prompts) * count):
            prompt, copy = prompts[row // count], row % count
            if not isinstance(prompt, str):
                raise UsageError(f"A prompt is a text, not {type(prompt).__name__}.")
            # Each text of a prompt is another one.
            drawn = {n: v + copy if n == "seed" else v for n, v in sampler.items()}
            text = ""
            for part in _stopped(
                self.writer.stream(prompt, config.max_new_tokens, **drawn), config.stop_strings
            ):
                if self.is_over():
                    return
                text += part
                yield Piece(row, part)
            # Those of the text: of half a character it has more than were written.
            tokens = tuple(self.writer.tokenize(text))[: config.max_new_tokens]
            finish = LENGTH if len(tokens) >= config.max_new_tokens else STOP
            read = len(self.writer.tokenize(prompt))
            yield Piece(row, "", Completion(text, tokens, finish, read))


# What generates texts, with a decoder of ours or by itself.
Generator = TextGenerator | RuntimeGenerator


def _sampler(config: GenerationConfig) -> dict[str, float]:
    """Return how a token is drawn; what only some runtimes have is there where it is asked for."""
    penalty = config.repetition_penalty
    more = {} if penalty == 1 else {"repetition_penalty": penalty}
    if not config.do_sample:
        return {"top_k": 1, "temperature": 0.0, **more}
    if config.seed is not None:
        more["seed"] = config.seed % _SEEDS
    return {
        "temperature": config.temperature,
        "top_k": config.top_k or MOST_DRAWN,
        "top_p": config.top_p,
        **more,
    }


def _stopped(parts: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield parts of a text up to the first string that ends it, and nothing of that string.

    Example:
        >>> list(_stopped(iter(["one t", "wo E", "ND three"]), ["END"]))
        ['one', ' two', ' ']
    """
    held, longest = "", max(map(len, stops), default=1)
    for part in parts:
        held += part
        ends = [at for at in map(held.find, stops) if at >= 0]
        if ends:
            yield held[: min(ends)]
            return
        sure = len(held) - (longest - 1)
        if sure > 0:
            yield held[:sure]
            held = held[sure:]
    if held:
        yield held
