"""How much of a LiteRT file XNNPACK computes, as the runtime divides the file between them.

The runtime lists the nodes of the first subgraph only, so any other one, such as the body of a
loop, is exchanged with the first in a copy of the file. A node that XNNPACK takes stays in that
list, beside the DELEGATE nodes that stand for many: what is taken is what leads to the outputs of
a DELEGATE node, back to its inputs.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo_export.converters.litert.memory import Content, mapped
from zoo_runtime.errors import Blame, ExportError
from zoo_system.errors import first_line, plain

_DELEGATE = "DELEGATE"
_UNDELEGATED = re.compile(r"failed to delegate (\w+) node")
_FAILED = re.compile(r"Node number \d+ \((\w+)\) failed to (?:prepare|invoke)")
_ABSENT = -1


def xnnpack_share(path: Path, signature: str) -> dict[str, Any]:
    """Count the nodes of a signature that XNNPACK takes; those of a loop's body count once.

    Args:
        path: A LiteRT file.
        signature: Name of one of its signatures.

    Returns:
        All ``nodes``, how many are ``taken``, and what is ``left`` by the kind of operator.

    Raises:
        ExportError: The runtime fails on the sizes of a node.
    """
    content = mapped(path)
    nodes = 0
    left: Counter[str] = Counter()
    for number in _reached(content, signature):
        # The first needs no copy, which would fill the memory where the file is large.
        given: Any = {"model_content": _with_first(content, number)} if number else {}
        rows = _listed(**given or {"model_path": str(path)})
        delegates = [row for row in rows if row["op_name"] == _DELEGATE]
        others = [row for row in rows if row["op_name"] != _DELEGATE]
        taken = _taken(others, delegates)
        nodes += len(others)
        left.update(row["op_name"] for row in others if row["index"] not in taken)
    return {
        "nodes": nodes,
        "taken": nodes - left.total(),
        "left": dict(sorted(left.items(), key=lambda item: (-item[1], item[0]))),
    }


def _listed(**model: Any) -> list[dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(**model)
    try:
        interpreter.allocate_tensors()  # only now are nodes given to XNNPACK
    except RuntimeError as error:
        cause = f"LiteRT cannot prepare it: {first_line(plain(str(error)))}"
        raise of_runtime(str(error)) or ExportError(cause) from error
    rows: list[dict[str, Any]] = interpreter._get_ops_details()
    return rows


def of_runtime(message: str) -> ExportError | None:
    """Return what LiteRT's complaint about a node means; ``None`` of any other.

    Example:
        >>> error = of_runtime("got 7.Node number 5 (SQUARED_DIFFERENCE) failed to invoke.")
        >>> error.blames[0].operator
        'SQUARED_DIFFERENCE'
    """
    undelegated, failed = _UNDELEGATED.search(message), _FAILED.search(message)
    kind = (undelegated or failed or [None])[1]
    if kind is None:
        return None
    if undelegated:
        text = (
            f"LiteRT's XNNPACK takes {kind} and then fails on its sizes, as on tensors of more "
            "than six axes: let the model compute on fewer, which keras.ops.reshape makes of them"
        )
    elif "overflow" in message:
        text = (
            f"the bias of {kind} is so far beyond what its weights give that this scheme has no "
            "scale for both: take tflite:int8 or tflite:float16"
        )
    else:
        text = (
            f"LiteRT has no kernel for {kind} with the dtypes that this scheme gives it: take "
            "tflite:int8, whose floats stay where there is none, or tflite:float16"
        )
    return ExportError(text, [Blame(kind)])


def _taken(nodes: Sequence[Any], delegates: Sequence[Any]) -> set[int]:
    maker = {tensor: node for node in nodes for tensor in node["outputs"] if tensor != _ABSENT}
    taken: set[int] = set()
    for delegate in delegates:
        given = set(delegate["inputs"])
        waiting = list(delegate["outputs"])
        while waiting:
            tensor = waiting.pop()
            node = maker.get(tensor)
            if node is None or tensor in given or node["index"] in taken:
                continue
            taken.add(node["index"])
            waiting.extend(node["inputs"])
    return taken


def _reached(content: Content, signature: str) -> Iterator[int]:
    """Yield the subgraph of a signature and those that its loops and branches run."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    rows = map(model.SignatureDefs, range(model.SignatureDefsLength()))
    waiting = [row.SubgraphIndex() for row in rows if row.SignatureKey().decode() == signature]
    seen: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        yield number
        graph = model.Subgraphs(number)
        for node in map(graph.Operators, range(graph.OperatorsLength())):
            waiting.extend(value for _, value in _references(node))


def _references(node: Any) -> Iterator[tuple[int, int]]:
    """Yield the positions in the file where a node names subgraphs, and which it names."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOptions
    fields = {kinds.WhileOptions: 2, kinds.IfOptions: 2, kinds.CallOnceOptions: 1}
    table = node.BuiltinOptions()
    for field in range(fields.get(node.BuiltinOptionsType(), 0)):
        offset = table.Offset(4 + 2 * field)
        if offset:
            yield table.Pos + offset, struct.unpack_from("<i", table.Bytes, table.Pos + offset)[0]


def _with_first(content: Content, number: int) -> bytes:
    """Return the file with subgraph ``number`` exchanged with the first."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAs(content, 0)
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for node in map(graph.Operators, range(graph.OperatorsLength())):
            for position, value in _references(node):
                other = {0: number, number: 0}.get(value, value)
                struct.pack_into("<i", changed, position, other)
    table = model._tab
    start = table.Vector(table.Offset(8))  # the field "subgraphs" of the schema
    slots = start, start + 4 * number
    targets = [slot + struct.unpack_from("<I", content, slot)[0] for slot in slots]
    for slot, target in zip(slots, reversed(targets), strict=True):
        struct.pack_into("<I", changed, slot, target - slot)
    return bytes(changed)
