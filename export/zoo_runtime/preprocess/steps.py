"""The steps that preprocessing is made of, each a frozen dataclass that checks itself."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.preprocess.audio import as_mono, fitted
from zoo_runtime.preprocess.pixels import (
    MODES,
    as_pillow,
    grey_or_rgb,
    in_pixel_range,
    kind_of,
    resampling,
)
from zoo_runtime.preprocess.tables import Column, cells_of, look_at_column
from zoo_runtime.preprocess.texts import encode
from zoo_system.folders import is_plain_name

Arrays = dict[str, np.ndarray[Any, Any]]
Shapes = dict[str, tuple[int, ...]]
# A gigabyte of float32: what is beyond it is a mistake, or an attack on the memory.
_MAX_NUMBERS = 1 << 28
# Of a row; a library for tokens makes several lists of each.
_MAX_TOKENS = 1 << 20
_LARGEST = float(np.finfo(np.float32).max)
# In Hz; no sound card takes more.
_MAX_RATE = 768_000
_RESAMPLING = ("nearest", "bilinear", "bicubic", "lanczos")
_ROUNDING = ("floor", "even")


@dataclass(frozen=True, kw_only=True)
class ImageStep:
    """Make a float32 image in 0..255 of a fixed size; scaling belongs inside the model.

    A raw input is the path or the bytes of an image file, a Pillow image, or an array (height,
    width) or (height, width, channels) with values in 0..255. A file is rotated as its EXIF tag
    asks, transparency is laid over white, 16-bit pixels are brought to 0..255, grey becomes colour
    and colour grey.

    Args:
        size: Height and width in pixels.
        channels: 1 for grey, 3 for RGB.
        input: Name of the model input.
        resample: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
        shorter_side: Pixels of the shorter side of the image, the other in proportion, before its
            middle is cropped; without it the whole image is resized.
        resized: Height and width, whatever the image's proportions, before its middle is cropped.
        rounding: Where the middle begins if the pixels to cut off are odd in number: ``floor`` half
            a pixel before it, as in transformers, or at the ``even`` one, as in torchvision, timm.
    """

    size: tuple[int, int]
    channels: int = 3
    input: str = "image"
    resample: str = "bilinear"
    shorter_side: int | None = None
    resized: tuple[int, int] | None = None
    rounding: str = "floor"

    def __post_init__(self) -> None:
        _check(self, "size", _is_shape(self.size, 2), "two positive integers, [height, width]")
        is_one = isinstance(self.channels, int) and self.channels in (1, 3)
        _check(self, "channels", is_one and self.channels is not True, "1 or 3")
        _check_amount(self, "size", [*self.size, self.channels])
        _check(self, "resample", self.resample in _RESAMPLING, f"one of {', '.join(_RESAMPLING)}")
        if self.shorter_side is not None:
            large = _is_shape([self.shorter_side], 1) and self.shorter_side >= max(self.size)
            _check(self, "shorter_side", large, f"{max(self.size)} or more, as size is cut out")
            _check_amount(self, "shorter_side", [self.shorter_side, self.shorter_side])
        if self.resized is not None:
            self._check_resized(self.resized)
        _check(self, "rounding", self.rounding in _ROUNDING, f"one of {', '.join(_ROUNDING)}")

    def _check_resized(self, resized: tuple[int, int]) -> None:
        alone = self.shorter_side is None
        _check(self, "resized", alone, "left out, as the step has a shorter_side")
        large = _is_shape(resized, 2) and all(map(operator.ge, resized, self.size))
        what = f"{list(self.size)} or more, [height, width], as size is cut out"
        _check(self, "resized", large, what)
        _check_amount(self, "resized", [*resized, self.channels])

    @property
    def shapes(self) -> Shapes:
        """Shapes of what is made, without the batch."""
        return {self.input: (*self.size, self.channels)}

    @property
    def crops(self) -> bool:
        """Whether the middle of what was resized is cropped."""
        return self.shorter_side is not None or self.resized not in {None, self.size}

    def batch(self, raws: Sequence[Any]) -> Arrays:
        """Return ``{input: float32 (batch, height, width, channels)}``."""
        if isinstance(raws, np.ndarray) and raws.dtype == np.uint8 and self._fits(raws[0]):
            return {self.input: raws.reshape(-1, *self.size, self.channels).astype(np.float32)}
        return {self.input: np.stack([self._one(raw) for raw in raws])}

    def _one(self, raw: Any) -> np.ndarray[Any, Any]:
        if isinstance(raw, np.ndarray) and self._fits(raw):
            return raw.reshape(*self.size, self.channels).astype(np.float32)
        image = grey_or_rgb(as_pillow(raw), MODES[self.channels])
        height, width = self.size
        sides = self._sides(*image.size)
        if image.size != sides:
            image = image.resize(sides, resampling(self.resample))
        if sides != (width, height):
            left, top = self._first(sides[0] - width), self._first(sides[1] - height)
            image = image.crop((left, top, left + width, top + height))
        return np.asarray(image, np.float32).reshape(height, width, self.channels)

    def _sides(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height that an image is resized to, before its middle is cropped."""
        shorter = self.shorter_side
        if shorter is None:
            height, width = self.resized or self.size
            return width, height
        # Of a strip so thin that its longer side would not fit, no more than fits is made.
        longer = int(shorter * max(width, height) / min(width, height))
        longer = min(longer, _MAX_NUMBERS // (3 * shorter))
        return (shorter, longer) if width <= height else (longer, shorter)

    def _first(self, cut: int) -> int:
        """Return the first row or column of the middle, where so many are cut off."""
        return cut // 2 if self.rounding == "floor" else round(cut / 2)

    def _fits(self, raw: np.ndarray[Any, Any]) -> bool:
        # Nothing to convert: the fast way that keeps fractions.
        if self.crops:
            return False
        shapes = {(*self.size, self.channels)} | ({self.size} if self.channels == 1 else set())
        return raw.shape in shapes and in_pixel_range(raw)


@dataclass(frozen=True, kw_only=True)
class TokenizeStep:
    """Turn a text, or a pair of texts in a tuple, into token ids, cut and padded to one length.

    Args:
        tokenizer: File of the ``tokenizers`` library, looked up among the assets.
        length: Tokens in every row.
        input: Name of the model input.
        padding_mask: Whether to make the input ``padding_mask`` too, 1 where a token is real.
        segment_ids: Whether to make the input ``segment_ids`` too, 1 in the second text of a pair.
    """

    tokenizer: str = "tokenizer.json"
    length: int = 128
    input: str = "token_ids"
    padding_mask: bool = True
    segment_ids: bool = False

    def __post_init__(self) -> None:
        _check(
            self, "tokenizer", is_plain_name(self.tokenizer), "the name of a file among the assets"
        )
        _check(self, "length", _is_shape([self.length], 1), "a positive integer")
        _check(self, "length", self.length <= _MAX_TOKENS, f"at most {_MAX_TOKENS:,}")
        _check(self, "padding_mask", isinstance(self.padding_mask, bool), "true or false")
        _check(self, "segment_ids", isinstance(self.segment_ids, bool), "true or false")

    @property
    def shapes(self) -> Shapes:
        """Shapes of what is made, without the batch."""
        more = {"padding_mask": self.padding_mask, "segment_ids": self.segment_ids}
        names = [self.input, *(name for name, made in more.items() if made)]
        return dict.fromkeys(names, (self.length,))

    def batch(self, raws: Sequence[Any], tokenizer: Any) -> Arrays:
        """Return int32 ``token_ids``, ``padding_mask`` and ``segment_ids``, (batch, length)."""
        token_ids, padding_mask, segment_ids = encode(tokenizer, raws, self.length)
        result = {self.input: token_ids}
        if self.padding_mask:
            result["padding_mask"] = padding_mask
        if self.segment_ids:
            result["segment_ids"] = segment_ids
        return result


@dataclass(frozen=True, kw_only=True)
class AudioStep:
    """Make an audio clip of one channel and a fixed length, float32 in -1..1.

    A raw input is the path or the bytes of an audio file, ``(samples, rate)``, or samples at the
    step's own rate: floats in -1..1, int16 or int32, (samples,) or (samples, channels). Channels
    are mixed to their mean, other rates resampled. A longer clip is cut at its end; a shorter one
    is padded with zeros.

    Args:
        sample_rate: In Hz.
        length: Samples at that rate.
        input: Name of the model input.
    """

    sample_rate: int
    length: int
    input: str = "audio"

    def __post_init__(self) -> None:
        right = _is_shape([self.sample_rate], 1) and self.sample_rate <= _MAX_RATE
        _check(self, "sample_rate", right, f"a positive integer, at most {_MAX_RATE:,}")
        _check(self, "length", _is_shape([self.length], 1), "a positive integer")
        _check_amount(self, "length", [self.length])

    @property
    def shapes(self) -> Shapes:
        """Shapes of what is made, without the batch."""
        return {self.input: (self.length,)}

    def batch(self, raws: Sequence[Any]) -> Arrays:
        """Return ``{input: float32 (batch, length)}``."""
        clips = (fitted(as_mono(raw, self.sample_rate), self.length) for raw in raws)
        return {self.input: np.stack(list(clips))}


@dataclass(frozen=True, kw_only=True)
class ArrayStep:
    """Take an array of numbers as one model input, reshaped and multiplied where asked for.

    Args:
        input: Name of the model input.
        shape: Sizes without the batch; the values of every raw input must fill it.
        dtype: ``float32`` or ``int32``.
        scale: Factor for the inputs of a model that has no scaling inside.
        source: Result of an earlier step to take instead of the raw input.
    """

    input: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float = 1.0
    source: str | None = None

    def __post_init__(self) -> None:
        _check(self, "shape", _is_shape(self.shape, None), "positive integers")
        _check_amount(self, "shape", self.shape)
        _check(self, "dtype", self.dtype in ("float32", "int32"), "float32 or int32")
        is_number = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        fits = is_number and abs(self.scale) <= _LARGEST
        _check(self, "scale", fits, "a number that float32 holds")

    @property
    def shapes(self) -> Shapes:
        """Shapes of what is made, without the batch."""
        return {self.input: self.shape}

    def batch(self, raws: Sequence[Any]) -> Arrays:
        """Return ``{input: (batch, *shape)}``."""
        return {self.input: np.stack([self._one(raw, at) for at, raw in enumerate(raws)])}

    def _one(self, raw: Any, index: int) -> np.ndarray[Any, Any]:
        array = as_numbers(raw, index)
        if array.size != np.prod(self.shape):
            raise UsageError(
                f"Input {index} has shape {array.shape}: "
                f"'{self.input}' takes {np.prod(self.shape)} numbers, shape {self.shape}."
            )
        scaled = array.reshape(self.shape) * np.float32(self.scale) if self.scale != 1 else array
        return scaled.reshape(self.shape).astype(self.dtype)


@dataclass(frozen=True, kw_only=True)
class LookupStep:
    """Turn a word, such as the name of a user or an item, into its index in a vocabulary.

    A word that the vocabulary does not have gets index 0.

    Args:
        vocabulary: File among the assets: a JSON list of words, the first of which has index 1.
        input: Name of the model input.
        part: Which of the values of a raw input is the word; ``None`` takes the raw input itself.
        min_count: How often training examples must have a word for an index of its own. What is
            rarer gets 0 too, and so teaches the model about words that it will not know.
    """

    vocabulary: str
    input: str
    part: int | None = None
    min_count: int = 1

    def __post_init__(self) -> None:
        _check(
            self,
            "vocabulary",
            is_plain_name(self.vocabulary),
            "the name of a file among the assets",
        )
        is_part = self.part is None or self.part == 0 or _is_shape([self.part], 1)
        _check(self, "part", is_part, "a number from 0 on")
        _check(self, "min_count", _is_shape([self.min_count], 1), "a positive integer")

    @property
    def shapes(self) -> Shapes:
        """Shapes of what is made, without the batch."""
        return {self.input: (1,)}

    def words(self, raws: Sequence[Any]) -> list[str]:
        """Return the word of each raw input.

        Raises:
            UsageError: A raw input that has none.
        """
        return [self._word(raw, index) for index, raw in enumerate(raws)]

    def batch(self, raws: Sequence[Any], indices: Mapping[str, int]) -> Arrays:
        """Return ``{input: int32 (batch, 1)}``."""
        found = [[indices.get(word, 0)] for word in self.words(raws)]
        return {self.input: np.asarray(found, np.int32)}

    def _word(self, raw: Any, index: int) -> str:
        value = raw
        if self.part is not None:
            if not isinstance(raw, list | tuple) or len(raw) <= self.part:
                raise UsageError(
                    f"Input {index} must have the value for '{self.input}' at position "
                    f"{self.part + 1} of several, not {kind_of(raw)}."
                )
            value = raw[self.part]
        # Numbers that are names, such as 7, are looked up as they are written.
        if not isinstance(value, str | int | np.integer) or isinstance(value, bool):
            raise UsageError(
                f"Input {index}: '{self.input}' is looked up by a word or a whole number, not "
                f"{kind_of(value)}."
            )
        return str(value)


@dataclass(frozen=True, kw_only=True)
class TableStep:
    """Turn a row of numbers and categories into one vector.

    A raw input is a mapping of column to value, or the values in the order of the columns. What
    was learned of each column of the training split is an asset; missing values and categories
    that were never seen are taken.

    Args:
        columns: File among the assets that describes the columns.
        input: Name of the model input.
        bins: Quantiles that a number is placed among, beside its distance from the mean; 0 for
            none.
        min_count: How often training examples must have a category for a position of its own.
        max_categories: Most categories of a column with one, the most frequent ones.
    """

    columns: str = "columns.json"
    input: str = "features"
    bins: int = 8
    min_count: int = 2
    max_categories: int = 64

    def __post_init__(self) -> None:
        is_name = is_plain_name(self.columns)
        _check(self, "columns", is_name, "the name of a file among the assets")
        for key in ("min_count", "max_categories"):
            _check(self, key, _is_shape([getattr(self, key)], 1), "a positive integer")
        is_count = self.bins == 0 or _is_shape([self.bins], 1)
        _check(self, "bins", is_count and self.bins is not False, "a number from 0 on")

    @property
    def shapes(self) -> Shapes:
        """None: the width of a row is in the file of the columns."""
        return {}

    def look_at(self, raws: Sequence[Any], names: Sequence[str]) -> list[Column]:
        """Return what is learned of the columns of training examples.

        Args:
            raws: Rows of values in the order of the names.
            names: Of the columns.
        """
        rows = [cells_of(raw, [Column(name=n) for n in names], at) for at, raw in enumerate(raws)]
        return [
            look_at_column(
                name,
                values,
                bins=self.bins,
                min_count=self.min_count,
                max_categories=self.max_categories,
            )
            for name, values in zip(names, zip(*rows, strict=True), strict=True)
        ]

    def batch(self, raws: Sequence[Any], columns: Sequence[Column]) -> Arrays:
        """Return ``{input: float32 (batch, width of all columns)}``."""
        rows = [cells_of(raw, columns, at) for at, raw in enumerate(raws)]
        made = [
            column.vectors(values)
            for column, values in zip(columns, zip(*rows, strict=True), strict=True)
        ]
        return {self.input: np.concatenate(made, axis=1)}


Step = ImageStep | TokenizeStep | AudioStep | ArrayStep | LookupStep | TableStep
STEPS: dict[str, type[Step]] = {
    "image": ImageStep,
    "tokenize": TokenizeStep,
    "audio": AudioStep,
    "array": ArrayStep,
    "lookup": LookupStep,
    "table": TableStep,
}


def as_numbers(raw: Any, index: int) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(raw)
    except ValueError as error:
        raise UsageError(f"Input {index} is not an array: {error}") from error
    if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
        raise UsageError(f"Input {index} must be numbers, not {kind_of(raw)}.")
    return array


def check_text(step: str, field: Field[Any], value: Any) -> None:
    """Refuse another value for a field that holds a text.

    Raises:
        UsageError: It is not a text.
    """
    kinds = {"str": (str,), "str | None": (str, type(None))}
    if not isinstance(value, kinds.get(str(field.type), object)):
        raise UsageError(f"Step '{step}': {field.name}={value!r} must be a text.")


def _is_shape(value: Any, rank: int | None) -> bool:
    if not isinstance(value, list | tuple) or (rank is not None and len(value) != rank):
        return False
    return all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in value)


def _check_amount(step: Step, key: str, sizes: Sequence[int]) -> None:
    _check(step, key, math.prod(sizes) <= _MAX_NUMBERS, f"at most {_MAX_NUMBERS:,} numbers")


def _check(step: Step, key: str, right: bool, wanted: str) -> None:
    if not right:
        name = next(name for name, kind in STEPS.items() if isinstance(step, kind))
        value = getattr(step, key)
        raise UsageError(f"Step '{name}': {key}={value!r} must be {wanted}.")
