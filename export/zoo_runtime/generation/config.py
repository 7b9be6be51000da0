"""How a text is generated: the options of a search, in the words of transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from zoo_registry import UsageError
from zoo_system.errors import did_you_mean

FILE = "generation_config.json"
OVERFLOWS = ("stop", "slide")
# What only counts where tokens are drawn.
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
_SEEDS = 2**63


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a language model continues a prompt.

    The names are those of transformers' ``GenerationConfig``
    (https://huggingface.co/docs/transformers/main_classes/text_generation).

    Args:
        max_new_tokens: How many tokens are added at most.
        min_new_tokens: Before so many, the text does not end.
        do_sample: Whether tokens are drawn by their probability; the most probable one is taken
            otherwise.
        temperature: What logits are divided by before one is drawn; 0 is ``do_sample=False``.
        top_k: Draw from this many of the most probable tokens; 0 is all.
        top_p: Draw from the most probable tokens that together have this probability
            (https://arxiv.org/abs/1904.09751).
        min_p: Draw from the tokens with at least this fraction of the probability of the most
            probable one (https://arxiv.org/abs/2407.01082).
        typical_p: Draw from the tokens whose information is nearest to the expected one, that
            together have this probability (https://arxiv.org/abs/2202.00666).
        repetition_penalty: What the logits of tokens that occur already are divided by, or
            multiplied with below zero (https://arxiv.org/abs/1909.05858); 1 is none.
        no_repeat_ngram_size: No sequence of so many tokens occurs twice; 0 allows it.
        num_beams: Beam search with so many beams; 1 is none.
        length_penalty: Exponent of the length by which a beam's log-probability is divided.
        early_stopping: Whether beam search ends with ``num_beams`` finished texts; ``False``
            goes on while a heuristic expects a better one, ``"never"`` while there can be one.
        penalty_alpha: Contrastive search (https://arxiv.org/abs/2202.06417) among ``top_k``
            tokens, with this weight of what is unlike the text before; 0 is none.
        num_return_sequences: Texts for each prompt.
        stop_strings: A text ends before the first of these.
        bos_token_id: Token before a prompt that has none.
        eos_token_id: Tokens that end a text.
        decoder_start_token_id: Token that the decoder of a seq2seq model begins with.
        forced_bos_token_id: Token behind a prompt of one token, such as the start of a decoder.
        forced_eos_token_id: Last token of the text, at ``max_new_tokens``.
        suppress_tokens: Tokens that never occur.
        begin_suppress_tokens: Tokens that are not the first one.
        bad_words_ids: Sequences of tokens that never occur.
        seed: Of what is drawn; the same seed gives the same text in every runtime. ``None`` draws
            one.
        overflow: What becomes of a text that is longer than the positions of the model:
            ``"stop"`` ends it, ``"slide"`` forgets its beginning.

    Raises:
        UsageError: A value that is out of its range, or options that contradict each other.

    Example:
        >>> GenerationConfig(do_sample=True, top_p=0.9, seed=1).top_p
        0.9
        >>> GenerationConfig(top_p=1.5)
        Traceback (most recent call last):
        zoo_system.errors.UsageError: top_p=1.5 is not a number above 0 up to 1.
    """

    max_new_tokens: int = 50
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    penalty_alpha: float = 0.0
    num_return_sequences: int = 1
    stop_strings: tuple[str, ...] = ()
    bos_token_id: int | None = None
    eos_token_id: tuple[int, ...] = ()
    decoder_start_token_id: int | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    bad_words_ids: tuple[tuple[int, ...], ...] = field(default=())
    seed: int | None = None
    overflow: str = "stop"

    def __post_init__(self) -> None:
        for name, (low, high, what) in _RANGES.items():
            value = getattr(self, name)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not (is_whole if name in _WHOLE else is_whole or isinstance(value, float)):
                raise UsageError(f"{name}={value!r} is not {what}.")
            if not (low <= value <= high) or (name in _ABOVE and value == low):
                raise UsageError(f"{name}={value!r} is not {what}.")
        _check_words(self)
        _check_together(self)


