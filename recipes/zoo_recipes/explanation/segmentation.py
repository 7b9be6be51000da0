"""One input cut into features that can be taken away: patches, slices, tokens, columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo_recipes.explanation.target import Array, Arrays, Features
from zoo_registry import UsageError, did_you_mean

BASELINES = ("black", "white", "mean", "blur")
_BLUR = 0.1


def pixels(
    inputs: Arrays, name: str, *, patches: int, superpixels: bool, baseline: str
) -> Features:
    """Cut an image into patches; those that are as if they were taken away are left out.

    Args:
        inputs: With the image, float (1, height, width, channels).
        name: Of the image.
        patches: About how many; an image of fewer pixels is cut into these.
        superpixels: Whether patches follow the colours, or are a grid.
        baseline: What stands where a patch is taken away: one of ``BASELINES``.

    Raises:
        UsageError: No such baseline, or an image that is its own baseline.

    Example:
        >>> image = {"image": np.ones((1, 28, 28, 1))}
        >>> parts = pixels(image, "image", patches=49, superpixels=False, baseline="black")
        >>> len(parts), parts.names[1]
        (49, 'rows 0-3, columns 4-7')
    """
    if baseline not in BASELINES:
        hint = did_you_mean(baseline, BASELINES)
        raise UsageError(f"baseline='{baseline}' is not one of: {', '.join(BASELINES)}.{hint}")
    image = inputs[name][0]
    members = _superpixels(image, patches) if superpixels else _grid(image, patches)
    blank = _blank(image, baseline)
    kept = np.unique(members[(image != blank).any(axis=-1)])
    if len(kept) == 0:
        raise UsageError(f"The image is all {baseline}: choose another baseline (--baseline).")
    names = tuple(_where(np.argwhere(members == number)) for number in kept)
    indices = _reindexed(members, kept)
    return Features("image", inputs, {name: blank[np.newaxis]}, name, indices, names)


def slices(inputs: Arrays, name: str, *, parts: int, sample_rate: int) -> Features:
    """Cut an audio clip into slices of one length; those that are silent already are left out.

    A slice that is taken away becomes silence.

    Args:
        inputs: With the audio clip, float (1, samples).
        name: Of the audio clip.
        parts: How many; an audio clip of fewer samples is cut into these.
        sample_rate: In Hz.

    Raises:
        UsageError: There is only silence.

    Example:
        >>> clip = {"audio": np.array([[0.5, -0.5, 0.0, 0.0, 0.25, 0.0]])}
        >>> slices(clip, "audio", parts=3, sample_rate=10).names
        ('0.000-0.200 s', '0.400-0.600 s')
    """
    clip = inputs[name][0]
    count = min(parts, len(clip))
    members = np.arange(len(clip)) * count // len(clip)
    kept = np.unique(members[clip != 0])
    if len(kept) == 0:
        raise UsageError("The audio clip is silent from its beginning to its end.")
    starts = np.searchsorted(members, np.arange(count + 1))
    spans = tuple((int(starts[number]), int(starts[number + 1])) for number in kept)
    return Features(
        kind="sound",
        inputs=inputs,
        blank={name: np.zeros_like(inputs[name])},
        name=name,
        members=_reindexed(members, kept),
        names=tuple(f"{a / sample_rate:.3f}-{b / sample_rate:.3f} s" for a, b in spans),
        spans=spans,
        sample_rate=sample_rate,
    )


def tokens(
    inputs: Arrays,
    name: str,
    text: str,
    encoding: Any,
    blank_id: int,
    *,
    words: bool,
    second_at: int = 0,
    masked: int | None = None,
) -> Features:
    """Cut a text into its tokens; the marks of the tokenizer always stay.

    A token that is taken away becomes ``blank_id``, and padding for a model that takes a mask.

    Args:
        inputs: With the token ids, int32 (1, length).
        name: Of the token ids.
        text: The text as it was given.
        encoding: The ``tokenizers.Encoding`` of the text, padded to that length.
        blank_id: Number of the token for nothing.
        words: Whether the tokens of a word are one feature.
        second_at: Of a pair that ``text`` joins: where its second text begins.
        masked: Position of a token that always stays too.
    """
    texts = encoding.sequence_ids
    parts = zip(texts, encoding.word_ids, strict=True) if words else range(len(encoding.ids))
    of_token = [
        None if special or at == masked else part
        for at, (part, special) in enumerate(zip(parts, encoding.special_tokens_mask, strict=True))
    ]
    distinct = dict.fromkeys(part for part in of_token if part is not None)
    order = {part: number for number, part in enumerate(distinct)}
    members = np.array([-1 if part is None else order[part] for part in of_token])
    shifts = np.array([second_at if number == 1 else 0 for number in texts])
    offsets = np.asarray(encoding.offsets) + shifts[:, np.newaxis]
    spans = [
        (int(offsets[members == number, 0].min()), int(offsets[members == number, 1].max()))
        for number in range(len(order))
    ]
    inside = members[np.newaxis] >= 0
    blank = {name: np.where(inside, np.int32(blank_id), inputs[name])}
    if "padding_mask" in inputs:
        blank["padding_mask"] = np.where(inside, np.int32(0), inputs["padding_mask"])
    return Features("text", inputs, blank, name, members, _words(text, spans), tuple(spans), text)


def columns(
    inputs: Arrays, name: str, blank: Array, names: Sequence[str] | None = None
) -> Features:
    """Cut a row of numbers into its columns, or a sequence into its steps.

    Args:
        inputs: With the numbers, float (1, columns) or (1, steps, channels).
        name: Of the numbers.
        blank: What stands where a column is taken away, of the same shape.
        names: Of the columns.

    Raises:
        UsageError: Another number of names.
    """
    row = inputs[name][0]
    word = "column" if row.ndim == 1 else "step"
    found = tuple(names or (f"{word} {index}" for index in range(len(row))))
    if len(found) != len(row):
        raise UsageError(f"'{name}' has {len(row)} {word}s, and there are {len(found)} names.")
    return Features("table", inputs, {name: blank}, name, np.arange(len(row)), found)


def _words(text: str, spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    words = [text[start:end].strip() or text[start:end] for start, end in spans]
    counts = Counter(words)
    return tuple(
        word if counts[word] == 1 else f"{word} (at {start})"
        for word, (start, _) in zip(words, spans, strict=True)
    )


def _reindexed(members: Array, kept: Array) -> Array:
    indices = np.full(members.max() + 1, -1)
    indices[kept] = np.arange(len(kept))
    return np.asarray(indices[members])


def _grid(image: Array, patches: int) -> Array:
    height, width = image.shape[:2]
    side = max(1.0, np.sqrt(height * width / patches))
    down, across = (max(1, round(size / side)) for size in (height, width))
    rows, columns = np.arange(height) * down // height, np.arange(width) * across // width
    return np.asarray(rows[:, np.newaxis] * across + columns)


def _superpixels(image: Array, patches: int) -> Array:
    """Cluster pixels by position and colour (SLIC, https://doi.org/10.1109/TPAMI.2012.120)."""
    from scipy.ndimage import gaussian_filter
    from sklearn.cluster import KMeans

    grid = _grid(image, patches)
    side = np.sqrt(grid.size / (grid.max() + 1))
    positions = np.moveaxis(np.indices(grid.shape), 0, -1) / side
    smooth = gaussian_filter(image, (side / 12, side / 12, 0))
    # A patch's width weighs as much as a third of the range of colours.
    colours = smooth / max(float(np.ptp(smooth)), 1e-9) * 3
    points = np.concatenate([positions, colours], axis=-1).reshape(grid.size, -1)
    centres = [points[grid.ravel() == index].mean(axis=0) for index in range(grid.max() + 1)]
    found = KMeans(len(centres), init=np.array(centres), n_init=1, max_iter=10).fit(points).labels_
    return np.asarray(np.unique(found, return_inverse=True)[1]).reshape(grid.shape)


def _where(pixels: Array) -> str:
    def span(low: int, high: int) -> str:
        return f" {low}" if low == high else f"s {low}-{high}"

    (top, left), (bottom, right) = pixels.min(axis=0), pixels.max(axis=0)
    return f"row{span(top, bottom)}, column{span(left, right)}"


def _blank(image: Array, baseline: str) -> Array:
    if baseline == "mean":
        return np.broadcast_to(image.mean(axis=(0, 1)), image.shape)
    if baseline == "blur":
        from scipy.ndimage import gaussian_filter

        sigma = _BLUR * min(image.shape[:2])
        return np.asarray(gaussian_filter(image, (sigma, sigma, 0)))
    # Images that no step brought to 0..255 may be in 0..1.
    level = {"black": 0.0, "white": 255.0 if image.max() > 1 else 1.0}[baseline]
    return np.full_like(image, level)
