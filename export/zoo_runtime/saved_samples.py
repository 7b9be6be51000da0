"""Samples with what Keras gives for them, as a bundle holds them: it is verified without Keras."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.columns import Scale, as_columns
from zoo_runtime.comparing import has_columns
from zoo_runtime.errors import BundleError
from zoo_runtime.tensors import Array, Arrays, Tensor, fits_shape
from zoo_runtime.zipped import check_ratio

GIVEN, EXAMPLE, DRAWN, BESIDE, EDGE = "given", "example", "drawn", "beside", "edge"


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """One sample batch.

    Args:
        kind: :data:`GIVEN` for real rows and what is made of them, :data:`EXAMPLE` for those that
            agreement is counted on, :data:`DRAWN`, :data:`BESIDE` for drawn rows beside enough
            real ones, or :data:`EDGE` for an edge case.
        inputs: By name.
        expected: What Keras gives for them.
        unsteady: Where integers among that change with the last bit of weights and inputs: ties, on
            which no file can be compared.
    """

    kind: str
    inputs: dict[str, Array]
    expected: dict[str, Array]
    unsteady: Mapping[str, Array] = field(default_factory=dict)

    @property
    def group(self) -> str | None:
        """The kind whose rows set the scale of each column, as :func:`group_of` gives it."""
        return group_of(self.kind)


def group_of(kind: str) -> str | None:
    """Return the kind whose rows set the scale of columns; ``None`` for edge cases.

    Example:
        >>> [group_of(kind) for kind in ("example", "drawn", "edge")]
        ['given', 'drawn', None]
    """
    return {EDGE: None, EXAMPLE: GIVEN}.get(kind, kind)


def is_compared(kind: str, *, is_scheme: bool) -> bool:
    """Return whether a file is compared with Keras on samples of a kind.

    Schemes are made for the values that inputs usually have: where there are enough real ones,
    they are compared on those, and never on edge cases.

    Example:
        >>> [is_compared(kind, is_scheme=True) for kind in ("given", "drawn", "beside", "edge")]
        [True, True, False, False]
    """
    return not is_scheme or kind in {GIVEN, EXAMPLE, DRAWN}


# Logits over a vocabulary would be megabytes: so many values show as much, of so many columns.
MAX_VALUES, MAX_COLUMNS = 65_536, 1024
# An archive of a few kilobytes can swell to any size.
MAX_BYTES = 1 << 32
# Values of an array by the part that it is of, and rows times sizes that are not fixed.
_MOST_VALUES = {
    "y": max(MAX_VALUES, 4 * MAX_COLUMNS),
    "ties": max(MAX_VALUES, 4 * MAX_COLUMNS),
    "shape": 32,
    "kind": 1,
}
_MOST_ROWS, _WIDEST = 1 << 24, 8
_SUFFIX = ".npy"
_FIELDS = tuple(field.name for field in fields(Scale))


@dataclass(frozen=True)
class SavedBatch:
    """One sample batch, as it was saved.

    Args:
        inputs: Arrays by input name.
        values: What Keras gave, as :func:`reduced` gives it; flat in bundles of earlier versions.
        shapes: Shapes of the whole outputs.
        kind: As that of a :class:`SampleBatch`; ``None`` in bundles of earlier versions.
        unsteady: Where integers among the values are ties.
    """

    inputs: Arrays
    values: Arrays
    shapes: dict[str, tuple[int, ...]]
    kind: str | None = None
    unsteady: Arrays = field(default_factory=dict)


def columns_kept(width: int) -> Array:
    """Return the columns of an output that are saved: all, or evenly spaced ones.

    Example:
        >>> columns_kept(3).tolist(), len(columns_kept(50_257))
        ([0, 1, 2], 1024)
    """
    few = width if width <= 4 * MAX_COLUMNS else MAX_COLUMNS
    return np.linspace(0, width - 1, few).astype(np.int64)


def reduced(array: Array, has_columns: bool) -> Array:
    """Return an output with whole columns, at most :data:`MAX_COLUMNS`, or four times as many.

    It has its batch too, unless it has too many values in each column.

    Example:
        >>> reduced(np.zeros((3, 128, 50_257), np.float32), True).shape
        (64, 1024)
        >>> reduced(np.zeros((3, 10), np.float32), True).shape
        (3, 10)
    """
    if array.size <= MAX_VALUES and array.shape[-1] <= 4 * MAX_COLUMNS:
        return array
    values = as_columns(array, has_columns)
    values = values[:, columns_kept(values.shape[1])]
    rows = max(1, MAX_VALUES // values.shape[1])
    if len(values) <= rows:
        return values.reshape(len(array), -1, values.shape[1])
    return values[np.linspace(0, len(values) - 1, rows).astype(np.int64)]


def save_samples(
    path: Path,
    batches: Sequence[SampleBatch],
    outputs: Sequence[Tensor],
    scales: Mapping[str, Mapping[str, Scale]],
) -> None:
    """Write sample batches, what Keras gave for them, and the scales of its columns.

    Args:
        path: The ``.npz`` file.
        batches: The batches.
        outputs: The model's outputs, with named sizes.
        scales: By group and output.
    """
    flat: dict[str, Array] = {}
    split = {tensor.name: has_columns(tensor) for tensor in outputs}
    for index, batch in enumerate(batches):
        flat |= {f"{index}/x/{name}": array for name, array in batch.inputs.items()}
        flat |= {
            f"{index}/y/{name}": reduced(array, split[name])
            for name, array in batch.expected.items()
        }
        flat |= {f"{index}/shape/{name}": np.array(a.shape) for name, a in batch.expected.items()}
        flat |= {
            f"{index}/ties/{name}": reduced(ties, split[name])
            for name, ties in batch.unsteady.items()
        }
        flat[f"{index}/kind/"] = np.array(batch.kind)
    for group, by_name in scales.items():
        for name, scale in by_name.items():
            kept = columns_kept(len(scale.spread))
            flat |= {f"{group}/{f}/{name}": getattr(scale, f)[kept] for f in _FIELDS}
    with path.open("wb") as file:
        np.savez_compressed(file, **flat)  # type: ignore[arg-type]  # names are taken for options


def load_samples(path: Path, inputs: Sequence[Tensor]) -> list[SavedBatch]:
    """Read the batches that :func:`save_samples` wrote.

    Args:
        path: The ``.npz`` file.
        inputs: What the model takes, as the manifest says: of what they could not be, nothing is
            read.

    Raises:
        BundleError: The file is not what it should be.
    """
    taken = {tensor.name: tensor for tensor in inputs}

    def fits(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        group, _, rest = key.partition("/")
        part, _, name = rest.partition("/")
        if not group.isdigit():
            return part in _FIELDS and math.prod(shape) <= 4 * MAX_COLUMNS
        if part == "x":
            return name in taken and fits_tensor(taken[name], shape, dtype)
        return math.prod(shape) <= _MOST_VALUES.get(part, 0)

    arrays = load_arrays(path, fits)
    try:
        count = 1 + max(int(key.partition("/")[0]) for key in arrays if key[:1].isdigit())
        batches = [_batch(arrays, index) for index in range(min(count, len(arrays)))]
    except (ValueError, TypeError) as error:
        raise BundleError(f"'{path}' holds no samples: {error}") from error
    return batches


def load_scales(path: Path) -> dict[str, dict[str, Scale]]:
    """Read the scales that :func:`save_samples` wrote; none in bundles of earlier versions.

    Raises:
        BundleError: The file is not what it should be.
    """
    found: dict[str, dict[str, dict[str, Array]]] = {}

    def is_scale(key: str) -> bool:
        return not key[:1].isdigit()

    for key, array in load_arrays(path, wanted=is_scale).items():
        group, _, rest = key.partition("/")
        part, _, name = rest.partition("/")
        if part in _FIELDS:
            found.setdefault(group, {}).setdefault(name, {})[part] = array
    try:
        return {
            group: {name: Scale(**parts) for name, parts in by_name.items()}
            for group, by_name in found.items()
        }
    except TypeError as error:
        raise BundleError(f"'{path}' holds no scales: {error}") from error


def fits_tensor(tensor: Tensor, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Return whether an array could be rows of a tensor.

    Args:
        tensor: Its shape with the batch; a size that has a name may be any.
        shape: Of the array.
        dtype: Of the array, which may hold integers of another width.

    Example:
        >>> images = Tensor("image", "float32", ("batch", 8, 8))
        >>> fits_tensor(images, (3, 8, 8), np.dtype("float32"))
        True
        >>> fits_tensor(images, (3, 8, 9), np.dtype("float32"))
        False
    """
    sizes = [size for size, dim in zip(shape, tensor.shape, strict=False) if isinstance(dim, str)]
    return (
        fits_shape(tensor.shape, shape)
        and math.prod(sizes) <= _MOST_ROWS
        and dtype.kind in "biuf"
        and dtype.itemsize <= _WIDEST
    )


