"""Greedy search, sampling, beam search and contrastive search over whatever gives logits."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.generation.config import GenerationConfig
from zoo_runtime.generation.processors import (
    NEVER,
    Processor,
    best,
    log_probabilities,
    probabilities,
    processed,
    processors,
)
from zoo_runtime.tensors import Array

# Why a text ended: a token or string that ends it, enough tokens, no position left.
STOP, LENGTH, CONTEXT = "stop", "length", "context"
# Of the positions, how many stay free when the beginning of a text is forgotten.
_FREED = 4
Finished = Callable[[int, Sequence[int]], bool]


class Decoder(Protocol):
    """A language model that keeps what it has read: one protocol for every runtime."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens that it has logits for."""

    @property
    def max_length(self) -> int | None:
        """Positions that a text can have; ``None`` is any number."""

    @property
    def hidden(self) -> Sequence[Array] | None:
        """What the last call computed before the logits: float (tokens, width) for each row.

        ``None`` where the model does not give it.
        """

    def prefill(self, prompts: Sequence[Array]) -> Array:
        """Forget all, read texts of different lengths, and return logits of the next token.

        Args:
            prompts: int32 (tokens,) each, at least one token.

        Returns:
            float32 (texts, vocab_size).
        """

    def step(self, tokens: Array) -> Array:
        """Read one more token of each text and return float32 (texts, vocab_size)."""

    def reorder(self, rows: Array) -> None:
        """Keep the texts of these indices, in this order; one may be there several times."""


@dataclass(frozen=True)
class Generated:
    """What was generated after one prompt.

    Args:
        tokens: The new tokens, without the one that ends a text.
        finish: ``"stop"`` at an end, ``"length"`` after ``max_new_tokens``, ``"context"`` where
            the model has no more positions.
        score: Log-probability over the length in beam search.
    """

    tokens: tuple[int, ...]
    finish: str
    score: float | None = None


@dataclass(frozen=True)
class Event:
    """A token that was chosen, or the end of a text.

    Args:
        row: Which text; those of the first prompt come first.
        token: The token; ``None`` at the end.
        result: The whole, at the end.
        logprobs: Logarithms of probabilities by token: of the token itself, and behind it of the
            most probable ones, where they were asked for.
    """

    row: int
    token: int | None = None
    result: Generated | None = None
    logprobs: tuple[tuple[int, float], ...] = ()


def search(
    decoder: Decoder,
    prompts: Sequence[Array],
    config: GenerationConfig,
    *,
    more: Sequence[Processor] = (),
    finished: Finished | None = None,
    logprobs: int | None = None,
) -> Iterator[Event]:
    """Generate texts, and tell of each token as soon as it is sure.

    Args:
        decoder: What computes the logits.
        prompts: int32 (tokens,) each.
        config: How; without a seed one is drawn.
        more: Processors before those of the configuration, such as a grammar.
        finished: Whether a text ends here for another reason than a token; it is given the text's
            row and its new tokens.
        logprobs: Of how many of the most probable tokens the probability is given beside that of
            each chosen one: what the model itself gives, before what changes how it is drawn.

    Yields:
        Tokens and ends. Beam search and contrastive search know a text only at its end.

    Raises:
        UsageError: An empty prompt, a token that the model does not have, or a prompt that is
            longer than the model's positions.
    """
    prompts = [np.asarray(prompt, np.int32) for prompt in prompts]
    for index, prompt in enumerate(prompts):
        _check_prompt(decoder, config, index, prompt)
    prompts = [_tail(decoder, prompt) for prompt in prompts]
    steps = (*more, *processors(config, decoder.vocab_size))
    seed = secrets.randbits(63) if config.seed is None else config.seed
    run = _Run(
        decoder,
        replace(config, seed=seed),
        steps,
        finished or (lambda row, tokens: False),
        logprobs,
    )
    if logprobs is not None and (config.num_beams > 1 or config.penalty_alpha):
        raise UsageError("logprobs goes with greedy search and with sampling alone.")
    if not prompts:
        return
    if config.max_new_tokens == 0:
        for row in range(len(prompts) * config.num_return_sequences):
            yield Event(row, result=Generated((), LENGTH))
    elif config.num_beams > 1:
        yield from _beams(run, prompts)
    else:
        yield from (_contrasted if config.penalty_alpha else _sampled)(run, prompts)


