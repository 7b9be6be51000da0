"""The process, ``python -m zoo_export.targets.tflm MODEL FOLDER``, that runs TensorFlow Lite Micro.

Its interpreter is C++ that prints on standard error what it lacks, and may crash on what it was not
made for: whatever happens here, the parent lives. In ``FOLDER`` are the rows to run; there the
findings are left, or, with the exit code :data:`REFUSED`, every operator that the interpreter does
not know has been named on standard error.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from zoo_export.making.conversion import load_batches
from zoo_runtime.tensors import Array, Arrays

INPUTS, FINDINGS = "inputs.npz", "findings.json"
REFUSED = 3
# More than any microcontroller has; pages that are not touched cost nothing.
_LARGEST_ARENA = 1 << 28
_ALIGNMENT = 16
_NO_SUCH_OPERATOR = "zoo.no_such_operator"


@dataclass(frozen=True)
class Findings:
    """What running a file in both interpreters showed.

    Args:
        arena_bytes: The smallest arena that the interpreter takes.
        inputs: Names of the inputs in the order of the file.
        outputs: The same of the outputs.
        compared: Values compared, by operator: those that came from equal inputs.
        different: How many of them were not equal.
        largest: By how many steps they differed at most.
        unlike_in_arena: Values of the outputs that the smallest arena changes.
    """

    arena_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    compared: dict[str, int]
    different: dict[str, int]
    largest: dict[str, int]
    unlike_in_arena: int


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def main(model: Path, folder: Path) -> None:
    """Run ``model`` on the rows in ``folder`` and leave the findings there."""
    content = model.read_bytes()
    rows = load_batches(folder / INPUTS)
    if not _fits(content, _LARGEST_ARENA):
        _name_missing(content)
        sys.exit(REFUSED)
    arena = _smallest_arena(content)
    findings = _compare(content, arena, rows)
    (folder / FINDINGS).write_text(json.dumps(asdict(findings)), encoding="utf-8")


def _open(content: bytes, arena: int, *, preserve: bool = False) -> Any:
    from tflite_micro.python.tflite_micro import runtime

    kinds = runtime.InterpreterConfig
    kind = kinds.kPreserveAllTensors if preserve else kinds.kAllocationRecording
    return runtime.Interpreter.from_bytes(content, arena_size=arena, intrepreter_config=kind)


def _fits(content: bytes, arena: int) -> bool:
    try:
        _open(content, arena)
    except RuntimeError:  # it has printed on standard error what is missing
        return False
    return True


def _smallest_arena(content: bytes) -> int:
    too_small, enough = 0, _LARGEST_ARENA // _ALIGNMENT
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if _fits(content, middle * _ALIGNMENT):
            enough = middle
        else:
            too_small = middle
    return enough * _ALIGNMENT


def _name_missing(content: bytes) -> None:
    """Have the interpreter name every operator that it lacks, not only the first.

    It looks all operators up before it does anything else. Each is tried together with one that
    no interpreter has, so that nothing beyond the looking up ever happens.
    """
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    known = len(model.operatorCodes)
    sentinel = schema.OperatorCodeT()
    sentinel.builtinCode = sentinel.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    sentinel.customCode = _NO_SUCH_OPERATOR.encode()
    model.operatorCodes.append(sentinel)
    graph = model.subgraphs[0]
    graph.tensors, graph.inputs, graph.outputs = graph.tensors[:1], [0], [0]
    graph.tensors[0].buffer = 0
    model.subgraphs, model.buffers = [graph], model.buffers[:1]
    model.signatureDefs = model.metadata = None
    for index in range(known):
        graph.operators = [_operator(schema, index), _operator(schema, known)]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        _fits(bytes(builder.Output()), _LARGEST_ARENA)


def _operator(schema: Any, index: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = index
    operator.inputs = operator.outputs = np.array([0], np.int32)
    return operator


class _Tally:
    """What was compared so far, by operator."""

    def __init__(self, nodes: Sequence[_Node]) -> None:
        self.nodes = nodes
        self.compared = dict.fromkeys((node.operator for node in nodes), 0)
        self.different = dict(self.compared)
        self.largest = dict(self.compared)

    def count(self, lite: Any, micro: Any) -> None:
        """Compare what every operator gave that got the same bits in both interpreters."""
        unequal: set[int] = set()
        for node in self.nodes:
            steps = {
                index: _steps(lite.get_tensor(index), micro.GetTensor(index, 0)["tensor_data"])
                for index in node.outputs
            }
            if unequal.isdisjoint(node.inputs):
                self._add(node.operator, np.concatenate(list(steps.values())))
            unequal |= {index for index, values in steps.items() if values.any()}

    def _add(self, operator: str, steps: Array) -> None:
        self.compared[operator] += steps.size
        self.different[operator] += int(np.count_nonzero(steps))
        self.largest[operator] = max(self.largest[operator], int(steps.max(initial=0)))


def _compare(content: bytes, arena: int, rows: Sequence[Arrays]) -> Findings:
    """Run LiteRT and TFLM operator by operator, and TFLM once more in its smallest arena."""
    lite, inputs, outputs = _open_litert(content)
    micro, small = _open(content, _LARGEST_ARENA, preserve=True), _open(content, arena)
    tally = _Tally(_nodes(content))
    unlike = 0
    for row in rows:
        for position, (name, index) in enumerate(inputs.items()):
            lite.set_tensor(index, row[name])
            micro.set_input(row[name], position)
            small.set_input(row[name], position)
        for interpreter in (lite, micro, small):
            interpreter.invoke()
        tally.count(lite, micro)
        for position, index in enumerate(outputs.values()):
            steps = _steps(micro.GetTensor(index, 0)["tensor_data"], small.get_output(position))
            unlike += int(np.count_nonzero(steps))
    return Findings(
        arena,
        tuple(inputs),
        tuple(outputs),
        tally.compared,
        tally.different,
        tally.largest,
        unlike,
    )


def _open_litert(content: bytes) -> tuple[Any, dict[str, int], dict[str, int]]:
    """Return LiteRT's interpreter, and the file's inputs and outputs in its own order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    lite = Interpreter(
        model_content=content,
        # XNNPACK, which runs by default, rounds in another way than the reference kernels.
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    lite.allocate_tensors()
    runner = lite.get_signature_runner(next(iter(lite.get_signature_list())))
    return (
        lite,
        _in_order(lite.get_input_details(), runner.get_input_details()),
        _in_order(lite.get_output_details(), runner.get_output_details()),
    )


def _in_order(details: Sequence[Any], named: Any) -> dict[str, int]:
    names = {entry["index"]: name for name, entry in named.items()}
    return {names[entry["index"]]: entry["index"] for entry in details}


def _steps(one: Array, other: Array) -> Array:
    """Return by how many steps the values of two tensors differ; of floats, whether they do."""
    one, other = one.ravel(), other.ravel()
    if one.dtype.kind == "f":
        one, other = one.view(np.int32) != other.view(np.int32), np.zeros(one.shape, np.int64)
    apart: Array = np.abs(one.astype(np.int64) - other.astype(np.int64))
    return apart


def _nodes(content: bytes) -> list[_Node]:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    found = []
    for node in model.subgraphs[0].operators:
        code = model.operatorCodes[node.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        ends = [tuple(int(i) for i in part if i >= 0) for part in (node.inputs, node.outputs)]
        found.append(_Node(name, *ends))
    return found


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]), Path(sys.argv[2]))
