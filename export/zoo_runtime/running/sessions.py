"""The three runtimes: each function loads one kind of file and returns what runs it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError, did_you_mean
from zoo_runtime.optional import need
from zoo_runtime.running import Session
from zoo_runtime.running.operators import check_onnx, check_saved_model, check_tflite
from zoo_runtime.tensors import Array, Arrays
from zoo_system.quiet import quiet_litert


@dataclass(frozen=True)
class Affine:
    """How one tensor of a file is quantized: ``real = scale * (integer - zero_point)``.

    Args:
        scale: Real size of one step.
        zero_point: The integer that means 0.
        dtype: Of the integers.

    Example:
        >>> half = Affine(0.5, -128, "int8")
        >>> half.quantize(np.array([0.0, 0.75, 1.0, 500.0], np.float32)).tolist()
        [-128, -126, -126, 127]
        >>> half.dequantize(np.array([-126], np.int8)).tolist()
        [1.0]
    """

    scale: float
    zero_point: int
    dtype: str

    def quantize(self, array: Array) -> Array:
        """Return the nearest integers, halves away from zero as in C, clipped at the ends.

        Raises:
            UsageError: NaN, which no integer stands for.
        """
        if np.isnan(array).any():
            raise UsageError(
                f"An input holds NaN, and the file takes it as {self.dtype}, which has no number "
                "for that. Give numbers in its place."
            )
        steps = array / np.float32(self.scale)
        nearest = np.trunc(steps + np.copysign(0.5, steps)) + self.zero_point
        limits = np.iinfo(self.dtype)
        inside: Array = np.clip(nearest, limits.min, limits.max)
        return inside.astype(self.dtype)

    def dequantize(self, array: Array) -> Array:
        """Return the float32 numbers that integers mean."""
        return (array.astype(np.float32) - self.zero_point) * np.float32(self.scale)


def affines(details: Mapping[str, Any]) -> dict[str, Affine]:
    """Return how the integer tensors of a LiteRT signature are quantized, by name.

    Args:
        details: What ``get_input_details`` or ``get_output_details`` of its runner gave.
    """
    return {
        name: Affine(scale, zero_point, entry["dtype"].__name__)
        for name, entry in details.items()
        for scale, zero_point in [entry["quantization"]]
        if scale
    }


def recorded(facts: Mapping[str, Any]) -> dict[str, Affine]:
    """Return how a file of a bundle quantizes its inputs and outputs, by the tensor's name.

    Args:
        facts: Of its artifact.

    Example:
        >>> recorded({"quantization": {"x": {"scale": 0.5, "zero_point": -128}}})
        {'x': Affine(scale=0.5, zero_point=-128, dtype='int8')}
    """
    known = facts.get("quantization", {})
    return {name: Affine(**values, dtype="int8") for name, values in known.items()}


SIGNATURE = "serving_default"
INFER = "infer"
# Of the same model for another batch; the smallest batch has the first name.
BATCH_SIGNATURE = "batch_{}"
_LIBRARIES = {".so", ".dylib", ".dll"}


class LiteRTSession:
    """A LiteRT file; quantized inputs and outputs are given and returned as floats.

    Args:
        interpreter: The loaded file.
        signature: Name of the signature to run, where the file has none for a batch of its own.
    """

    # Interpreters share their buffers between calls: one at a time.
    def __init__(self, interpreter: Any, signature: str) -> None:
        self._lock = threading.Lock()
        self._interpreter = interpreter
        self._default = _Signature(interpreter, signature)
        self._by_batch: dict[int, _Signature] = {}
        self._names = set(interpreter.get_signature_list())

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batches that the file has a signature of its own for."""
        found = (re.fullmatch(BATCH_SIGNATURE.format(r"(\d{1,9})"), name) for name in self._names)
        return tuple(sorted(int(match[1]) for match in found if match))

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return the outputs by name."""
        rows = len(next(iter(arrays.values())))
        with self._lock:
            return self._signature(rows).run(arrays)

    def _signature(self, rows: int) -> _Signature:
        name = BATCH_SIGNATURE.format(rows)
        if name not in self._names:
            return self._default
        if rows not in self._by_batch:
            self._by_batch[rows] = _Signature(self._interpreter, name)
        return self._by_batch[rows]


class _Signature:
    def __init__(self, interpreter: Any, name: str) -> None:
        self._runner = interpreter.get_signature_runner(name)
        self._inputs = affines(self._runner.get_input_details())
        self._outputs = affines(self._runner.get_output_details())
        self._run = self._first_run

    def _first_run(self, **arrays: Array) -> dict[str, Array]:
        # LiteRT allocates, and says with what, when it is called first.
        with quiet_litert():
            outputs: dict[str, Array] = self._runner(**arrays)
        self._run = self._runner
        return outputs

    def run(self, arrays: Arrays) -> dict[str, Array]:
        quantized = {name: row.quantize(arrays[name]) for name, row in self._inputs.items()}
        outputs = self._run(**{**arrays, **quantized})
        reals = {name: row.dequantize(outputs[name]) for name, row in self._outputs.items()}
        return {**outputs, **reals}


class _OnnxSession:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, arrays: Arrays) -> dict[str, Array]:
        return dict(zip(self._names, self._session.run(self._names, dict(arrays)), strict=True))


class _SavedModelSession:
    def __init__(self, tf: Any, loaded: Any) -> None:
        self._tensor = tf.constant
        self._loaded = loaded  # it owns the variables that the signature reads
        self._signature = loaded.signatures[SIGNATURE]

    def run(self, arrays: Arrays) -> dict[str, Array]:
        tensors = {name: self._tensor(array) for name, array in arrays.items()}
        return {name: value.numpy() for name, value in self._signature(**tensors).items()}


def open_tflite(path: Path, *, threads: int | None = None, provider: str = "xnnpack") -> Session:
    """Load a LiteRT file in ai-edge-litert; a quantized one is given and gives floats.

    Args:
        path: The file.
        threads: Threads to use.
        provider: ``xnnpack``, ``builtin`` (LiteRT's own kernels), ``reference`` (its slow, plain
            ones), or the path of a delegate's library.

    Raises:
        UsageError: A provider that is not there.
        BundleError: Operators that are not LiteRT's own.
    """
    interpreter = litert_interpreter(path, threads=threads, provider=provider)
    # A file that can be trained has a signature for each thing that it does.
    signature = SIGNATURE if SIGNATURE in interpreter.get_signature_list() else INFER
    return LiteRTSession(interpreter, signature)


def litert_interpreter(path: Path, *, threads: int | None = None, provider: str = "xnnpack") -> Any:
    """Load a LiteRT file, checked, as an interpreter; as :func:`open_tflite`."""
    litert = need("ai_edge_litert.interpreter", "Format 'tflite'")
    resolvers = {
        "xnnpack": litert.OpResolverType.AUTO,
        "builtin": litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "reference": litert.OpResolverType.BUILTIN_REF,
    }
    options: dict[str, Any] = {"num_threads": threads}
    if Path(provider).suffix in _LIBRARIES:
        if not Path(provider).is_file():
            raise UsageError(f"There is no delegate '{provider}'.")
        try:
            options["experimental_delegates"] = [litert.load_delegate(provider)]
        except (OSError, ValueError) as error:
            raise UsageError(f"Delegate '{provider}' cannot be loaded: {error}") from error
    else:
        _check_provider(provider, [*resolvers, "DELEGATE.so"], "ai-edge-litert")
        options["experimental_op_resolver_type"] = resolvers[provider]
    # Its own copy: a file that is mapped can still be changed under the interpreter.
    content = path.read_bytes()
    check_tflite(path, content)
    return litert.Interpreter(model_content=content, **options)


def open_onnx(path: Path, *, threads: int | None = None, provider: str = "cpu") -> Session:
    """Load an ONNX file in ONNX Runtime.

    Args:
        path: The file.
        threads: Threads to use.
        provider: An execution provider, such as ``cpu`` or ``CUDAExecutionProvider``.

    Raises:
        UsageError: A provider that is not there, or that does not start.
        BundleError: Weights outside the bundle, or operators that are not ONNX's.
    """
    return _OnnxSession(onnx_session(path, threads=threads, provider=provider))


def onnx_session(path: Path, *, threads: int | None = None, provider: str = "cpu") -> Any:
    """Load an ONNX file, checked, as an ``InferenceSession``; as :func:`open_onnx`."""
    onnxruntime = need("onnxruntime", "Format 'onnx'")
    check_onnx(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    there = {_short(name): name for name in onnxruntime.get_available_providers()}
    _check_provider(_short(provider), there, "onnxruntime")
    name = there[_short(provider)]
    session = onnxruntime.InferenceSession(str(path), options, providers=[name])
    if name not in session.get_providers():  # it falls back to the processor without a word
        raise UsageError(f"Provider '{provider}' of onnxruntime does not start on this machine.")
    return session


def set_threads(threads: int | None) -> None:
    """Let TensorFlow use so many threads in this process, for whatever it runs.

    Args:
        threads: TensorFlow's own choice by default.

    Raises:
        UsageError: It already runs with another number of threads.
    """
    tf = need("tensorflow", "A number of threads of TensorFlow", "tensorflow")
    if threads is not None and tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise UsageError(
                f"threads={threads}: TensorFlow has started with another number of threads and "
                "cannot change it. Set it first thing in a new process."
            ) from error


def open_saved_model(
    path: Path, *, threads: int | None = None, provider: str | None = None
) -> Session:
    """Load a SavedModel in TensorFlow, whose threads are those of the whole process.

    Args:
        path: The folder.
        threads: Threads to use.
        provider: ``cpu`` or ``gpu``; TensorFlow's own choice by default.

    Raises:
        UsageError: TensorFlow already runs with another number of threads, or there is no such
            provider.
        BundleError: Operators that do more than compute.
    """
    loaded = load_saved_model(path, threads=threads, provider=provider)
    return _SavedModelSession(need("tensorflow", "Format 'saved_model'", "tensorflow"), loaded)


def load_saved_model(path: Path, *, threads: int | None = None, provider: str | None = None) -> Any:
    """Load a SavedModel, checked; as :func:`open_saved_model`."""
    check_saved_model(path)
    tf = need("tensorflow", "Format 'saved_model'", "tensorflow")
    set_threads(threads)
    if provider is None:
        return tf.saved_model.load(str(path))
    there = {device.device_type.lower() for device in tf.config.list_logical_devices()}
    _check_provider(provider, sorted(there), "tensorflow")
    with tf.device(f"/{provider}:0"):
        return tf.saved_model.load(str(path))


def _check_provider(provider: str, there: Iterable[str], runtime: str) -> None:
    if provider not in there:
        hint = did_you_mean(provider, there)
        raise UsageError(
            f"There is no provider '{provider}' of {runtime} here.{hint} "
            f"There are: {', '.join(there)}."
        )


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider").lower()
