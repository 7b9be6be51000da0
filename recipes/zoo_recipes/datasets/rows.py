"""A split read one example after the other, and what its examples are in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np

from zoo_recipes.custom_data.audio import FILE
from zoo_recipes.custom_data.content import DIGEST, LOCATION
from zoo_registry import UsageError
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.audio import as_mono, read_audio
from zoo_system import machine

T = TypeVar("T")
R = TypeVar("R")
_FETCHED = 64


def audio_reader(
    feature: Any, steps: Sequence[Mapping[str, Any]]
) -> Callable[[Any], tuple[Any, int] | Any] | None:
    """Return what makes a raw input of a value of a feature; ``None`` if it is not an audio clip.

    Audio clips are mixed and resampled as they are read, where the steps say to what.

    Args:
        feature: Of TFDS.
        steps: Of the preprocessing.

    Raises:
        UsageError: An audio clip without a sample rate.
    """
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Audio):
        rate = feature.sample_rate
        if rate is None:
            raise UsageError("An audio feature of this dataset does not say its sample rate.")
    elif FILE not in getattr(feature, "keys", tuple)():
        return None
    else:
        rate = None
    step: Any = next((as_step(step) for step in steps if step.get("step") == "audio"), None)

    def read(value: Any) -> Any:
        raw: Any = value[FILE] if rate is None else (_narrow(value), rate)
        if step is not None:
            return as_mono(raw, step.sample_rate)
        return read_audio(raw) if rate is None else raw

    return read


def _narrow(samples: Any) -> Any:
    # TFDS has int64 by default for what files hold in 16 bits.
    fits = samples.dtype.kind == "i" and np.abs(samples).max(initial=0) <= 2**15
    return samples.astype(np.int16) if fits and samples.dtype.itemsize == 8 else samples


@dataclass(frozen=True)
class Examples:
    """One split, decoded.

    Attributes:
        raws: What preprocessing takes: uint8 images, audio clips, texts, tuples of texts, or
            arrays.
        labels: The class, or the target text, of each, as one array; a list where they are several
            to an example, such as tags of words or boxes; or ``None``.
        sha256: Of all the content, in order.
        groups: What a further feature says of each, classes by name; or ``None``.
        classes: Their names, in the order of their indices.
        locations: Of custom data: which record of the files each is, as messages have it; else
            ``None``.
        digests: Of each input before preprocessing, where they are known.
        resized: Whether they are images that the step ``image`` has resized and cropped, and would
            crop once more.
    """

    raws: Sequence[Any]
    labels: Any
    sha256: str
    groups: Sequence[Any] | None = None
    classes: Sequence[str] = ()
    locations: Sequence[str] | None = None
    digests: Sequence[str] | None = None
    resized: bool = False


@dataclass(frozen=True)
class RawExample:
    """One example: its raw input, label, group, and the record of custom data that it is.

    The digest is that of the input before preprocessing, of custom data that are kept as files.
    """

    raw: Any
    label: Any
    group: Any
    location: str | None
    digest: str | None


@dataclass(frozen=True)
class SplitReader:
    """A split that is read one example after the other; the arguments are those of `read_split`."""

    builder: Any
    split: str
    inputs: tuple[str, ...]
    label: str | None
    group: str | None
    steps: Sequence[Mapping[str, Any]]

    def read(self, digest: Any) -> Iterator[RawExample]:
        """Yield the examples in their fixed order, and let a hash take in their content."""
        known = self.builder.info.features
        inputs = [DIGEST] if DIGEST in known else self.inputs
        features = [*inputs, *([self.label] if self.label else [])]
        audio = {name: audio_reader(known[name], self.steps) for name in self.inputs}
        resized = _resizer(self.steps)
        read = {name: reader or resized for name, reader in audio.items()}
        names = known[self.group] if self.group else None

        def example_of(example: Mapping[str, Any]) -> RawExample:
            parts = tuple(_joined(_text_or_same(read[name](example[name]))) for name in self.inputs)
            return RawExample(
                parts if len(parts) > 1 else parts[0],
                _text_or_same(example[self.label]) if self.label else None,
                _named(_text_or_same(example[self.group]), names) if self.group else None,
                _location(example.get(LOCATION)),
                _text_or_same(example.get(DIGEST)),
            )

        # What takes no time would take more of it in threads.
        made = in_threads if any(audio.values()) else map
        yield from made(example_of, self._hashed(digest, features))

    def _hashed(self, digest: Any, features: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        dataset = self.builder.as_dataset(
            split=self.split, shuffle_files=False, decoders=self._decoders()
        )
        for example in examples_of(dataset):
            for name in features:
                _update(digest, example[name])
            yield example

    def _decoders(self) -> Any:
        """Return what leaves files that are kept where they are, unless they are an input."""
        import tensorflow_datasets as tfds

        if DIGEST not in self.builder.info.features:
            return None
        names = {*self.inputs, self.label, self.group, LOCATION, DIGEST} - {None}
        return tfds.decode.PartialDecoding(dict.fromkeys(names, True))

    def image_size(self, first: RawExample) -> tuple[int, ...] | None:
        """Return height, width and channels that preprocessing makes of images in uint8."""
        import numpy as np

        is_image = getattr(first.raw, "dtype", None) == np.uint8
        if not is_image or [step.get("step") for step in self.steps] != ["image"]:
            return None
        step = self.steps[0]
        return (*step["size"], step.get("channels", 3))


def examples_of(dataset: Any, fetched: int = _FETCHED) -> Iterator[dict[str, Any]]:
    """Yield the examples; those of one size are fetched many at a time, in half of it."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    specs = tf.nest.flatten(dataset.element_spec)
    if not all(isinstance(s, tf.TensorSpec) and s.shape.is_fully_defined() for s in specs):
        yield from tfds.as_numpy(dataset)
        return
    for batch in tfds.as_numpy(dataset.batch(fetched)):
        if all(isinstance(values, np.ndarray) for values in batch.values()):
            for row in zip(*batch.values(), strict=True):
                yield dict(zip(batch, row, strict=True))
            continue
        for index in range(len(tf.nest.flatten(batch)[0])):
            yield tf.nest.map_structure(itemgetter(index), batch)


