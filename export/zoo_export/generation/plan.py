"""What a file that writes texts is made of beside its graph, and what Keras writes to verify it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.converters.generation import sizes
from zoo_export.generation.dialect import (
    ALL_TOKENS,
    PROMPT_LENGTH,
    WRITTEN_LENGTH,
    Dialect,
    Language,
)
from zoo_export.reading.inference import inference_clone
from zoo_export.reading.request import Request
from zoo_models.generation.decoder import KerasDecoder, KerasGenerator
from zoo_models.generation.kerashub import KerasHubReading, is_keras_hub, keras_hub_tokenizer
from zoo_models.generation.reading import ReadingModel, reading_model
from zoo_models.layers.cache import KEY, VALUE
from zoo_registry import UsageError
from zoo_runtime.generation.by_runtime import MOST_DRAWN
from zoo_runtime.generation.config import SAMPLING, GenerationConfig
from zoo_runtime.generation.generator import BY_DEFAULT
from zoo_runtime.generation.sentencepiece import is_sentence_piece
from zoo_runtime.generation.texts import prompt_tokens, with_end
from zoo_runtime.manifest import Decoding
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import TokenizeStep
from zoo_runtime.running.writing import NEW, PROMPT
from zoo_runtime.tensors import Array
from zoo_runtime.tokenizing import decoded, encoded, open_tokenizer

# What Keras adds to each prompt.
_WRITTEN = 16
# Words of the prompts where the model comes with no examples.
_WORDS = (1, 5, 19, 60)
_TEXT = (
    "The history of writing is the history of machines that hold what one person says for another "
    "who is not there. A pen, a press, a wire and a screen have each changed what is said, to whom "
    "and how soon, and none of them has ended the one before it. A model that writes is the newest "
    "of these, and it learns what it knows from all the others: from books, letters, recipes, "
    "programs and complaints."
)


@dataclass(frozen=True, eq=False)
class Reference:
    """A text that Keras wrote, always the most probable token.

    Args:
        prompt: What it goes on from.
        tokens: Of the prompt, with what stands before every text.
        written: What Keras added.
        logits: float32 (written, vocab_size), before each token that it added.
    """

    prompt: str
    tokens: tuple[int, ...]
    written: tuple[int, ...]
    logits: Array


@dataclass(frozen=True, eq=False)
class Plan:
    """What the files that write texts are made of, beside the model.

    Args:
        runtime: Name of the runtime that writes.
        language: Tokenizer, start and stop tokens, chat template, sampler.
        tokenizer: The tokenizer itself.
        context: Tokens of a text at most.
        prefill_lengths: Tokens that are read at once.
        vocab_size: Tokens of the tokenizer that the model has too.
        references: What Keras writes.
        conversation: What the chat template makes of
            :data:`zoo_export.generation.dialect.CONVERSATION`.
        left_out: Options of the model's own sampling that the runtime does not have.
    """

    runtime: str
    language: Language
    tokenizer: Any
    context: int
    prefill_lengths: tuple[int, ...]
    vocab_size: int
    references: tuple[Reference, ...]
    conversation: str | None = None
    left_out: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """Return what a converter needs of it, as plain data."""
        return {
            "language": asdict(self.language),
            "context": self.context,
            "prefill_lengths": list(self.prefill_lengths),
            "vocab_size": self.vocab_size,
            "conversation": self.conversation,
        }

    def samples(self) -> dict[str, Array]:
        """Return what the files are run on, as :func:`zoo_export.generation.dialect.run_samples`.

        Their outputs are texts, and the logits before each token that Keras wrote.
        """
        rows = [[*each.tokens, *each.written] for each in self.references]
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int32)
        for at, row in enumerate(rows):
            tokens[at, : len(row)] = row
        lengths = [(len(each.tokens), len(each.written)) for each in self.references]
        prompts, written = np.array(lengths, np.int32).T
        return {
            PROMPT: np.array([each.prompt for each in self.references]),
            NEW: written,
            ALL_TOKENS: tokens,
            PROMPT_LENGTH: prompts,
            WRITTEN_LENGTH: written,
        }


def make_plan(request: Request, folder: Path, dialect: Dialect) -> Plan:
    """Find out what a language model's file needs, and let Keras write.

    Args:
        request: The model with what is known of it.
        folder: Where the tokenizer's file is written.
        dialect: Of the runtime that is to write.

    Raises:
        UsageError: Something that the runtime has no way for: no language model, one that keeps
            something else than keys and values, no tokenizer, or one of another vocabulary.
    """
    model = inference_clone(request.model)
    reading = reading_model(model)
    _check_kept(reading, model.name, dialect)
    context, lengths = sizes(reading, request.options, request.name)
    tokenizer, config = _tokenizer(request, model)
    vocab_size = _vocab_size(request.name, tokenizer, reading.vocab_size)
    start = _start(tokenizer, config, dialect)
    chat = (request.decoding or Decoding()).chat
    template, conversation = (None, None) if chat is None else dialect.template(chat, start)
    sampler, left_out = _sampler(config, vocab_size, dialect)
    language = Language(
        tokenizer=str(dialect.written_tokenizer(tokenizer, folder)),
        start=start,
        stops=config.eos_token_id,
        special={**_special(tokenizer, start, config), **((chat and chat.tokens) or {})},
        template=template,
        sampler=sampler,
    )
    generator = KerasGenerator(reading)
    references = tuple(
        _reference(generator, prompt, tokens, config, context)
        for prompt, tokens in _prompts(request, tokenizer, config, context)
    )
    return Plan(
        dialect.runtime,
        language,
        tokenizer,
        context,
        # It calls one at least.
        lengths or (context,),
        vocab_size,
        references,
        conversation,
        left_out,
    )


def _check_kept(reading: ReadingModel | KerasHubReading, name: str, dialect: Dialect) -> None:
    """Refuse a model that keeps something else than keys and values of all tokens."""
    kinds = {KEY.format(""), VALUE.format("")}
    other = [each for each in reading.entries if each.rstrip("0123456789") not in kinds]
    if reading.is_seq2seq or other:
        what = "a source that it reads first" if reading.is_seq2seq else f"'{other[0]}'"
        raise UsageError(
            f"model '{name}' keeps {what}, and {dialect.runtime} keeps the keys and values of one "
            "text alone: export it to tflite or onnx"
        )
    if dialect.is_uniform and len({entry.shape for entry in reading.entries.values()}) > 1:
        raise UsageError(
            f"model '{name}' has layers whose keys have different sizes, and {dialect.runtime} has "
            "one size for all: export it to tflite or onnx"
        )


def _tokenizer(request: Request, model: Any) -> tuple[Any, GenerationConfig]:
    """Return the tokenizer of a model, and how it generates where a caller does not say."""
    if request.tokenizer is not None:
        return request.tokenizer
    steps = [as_step(step) for step in request.preprocessing]
    files = [step.tokenizer for step in steps if isinstance(step, TokenizeStep)]
    if files and request.assets is not None:
        tokenizer = open_tokenizer(request.assets / files[0])
        about = request.decoding or Decoding()
        return tokenizer, with_end(about.config or BY_DEFAULT, tokenizer, about.end)
    found = keras_hub_tokenizer(request.model) if is_keras_hub(request.model) else None
    if found is None:
        raise UsageError(
            f"model '{request.name}' has no tokenizer, which is part of the file: load weights "
            "that come with one, or name it in the preprocessing (preprocessing=[{'step': "
            "'tokenize', ...}], assets=FOLDER)"
        )
    return found


def _vocab_size(name: str, tokenizer: Any, of_model: int) -> int:
    if is_sentence_piece(tokenizer):
        size = tokenizer.get_vocab_size()
    else:
        size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
    if size > of_model:
        raise UsageError(
            f"the tokenizer of model '{name}' has {size:,} tokens and the model {of_model:,}"
        )
    return int(size)


def _start(tokenizer: Any, config: GenerationConfig, dialect: Dialect) -> int | None:
    """Return the token that stands before every text, which the runtime puts there."""
    plain = encoded(tokenizer, [_TEXT], add_special_tokens=False)[0].ids
    before = prompt_tokens(tokenizer, _TEXT, config).tolist()
    before = before[: len(before) - len(plain)]
    if len(before) > 1:
        raise UsageError(
            f"its tokenizer puts {len(before)} tokens before a text ({before}), and "
            f"{dialect.runtime} one"
        )
    return before[0] if before else None


def _special(tokenizer: Any, start: int | None, config: GenerationConfig) -> dict[str, str]:
    """Return the tokens that begin and end a text as text."""
    ids = {"bos_token": start, "eos_token": next(iter(config.eos_token_id), None)}
    texts = {name: at if at is None else tokenizer.id_to_token(at) for name, at in ids.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _sampler(
    config: GenerationConfig, vocab_size: int, dialect: Dialect
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return how a runtime draws where a program does not say, and what it has no option for."""
    plain = GenerationConfig()
    penalties = ("repetition_penalty", "no_repeat_ngram_size", "num_beams")
    asked = [*(SAMPLING if config.do_sample else ()), *penalties]
    others = [name for name in asked if getattr(config, name) != getattr(plain, name)]
    found = {name: getattr(config, name) for name in others if name in dialect.sampling}
    if config.do_sample:
        most = config.top_k or min(vocab_size, MOST_DRAWN)
        found |= {"top_k": most, "top_p": config.top_p, "temperature": config.temperature}
    left_out = tuple(name for name in others if name not in dialect.sampling)
    return {"do_sample": config.do_sample, **found}, left_out


