"""Random changes of training examples; they never reach validation, test or an export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from zoo_recipes.arrays.vocabulary import UNKNOWN
from zoo_recipes.augmentation.mixing import MIXES
from zoo_recipes.compiling.components import make_augmentation
from zoo_recipes.configs import Component
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.tokenizing import encoded

Arrays = dict[str, Any]
# Decibels from the loudest noise that is asked for to the softest that is drawn.
SPAN = 30.0
Change = Callable[[Arrays, np.random.Generator], Arrays]


def time_shift(inputs: Arrays, rng: np.random.Generator, *, factor: float) -> Arrays:
    """Move every audio clip to and fro; silence fills the gap.

    Args:
        inputs: ``audio``, (batch, samples).
        rng: Random generator.
        factor: Longest way, as a fraction of the samples.

    Example:
        >>> clip = {"audio": np.ones((1, 8))}
        >>> int(time_shift(clip, np.random.default_rng(2), factor=0.5)["audio"].sum())
        5
    """
    audio = inputs["audio"]
    length = audio.shape[1]
    most = round(factor * length)
    shifts = rng.integers(-most, most, len(audio), endpoint=True)[:, np.newaxis]
    sources = np.arange(length) - shifts
    inside = (sources >= 0) & (sources < length)
    moved = np.take_along_axis(audio, sources.clip(0, length - 1), axis=1)
    return {**inputs, "audio": moved * inside}


def white_noise(inputs: Arrays, rng: np.random.Generator, *, snr: float) -> Arrays:
    """Add noise that is as loud at all frequencies.

    Args:
        inputs: ``audio``, float32 (batch, samples) in -1..1.
        rng: Random generator.
        snr: Least ratio of signal to noise in decibels; each audio clip has one between it and 30
            more.

    Example:
        >>> clip = {"audio": np.ones((1, 9000), np.float32)}
        >>> noise = white_noise(clip, np.random.default_rng(0), snr=20.0)["audio"] - 1
        >>> bool(-20 > 20 * np.log10(noise.std()) > -50)
        True
    """
    audio = inputs["audio"]
    loudness = np.sqrt(np.mean(audio**2, axis=1, keepdims=True))
    decibels = rng.uniform(snr, snr + SPAN, (len(audio), 1))
    noise = rng.standard_normal(audio.shape, np.float32)
    noisy = audio + noise * (loudness * 10 ** (-decibels / 20)).astype(np.float32)
    return {**inputs, "audio": noisy.clip(-1, 1)}


# By name: what changes audio clips, its one argument, and the numbers that it may be.
AUDIO_CHANGES: dict[str, tuple[Callable[..., Arrays], str, tuple[float, float]]] = {
    "time_shift": (time_shift, "factor", (0.0, 1.0)),
    "white_noise": (white_noise, "snr", (-20.0, 100.0)),
}


@dataclass(frozen=True)
class TextMarks:
    """What a tokenizer puts into every text, which no change may touch.

    Args:
        unknown_id: The token that stands for one that is dropped.
        head: Tokens before the text, such as ``[CLS]``.
        tail: Tokens after it, such as ``[SEP]``.
    """

    unknown_id: int = 0
    head: int = 0
    tail: int = 0


def text_marks(tokenizer: Any) -> TextMarks:
    """Return the marks of a ``tokenizers.Tokenizer``; ``None`` has none."""
    if tokenizer is None:
        return TextMarks()
    tokenizer.no_padding()
    special = encoded(tokenizer, ["a"])[0].special_tokens_mask
    head = special.index(0)
    return TextMarks(tokenizer.token_to_id(UNKNOWN), head, special[head:].count(1))


def make_changes(components: Sequence[Component], marks: TextMarks) -> list[Change]:
    """Return what changes a batch of inputs; all that is random comes from its second argument.

    Args:
        components: The recipe's list; what changes targets too is left to ``mixing``.
        marks: For texts.

    Raises:
        UsageError: A name or an argument that does not exist.
    """
    return [_make(component, marks) for component in components if component.name not in MIXES]


def token_dropout(
    inputs: Arrays, rng: np.random.Generator, *, marks: TextMarks, rate: float
) -> Arrays:
    """Replace a fraction of the real tokens.

    Args:
        inputs: ``token_ids`` and ``padding_mask``, (batch, length).
        rng: Random generator.
        marks: What stays as it is, and what stands in place of a token.
        rate: Fraction of the tokens.
    """
    ids, lengths = inputs["token_ids"], inputs["padding_mask"].sum(axis=1, keepdims=True)
    positions = np.arange(ids.shape[1])
    text = (positions >= marks.head) & (positions < lengths - marks.tail)
    dropped = (rng.random(ids.shape) < rate) & text
    return {**inputs, "token_ids": np.where(dropped, np.int32(marks.unknown_id), ids)}


def token_crop(
    inputs: Arrays,
    rng: np.random.Generator,
    *,
    marks: TextMarks,
    rate: float,
    shortest: float = 0.3,
) -> Arrays:
    """Keep a random part of some texts, so that short texts are learned too.

    Args:
        inputs: ``token_ids`` and ``padding_mask``, (batch, length).
        rng: Random generator.
        marks: What stays before and after the text.
        rate: Fraction of the texts.
        shortest: Smallest fraction of a text that is kept.
    """
    ids = inputs["token_ids"]
    lengths = inputs["padding_mask"].sum(axis=1, keepdims=True) - marks.head - marks.tail
    fraction = np.where(
        rng.random(lengths.shape) < rate, rng.uniform(shortest, 1, lengths.shape), 1
    )
    kept = np.ceil(lengths * fraction).astype(int)
    starts = np.floor(rng.random(lengths.shape) * (lengths - kept + 1)).astype(int)
    positions = np.arange(ids.shape[1])[np.newaxis]
    end = marks.head + kept
    sources = positions + np.where(
        positions < marks.head, 0, np.where(positions < end, starts, lengths - kept)
    )
    mask = (positions < end + marks.tail).astype(np.int32)
    moved = np.take_along_axis(ids, np.minimum(sources, ids.shape[1] - 1), axis=1)
    return {**inputs, "token_ids": moved * mask, "padding_mask": mask}


TEXT_CHANGES: dict[str, tuple[Callable[..., Arrays], tuple[str, ...]]] = {
    "token_crop": (token_crop, ("rate", "shortest")),
    "token_dropout": (token_dropout, ("rate",)),
}


def _make(component: Component, marks: TextMarks) -> Change:
    if component.name in AUDIO_CHANGES:
        return _audio_change(component)
    if component.name not in TEXT_CHANGES:
        return _image_change(component)
    change, known = TEXT_CHANGES[component.name]
    for key, value in component.arguments.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise UsageError(f"augmentation: '{component.name}' takes no '{key}'.{hint}")
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(
                f"augmentation: '{component.name}' needs {key} in 0..1, not {value!r}."
            )
    if "rate" not in component.arguments:
        raise UsageError(f"augmentation: '{component.name}' needs a rate.")
    return partial(change, marks=marks, **component.arguments)


def _audio_change(component: Component) -> Change:
    change, key, (low, high) = AUDIO_CHANGES[component.name]
    value = component.arguments.get(key)
    given = isinstance(value, int | float) and len(component.arguments) == 1
    if not (given and low <= float(value or 0) <= high):
        raise UsageError(
            f"augmentation: '{component.name}' takes {key} in {low:g}..{high:g} and nothing else, "
            f"not {dict(component.arguments)}."
        )
    return partial(change, **component.arguments)


def _image_change(component: Component) -> Change:
    import tensorflow as tf

    layer = make_augmentation(component)
    # As a graph it makes the same images, bit for bit, in a half to a fifth of the time.
    changed = tf.function(lambda images: layer(images, training=True))
    states = [v for v in layer.variables if v.name == "seed_generator_state"]

    def change(inputs: Arrays, rng: np.random.Generator) -> Arrays:
        for state in states:
            state.assign(rng.integers(2**31, size=2))
        return {**inputs, "image": np.asarray(changed(inputs["image"]))}

    return change
