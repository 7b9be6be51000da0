"""The three runtimes: each function loads one kind of file and returns what runs it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from zoo_export.runtime import Session
from zoo_export.runtime.affine import affines
from zoo_export.tensors import Array, Arrays
from zoo_registry import UsageError

SIGNATURE = "serving_default"
INFER = "infer"


class LiteRTSession:
    """One signature of a LiteRT file; integers that stand for real numbers come and go as those.

    Args:
        interpreter: The loaded file.
        signature: Name of the signature.
    """

    # Interpreters share their buffers between calls: one at a time.
    def __init__(self, interpreter: Any, signature: str) -> None:
        self._lock = threading.Lock()
        self._interpreter = interpreter
        self._runner = interpreter.get_signature_runner(signature)
        self._inputs = affines(self._runner.get_input_details())
        self._outputs = affines(self._runner.get_output_details())

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Return the outputs by name."""
        quantized = {name: row.quantize(arrays[name]) for name, row in self._inputs.items()}
        with self._lock:
            outputs: dict[str, Array] = self._runner(**{**arrays, **quantized})
        reals = {name: row.dequantize(outputs[name]) for name, row in self._outputs.items()}
        return {**outputs, **reals}


class _OnnxSession:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, arrays: Arrays) -> dict[str, Array]:
        return dict(zip(self._names, self._session.run(self._names, dict(arrays)), strict=True))


class _SavedModelSession:
    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded  # it owns the variables that the signature reads
        self._signature = loaded.signatures[SIGNATURE]

    def run(self, arrays: Arrays) -> dict[str, Array]:
        import tensorflow as tf

        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        return {name: value.numpy() for name, value in self._signature(**tensors).items()}


def open_tflite(path: Path, *, threads: int | None = None) -> Session:
    """Load a LiteRT file in ai-edge-litert; one of integers is given and gives real numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    # A file that can be trained has a signature for each thing that it does.
    signature = SIGNATURE if SIGNATURE in interpreter.get_signature_list() else INFER
    return LiteRTSession(interpreter, signature)


def open_onnx(path: Path, *, threads: int | None = None) -> Session:
    """Load an ONNX file in ONNX Runtime, on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    providers = ["CPUExecutionProvider"]
    return _OnnxSession(onnxruntime.InferenceSession(str(path), options, providers=providers))


def open_saved_model(path: Path, *, threads: int | None = None) -> Session:
    """Load a SavedModel in TensorFlow, whose threads are those of the whole process.

    Raises:
        UsageError: TensorFlow already runs with another number of threads.
    """
    import tensorflow as tf

    if threads is not None and tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise UsageError(
                f"threads={threads}: TensorFlow has started with another number of threads and "
                "cannot change it. Set it first thing in a new process."
            ) from error
    return _SavedModelSession(tf.saved_model.load(str(path)))