def in_threads(function: Callable[[T], R], items: Iterable[T], together: int = 1) -> Iterator[R]:
    """Yield what a function makes of items, in their order, a few of them ahead in threads.

    Args:
        function: Called in threads.
        items: Taken as they are needed.
        together: Items that one thread has at a time.

    Example:
        >>> list(in_threads(len, ["a", "bb", "ccc"]))
        [1, 2, 3]
    """
    threads = machine.cores()
    coming: deque[Future[list[R]]] = deque()
    left = iter(items)

    def made(some: list[T]) -> list[R]:
        return [function(item) for item in some]

    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(left, together)):
            coming.append(pool.submit(made, some))
            if len(coming) > 2 * threads:
                yield from coming.popleft().result()
        while coming:
            yield from coming.popleft().result()


def class_names(builder: Any, label: str | None) -> list[str]:
    """Return the names of the classes of a feature, or of what it is a sequence of.

    Tags of words are such, and boxes, whose class is their ``label``.
    """
    features = builder.info.features
    feature: Any = features[label] if label and label in features else None
    feature = getattr(feature, "feature", feature)
    if hasattr(feature, "items") and "label" in feature:
        feature = feature["label"]
    return list(getattr(feature, "names", None) or [])


def complete(values: Sequence[str | None]) -> list[str] | None:
    """Return what is known of each row of custom data; ``None`` where one has no such value."""
    found = [value for value in values if value is not None]
    return found if len(found) == len(values) else None


def stacked(labels: list[Any]) -> Any:
    """Return labels as one array; a list where each example has as many as it likes."""
    import numpy as np

    # Of tags there are as many as words, of answers as annotators gave.
    is_table = not isinstance(labels[0], dict) and len({np.shape(label) for label in labels}) == 1
    return np.asarray(labels) if is_table else labels


def _named(value: Any, feature: Any) -> Any:
    names = getattr(feature, "names", None)
    return names[int(value)] if names else value


def _location(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _joined(raw: Any) -> Any:
    # A space inside a word would make two of it.
    return " ".join("".join(word.split()) or "?" for word in raw) if isinstance(raw, list) else raw


def _text_or_same(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return {key: _text_or_same(part) for key, part in value.items()}
    if _is_of_texts(value):
        return [_text_or_same(part) for part in value.tolist()]
    return value


def _is_of_texts(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "O"


def _resizer(steps: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    import numpy as np

    from zoo_runtime.preprocess import Preprocessor

    if [step.get("step") for step in steps] != ["image"]:
        return lambda raw: raw
    step: Any = Preprocessor(steps).steps[0]

    def resized(raw: Any) -> Any:
        (pixels,) = step.batch([raw]).values()
        # Pillow resizes uint8 to uint8: nothing is lost.
        wanted = raw.dtype == np.uint8 and (step.crops or pixels.size < raw.size)
        return pixels[0].astype(np.uint8) if wanted else raw

    return resized


def _update(digest: Any, value: Any) -> None:
    import numpy as np

    if isinstance(value, dict):
        value = [part for _, part in sorted(value.items())]
    if isinstance(value, list) or _is_of_texts(value):
        for part in value:
            _update(digest, part)
        return
    data = value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
    digest.update(f"{len(data)} {getattr(value, 'shape', '')}".encode())
    digest.update(data)
