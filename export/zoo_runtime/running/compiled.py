"""Functions of a LiteRT file that share one packed copy of its weights, and arrays by name.

An interpreter packs the weights of each signature for XNNPACK, beside the bytes of the file: four
times for a language model. LiteRT's compiled model packs them once. From Python it takes and gives
copies of tensors alone; its C library tells where they lie, so that a cache stays where it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_runtime.errors import BundleError
from zoo_runtime.optional import need
from zoo_runtime.running.operators import check_tflite
from zoo_runtime.tensors import Array
from zoo_system.quiet import quiet_litert

_LIBRARY = "libLiteRt.so"
# As XNNPACK calls packed weights that all functions share in memory alone, and where it can.
IN_MEMORY, SHARES_IN_MEMORY = ":memory", sys.platform == "linux"
_READ_WRITE = 2  # kLiteRtTensorBufferLockModeReadWrite


def can_compile() -> bool:
    """Return whether functions can share packed weights here."""
    return SHARES_IN_MEMORY and (_package() / _LIBRARY).is_file()


def _package() -> Path:
    return Path(need("ai_edge_litert", "Format 'tflite'").__file__).parent


@dataclass(frozen=True, eq=False)
class LiteRTFunction:
    """One function of a file; its inputs and outputs are arrays in the runtime's own memory.

    Args:
        inputs: By name.
        outputs: By name, overwritten by each run.
        run: Computes the outputs.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    run: Callable[[], object]


def _let_go(held: dict[str, Any]) -> None:
    with quiet_litert():
        held.clear()


class CompiledFile:
    """A LiteRT file, checked and compiled.

    Inputs that its functions have in common, by name and size, are the same arrays.

    Args:
        path: The file.
        threads: Threads to use; LiteRT chooses by default.

    Raises:
        BundleError: Operators that are not LiteRT's own, or a file that LiteRT does not take.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        litert = need("ai_edge_litert.compiled_model", "Format 'tflite'")
        cpu = litert.CpuOptions(num_threads=threads or 0, xnnpack_weight_cache_path=IN_MEMORY)
        with tempfile.TemporaryDirectory() as folder:
            # Its own copy, which no name leads to then: a file that is mapped can be changed under
            # the runtime. What is packed is not read from it again, and takes no memory twice.
            copy, nothing = Path(folder, path.name), Path(folder, "none")
            shutil.copyfile(path, copy)
            check_tflite(path, copy.read_bytes())
            with quiet_litert():
                self._environment = litert.Environment.create(
                    options=litert.EnvironmentOptions(
                        runtime_path=str(_package()),
                        # It would load what is there for other processors.
                        compiler_plugin_path=str(nothing),
                        dispatch_library_path=str(nothing),
                    )
                )
                try:
                    self._model = litert.CompiledModel.from_file(
                        str(copy),
                        environment=self._environment,
                        options=litert.Options(cpu_options=cpu),
                    )
                except RuntimeError as error:
                    raise BundleError(f"LiteRT does not take '{path.name}': {error}") from error
        library = ctypes.CDLL(str(_package() / _LIBRARY))
        self._lock, self._unlock = library.LiteRtLockTensorBuffer, library.LiteRtUnlockTensorBuffer
        self._lock.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
        self._unlock.argtypes = [ctypes.c_void_p]
        self._inputs: dict[tuple[Any, ...], tuple[Any, Array]] = {}
        self._buffers: list[list[dict[str, Any]]] = []
        self._has_run = False
        # Also before the process ends, when what this needs is there no longer.
        weakref.finalize(self, _let_go, vars(self))

    def function(self, name: str) -> LiteRTFunction:
        """Return the function of a signature."""
        details = self._model.get_input_tensor_details(name)
        taken = {key: self._input(name, key, row) for key, row in details.items()}
        given = {
            key: self._with_array(self._model.create_output_buffer_by_name(name, key), row)
            for key, row in self._model.get_output_tensor_details(name).items()
        }
        # Held here alone: all that is LiteRT's goes at once.
        at = len(self._buffers)
        self._buffers.append(
            [{key: buffer for key, (buffer, _) in rows.items()} for rows in (taken, given)]
        )

        def run() -> None:
            with contextlib.nullcontext() if self._has_run else quiet_litert():
                self._model.run_by_name(name, *self._buffers[at])
            self._has_run = True

        return LiteRTFunction(
            inputs={key: array for key, (_, array) in taken.items()},
            outputs={key: array for key, (_, array) in given.items()},
            run=run,
        )

    def _input(self, name: str, key: str, row: Mapping[str, Any]) -> tuple[Any, Array]:
        same = (key, row["dtype"], *row["shape"])
        if same not in self._inputs:
            buffer = self._model.create_input_buffer_by_name(name, key)
            self._inputs[same] = self._with_array(buffer, row)
        return self._inputs[same]

    def _with_array(self, buffer: Any, row: Mapping[str, Any]) -> tuple[Any, Array]:
        """Return a buffer, and an array where it lies, of zeros."""
        pointer, address = _pointer(buffer.capsule), ctypes.c_void_p()
        failed = self._lock(pointer, ctypes.byref(address), _READ_WRITE) or self._unlock(pointer)
        if failed or address.value is None:
            raise BundleError(f"LiteRT does not tell where tensor '{row['name']}' lies.")
        dtype, shape = np.dtype(row["dtype"]), tuple(row["shape"])
        size = int(np.prod(shape)) * dtype.itemsize
        array: Array = np.frombuffer((ctypes.c_char * size).from_address(address.value), dtype)
        array = array.reshape(shape)
        array[...] = 0
        return buffer, array


def _pointer(capsule: Any) -> int:
    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    found: int = python.PyCapsule_GetPointer(capsule, python.PyCapsule_GetName(capsule))
    return found
