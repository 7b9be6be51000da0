"""TensorFlow graphs with readable names, and which layer an operator in them came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo_export.converters.exportable import exportable_operations, images_scaled_by_rows
from zoo_export.options import ExportOptions
from zoo_export.reading.signature import layer_of, signature_of, tensor_specs
from zoo_registry import ZooError
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.running.sessions import BATCH_SIGNATURE, SIGNATURE
from zoo_runtime.tensors import Arrays, Tensor
from zoo_system.errors import plain

# How Keras puts what a layer or function raised.
_OF_KERAS = re.compile(
    r"Exception encountered when calling (?P<kind>\w+)\.call\(\)\.(?P<reason>.*?)"
    r"(?:Arguments received by|$)",
    re.DOTALL,
)
_LATER = "which a graph has only when it runs"
# What TensorFlow says of code that a graph cannot hold, and what that is.
_IN_PYTHON = (
    (
        "as a Python `bool`",
        f"it decides in Python by the value of a tensor (if, while, and, or), {_LATER}: "
        "keras.ops.where and keras.ops.cond decide inside of it",
    ),
    (
        "Iterating over a symbolic",
        f"it goes through the values of a tensor in Python (for), {_LATER}: keras.ops.map and "
        "keras.ops.scan do that inside of it",
    ),
    (
        r"to a numpy array|numpy\(\) is only available|no attribute 'numpy'",
        f"it computes in NumPy with the values of a tensor, {_LATER}: take the functions of "
        "keras.ops",
    ),
    (
        r"partially known TensorShape|Failed to convert elements of \[.*None",
        "it needs a size as a number that is open in this file, such as the batch: fix it "
        "(keras.Input(shape, batch_size=1))",
    ),
    (
        "interpreted as an integer|Dimension value must be integer|int\\(\\) argument must be",
        f"it takes the value of a tensor for a number of Python, such as a size, {_LATER}",
    ),
)
_TENSOR = re.compile(r"<tf\.Tensor [^<>]*>|tf\.Tensor\([^()]*(\([^()]*\)[^()]*)*\)")


@dataclass(frozen=True)
class Conversion:
    """What a converter gets, inside the child process.

    Args:
        model: The ``keras.Model`` in float32.
        inputs: Inputs of the artifact; a size given as a name varies.
        outputs: Outputs of the artifact.
        path: The file or folder to write.
        calibration: Rows that the ranges of activations are measured on.
        samples: Sample batches that the artifact can take.
        about: What the file may say about itself.
        options: How the file is made. It has a signature for each of the ``batch_sizes``, of which
            the first is that of ``inputs``; none where it varies.
        trained_for_int8: The model with the roundings that it was trained with, if it was.
    """

    model: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    path: Path
    calibration: Arrays = field(default_factory=dict)
    samples: tuple[Arrays, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    options: ExportOptions = field(default_factory=ExportOptions)
    trained_for_int8: Any = None

    @property
    def signatures(self) -> dict[str, int | None]:
        """The batch that each signature takes, by its name; ``None`` where it varies."""
        first = self.inputs[0].shape[0]
        others = {BATCH_SIGNATURE.format(size): size for size in self.options.batch_sizes[1:]}
        return {SIGNATURE: first if isinstance(first, int) else None, **others}


def trace(conversion: Conversion, signature: str = SIGNATURE) -> tuple[Any, Any]:
    """Return the model as a ``tf.function`` with one trace, and that concrete function.

    Keyword names become the signature's input names, dictionary keys its output names.

    Args:
        conversion: What is converted.
        signature: Whose batch is taken; the trace has its name.
    """
    import tensorflow as tf

    def serve(**arrays: Any) -> dict[str, Any]:
        # Identity keeps an output that is passed through apart from its source.
        outputs = signature_of(conversion.model).call(arrays)
        return {name: tf.identity(value) for name, value in outputs.items()}

    serve.__name__ = signature
    function = tf.function(serve, autograph=False)
    inputs = with_batch(conversion.inputs, conversion.signatures[signature])
    with exportable_operations(), images_scaled_by_rows(), as_a_graph(conversion.model):
        return function, function.get_concrete_function(**tensor_specs(inputs))


@contextmanager
def as_a_graph(model: Any) -> Iterator[None]:
    """Name what Keras runs step by step and TensorFlow cannot make a graph of.

    Args:
        model: What is traced inside.

    Raises:
        ExportError: Tracing raised something that is not a message of ours.
    """
    try:
        yield
    except (ZooError, MemoryError):
        raise
    except Exception as error:  # whatever Keras, TensorFlow or a layer of the user's raises
        said = plain(str(error)) or type(error).__name__
        raise ExportError(_not_a_graph(model, said)) from error


def _not_a_graph(model: Any, text: str) -> str:
    found = _OF_KERAS.search(text)
    reason = _in_our_words(found["reason"] if found else text)
    what = "it" if found is None else _named(model, found["kind"])
    return f"{what} runs in Keras step by step, but not as a graph, which a file is: {reason}"


def _named(model: Any, kind: str) -> str:
    named = [each.name for each in model.operations if type(each).__name__ == kind]
    return f"'{named[0]}' ({kind})" if named else kind


def _in_our_words(reason: str) -> str:
    for pattern, words in _IN_PYTHON:
        if re.search(pattern, reason, re.DOTALL):
            return words
    return " ".join(_TENSOR.sub("a tensor", reason).split())


def with_batch(tensors: Sequence[Tensor], batch: int | None) -> tuple[Tensor, ...]:
    """Return tensors with another first size; with that they have if it is ``None``."""
    return tuple(t if batch is None else replace(t, shape=(batch, *t.shape[1:])) for t in tensors)


def holder(concrete: Any) -> Any:
    """Return a plain ``tf.Module`` that owns the variables of a concrete function.

    The converters find the weights through it; handed the Keras model, the LiteRT converter
    writes a file without weights, and ``model.export`` stores each weight twice.
    """
    import tensorflow as tf

    module = tf.Module()
    module.held = list(concrete.graph.variables)
    return module


def blame(graph: Any, model: Any, operators: Iterable[str]) -> list[Blame]:
    """Return the operators with the layers whose scopes they stand in.

    Args:
        graph: The traced ``FuncGraph``.
        model: The Keras model.
        operators: Types of operators, as TensorFlow calls them.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    found = {
        Blame(operator, layer_of(model, node.name))
        for operator in operators
        for node in nodes
        if node.op == operator
    }
    named = {item.operator for item in found}
    found |= {Blame(operator) for operator in operators if operator not in named}
    return sorted(found, key=str)