# Least and greatest value, and what the option is.
_RANGES: Mapping[str, tuple[float, float, str]] = {
    "max_new_tokens": (0, math.inf, "a number of tokens, 0 or more"),
    "min_new_tokens": (0, math.inf, "a number of tokens, 0 or more"),
    "temperature": (0, 1e6, "a number from 0 on"),
    "top_k": (0, math.inf, "a number of tokens, 0 or more"),
    "top_p": (0, 1, "a number above 0 up to 1"),
    "min_p": (0, 1, "a number from 0 to 1"),
    "typical_p": (0, 1, "a number above 0 up to 1"),
    "repetition_penalty": (0, 1e6, "a number above 0"),
    "no_repeat_ngram_size": (0, math.inf, "a number of tokens, 0 or more"),
    "num_beams": (1, 10_000, "a number of beams, 1 or more"),
    "length_penalty": (-1e6, 1e6, "a number"),
    "penalty_alpha": (0, 1, "a number from 0 to 1"),
    "num_return_sequences": (1, 100_000, "a number of texts, 1 or more"),
}
_WHOLE = {
    *("max_new_tokens", "min_new_tokens", "top_k", "no_repeat_ngram_size", "num_beams"),
    "num_return_sequences",
}
_ABOVE = {"top_p", "typical_p", "repetition_penalty"}
_IDS = {
    *("bos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"),
}
_LISTS = {"eos_token_id", "suppress_tokens", "begin_suppress_tokens"}


def configured(base: GenerationConfig, options: Mapping[str, Any]) -> GenerationConfig:
    """Return a configuration with some of its options changed as a caller writes them.

    An option of :data:`SAMPLING` switches drawing on, as does more than one text of a greedy
    search; ``temperature=0`` switches it off.

    Args:
        base: What holds where an option is not given.
        options: Values by name; ``None`` is not given. One word stands for a list of one.

    Raises:
        UsageError: An unknown option, a value that is out of its range, or a contradiction.

    Example:
        >>> configured(GenerationConfig(), {"temperature": 0.8, "stop_strings": "END"}).do_sample
        True
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = [each.name for each in fields(GenerationConfig)]
    for name in given.keys() - set(known):
        raise UsageError(
            f"There is no option '{name}' of generation.{did_you_mean(name, known)} "
            f"There are: {', '.join(known)}."
        )
    given = {name: _as_held(name, value) for name, value in given.items()}
    if given.get("temperature") == 0:
        if given.get("do_sample"):
            raise UsageError(
                "temperature=0 takes the most probable token and do_sample=True draws one: give "
                "one of them."
            )
        given = {**given, "do_sample": False, "temperature": 1.0}
        _check_no_sampling(given, "temperature=0")
    elif "do_sample" not in given:
        drawn = [name for name in SAMPLING if name in given and name != "top_k"]
        searches = given.get("num_beams", 1) > 1 or given.get("penalty_alpha", 0) > 0
        if not searches and ("top_k" in given or given.get("num_return_sequences", 1) > 1):
            drawn.append("top_k")
        given |= {"do_sample": True} if drawn else {"do_sample": False} if searches else {}
    elif not given["do_sample"]:
        _check_no_sampling(given, "do_sample=False")
    # What a file of defaults says of drawing says nothing where nothing is drawn.
    kept = base if given.get("do_sample", base.do_sample) else _without_sampling(base)
    return replace(kept, **given)


def read_config(path: Path) -> GenerationConfig:
    """Return what a ``generation_config.json`` says; keys of other uses count for nothing.

    Args:
        path: The file, as transformers writes it.

    Raises:
        UsageError: It cannot be read, or has a value that is out of its range.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"'{path}' is not a table of options: it begins with a {type(data)}.")
    known = {each.name for each in fields(GenerationConfig)}
    options = {key: value for key, value in data.items() if key in known and value is not None}
    if not data.get("do_sample"):
        options = {key: value for key, value in options.items() if key not in SAMPLING}
    else:
        options.setdefault("top_k", 50)  # transformers' own default
    try:
        options = {name: _as_held(name, value) for name, value in options.items()}
        return GenerationConfig(**options)
    except UsageError as error:
        raise UsageError(f"'{path}': {error}") from error