def load_arrays(
    path: Path,
    fits: Callable[[str, tuple[int, ...], np.dtype[Any]], bool] | None = None,
    wanted: Callable[[str], bool] = lambda key: True,
) -> dict[str, Array]:
    """Read the arrays of a ``.npz`` file; nothing is ever unpickled.

    Args:
        path: The file.
        fits: Says by name, shape and dtype whether an array may be there, before it is read.
        wanted: Says by name which arrays are read.

    Raises:
        BundleError: The file is not what it should be, or its arrays are larger than
            :data:`MAX_BYTES`.
    """
    try:
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content) as archive:
            size = sum(info.file_size for info in archive.infolist())
            if size > MAX_BYTES:
                raise BundleError(f"'{path}' holds {size:,} bytes of samples.")
            check_ratio(path, size)
            for info in archive.infolist():
                _check_member(path, archive, info, fits)
        content.seek(0)
        with np.load(content, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in saved.files if wanted(key)}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise BundleError(f"'{path}' holds files that are not arrays.")
        return arrays
    except BundleError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds on bytes that are not theirs
        raise BundleError(f"'{path}' holds no samples: {error}") from error


def _check_member(
    path: Path,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    fits: Callable[[str, tuple[int, ...], np.dtype[Any]], bool] | None,
) -> None:
    """Refuse an array that is not of the size that its header says, or that does not fit."""
    if not info.filename.endswith(_SUFFIX):
        raise BundleError(f"'{path}' holds files that are not arrays.")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        size = member.tell() + math.prod(shape) * dtype.itemsize
    key = info.filename.removesuffix(_SUFFIX)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if size != info.file_size:
        raise BundleError(
            f"'{path}': '{key}' has {info.file_size:,} bytes, and its header says {size:,}."
        )
    if fits is not None and not fits(key, shape, dtype):
        raise BundleError(
            f"'{path}' holds '{key}' of shape {shape} and {dtype}, which its manifest does not "
            "list. Export it again."
        )


