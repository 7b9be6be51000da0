"""The text generator of a run or a bundle, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.files import GENERATING
from zoo_runtime.generation.generator import BY_DEFAULT, OF_SOURCE, Decoders, TextGenerator
from zoo_runtime.generation.recomputing import Recomputing
from zoo_runtime.generation.texts import with_end
from zoo_runtime.manifest import Decoding
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.preprocess.steps import TokenizeStep
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Arrays
from zoo_runtime.trained import Trained

_TOKENS, _MASK = "token_ids", "padding_mask"


def text_generator(trained: Trained, decoders: Callable[[int | None], Decoders]) -> TextGenerator:
    """Return what generates texts with a trained model.

    Args:
        trained: A run or a bundle.
        decoders: Loads the model and returns what makes a decoder; given is the length of the
            texts that it was trained on.

    Raises:
        UsageError: No language model, or one that came without a tokenizer.
    """
    check_generates(trained)
    names = [tensor.name for tensor in trained.inputs]
    preprocessor = Preprocessor(trained.preprocessing, trained.assets, names)
    steps = [step for step in preprocessor.steps if isinstance(step, TokenizeStep)]
    if not steps:
        raise UsageError(f"'{trained}' has no tokenizer: it takes token ids, not a text.")
    tokenizer, about = preprocessor.tokenizer(steps[0].tokenizer), trained.decoding or Decoding()
    is_seq2seq = trained.task == "seq2seq"
    config = default_config(trained.task, about, tokenizer)
    read_source = preprocessor.batch if is_seq2seq else None
    decoder = decoders(about.length if is_seq2seq else steps[0].length)
    return TextGenerator(trained.name, tokenizer, config, decoder, read_source, about.chat)


def default_config(task: str | None, about: Decoding, tokenizer: Any) -> GenerationConfig:
    """Return how a model generates where a call does not say.

    Args:
        task: Its task.
        about: What its run or bundle says.
        tokenizer: A ``tokenizers.Tokenizer``.
    """
    is_seq2seq = task == "seq2seq"
    config = about.config or (OF_SOURCE if is_seq2seq else BY_DEFAULT)
    config = with_end(config, tokenizer, about.end)
    return _of_target(config, tokenizer, about) if is_seq2seq else config


def check_generates(trained: Trained) -> None:
    """Refuse a model that generates no texts.

    Raises:
        UsageError: It has another task.
    """
    if trained.task not in GENERATING:
        raise UsageError(
            f"'{trained}' is not a language model: its task is '{trained.task}', and one of "
            f"{' or '.join(GENERATING)} generates texts."
        )


def recomputing(runner: Runner, length: int | None) -> Decoders:
    """Return what makes decoders of a model without a cache, which read the whole text each time.

    Args:
        runner: The model.
        length: Positions of a model whose input has any length, which does not say it.
    """
    names = {tensor.name for tensor in runner.inputs}
    prefix = "decoder_" if f"decoder_{_TOKENS}" in names else ""
    mask = f"{prefix}{_MASK}"
    make = partial(Recomputing, runner, f"{prefix}{_TOKENS}", mask if mask in names else None)

    def decoder(source: Arrays | None, every: bool) -> Recomputing:
        del every
        return make(source, length)

    return decoder


def _of_target(config: GenerationConfig, tokenizer: Any, about: Decoding) -> GenerationConfig:
    token = None if about.start is None else tokenizer.token_to_id(about.start)
    return replace(
        config,
        decoder_start_token_id=config.decoder_start_token_id if token is None else token,
        max_new_tokens=about.length or config.max_new_tokens,
    )
