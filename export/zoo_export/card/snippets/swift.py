"""Swift on iOS and macOS, with LiteRT or ONNX Runtime."""

from __future__ import annotations

from zoo_export.card.snippets.subject import Subject, count, lines, quoted
from zoo_runtime.tensors import Tensor

TYPES = {"float32": "Float", "int32": "Int32", "int64": "Int64"}


def _tflite(subject: Subject) -> str:
    copies = "\n".join(
        f"try runner.copy(bytes({_zeros(t)}), toInputNamed: {quoted(t.name)})"
        for t in subject.inputs
    )
    first = subject.outputs[0]
    return f"""// pod "TensorFlowLiteSwift"
import Foundation
import TensorFlowLite

{lines(subject.about, "//")}
func bytes<T>(_ numbers: [T]) -> Data {{ numbers.withUnsafeBytes {{ Data($0) }} }}

let interpreter = try Interpreter(modelPath: {quoted(subject.path)})
let runner = try interpreter.signatureRunner(with: {quoted(subject.signature)})
try runner.allocateTensors()
{copies}
try runner.invoke()
let data = try runner.output(named: {quoted(first.name)}).data
{_answer(subject)}"""


def _onnx(subject: Subject) -> str:
    values = "\n".join(
        f"    {quoted(t.name)}: try ORTValue(\n"
        f"        tensorData: NSMutableData(data: bytes({_zeros(t)})),\n"
        f"        elementType: .{TYPES[t.dtype].lower()}, shape: [{', '.join(map(str, t.shape))}]),"
        for t in subject.inputs
    )
    first = subject.outputs[0]
    names = ", ".join(quoted(tensor.name) for tensor in subject.outputs)
    return f"""// package "onnxruntime-swift-package-manager", product "onnxruntime"
import Foundation
import OnnxRuntimeBindings

{lines(subject.about, "//")}
func bytes<T>(_ numbers: [T]) -> Data {{ numbers.withUnsafeBytes {{ Data($0) }} }}

let env = try ORTEnv(loggingLevel: .warning)
let session = try ORTSession(env: env, modelPath: {quoted(subject.path)}, sessionOptions: nil)
let inputs: [String: ORTValue] = [
{values}
]
let outputs = try session.run(withInputs: inputs, outputNames: [{names}], runOptions: nil)
let data = try outputs[{quoted(first.name)}]!.tensorData() as Data
{_answer(subject)}"""


def _zeros(tensor: Tensor) -> str:
    return f"[{TYPES[tensor.dtype]}](repeating: 0, count: {count(tensor)})"


def _answer(subject: Subject) -> str:
    kind = TYPES[subject.outputs[0].dtype]
    values = f"let values = data.withUnsafeBytes {{ Array($0.bindMemory(to: {kind}.self)) }}"
    if subject.few_labels is None:
        return f"{values}\nprint(values)"
    labels = ", ".join(map(quoted, subject.few_labels))
    return f"""{values}
let labels = [{labels}]
print(labels[values.indices.max {{ values[$0] < values[$1] }}!])"""


WRITERS = {"tflite": _tflite, "onnx": _onnx}
