"""Reading safetensors files one tensor at a time, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_registry import UsageError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def tensor_files(files: Mapping[str, Path]) -> Mapping[str, Path]:
    """Return the file of every tensor name, read from the headers.

    Args:
        files: Paths by what to call them in messages.

    Raises:
        UsageError: A file that is damaged or is something else.
    """
    found: dict[str, Path] = {}
    for path in files.values():
        with opened(path) as file:
            found |= dict.fromkeys(file.keys(), path)
    return found


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; nothing is read before it is asked for.

    Raises:
        UsageError: The file is damaged or is something else.
    """
    import ml_dtypes  # noqa: F401  # lets NumPy read bfloat16
    from safetensors import SafetensorError, safe_open

    if path.suffix in PICKLES:
        raise UsageError(
            f"'{path}' is a pickle, which can run any code when it is read: use a safetensors file."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise UsageError(
            f"'{path}' is no whole safetensors file: {error}. Download it again; a pickle under "
            "this name is not read."
        ) from error
