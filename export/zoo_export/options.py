"""The options of an export: each is declared and checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from zoo_export.targets import Target
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.formats import FLOAT32, FORMATS, Format, find
from zoo_runtime.manifest import TRAIN_FORMAT

DYNAMIC = "dynamic"
LOOP, UNROLL = "loop", "unroll"
# What a cache of keys and values is kept in.
INT8 = "int8"
CACHE_DTYPES = (FLOAT32, "float16", INT8)


@dataclass(frozen=True)
class _Asked:
    """What an option is given together with.

    Args:
        formats: The formats to export to.
        target: What the bundle is made ready for.
        options: All of the options, as they were given.
    """

    formats: Sequence[Format]
    target: Target | None
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(fmt.name for fmt in self.formats)

    @property
    def fixed(self) -> list[Format]:
        """The formats whose batch is fixed."""
        return [fmt for fmt in self.formats if fmt.static]

    @property
    def fixed_caches(self) -> list[Format]:
        """The formats whose cache of a language model has a fixed length."""
        return [fmt for fmt in self.formats if fmt.fixed_cache]

    @property
    def writing(self) -> list[Format]:
        """The formats whose runtime takes and gives texts."""
        return [fmt for fmt in self.formats if fmt.writes]


def _whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _sequence_length(given: Any, asked: _Asked) -> int:
    del asked
    if not _whole(given):
        raise UsageError(
            f"sequence_length={given!r} must be a whole number of steps from 1, such as 128."
        )
    return int(given)


def _image_size(given: Any, asked: _Asked) -> tuple[int, int]:
    del asked
    sides = list(given) if isinstance(given, Iterable) else [given, given]
    if len(sides) != 2 or not all(map(_whole, sides)):
        raise UsageError(
            f"image_size={given!r} must be a number of pixels, such as 224, or height and width, "
            "such as (224, 320)."
        )
    return sides[0], sides[1]


def _batch_sizes(given: Any, asked: _Asked) -> tuple[int, ...]:
    """Return the batches, smallest first; none of them means any batch."""
    is_list = isinstance(given, Iterable) and not isinstance(given, str)
    sizes = tuple(given) if is_list else ()
    is_set = bool(sizes) and all(map(_whole, sizes)) and len(set(sizes)) == len(sizes)
    if given != DYNAMIC and not is_set:
        raise UsageError(
            f"batch_sizes={given!r}: give different whole numbers from 1, such as [1, 8], or "
            f"'{DYNAMIC}'."
        )
    if not asked.fixed:
        raise UsageError(
            f"batch_sizes={given!r} is for tflite, whose batch is fixed; {asked} takes any batch. "
            "Leave it out."
        )
    for fmt in asked.fixed:
        if fmt.scheme is not None and not fmt.scheme.batch_sizes:
            able = ", ".join(s.name for s in fmt.schemes if s.batch_sizes)
            raise UsageError(
                f"batch_sizes={given!r}: {fmt.name} is made for batch 1 alone. Leave it out, or "
                f"export float32 or one of: {able}."
            )
    target = asked.target
    if target is not None and any(find(name).static for name in target.formats):
        raise UsageError(
            f"batch_sizes={given!r}: a file for a {target.name} takes one row at a time. "
            "Leave it out, or the target."
        )
    return tuple(sorted(sizes))


def _rnn(given: Any, asked: _Asked) -> str:
    if given not in [LOOP, UNROLL]:
        hint = did_you_mean(str(given), [LOOP, UNROLL])
        raise UsageError(f"There is no rnn='{given}'.{hint} There are: {LOOP}, {UNROLL}.")
    if not asked.fixed:
        raise UsageError(f"rnn='{given}' is for tflite, not for {asked}. Leave it out.")
    needy = [fmt.name for fmt in asked.fixed if fmt.scheme is not None and fmt.scheme.calibrated]
    if given == LOOP and needy:
        raise UsageError(
            f"rnn='{LOOP}': {needy[0]} measures the ranges of activations, which LiteRT cannot do "
            f"in a loop. Leave it out, or give '{UNROLL}'."
        )
    if given == LOOP and asked.options.get("batch_sizes") == DYNAMIC:
        raise UsageError(
            f"rnn='{LOOP}': LiteRT has no loop of any batch. Leave it out, or give batch_sizes as "
            "numbers."
        )
    return str(given)


def _optimize(given: Any, asked: _Asked) -> str:
    known = [name for fmt in FORMATS.values() for name in fmt.optimizers]
    if given not in known:
        hint = did_you_mean(str(given), known)
        raise UsageError(f"There is no optimize='{given}'.{hint} There is: {', '.join(known)}.")
    if not any(given in fmt.optimizers for fmt in asked.formats):
        able = ", ".join(fmt.name for fmt in FORMATS.values() if given in fmt.optimizers)
        raise UsageError(
            f"optimize='{given}' is for {able} in float32, not for {asked}. Leave it out."
        )
    return str(given)


def _train_batch(given: Any, asked: _Asked) -> int:
    if not _whole(given):
        raise UsageError(f"train_batch={given}: a step of training takes 1 row or more.")
    if TRAIN_FORMAT not in [fmt.name for fmt in asked.formats]:
        raise UsageError(
            f"train_batch={given} is for {TRAIN_FORMAT}, not for {asked}. Leave it out, "
            f"or export {TRAIN_FORMAT} too."
        )
    return int(given)


def _max_length(given: Any, asked: _Asked) -> int:
    if not _whole(given):
        raise UsageError(
            f"max_length={given!r} must be a whole number of tokens from 1, such as 1024."
        )
    if not asked.fixed_caches and not asked.writing:
        raise UsageError(
            f"max_length={given} is for tflite and litertlm, whose cache is fixed; that of {asked} "
            "grows. Leave it out."
        )
    return int(given)


def _prefill_lengths(given: Any, asked: _Asked) -> tuple[int, ...]:
    lengths = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not lengths or not all(map(_whole, lengths)) or len(set(lengths)) != len(lengths):
        raise UsageError(
            f"prefill_lengths={given!r}: give different numbers of tokens from 1, such as "
            "[16, 128]."
        )
    if not asked.fixed_caches:
        raise UsageError(
            f"prefill_lengths={given!r} is for tflite and litertlm, which read a fixed number of "
            f"tokens at a time; {asked} reads any. Leave it out."
        )
    return tuple(sorted(lengths))


def _cache_dtype(given: Any, asked: _Asked) -> str:
    if given not in CACHE_DTYPES:
        hint = did_you_mean(str(given), CACHE_DTYPES)
        raise UsageError(
            f"There is no cache_dtype='{given}'.{hint} There are: {', '.join(CACHE_DTYPES)}."
        )
    unable = [fmt for fmt in asked.formats if fmt.writes or not fmt.generating]
    if given != FLOAT32 and unable:
        why = "keeps its cache by itself" if unable[0].writes else "makes files without a cache"
        able = ", ".join(fmt.name for fmt in FORMATS.values() if fmt.generating)
        apart = f", or export {unable[0].name} by itself" if len(asked.formats) > 1 else ""
        raise UsageError(
            f"cache_dtype='{given}' is for {able}, and {unable[0].name} {why}. Leave it out{apart}."
        )
    if given != FLOAT32 and asked.target is not None:
        raise UsageError(
            f"cache_dtype='{given}': the program for a {asked.target.name} keeps float32. Leave it "
            "out, or the target."
        )
    return str(given)


def _option(default: Any, read: Callable[[Any, _Asked], Any]) -> Any:
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How the files of an export are made; :func:`zoo_export.export` documents each option.

    A field is an option: its type, its default, and the function that checks what a user gave and
    returns it as it is kept. It goes as it is from the call to the converter.

    Example:
        >>> options = ExportOptions.of({"batch_sizes": [8, 1], "rnn": None}, [find("tflite")])
        >>> options.batch_sizes, options.train_batch
        ((1, 8), 8)
        >>> ExportOptions.of({"batch_sizes": "dynamic"}, [find("tflite")]).batch_sizes
        ()
    """

    sequence_length: int | None = _option(None, _sequence_length)
    image_size: tuple[int, int] | None = _option(None, _image_size)
    batch_sizes: tuple[int, ...] = _option((1,), _batch_sizes)
    rnn: str | None = _option(None, _rnn)
    optimize: str | None = _option(None, _optimize)
    train_batch: int = _option(8, _train_batch)
    max_length: int | None = _option(None, _max_length)
    prefill_lengths: tuple[int, ...] = _option((16, 128), _prefill_lengths)
    cache_dtype: str = _option(FLOAT32, _cache_dtype)

    @classmethod
    def of(
        cls, given: Mapping[str, Any], formats: Sequence[Format], target: Target | None = None
    ) -> ExportOptions:
        """Return the options that a caller gave, checked.

        Args:
            given: By name; ``None`` for what was left out.
            formats: The formats to export to.
            target: What the bundle is made ready for.

        Raises:
            UsageError: A value that is not valid, or a format, scheme or target that has no use for
                it.
        """
        asked = _Asked(formats, target, given)
        named = {option.name: option for option in fields(cls)}
        return cls(
            **{
                name: named[name].metadata["read"](value, asked)
                for name, value in given.items()
                if value is not None
            }
        )

    def check_model(self, model: Any) -> None:
        """Refuse what a model has no use for.

        Raises:
            UsageError: ``rnn`` for a model without recurrent layers.
        """
        import keras

        if self.rnn is not None and not any(
            isinstance(layer, keras.layers.RNN) for layer in model._flatten_layers()
        ):
            raise UsageError(
                f"Model '{model.name}' has no recurrent layer: leave rnn='{self.rnn}' out."
            )

    def for_format(self, fmt: Format) -> ExportOptions:
        """Return them as they hold in one format: a batch that varies, and no foreign optimizer.

        Example:
            >>> ExportOptions().for_format(find("onnx")).batch_sizes
            ()
        """
        return replace(
            self,
            batch_sizes=self.batch_sizes if fmt.static else (),
            optimize=self.optimize if fmt.optimizers else None,
        )
