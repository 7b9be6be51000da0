"""Masked language modelling: some tokens are masked, and the model predicts what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import IGNORED, Arrays
from zoo_recipes.arrays.vocabulary import CLASS, MASK, SEPARATOR
from zoo_recipes.configs import MaskingConfig
from zoo_registry import UsageError

LONGEST_SPAN = 10


@dataclass(frozen=True)
class Masked:
    """Stretches of a stream of tokens, some of them masked anew each time (BERT, section 3.1).

    Of the tokens that are to be predicted, 80 % become ``[MASK]``, 10 % any other token, and 10 %
    stay; those of a span share one fate (SpanBERT, section 3.1). With ``pairs``, a row is two
    stretches, of which the second follows the first in half of all rows, and whether it does is to
    be predicted too (next sentence prediction).

    Args:
        stream: int32 (tokens,), the texts with a separator between them.
        length: Tokens a row, with ``[CLS]`` and the separators.
        tokenizer: A ``tokenizers.Tokenizer`` with ``[CLS]``, ``[SEP]`` and ``[MASK]``.
        names: Inputs of the model: ``token_ids``, and ``padding_mask`` and ``segment_ids`` where it
            takes them.
        seed: Decides what is masked.
        config: How many tokens are to be predicted, and how many in a row.
        pairs: Whether a row is two stretches.
    """

    stream: Any
    length: int
    tokenizer: Any
    names: Mapping[str, str]
    seed: int
    config: MaskingConfig
    pairs: bool = False

    @property
    def targets(self) -> None:
        """They are made as they are taken."""
        return None

    @property
    def stretch(self) -> int:
        """Tokens of the stream in a row."""
        return self.length - (3 if self.pairs else 2)

    def __len__(self) -> int:
        """Return the number of rows that there are at every shift."""
        return len(self.stream) // self.stretch

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return inputs and targets; another ``shift`` hides other tokens of other stretches."""
        rows = [self._row(int(index), shift) for index in np.asarray(indices)]
        token_ids, targets, segments, follows = map(np.stack, zip(*rows, strict=True))
        made = {"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)}
        made["segment_ids"] = segments
        inputs = {name: made[kind] for kind, name in self.names.items()}
        if not self.pairs:
            return inputs, targets
        return inputs, {"logits": targets, "next_sentence_logits": follows}

    def _row(self, number: int, shift: int) -> tuple[Any, Any, Any, Any]:
        # Of each row by itself: what it is does not depend on the batch that it is in.
        rng = np.random.default_rng([self.seed, shift, number])
        start = number * self.stretch + shift
        head, tail = (self.tokenizer.token_to_id(token) for token in (CLASS, SEPARATOR))
        if not self.pairs:
            ids = np.concatenate([[head], self._cut(start, self.stretch), [tail]])
            return (*self._masked(ids, rng), np.zeros_like(ids, np.int32), np.int32(0))
        half = self.stretch // 2
        first = self._cut(start, half)
        # 0 says that it follows, as BERT has it.
        is_other = int(rng.random() < 0.5)
        position = int(rng.integers(len(self.stream))) if is_other else start + half
        second = self._cut(position, self.stretch - half)
        ids = np.concatenate([[head], first, [tail], second, [tail]])
        segments = (np.arange(len(ids)) >= half + 2).astype(np.int32)
        return (*self._masked(ids, rng), segments, np.int32(is_other))

    def _cut(self, start: int, count: int) -> Any:
        return self.stream[(start + np.arange(count)) % len(self.stream)]

    def _masked(self, ids: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        special = np.isin(ids, [self.tokenizer.token_to_id(t) for t in (CLASS, SEPARATOR)])
        choose = _tokens if self.config.mean_span == 1 else _spans
        wanted, way = choose(special, self.config, rng)
        others = rng.integers(self.tokenizer.get_vocab_size(), size=len(ids))
        masked = np.where(way < 0.8, self.tokenizer.token_to_id(MASK), others)
        shown = np.where(wanted & (way < 0.9), masked, ids)
        return shown.astype(np.int32), np.where(wanted, ids, IGNORED).astype(np.int32)


def _tokens(special: Any, config: MaskingConfig, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return which tokens are to be predicted, bool, and the fate of each, float in 0..1."""
    drawn = np.where(special, 1.0, rng.random(len(special)))
    wanted = drawn < config.rate
    wanted[np.argmin(drawn)] = True  # a row without a token to predict teaches nothing
    return wanted, rng.random(len(special))


def _spans(special: Any, config: MaskingConfig, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return the same, of tokens in a row."""
    chosen, way = np.zeros(len(special), bool), np.ones(len(special))
    wanted = max(1, round(config.rate * int((~special).sum())))
    while (missing := wanted - int(chosen.sum())) > 0:
        # As SpanBERT draws it: of a geometric distribution, cut where few are missing.
        length = min(int(rng.geometric(1 / config.mean_span)), LONGEST_SPAN, missing)
        span = np.arange(length) + int(rng.integers(len(special)))
        span = span[span < len(special)]
        span = span[~special[span]]
        chosen[span], way[span] = True, rng.random()
    return chosen, way


def check_marks(tokenizer: Any, task: str) -> None:
    """Refuse a tokenizer that cannot hide tokens.

    Raises:
        UsageError: It names the tokens that it lacks.
    """
    lacking = [t for t in (CLASS, SEPARATOR, MASK) if tokenizer.token_to_id(t) is None]
    if lacking:
        raise UsageError(
            f"Task '{task}' needs a tokenizer with {', '.join(lacking)}: kind 'wordpiece', 'bpe' "
            "with framed = true, or 'pretrained'."
        )
