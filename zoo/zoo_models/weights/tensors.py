"""Reading safetensors files one tensor at a time, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from zoo_registry import UsageError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
# As safetensors calls them; others hold packed or scaled numbers, which mean nothing alone.
_FLOATS = ("F64", "F32", "F16", "BF16")


class Tensors:
    """The tensors of open safetensors files, by name.

    Args:
        files: Open files by path.
    """

    def __init__(self, files: Mapping[Path, Any]) -> None:
        self._files = files
        self._places: dict[str, Path] = {}
        for path, file in files.items():
            for name in file.keys():  # noqa: SIM118  # not a mapping
                if name in self._places:
                    raise UsageError(f"'{self._places[name]}' and '{path}' both hold {name}.")
                self._places[name] = path

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; only the header is read."""
        return tuple(self._slice(name).get_shape())

    def read(self, name: str) -> Any:
        """Return a tensor as an array.

        Raises:
            UsageError: It holds no floats.
        """
        dtype = self._slice(name).get_dtype()
        if dtype not in _FLOATS:
            raise UsageError(
                f"'{self._places[name]}': {name} is of type {dtype}, as quantized weights are; "
                f"only {', '.join(_FLOATS)} can be loaded."
            )
        return self._files[self._places[name]].get_tensor(name)

    def _slice(self, name: str) -> Any:
        return self._files[self._places[name]].get_slice(name)


@contextmanager
def opened(files: Mapping[str, Path]) -> Iterator[Tensors]:
    """Open safetensors files; nothing but their headers is read before it is asked for.

    Args:
        files: Paths by what to call them in messages.

    Raises:
        UsageError: A file that is damaged or is something else.
    """
    with ExitStack() as stack:
        yield Tensors({path: stack.enter_context(_opened(path)) for path in files.values()})


def _opened(path: Path) -> Any:
    import ml_dtypes  # noqa: F401  # lets NumPy read bfloat16
    from safetensors import SafetensorError, safe_open

    if path.suffix in PICKLES:
        raise UsageError(
            f"'{path}' is a pickle, which can run any code when it is read: use a safetensors file."
        )
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"'{path}' is no whole safetensors file: {error}. Download it again; a pickle under "
            "this name is not read."
        ) from error
