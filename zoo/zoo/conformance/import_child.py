"""What the import of a plugin does to a process: ``python -m zoo.conformance.import_child``.

It takes a file to write the answer to, the target of an entry point, and that of what it builds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zoo
from zoo.conformance.state import changed, global_state
from zoo_registry import load_target
from zoo_system.fast_keras import fast_keras
from zoo_system.quiet import quiet_tensorflow

# What takes seconds to import, or a hundred megabytes.
_HEAVY = (
    *("jax", "keras", "keras_hub", "keras_nlp", "matplotlib", "onnx", "onnxruntime", "pandas"),
    *("sklearn", "tensorflow", "tensorflow_datasets", "torch", "transformers"),
)


def main(answer: Path, entry: str, builder: str) -> None:
    """Import what an entry point names, then Keras and what is built, and say what changed.

    Args:
        answer: Where the answer is written, as JSON.
        entry: ``"module:attribute"``.
        builder: The same of the builder; empty if there is none beside.
    """
    quiet_tensorflow()
    fast_keras()
    warnings.simplefilter("ignore")
    _ = zoo.ModelSpec, zoo.Tracker
    known = set(sys.modules)
    found = _watched(lambda: load_target(entry))
    found["heavy"] = [name for name in _HEAVY if name in sys.modules and name not in known]
    if builder and not found["error"]:
        _import_libraries()
        later = _watched(lambda: load_target(builder))
        found |= {key: found[key] or later[key] for key in later}
    answer.write_text(json.dumps(found), encoding="utf-8")
    # What a plugin registered for the end of the process is not ours to wait for.
    os._exit(0)


def _import_libraries() -> None:
    # They print and change what they like: that is not the plugin's doing.
    import keras
    import tensorflow_datasets

    _ = keras.Model, tensorflow_datasets.core.GeneratorBasedBuilder


def _watched(load: Callable[[], object]) -> dict[str, Any]:
    before, error = global_state(), ""
    with tempfile.TemporaryFile() as file:
        with _written_to(file):
            try:
                load()
            except BaseException as raised:  # one that ends the process too
                error = f"{type(raised).__name__}: {raised}"
            after = global_state()
        file.seek(0)
        printed = file.read().decode("utf-8", "replace")
    return {"printed": printed, "changed": changed(before, after), "error": error}


@contextmanager
def _written_to(file: IO[bytes]) -> Iterator[None]:
    """Have what is written to standard output and error, by C too, go to a file."""
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        yield
    finally:
        for text in (sys.stdout, sys.stderr):
            text.flush()
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
