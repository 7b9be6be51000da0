"""What changes the logits of the next token before one is chosen, in the order of transformers.

Each takes the tokens of one text so far, how many of them are the prompt, and the scores of the
next one, float32 (vocab_size,); it returns the scores, in which a token that must not come is -inf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.tensors import Array

Processor = Callable[[Array, int, Array], Array]
NEVER = float(-np.inf)


def processors(config: GenerationConfig, vocab_size: int) -> tuple[Processor, ...]:
    """Return what a configuration asks for, in the order in which transformers applies it.

    Args:
        config: The options.
        vocab_size: Number of tokens that the model has logits for.

    Raises:
        UsageError: A token of an option that the model does not have.

    Example:
        >>> steps = processors(GenerationConfig(do_sample=True, temperature=0.5, top_k=1), 3)
        >>> processed(steps, np.array([0]), 1, np.array([1, 3, 2], np.float32))
        array([-inf,   6., -inf], dtype=float32)
    """
    _check_tokens(config, vocab_size)
    ends = np.asarray(config.eos_token_id, np.int64)
    banned = [words for words in config.bad_words_ids if list(words) not in [[e] for e in ends]]
    # In beam search one token more than ends must stay, so that some beam goes on.
    least = len(ends) + 1 if config.num_beams > 1 else 1
    last, first = config.max_new_tokens - 1, 0
    begin, end = config.forced_bos_token_id, config.forced_eos_token_id
    found: list[tuple[object, Processor]] = [
        (config.repetition_penalty != 1, partial(_penalize, config.repetition_penalty)),
        (config.no_repeat_ngram_size, partial(_no_ngram_twice, config.no_repeat_ngram_size)),
        (banned, partial(_without_words, banned)),
        (config.min_new_tokens and len(ends), partial(_not_ended, config.min_new_tokens, ends)),
        (begin is not None, partial(_begun, begin)),
        (end is not None, partial(_forced, last, end)),
        (config.suppress_tokens, partial(_without, config.suppress_tokens, None)),
        (config.begin_suppress_tokens, partial(_without, config.begin_suppress_tokens, first)),
    ]
    if config.do_sample:
        found += [
            (config.temperature != 1, partial(_tempered, config.temperature)),
            (config.top_k, partial(_top_k, config.top_k, least)),
            (config.top_p < 1, partial(_top_p, config.top_p, least)),
            (config.min_p, partial(_min_p, config.min_p, least)),
            (config.typical_p < 1, partial(_typical, config.typical_p, least)),
        ]
    return tuple(step for wanted, step in found if wanted)


def processed(steps: Sequence[Processor], tokens: Array, prompt: int, scores: Array) -> Array:
    """Return the scores of the next token after all steps.

    Args:
        steps: What :func:`processors` returned.
        tokens: int (length,), the text so far with its prompt.
        prompt: How many of them are the prompt.
        scores: float32 (vocab_size,).

    Returns:
        float32 (vocab_size,); all are -inf where the steps together forbid every token.
    """
    for step in steps:
        scores = step(tokens, prompt, scores)
        if scores.max() == NEVER:
            break
    return scores


def probabilities(scores: Array) -> Array:
    """Return float64 probabilities of scores along the last axis.

    Example:
        >>> probabilities(np.array([0.0, -np.inf, 0.0]))
        array([0.5, 0. , 0.5])
    """
    return np.exp(log_probabilities(scores))


def log_probabilities(scores: Array) -> Array:
    """Return float64 logarithms of probabilities of scores along the last axis."""
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def best(scores: Array, count: int) -> Array:
    """Return the indices of the greatest scores, the greatest first; of equal ones the first.

    Example:
        >>> best(np.array([1.0, 3.0, 3.0, 2.0]), 3)
        array([1, 2, 3])
    """
    count = min(count, len(scores))
    cut = np.partition(scores, -count)[-count]
    above = np.flatnonzero(scores >= cut)
    return above[np.argsort(-scores[above], kind="stable")][:count]


def _check_tokens(config: GenerationConfig, vocab_size: int) -> None:
    tokens = {
        "eos_token_id": config.eos_token_id,
        "suppress_tokens": config.suppress_tokens,
        "begin_suppress_tokens": config.begin_suppress_tokens,
        "bad_words_ids": tuple(token for words in config.bad_words_ids for token in words),
        "forced_bos_token_id": (config.forced_bos_token_id,),
        "forced_eos_token_id": (config.forced_eos_token_id,),
    }
    for name, indices in tokens.items():
        for index in indices:
            if index is not None and not 0 <= index < vocab_size:
                raise UsageError(
                    f"{name}: the model has {vocab_size:,} tokens and so no token {index}."
                )


def _with(scores: Array, indices: Array | Sequence[int], value: float | Array) -> Array:
    changed = scores.copy()
    changed[indices] = value
    return changed


def _penalize(penalty: float, tokens: Array, prompt: int, scores: Array) -> Array:
    del prompt
    seen = np.unique(tokens)
    values = scores[seen]
    return _with(scores, seen, np.where(values < 0, values * penalty, values / penalty))


def _no_ngram_twice(size: int, tokens: Array, prompt: int, scores: Array) -> Array:
    del prompt
    if len(tokens) < size:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(tokens, size)
    repeated = (windows[:, :-1] == tokens[len(tokens) - size + 1 :]).all(axis=1)
    return _with(scores, windows[repeated, -1], NEVER)


def _without_words(
    words: Sequence[Sequence[int]], tokens: Array, prompt: int, scores: Array
) -> Array:
    del prompt
    before = tokens.tolist()
    ends = [
        word[-1]
        for word in words
        if len(word) - 1 <= len(before) and before[len(before) - len(word) + 1 :] == [*word[:-1]]
    ]
    return _with(scores, ends, NEVER) if ends else scores


def _not_ended(least: int, ends: Array, tokens: Array, prompt: int, scores: Array) -> Array:
    return scores if len(tokens) - prompt >= least else _with(scores, ends, NEVER)


def _begun(token: int | None, tokens: Array, prompt: int, scores: Array) -> Array:
    # Of a decoder that has read its start token alone.
    return _forced(0, token, tokens, 1, scores) if prompt == 1 else scores


def _forced(place: int, token: int | None, tokens: Array, prompt: int, scores: Array) -> Array:
    if token is None or len(tokens) - prompt != place:
        return scores
    return _with(np.full_like(scores, NEVER), [token], 0)


def _without(
    unwanted: Sequence[int], place: int | None, tokens: Array, prompt: int, scores: Array
) -> Array:
    if place is not None and len(tokens) - prompt != place:
        return scores
    return _with(scores, list(unwanted), NEVER)


def _tempered(temperature: float, tokens: Array, prompt: int, scores: Array) -> Array:
    del tokens, prompt
    with np.errstate(all="ignore"):
        tempered = scores / np.float32(temperature)
        if np.isfinite(tempered.max()):
            return tempered
        # Near zero, beyond what float32 holds: seen from the greatest one, which stays.
        far = (scores.astype(np.float64) - scores.max()) / temperature
        return np.where(far < np.finfo(np.float32).min, NEVER, far).astype(np.float32)


def _top_k(count: int, least: int, tokens: Array, prompt: int, scores: Array) -> Array:
    del tokens, prompt
    count = min(max(count, least), len(scores))
    return np.where(scores < np.partition(scores, -count)[-count], np.float32(NEVER), scores)


def _top_p(mass: float, least: int, tokens: Array, prompt: int, scores: Array) -> Array:
    del tokens, prompt
    ascending = np.argsort(scores, kind="stable")
    below = np.cumsum(probabilities(scores[ascending])) <= 1 - mass
    below[-least:] = False
    return _with(scores, ascending[below], NEVER)


def _min_p(fraction: float, least: int, tokens: Array, prompt: int, scores: Array) -> Array:
    del tokens, prompt
    likely = probabilities(scores)
    unlikely = likely < fraction * likely.max()
    unlikely[best(scores, least)] = False
    return np.where(unlikely, np.float32(NEVER), scores)


def _typical(mass: float, least: int, tokens: Array, prompt: int, scores: Array) -> Array:
    del tokens, prompt
    logs = log_probabilities(scores)
    likely = np.exp(logs)
    entropy = -np.where(likely > 0, likely * logs, 0).sum()
    distance = np.abs(-logs - entropy)
    nearest = np.argsort(distance, kind="stable")
    last = min(int((np.cumsum(likely[nearest]) < mass).sum()), len(scores) - 1)
    far = distance > distance[nearest[last]]
    far[nearest[:least]] = False
    return np.where(far, np.float32(NEVER), scores)