@dataclass(frozen=True)
class _Run:
    decoder: Decoder
    config: GenerationConfig
    steps: Sequence[Processor]
    finished: Finished
    logprobs: int | None = None

    def likely(self, logits: Array, chosen: int) -> tuple[tuple[int, float], ...]:
        """Return the logarithms of probabilities that were asked for, the chosen token's first."""
        if self.logprobs is None:
            return ()
        logs = log_probabilities(logits)
        top = best(logs, self.logprobs) if self.logprobs else ()
        return tuple((int(token), float(logs[token])) for token in (chosen, *top))

    def scores(self, tokens: Sequence[int], prompt: int, scores: Array) -> Array:
        found = processed(self.steps, np.asarray(tokens), prompt, scores)
        if found.max() == NEVER:
            raise _nothing_left(len(tokens) - prompt)
        return found

    def end(self, row: int, new: Sequence[int]) -> Generated | None:
        """Return the result of a text that ends with its last token."""
        if new[-1] in self.config.eos_token_id:
            return Generated(tuple(new[:-1]), STOP)
        if self.finished(row, new):
            return Generated(tuple(new), STOP)
        if len(new) >= self.config.max_new_tokens:
            return Generated(tuple(new), LENGTH)
        return None

    def is_full(self, tokens: Sequence[int]) -> bool:
        """Whether the model has no position for the last token of a text."""
        most = self.decoder.max_length
        return most is not None and self.config.overflow == "stop" and len(tokens) > most


def _nothing_left(new: int) -> UsageError:
    return UsageError(
        f"No token may come after {new} new ones: suppress_tokens, bad_words_ids, "
        "no_repeat_ngram_size, min_new_tokens or a grammar forbid all of them together."
    )


def _check_prompt(decoder: Decoder, config: GenerationConfig, index: int, prompt: Array) -> None:
    if not len(prompt):
        raise UsageError(f"Prompt {index} has no token: a text begins with one.")
    wrong = prompt[(prompt < 0) | (prompt >= decoder.vocab_size)]
    if len(wrong):
        raise UsageError(
            f"Prompt {index} has the token {wrong[0]}: the model has the tokens 0 to "
            f"{decoder.vocab_size - 1}."
        )
    most = decoder.max_length
    if most is not None and len(prompt) > most and config.overflow == "stop":
        raise UsageError(
            f"Prompt {index} has {len(prompt):,} tokens and the model has {most:,} positions: "
            "shorten it, or have its beginning forgotten (overflow='slide')."
        )


