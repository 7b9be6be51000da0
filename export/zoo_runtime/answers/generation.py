"""Text generation, token by token, always the most probable one: NumPy around one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.answers.prediction import Described, check_outputs
from zoo_runtime.errors import BundleError
from zoo_runtime.manifest import Decoding
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.preprocess.steps import TokenizeStep
from zoo_runtime.running import Runner
from zoo_runtime.tensors import Array, Arrays
from zoo_runtime.tokenizing import asking

DECODER_TOKENS, DECODER_MASK = "decoder_token_ids", "decoder_padding_mask"


def translate(
    runner: Runner, about: Described, preprocessor: Preprocessor, raws: Sequence[str]
) -> list[str]:
    """Return the target text of each source text.

    Args:
        runner: A seq2seq model.
        about: Has how targets begin and end, and how long they may be.
        preprocessor: Of the source texts.
        raws: The source texts.

    Raises:
        BundleError: A manifest without that.
    """
    tokenizer, _ = _tokenizer(preprocessor)
    decoding = about.decoding or Decoding()
    start, end = (_token(tokenizer, token) for token in (decoding.start, decoding.end))
    fixed = {tensor.name: tensor.shape[1] for tensor in runner.inputs}.get(DECODER_TOKENS)
    length = decoding.length or (fixed if isinstance(fixed, int) else None)
    if start is None or end is None or length is None:
        raise BundleError(
            f"The manifest of '{about.name}' lacks how its texts begin and end, and how long they "
            "may be (decoding): export it from a run that this version trained."
        )
    width = fixed if isinstance(fixed, int) else length
    tokens = np.zeros((len(raws), max(width, length) + 1), np.int32)
    tokens[:, 0] = start
    inputs = preprocessor.batch(raws)
    going = np.ones(len(raws), bool)
    for step in range(min(length, width)):
        # A file of variable length is given only what there is to read.
        seen = width if isinstance(fixed, int) else step + 1
        chosen = _next_tokens(runner, about, inputs, tokens[:, :seen], step)
        tokens[:, step + 1] = np.where(going, chosen, 0)
        going &= chosen != end
        if not going.any():
            break
    return [_text(tokenizer, row[1:], end) for row in tokens]


def proceed(
    runner: Runner, about: Described, preprocessor: Preprocessor, raw: str, max_tokens: int
) -> str:
    """Return what a language model generates after a text.

    Args:
        runner: A causal language model.
        about: Has the token that ends a text.
        preprocessor: Names the tokenizer and the longest window.
        raw: The beginning.
        max_tokens: How many tokens to add at most; fewer if the text ends.

    Raises:
        UsageError: A beginning without a token.
    """
    tokenizer, step = _tokenizer(preprocessor)
    with asking("The tokenizer cannot read this text"):
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokens = list(tokenizer.encode(raw, add_special_tokens=False).ids)
    if not tokens:
        raise UsageError(f"{raw[:40]!r} has no token: a text begins with one.")
    begun = len(tokens)
    end = _token(tokenizer, about.decoding.end if about.decoding else None)
    for _ in range(max_tokens):
        chosen = _next_token(runner, about, step, tokens)
        if chosen == end:
            break
        tokens.append(chosen)
    with asking("The tokenizer cannot write this text"):
        whole, before = (tokenizer.decode(part) for part in (tokens, tokens[:begun]))
    return str(whole.removeprefix(before))


def _next_tokens(
    runner: Runner, about: Described, inputs: Arrays, tokens: Array, step: int
) -> Array:
    decoder = {
        DECODER_TOKENS: np.ascontiguousarray(tokens),
        DECODER_MASK: np.ascontiguousarray(
            np.broadcast_to(np.arange(tokens.shape[1]) <= step, tokens.shape), np.int32
        ),
    }
    outputs = runner.run({**inputs, **decoder})
    check_outputs(about, outputs)
    logits = outputs["logits"]
    return np.asarray(logits[:, step].argmax(axis=-1))


def _next_token(runner: Runner, about: Described, step: TokenizeStep, tokens: Sequence[int]) -> int:
    tensor = next(tensor for tensor in runner.inputs if tensor.name == step.input)
    size = tensor.shape[1]
    window = np.asarray(tokens[-(size if isinstance(size, int) else step.length) :], np.int32)
    padded = np.zeros(size if isinstance(size, int) else len(window), np.int32)
    padded[: len(window)] = window
    arrays = {step.input: padded[np.newaxis]}
    if any(tensor.name == "padding_mask" for tensor in runner.inputs):
        arrays["padding_mask"] = (np.arange(len(padded)) < len(window)).astype(np.int32)[np.newaxis]
    outputs = runner.run(arrays)
    check_outputs(about, outputs)
    return int(outputs["logits"][0, len(window) - 1].argmax())


def _tokenizer(preprocessor: Preprocessor) -> tuple[Any, TokenizeStep]:
    steps = [step for step in preprocessor.steps if isinstance(step, TokenizeStep)]
    if not steps:
        raise UsageError("This bundle has no tokenizer: it takes token ids, not a text.")
    return preprocessor.tokenizer(steps[0].tokenizer), steps[0]


def _token(tokenizer: Any, token: str | None) -> int | None:
    return None if token is None else tokenizer.token_to_id(token)


def _text(tokenizer: Any, tokens: Array, end: int) -> str:
    ends = np.flatnonzero(tokens == end)
    made = tokens[: ends[0]] if len(ends) else tokens
    with asking("The tokenizer cannot write this text"):
        return str(tokenizer.decode(made.tolist()))
