"""Samples kept in a bundle, so that another machine can prove it again without Keras."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo_export.archive import check_ratio
from zoo_export.errors import BundleError
from zoo_export.tensors import Array, Arrays, evenly
from zoo_registry import UsageError

# Logits over a vocabulary would be megabytes: so many values, evenly spaced, tell as much.
MAX_VALUES = 65_536
# An archive of a few kilobytes can swell to any size.
MAX_BYTES = 1 << 32


@dataclass(frozen=True)
class Stored:
    """One sample batch.

    Args:
        inputs: Arrays by input name.
        values: What Keras gave, flat, at most :data:`MAX_VALUES` an output.
        shapes: Shapes of the whole outputs.
    """

    inputs: Arrays
    values: Arrays
    shapes: dict[str, tuple[int, ...]]


def save_samples(path: Path, cases: Sequence[Arrays], expected: Sequence[Arrays]) -> None:
    """Write sample batches and what Keras gave for them."""
    flat: dict[str, Array] = {}
    for index, (inputs, outputs) in enumerate(zip(cases, expected, strict=True)):
        flat |= {f"{index}/x/{name}": array for name, array in inputs.items()}
        flat |= {f"{index}/y/{name}": evenly(a, MAX_VALUES) for name, a in outputs.items()}
        flat |= {f"{index}/shape/{name}": np.array(a.shape) for name, a in outputs.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, **flat)  # type: ignore[arg-type]  # names are taken for options


def load_samples(path: Path) -> list[Stored]:
    """Read what :func:`save_samples` wrote.

    Raises:
        BundleError: The file is not what it should be.
    """
    arrays = load_arrays(path)
    try:
        count = 1 + max(int(key.partition("/")[0]) for key in arrays)
        cases = [_case(arrays, index) for index in range(min(count, len(arrays)))]
    except (ValueError, TypeError) as error:
        raise BundleError(f"'{path}' holds no samples: {error}") from error
    return cases


def load_arrays(path: Path) -> dict[str, Array]:
    """Read the arrays of a ``.npz`` file; nothing is ever unpickled.

    Raises:
        BundleError: The file is not what it should be, or its arrays are larger than
            :data:`MAX_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_BYTES:
            raise BundleError(f"'{path}' holds {size:,} bytes of samples.")
        check_ratio(path, size)
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise BundleError(f"'{path}' holds files that are no arrays.")
        return arrays
    except BundleError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds on bytes that are not theirs
        raise BundleError(f"'{path}' holds no samples: {error}") from error


def read_npz(path: Path) -> dict[str, Array]:
    """Read the arrays of a person's own ``.npz`` file; nothing is ever unpickled.

    Raises:
        UsageError: The file cannot be read, or is no ``.npz``.
    """
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.ndarray):
            with stored:
                return {key: stored[key] for key in stored.files}
    except Exception as error:  # as above; a header may ask for more memory than there is
        raise UsageError(f"'{path}' cannot be read: {error}.") from error
    raise UsageError(
        f"'{path}' holds one array without a name, as a .npy file: write it with np.savez."
    )


def _case(arrays: Arrays, index: int) -> Stored:
    def part(kind: str) -> dict[str, Array]:
        prefix = f"{index}/{kind}/"
        return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}

    shapes = {name: tuple(map(int, shape)) for name, shape in part("shape").items()}
    return Stored(part("x"), part("y"), shapes)
