"""What a file of a model asks for, read from its bytes before a runtime sees it.

A graph can do more than compute: TensorFlow has operators that read and write files, ONNX takes
weights from any path, LiteRT looks for operators that others have registered. What no exporter
of ours writes is refused by name. The files are read by hand: a device has neither onnx nor the
definitions of TensorFlow's messages.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo_runtime.errors import BundleError
from zoo_runtime.files import safe_path
from zoo_runtime.running.compute_operators import COMPUTE

_PROTOBUF = (IndexError, ValueError)
_MODEL = "saved_model.pb"
# All that TensorFlow writes; assets are files that operators read.
_PARTS = re.compile(
    r"saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d{5}-of-\d{5})"
    r"|assets\.extra/.+"
)


# -- SavedModel -----------------------------------------------------------------------------------

# Of the two functions that TensorFlow adds to save and restore variables. What loads a SavedModel
# here reads its variables by itself and never calls them.
_OF_SAVER = frozenset(
    {
        "MergeV2Checkpoints",
        "RestoreV2",
        "SaveV2",
        "ShardedFilename",
        "StaticRegexFullMatch",
        "StringJoin",
    }
)


@dataclass
class _Function:
    """What the nodes of one function, or of the graph itself, are and call."""

    operators: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    swapped: bool = False


@dataclass
class _Graph:
    body: _Function = field(default_factory=_Function)
    functions: dict[str, _Function] = field(default_factory=dict)
    # Of each node of the graph itself, the functions that it calls.
    nodes: list[tuple[str, set[str]]] = field(default_factory=list)
    saver_nodes: set[str] = field(default_factory=set)
    objects: list[bytes] = field(default_factory=list)
    assets: int = 0


def check_saved_model(folder: Path) -> None:
    """Refuse a SavedModel with an operator that does anything but compute.

    Raises:
        BundleError: Such an operator, in the graph or in any function, a file that TensorFlow
            would read beside graph and variables, or a file that is not a SavedModel.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _PARTS.fullmatch(name):
            raise BundleError(
                f"SavedModel '{folder}' holds '{name}': one of a bundle has a graph and variables "
                "and no other file."
            )
    path = folder / _MODEL
    if not path.is_file():
        raise BundleError(f"SavedModel '{folder}' has no {_MODEL}.")
    data = path.read_bytes()
    try:
        graph = _read_graph(data)
    except _PROTOBUF as error:
        raise BundleError(f"'{path}' is not a SavedModel: {error}.") from error
    if graph.assets:
        raise BundleError(f"SavedModel '{folder}' reads files (assets): none of a bundle does.")
    _check_operators(folder, graph)


def _check_operators(folder: Path, graph: _Graph) -> None:
    savers = _saver_functions(graph)
    bodies = {"": graph.body, **graph.functions}
    for name, body in bodies.items():
        allowed: Collection[str] = COMPUTE | _OF_SAVER if name in savers else COMPUTE
        bad = sorted(op for op in body.operators if op not in allowed and op not in bodies)
        if bad:
            where = f" in its function '{name}'" if name else ""
            raise BundleError(
                f"SavedModel '{folder}' has the operator {bad[0]}{where}: those of a bundle "
                "compute and do nothing else, such as reading or writing a file. It is not loaded."
            )


def _saver_functions(graph: _Graph) -> set[str]:
    """Return the functions that save and restore variables, if nothing else can call them."""
    saving = [called for name, called in graph.nodes if name in graph.saver_nodes]
    others = [called for name, called in graph.nodes if name not in graph.saver_nodes]
    within = [body.called | body.operators for body in graph.functions.values()]
    used = set().union(graph.body.operators, *others, *within)
    found = set().union(*saving) & set(graph.functions) - used
    return {
        name
        for name in found
        if not graph.functions[name].swapped
        and not any(name.encode() in objects for objects in graph.objects)
    }


def _read_graph(data: bytes) -> _Graph:
    graph = _Graph()
    metas = [part for number, *part in fields(data, 0, len(data)) if number == 2]
    if len(metas) != 1:
        raise ValueError(f"it has {len(metas)} graphs")
    for number, at, end in fields(data, *metas[0]):
        if number == 2:
            _read_graph_def(data, at, end, graph)
        elif number == 3:
            # filename_tensor_name, save_tensor_name, restore_op_name
            names = (data[a:e].decode() for _, a, e in fields(data, at, end))
            graph.saver_nodes |= {name.partition(":")[0] for name in names}
        elif number == 6:
            graph.assets += 1
        elif number == 7:
            graph.objects.append(data[at:end])
    if not any(graph.objects):
        # Without them TensorFlow loads it as its version 1 did, and calls what restores variables.
        raise ValueError("it has no objects")
    return graph