def read_npz(path: Path, *, of_run: bool = False) -> dict[str, Array]:
    """Read the arrays of the user's own ``.npz`` file; nothing is ever unpickled.

    Args:
        path: The file.
        of_run: Whether it is of a run, which may come from elsewhere.

    Raises:
        UsageError: The file cannot be read, or is no ``.npz``.
        BundleError: It is of a run and swells as none of ours does.
    """
    try:
        if of_run:
            with zipfile.ZipFile(path) as archive:
                check_ratio(path, sum(info.file_size for info in archive.infolist()))
        saved = np.load(path, allow_pickle=False)
        if not isinstance(saved, np.ndarray):
            with saved:
                return {key: saved[key] for key in saved.files}
    except BundleError:
        raise
    except Exception as error:  # as above; a header may ask for more memory than there is
        raise UsageError(f"'{path}' cannot be read: {error}.") from error
    raise UsageError(
        f"'{path}' holds one array without a name, as a .npy file: write it with np.savez."
    )


def _batch(arrays: Arrays, index: int) -> SavedBatch:
    def part(kind: str) -> dict[str, Array]:
        prefix = f"{index}/{kind}/"
        return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}

    shapes = {name: tuple(map(int, shape)) for name, shape in part("shape").items()}
    kind = part("kind").get("")
    known = None if kind is None else str(kind)
    return SavedBatch(part("x"), part("y"), shapes, known, part("ties"))


def saved_inputs(arrays: Arrays) -> dict[str, Array]:
    """Return the inputs by name among the arrays of a run's ``examples.npz``."""
    return {k.removeprefix("x/"): array for k, array in arrays.items() if k.startswith("x/")}