def _without_sampling(config: GenerationConfig) -> GenerationConfig:
    plain = GenerationConfig()
    kept = () if config.penalty_alpha else ("top_k",)
    names = [name for name in SAMPLING if name != "top_k" or name in kept]
    return replace(config, do_sample=False, **{name: getattr(plain, name) for name in names})


def _as_held(name: str, value: Any) -> Any:
    if hasattr(value, "tolist"):  # of NumPy: a number, or a list of them
        value = value.tolist()
    if name == "stop_strings":
        return (value,) if isinstance(value, str) else _listed(name, value, "texts")
    if name in _LISTS:
        return (value,) if isinstance(value, int) else _listed(name, value, "tokens")
    if name == "bad_words_ids":
        words = _listed(name, value, "lists of tokens")
        return tuple(_listed(name, word, "lists of tokens") for word in words)
    if name in {"min_p", "penalty_alpha", "min_new_tokens", "no_repeat_ngram_size"}:
        return value or 0
    return value


def _listed(name: str, value: Any, what: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise UsageError(f"{name} holds {value!r}: it is a list of {what}.")
    return tuple(value)


def _check_no_sampling(given: Mapping[str, Any], greedy: str) -> None:
    plain = GenerationConfig()
    contrastive = given.get("penalty_alpha", 0) > 0
    for name in SAMPLING:
        counts = name in given and not (name == "top_k" and contrastive)
        if counts and given[name] not in (getattr(plain, name), 0):
            raise UsageError(
                f"{greedy} takes the most probable token, so {name}={given[name]} has no effect: "
                "leave one of them out."
            )


def _check_words(config: GenerationConfig) -> None:
    if config.early_stopping not in (True, False, "never"):
        raise UsageError(f"early_stopping={config.early_stopping!r} is not True, False or 'never'.")
    if config.overflow not in OVERFLOWS:
        hint = did_you_mean(str(config.overflow), OVERFLOWS)
        raise UsageError(f"overflow={config.overflow!r} is not one of: stop, slide.{hint}")
    for text in config.stop_strings:
        if not isinstance(text, str) or not text:
            raise UsageError(
                f"stop_strings holds {text!r}, which is not a text of a letter or more."
            )
    if not all(config.bad_words_ids):
        raise UsageError("bad_words_ids holds a list of no token.")
    listed = [(name, getattr(config, name)) for name in sorted(_IDS | _LISTS)]
    listed += [("bad_words_ids", word) for word in config.bad_words_ids]
    for name, value in listed:
        for index in value if isinstance(value, tuple) else (value,):
            is_index = isinstance(index, int) and not isinstance(index, bool) and index >= 0
            if not (is_index or (index is None and name in _IDS)):
                raise UsageError(f"{name}={value!r} is not the index of a token.")
    seed = config.seed
    is_whole = isinstance(seed, int) and not isinstance(seed, bool)
    if seed is not None and not (is_whole and 0 <= seed < _SEEDS):
        raise UsageError(f"seed={seed!r} is not a whole number from 0 on.")


def _check_together(config: GenerationConfig) -> None:
    if config.penalty_alpha and (config.do_sample or config.num_beams > 1 or config.top_k < 2):
        raise UsageError(
            "Contrastive search (penalty_alpha) compares the top_k most probable tokens: it needs "
            f"top_k of 2 or more (received {config.top_k}), do_sample=False and num_beams=1."
        )
    texts, beams = config.num_return_sequences, config.num_beams
    if beams > 1 and texts > beams:
        raise UsageError(
            f"num_return_sequences={texts} is more than num_beams={beams} beams end in."
        )
    if texts > 1 and beams == 1 and not config.do_sample:
        raise UsageError(
            f"num_return_sequences={texts} would be {texts} times the same text: draw tokens "
            "(do_sample=True) or give num_beams."
        )
    if config.overflow == "slide" and (beams > 1 or config.penalty_alpha):
        raise UsageError("overflow='slide' goes with greedy search and with sampling alone.")
    if config.min_new_tokens > config.max_new_tokens:
        raise UsageError(
            f"min_new_tokens={config.min_new_tokens} is more than max_new_tokens="
            f"{config.max_new_tokens}."
        )