def _read_graph_def(data: bytes, at: int, end: int, graph: _Graph) -> None:
    for number, start, stop in fields(data, at, end):
        if number == 1:
            node = _Function()
            names = _read_node(data, start, stop, node)
            graph.body.operators |= node.operators
            graph.nodes += [(name, node.called) for name in names]
        elif number == 2:
            for kind, a, e in fields(data, start, stop):
                if kind == 1:
                    _read_function(data, a, e, graph)


def _read_function(data: bytes, at: int, end: int, graph: _Graph) -> None:
    function, names = _Function(), []
    for number, start, stop in fields(data, at, end):
        if number == 1:
            names += [data[a:e].decode() for kind, a, e in fields(data, start, stop) if kind == 1]
        elif number == 3:
            _read_node(data, start, stop, function)
        elif number == 5:
            # Grappler exchanges functions that implement the same.
            function.swapped |= b"api_implements" in data[start:stop]
    for name in names or [""]:
        known = graph.functions.setdefault(name, _Function())
        known.operators |= function.operators
        known.called |= function.called
        known.swapped |= function.swapped


def _read_node(data: bytes, at: int, end: int, function: _Function) -> list[str]:
    names = []
    for number, start, stop in fields(data, at, end):
        if number == 1:
            names.append(data[start:stop].decode())
        elif number == 2:
            function.operators.add(data[start:stop].decode())
        elif number == 5:
            function.called |= set(_called(data, start, stop, "entry"))
    return names


# Message -> number of the field -> message inside, on the ways from an attribute to functions.
_TO_FUNCTIONS = {
    "entry": {2: "value"},
    "value": {1: "list", 10: "function"},
    "list": {9: "function"},
    "function": {2: "entry"},
}


def _called(data: bytes, at: int, end: int, kind: str) -> Iterator[str]:
    waiting = [(kind, at, end)]
    while waiting:
        kind, at, end = waiting.pop()
        for number, start, stop in fields(data, at, end):
            if kind == "function" and number == 1:
                yield data[start:stop].decode()
            elif number in _TO_FUNCTIONS[kind]:
                waiting.append((_TO_FUNCTIONS[kind][number], start, stop))


# -- ONNX -----------------------------------------------------------------------------------------

# Message -> number of the field -> message inside, on the ways from a model to nodes and tensors.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
# ONNX Runtime's own operators are in the second one.
_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
# Of these the file is only a pointer: another file, or code, is what computes.
_POINTERS = frozenset({"EPContext", "PythonOp", "PythonOpGrad", "ATen", "Snpe"})
_NODE_TYPE, _NODE_DOMAIN, _FUNCTION_NAME, _FUNCTION_DOMAIN = 4, 7, 1, 10
# Message -> fields that are its names.
_TEXTS: Mapping[str, frozenset[int]] = {
    "node": frozenset({_NODE_TYPE, _NODE_DOMAIN}),
    "function": frozenset({_FUNCTION_NAME, _FUNCTION_DOMAIN}),
    "entry": frozenset({1, 2}),
}


def check_onnx(path: Path) -> None:
    """Refuse an ONNX file that takes weights from outside its folder, or runs what is no operator.

    Raises:
        BundleError: A location that leads out or is a link, an operator of a domain that no
            exporter of ours writes, or a file that is cut short.
    """
    if path.stat().st_size == 0:
        raise BundleError(f"'{path}' is empty.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            asked = read_onnx(data)
        except _PROTOBUF as error:
            raise BundleError(f"'{path}' is not an ONNX file: {error}.") from error
    for location in sorted(asked.locations):
        if safe_path(path.parent, location).is_symlink():
            raise BundleError(f"'{path}' keeps weights in '{location}', which is a link.")
    for domain, name in sorted(asked.operators - asked.functions):
        if domain not in _DOMAINS or name in _POINTERS:
            raise BundleError(
                f"'{path}' has the operator {domain or 'ai.onnx'}.{name}: those of a bundle are "
                "ONNX's own and those that ONNX Runtime makes of them. It is not loaded."
            )


@dataclass
class Asked:
    """What an ONNX file asks for.

    Args:
        locations: File names that tensors refer to.
        operators: Domain and name of all nodes.
        functions: Those that the file itself defines.
    """

    locations: set[str] = field(default_factory=set)
    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)


