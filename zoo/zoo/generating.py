"""Let a language model write: a model, a name, a run or a bundle, each in what it runs in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_models.backend import check_backend
from zoo_models.build import get_model
from zoo_recipes.run import Run, open_trained
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.bundle import Bundle
from zoo_runtime.generation.by_runtime import Generator
from zoo_runtime.generation.files import GENERATING
from zoo_runtime.generation.generator import BY_DEFAULT, TextGenerator
from zoo_runtime.tokenizing import open_tokenizer
from zoo_system.folders import TOKENIZER
from zoo_system.untouched import untouched


@untouched()
def generate(
    source: Any,
    prompt: str | Sequence[str],
    max_new_tokens: int | None = None,
    num_return_sequences: int = 1,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    no_repeat_ngram: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    stream: bool = False,
    weights: str | Path | None = None,
    tokenizer: Any = None,
    runtime: str | None = None,
    **options: Any,
) -> str | list[str] | Iterator[str]:
    """Let a language model continue a text, or a seq2seq model answer one.

    Without an option that says how, a language model draws tokens (``temperature=0.8``,
    ``top_p=0.95``) unless its weights come with a ``generation_config.json``, and a seq2seq model
    takes the most probable ones.

    Args:
        source: A registered name, a ``keras.Model`` of :func:`zoo.get_model`, a run, a bundle, or
            the folder of one of these.
        prompt: A text, or a list of texts; of a seq2seq model the source.
        max_new_tokens: How many tokens are added at most; 50 where the model's own configuration
            says nothing, and the length of the targets that a seq2seq model was trained on.
        num_return_sequences: Texts for each prompt.
        temperature: What logits are divided by; 0 takes the most probable token.
        top_k: Draw from this many of the most probable tokens.
        top_p: Draw from the most probable tokens that together have this probability.
        min_p: Draw from tokens with at least this fraction of the greatest probability.
        repetition_penalty: What the logits of tokens that occur already are divided by.
        no_repeat_ngram: No sequence of so many tokens occurs twice.
        stop: Strings that end a text; they are not part of it.
        seed: The same seed gives the same text, in every runtime.
        stream: Whether to return an iterator of the parts of one text, as they are generated.
        weights: Of a name, as for :func:`zoo.get_model`.
        tokenizer: A ``tokenizers.Tokenizer`` or the path of one, for a model that came with none.
        runtime: Of a bundle, a format of it; its first by default.
        options: Other options of
            :class:`zoo_runtime.generation.config.GenerationConfig`, such as ``num_beams``.

    Returns:
        The new text; a list of texts for a list of prompts or more than one text a prompt.

    Raises:
        UsageError: No language model, a model without a tokenizer, or options or a prompt that it
            cannot follow.

    Example:
        >>> import zoo
        >>> from tokenizers import Tokenizer, models
        >>> words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2}, unk_token="a"))
        >>> model = zoo.get_model("gpt-nano", vocab_size=3)
        >>> text = zoo.generate(model, "a", 4, tokenizer=words, seed=1)
        >>> text == zoo.generate(model, "a", 4, tokenizer=words, seed=1)
        True
    """
    generator = text_generator(source, weights=weights, tokenizer=tokenizer, runtime=runtime)
    if not isinstance(prompt, str | Sequence) or isinstance(prompt, bytes):
        raise UsageError(f"A prompt is a text, or a list of texts, not {type(prompt).__name__}.")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    how = {
        "max_new_tokens": max_new_tokens,
        "num_return_sequences": None if num_return_sequences == 1 else num_return_sequences,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram,
        "stop_strings": stop,
        "seed": seed,
        **options,
    }
    if stream:
        if len(prompts) != 1 or num_return_sequences != 1:
            raise UsageError("stream=True goes with one prompt and one text.")
        return (piece.text for piece in generator.stream(prompts, **how) if piece.text)
    texts = [completion.text for completion in generator.complete(prompts, **how)]
    return texts[0] if isinstance(prompt, str) and num_return_sequences == 1 else texts


def text_generator(
    source: Any,
    *,
    weights: str | Path | None = None,
    tokenizer: Any = None,
    runtime: str | None = None,
) -> Generator:
    """Return what generates texts with a model; as for :func:`generate`.

    Raises:
        UsageError: No language model, or one without a tokenizer.
    """
    check_backend()
    if isinstance(source, str) and source in zoo_registry.models:
        source = get_model(source, task=_task(source), weights=weights)
    elif weights is not None:
        raise UsageError("weights= goes with the name of a model; this one has its own.")
    if hasattr(source, "count_params"):
        return _of_model(source, tokenizer)
    trained = _opened(source)
    if tokenizer is not None:
        raise UsageError(f"'{trained}' has a tokenizer of its own: leave tokenizer= out.")
    return trained.text_generator(runtime)


def _task(name: str) -> str | None:
    """Return the task in which a registered model generates texts; ``None`` where it has none."""
    tasks = zoo_registry.models.get(name).tasks
    found = next((task for task in GENERATING if task in tasks), None)
    if tasks and found is None:
        raise UsageError(
            f"'{name}' is not a language model: its tasks are {', '.join(tasks)}, and one of "
            f"{' or '.join(GENERATING)} generates texts."
        )
    return found


def _opened(source: Any) -> Run | Bundle:
    try:
        return open_trained(source)
    except UsageError as error:
        hint = did_you_mean(source, zoo_registry.models) if isinstance(source, str) else ""
        if not hint:
            raise
        raise UsageError(f"{error} It is not the name of a model either.{hint}") from error


def _of_model(model: Any, tokenizer: Any) -> TextGenerator:
    from zoo_models.generation.decoder import compiled, keras_decoders
    from zoo_models.generation.kerashub import is_keras_hub, keras_hub_tokenizer

    assets = getattr(getattr(model, "zoo_weights", None), "assets", None)
    own = keras_hub_tokenizer(model) if tokenizer is None and is_keras_hub(model) else None
    found, config = own or (
        _tokenizer(model, tokenizer, assets),
        getattr(assets, "generation", None) or BY_DEFAULT,
    )
    if compiled(model).reading.is_seq2seq:
        raise UsageError(
            f"Model '{model.name}' reads a source, and nothing says how its texts begin and end: "
            "give a run of it, or a bundle."
        )
    chat = getattr(assets, "chat", None)
    return TextGenerator(model.name, found, config, keras_decoders(model), chat=chat)


def _tokenizer(model: Any, given: Any, assets: Any) -> Any:
    from zoo_models.weights.opening import load_tokenizer

    if isinstance(given, str | Path):
        path = Path(given)
        return open_tokenizer(path) if path.is_file() else load_tokenizer(given)
    if given is not None:
        return given
    if getattr(assets, "tokenizer", None) is None:
        raise UsageError(
            f"Model '{model.name}' has no tokenizer: load weights that come with one "
            "(weights='hf://...'), or give it (tokenizer=)."
        )
    return open_tokenizer(assets.folder / TOKENIZER)