def _tail(decoder: Decoder, tokens: Array) -> Array:
    """Return what of a text the model can read, with room for what follows if it was too long."""
    most = decoder.max_length
    if most is None or len(tokens) <= most:
        return tokens
    return tokens[-max(1, most - most // _FREED) :]


def _sampled(run: _Run, prompts: Sequence[Array]) -> Iterator[Event]:
    """Greedy search, and sampling: every text has random numbers of its own."""
    config, count = run.config, run.config.num_return_sequences
    rows = np.repeat(np.arange(len(prompts)), count)
    logits = run.decoder.prefill(prompts)
    if count > 1:
        run.decoder.reorder(rows)
        logits = logits[rows]
    texts = _Texts([prompts[int(row)].tolist() for row in rows])
    draws = [np.random.default_rng([config.seed or 0, row]) for row in range(len(rows))]
    while texts.open:
        going = []
        for place, row in enumerate(texts.open):
            scores = run.scores(texts.whole[row], texts.prompt[row], logits[place])
            chosen = _drawn(scores, draws[row]) if config.do_sample else int(scores.argmax())
            result = texts.add(run, row, chosen)
            if chosen not in config.eos_token_id:
                yield Event(row, chosen, logprobs=run.likely(logits[place], chosen))
            if result is None:
                going.append(place)
            else:
                yield Event(row, result=result)
        logits = texts.read(run, going)


class _Texts:
    """Texts that grow side by side, and of them those that the decoder still reads.

    Args:
        prompts: Their tokens.
    """

    def __init__(self, prompts: Sequence[list[int]]) -> None:
        self.whole = list(prompts)
        self.prompt = [len(text) for text in prompts]
        self.open = list(range(len(prompts)))
        # How many tokens at the beginning of each text the decoder has forgotten.
        self._forgotten = [0] * len(prompts)

    def add(self, run: _Run, row: int, token: int) -> Generated | None:
        """Add a token to a text and return the result if the text ends with it."""
        self.whole[row].append(token)
        new = self.whole[row][self.prompt[row] :]
        result = run.end(row, new)
        if result is None and run.is_full(self.whole[row]):
            return Generated(tuple(new), CONTEXT)
        return result

    def read(self, run: _Run, going: Sequence[int]) -> Array:
        """Have the decoder read what was added to the texts that go on; return their logits.

        Args:
            run: The decoder and its limits.
            going: Which of the open texts go on, by their place among these.
        """
        decoder, all_go_on = run.decoder, len(going) == len(self.open)
        self.open = [self.open[place] for place in going]
        if not self.open:
            return np.zeros((0, decoder.vocab_size), np.float32)
        most = decoder.max_length
        lengths = [len(self.whole[row]) - self._forgotten[row] for row in self.open]
        if most is not None and max(lengths) > most:
            kept = [_tail(decoder, np.array(self._seen(row), np.int32)) for row in self.open]
            for row, tokens in zip(self.open, kept, strict=True):
                self._forgotten[row] = len(self.whole[row]) - len(tokens)
            return decoder.prefill(kept)
        if not all_go_on:
            decoder.reorder(np.asarray(going))
        return decoder.step(np.array([self.whole[row][-1] for row in self.open], np.int32))

    def _seen(self, row: int) -> list[int]:
        return self.whole[row][self._forgotten[row] :]


def _drawn(scores: Array, random: np.random.Generator) -> int:
    """Draw a token: the place of one random number among the cumulated probabilities."""
    cumulated = np.cumsum(probabilities(scores))
    place = np.searchsorted(cumulated, random.random() * cumulated[-1], side="right")
    return int(min(place, np.flatnonzero(scores > -np.inf)[-1]))


def _contrasted(run: _Run, prompts: Sequence[Array]) -> Iterator[Event]:
    """Of the most probable tokens, the one that is not like what stands before it."""
    for row, prompt in enumerate(prompts):
        yield from _contrasted_one(run, row, prompt.tolist())


def _contrasted_one(run: _Run, row: int, tokens: list[int]) -> Iterator[Event]:
    decoder, config, prompt = run.decoder, run.config, len(tokens)
    logits = decoder.prefill([np.array(tokens, np.int32)])[0]
    if decoder.hidden is None:
        raise UsageError(
            "Contrastive search (penalty_alpha) compares hidden states, which this file does not "
            "give: use the Keras model, or another search."
        )
    seen = _normalized(decoder.hidden[0])
    while True:
        scores = run.scores(tokens, prompt, logits)
        candidates = best(scores, config.top_k)
        decoder.reorder(np.zeros(len(candidates), np.int64))
        following = decoder.step(candidates.astype(np.int32))
        states = _normalized(np.stack([each[-1] for each in decoder.hidden]))
        alike = (states @ seen.T).max(axis=1)
        likely = probabilities(scores)[candidates]
        chosen = int(((1 - config.penalty_alpha) * likely - config.penalty_alpha * alike).argmax())
        decoder.reorder(np.array([chosen]))
        logits, seen = following[chosen], np.concatenate([seen, states[chosen : chosen + 1]])
        tokens.append(int(candidates[chosen]))
        result = run.end(row, tokens[prompt:])
        if tokens[-1] not in config.eos_token_id:
            yield Event(row, tokens[-1])
        # Its candidates are read before one of them is chosen: there must be a position for them.
        if result is None and len(tokens) >= (decoder.max_length or len(tokens) + 1):
            result = Generated(tuple(tokens[prompt:]), CONTEXT)
        if result is not None:
            yield Event(row, result=result)
            return


def _normalized(states: Array) -> Array:
    return np.asarray(states / np.linalg.norm(states, axis=-1, keepdims=True))


@dataclass(frozen=True)
class _Beam:
    tokens: tuple[int, ...]
    score: float
    # Where the decoder has read all of it but the last token.
    row: int


@dataclass
class _Beams:
    """The beams of one prompt: those that grow, and the finished ones, the best first."""

    prompt: int
    growing: list[_Beam]
    finished: list[Generated]
    is_open: bool = True


def _beams(run: _Run, prompts: Sequence[Array]) -> Iterator[Event]:
    """Beam search as transformers does it; see its ``_beam_search`` for the heuristics."""
    config, decoder = run.config, run.decoder
    logits = decoder.prefill(prompts)
    groups = [
        _Beams(len(prompt), [_Beam(tuple(prompt.tolist()), 0.0, row)], [])
        for row, prompt in enumerate(prompts)
    ]
    while True:
        for index, group in enumerate(groups):
            if group.is_open:
                _grow(run, index, group, logits)
        growing = [beam for group in groups if group.is_open for beam in group.growing]
        if not growing:
            break
        decoder.reorder(np.array([beam.row for beam in growing]))
        logits = decoder.step(np.array([beam.tokens[-1] for beam in growing], np.int32))
        places = iter(range(len(growing)))
        for group in groups:
            if group.is_open:
                group.growing = [replace(beam, row=next(places)) for beam in group.growing]
    for index, group in enumerate(groups):
        for place, result in enumerate(group.finished[: config.num_return_sequences]):
            yield Event(index * config.num_return_sequences + place, result=result)


def _grow(run: _Run, index: int, group: _Beams, logits: Array) -> None:
    """Lengthen the beams of one prompt by a token, and say whether they may grow further."""
    config, beams = run.config, run.config.num_beams
    length = len(group.growing[0].tokens) + 1 - group.prompt
    keep = max(2, 1 + len(config.eos_token_id)) * beams
    ended, going = [], []
    for rank, beam in enumerate(_continued(run, group, logits, keep)):
        result = _beam_end(run, index, group, beam)
        if result is None:
            going.append(beam)
        elif rank < beams:
            ended.append(replace(result, score=beam.score / length**config.length_penalty))
    if not (config.early_stopping is True and len(group.finished) >= beams):
        group.finished = sorted([*group.finished, *ended], key=_by_score)[:beams]
    group.growing = going[:beams]
    group.is_open = bool(going) and _may_improve(run, group, length)


def _continued(run: _Run, group: _Beams, logits: Array, keep: int) -> list[_Beam]:
    """Return the best continuations of all beams, or ones that are drawn, the best first."""
    scores = np.stack(
        [
            beam.score + _continuation(run, beam.tokens, group.prompt, logits[beam.row])
            for beam in group.growing
        ]
    ).ravel()
    keep = min(keep, int((scores > NEVER).sum()))
    if not keep:
        if group.finished:
            return []
        raise _nothing_left(len(group.growing[0].tokens) - group.prompt)
    if run.config.do_sample:
        random = np.random.default_rng([run.config.seed or 0, len(group.growing[0].tokens)])
        # The greatest of scores with Gumbel noise are draws without replacement.
        chosen = best(scores + random.gumbel(size=scores.shape), keep)
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    else:
        chosen = best(scores, keep)
    parents, tokens = np.divmod(chosen, run.decoder.vocab_size)
    return [
        _Beam((*group.growing[p].tokens, int(t)), float(scores[c]), group.growing[p].row)
        for p, t, c in zip(parents, tokens, chosen, strict=True)
    ]


def _continuation(run: _Run, tokens: Sequence[int], prompt: int, logits: Array) -> Array:
    # A beam that nothing may follow ends, and others go on.
    scores = log_probabilities(logits).astype(np.float32)
    return processed(run.steps, np.asarray(tokens), prompt, scores)


def _beam_end(run: _Run, index: int, group: _Beams, beam: _Beam) -> Generated | None:
    new = beam.tokens[group.prompt :]
    result = run.end(index, new)
    if result is None and _is_last(run, beam.tokens):
        return Generated(tuple(new), CONTEXT)
    return result


def _is_last(run: _Run, tokens: Sequence[int]) -> bool:
    most = run.decoder.max_length
    return most is not None and len(tokens) > most


def _by_score(result: Generated) -> float:
    return -(result.score or 0.0)


def _may_improve(run: _Run, group: _Beams, length: int) -> bool:
    config = run.config
    if len(group.finished) < config.num_beams:
        return True
    if config.early_stopping is True:
        return False
    if config.early_stopping == "never" and config.length_penalty > 0:
        length = config.max_new_tokens
    highest = group.growing[0].score / length**config.length_penalty
    return bool(highest > (group.finished[-1].score or 0.0))