def read_onnx(data: Buffer) -> Asked:
    """Return what an ONNX model asks for.

    Args:
        data: The serialised model.

    Raises:
        ValueError: It is no protobuf message, or cut short.
    """
    asked = Asked()
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, start, end = waiting.pop()
        found: dict[int, str] = {}
        for number, at, stop in fields(data, start, end):
            if number in _INSIDE.get(kind, {}):
                waiting.append((_INSIDE[kind][number], at, stop))
            elif kind in _TEXTS and number in _TEXTS[kind]:
                found[number] = bytes(data[at:stop]).decode()
        if kind == "entry" and found.get(1) == "location":
            asked.locations.add(found.get(2, ""))
        elif kind == "node":
            asked.operators.add((found.get(_NODE_DOMAIN, ""), found.get(_NODE_TYPE, "")))
        elif kind == "function":
            asked.functions.add((found.get(_FUNCTION_DOMAIN, ""), found.get(_FUNCTION_NAME, "")))
    return asked


# -- LiteRT ---------------------------------------------------------------------------------------

_CUSTOM = 32
# Slots in the table of a model, and in that of an operator's code.
_CODES, _EXTERNAL_GROUPS, _EXTERNAL = 1, 8, 9
_OLD_CODE, _CUSTOM_NAME, _NEW_CODE = 0, 1, 3


def check_tflite(path: Path, content: bytes) -> None:
    """Refuse a LiteRT file with operators that are not LiteRT's own, or weights elsewhere.

    Args:
        path: What messages call it.
        content: Its bytes.

    Raises:
        BundleError: A custom operator, such as TensorFlow's (Flex), or no LiteRT file.
    """
    try:
        model = _Table(content, _number(content, 0, "<I"))
        names = [code.text(_CUSTOM_NAME) for code in model.tables(_CODES) if _is_custom(code)]
        elsewhere = any(model.tables(at) for at in (_EXTERNAL_GROUPS, _EXTERNAL))
    except (struct.error, ValueError, IndexError) as error:
        raise BundleError(f"'{path}' is not a LiteRT file: {error}.") from error
    if names:
        raise BundleError(
            f"'{path}' has the custom operator {names[0]!r}: those of a bundle are LiteRT's own. "
            "It is not loaded."
        )
    if elsewhere:
        raise BundleError(f"'{path}' keeps weights in other files: those of a bundle hold theirs.")


def _is_custom(code: _Table) -> bool:
    # Files of before there were more than 127 operators have the old field alone.
    return max(code.value(_OLD_CODE, "<b"), code.value(_NEW_CODE, "<i")) == _CUSTOM


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer."""

    content: bytes
    at: int

    def _position(self, slot: int) -> int | None:
        table = self.at - _number(self.content, self.at, "<i")
        size = _number(self.content, table, "<H")
        offset = _number(self.content, table + 4 + 2 * slot, "<H") if 4 + 2 * slot < size else 0
        return self.at + offset if offset else None

    def value(self, slot: int, kind: str) -> int:
        position = self._position(slot)
        return 0 if position is None else _number(self.content, position, kind)

    def text(self, slot: int) -> str:
        position = self._position(slot)
        if position is None:
            return ""
        start = position + _number(self.content, position, "<I")
        length = _number(self.content, start, "<I")
        return self.content[start + 4 : start + 4 + length].decode(errors="replace")

    def tables(self, slot: int) -> list[_Table]:
        position = self._position(slot)
        if position is None:
            return []
        start = position + _number(self.content, position, "<I")
        count = _number(self.content, start, "<I")
        if 4 * count > len(self.content):
            raise ValueError("a list is longer than the file")
        positions = range(start + 4, start + 4 + 4 * count, 4)
        return [_Table(self.content, at + _number(self.content, at, "<I")) for at in positions]


def _number(content: bytes, at: int, kind: str) -> int:
    if at < 0:
        raise ValueError("an offset lies before the file")
    (value,) = struct.unpack_from(kind, content, at)
    return int(value)


Buffer = bytes | mmap.mmap
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    r"""Yield number, start and end of each field of a message that holds bytes.

    Args:
        data: What the message lies in.
        at: Its first byte.
        end: The byte after its last.

    Raises:
        ValueError: It is no message, or cut short.

    Example:
        >>> list(fields(b"\x12\x02hi", 0, 4))
        [(2, 2, 4)]
    """
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise ValueError("a field is longer than the file")
            yield number, at, at + size
            at += size
        elif wire in {_FIXED32, _FIXED64}:
            at += 4 if wire == _FIXED32 else 8
            if at > end:
                raise ValueError("a number is cut short")
        else:
            raise ValueError(f"unknown wire type {wire}")


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is cut short")