def _prompts(
    request: Request, tokenizer: Any, config: GenerationConfig, context: int
) -> list[tuple[str, Array]]:
    """Return prompts of different lengths with their tokens."""
    words = _TEXT.split(" ")
    texts = [*_examples(request, tokenizer), *(" ".join(words[:count]) for count in _WORDS)]
    found = []
    for text in texts:
        tokens = prompt_tokens(tokenizer, text, config)
        if len(tokens) < context:
            found.append((text, tokens))
    if not found:
        raise UsageError(
            f"max_length={context} has no room for a word and what comes behind it: give more"
        )
    return found


def _examples(request: Request, tokenizer: Any) -> list[str]:
    """Return the beginnings of two of a run's examples, short and long."""
    rows = (request.rows or {}).get("token_ids") if request.is_run else None
    if rows is None or len(rows) < 2:
        return []
    pairs = ((rows[0], 4), (rows[1], len(rows[1]) // 2))
    parts = [row[:count].tolist() for row, count in pairs]
    return [text for text in decoded(tokenizer, parts) if text]


def _reference(
    generator: KerasGenerator, prompt: str, tokens: Array, config: GenerationConfig, context: int
) -> Reference:
    decoder = KerasDecoder(generator)
    written: list[int] = []
    rows: list[Array] = []
    scores = decoder.prefill([tokens])[0]
    for _ in range(min(_WRITTEN, context - len(tokens))):
        rows.append(scores)
        written.append(int(scores.argmax()))
        if written[-1] in config.eos_token_id or len(written) == context - len(tokens):
            break
        scores = decoder.step(np.array(written[-1:], np.int32))[0]
    return Reference(prompt, tuple(tokens.tolist()), tuple(written), np.stack(rows))
