"""From a run or a bundle of a language model to what generates texts with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.generation.chat import read_chat_template
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.generator import BY_DEFAULT, OF_SOURCE, OpenDecoder, TextGenerator
from zoo_runtime.generation.recomputing import Recomputing
from zoo_runtime.generation.search import Decoder
from zoo_runtime.generation.texts import with_end
from zoo_runtime.manifest import Decoding
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.tensors import Arrays
from zoo_runtime.trained import Trained

SEQ2SEQ = "seq2seq"
TASKS = ("causal-lm", SEQ2SEQ)
_TOKENS, _MASK = "token_ids", "padding_mask"


def open_generator(
    trained: Trained, *, runtime: str | None = None, open_decoder: OpenDecoder | None = None
) -> TextGenerator:
    """Return what generates texts with a trained language model.

    Args:
        trained: A run or a bundle of task ``causal-lm`` or ``seq2seq``.
        runtime: Of a bundle, a format of it; its first by default.
        open_decoder: What computes it, if that is not the trained model as a whole.

    Raises:
        UsageError: Another task, or a model without a tokenizer.
    """
    if trained.task not in TASKS:
        raise UsageError(
            f"'{trained}' is not a language model: its task is '{trained.task}', and one of "
            f"{' or '.join(TASKS)} generates texts."
        )
    trained.runtime(runtime)
    preprocessor = Preprocessor(
        trained.preprocessing, trained.assets, [tensor.name for tensor in trained.inputs]
    )
    step = preprocessor.tokenize_step
    if step is None:
        raise UsageError(f"'{trained}' has no tokenizer: it takes token ids, not a text.")
    tokenizer = preprocessor.tokenizer(step.tokenizer)
    about, is_seq2seq = trained.decoding or Decoding(), trained.task == SEQ2SEQ
    config = with_end(OF_SOURCE if is_seq2seq else BY_DEFAULT, tokenizer, about.end)
    return TextGenerator(
        trained.name,
        tokenizer,
        _of_target(config, tokenizer, about) if is_seq2seq else config,
        open_decoder or _recomputing(trained, runtime, about.length if is_seq2seq else step.length),
        preprocessor.batch if is_seq2seq else None,
        read_chat_template(trained.assets),
    )


def _of_target(config: GenerationConfig, tokenizer: Any, about: Decoding) -> GenerationConfig:
    token = None if about.start is None else tokenizer.token_to_id(about.start)
    length = about.length or config.max_new_tokens
    return replace(config, decoder_start_token_id=token, max_new_tokens=length)


def _recomputing(trained: Trained, runtime: str | None, length: int | None) -> OpenDecoder:
    """Return what reads the whole text again for every token.

    Args:
        trained: The model.
        runtime: As for :func:`open_generator`.
        length: Of the texts that it was trained on: what an input of any length does not say.
    """
    prefix = "decoder_" if trained.task == SEQ2SEQ else ""
    tokens, mask = f"{prefix}{_TOKENS}", f"{prefix}{_MASK}"

    def recomputing(source: Arrays | None, every: bool) -> Decoder:
        del every
        runner = trained.runner(runtime)
        masked = any(tensor.name == mask for tensor in runner.inputs)
        return Recomputing(runner, tokens, mask if masked else None, source, length)

    return recomputing
