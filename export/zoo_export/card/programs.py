"""Programs that run a file without Kerazoo, in five languages: a template for each runtime."""

from __future__ import annotations

from zoo_export.card.program_file import ProgramFile, count, in_file, lines, quoted
from zoo_runtime.tensors import Tensor

# -- Python, with NumPy and one runtime ------------------------------------------------------------

PYTHON_TYPES = {
    name: name for name in ("float32", "int32", "int64", "bool", "uint8", "int8", "float16")
}

# What the names of the labels are read with.
_PYTHON_STANDARD = "import json\nfrom pathlib import Path\n\n"


def _python_program(file: ProgramFile, imports: str, run: str) -> str:
    names = ", ".join(quoted(tensor.name) for tensor in file.inputs)
    parts = [
        f"{_PYTHON_STANDARD if file.labels is not None else ''}import numpy as np\n{imports}",
        lines(file.about, "#"),
        'samples = np.load("assets/samples.npz")',
        f'inputs = {{name: samples[f"0/x/{{name}}"] for name in [{names}]}}\n',
        f"{run}\n",
        _python_answer(file),
    ]
    return "\n".join(parts)


def _python_answer(file: ProgramFile) -> str:
    if file.labels is None:
        return "for name, array in outputs.items():\n    print(name, array)"
    return (
        'labels = json.loads(Path("manifest.json").read_text("utf-8"))["labels"]\n'
        'print(labels[int(outputs["logits"][0].argmax())])'
    )


def _python_onnx(file: ProgramFile) -> str:
    outputs = ", ".join(quoted(tensor.name) for tensor in file.outputs)
    run = f"""session = onnxruntime.InferenceSession(
    {quoted(file.path)}, providers=["CPUExecutionProvider"]
)
names = [{outputs}]
outputs = dict(zip(names, session.run(names, inputs)))"""
    return _python_program(file, "import onnxruntime\n", run)


def _python_tflite(file: ProgramFile) -> str:
    imports = "from ai_edge_litert.interpreter import Interpreter\n"
    integers = "".join(_python_integers(file, tensor) for tensor in file.inputs)
    reals = "".join(_python_reals(file, tensor) for tensor in file.outputs)
    run = f"""interpreter = Interpreter({quoted(file.path)})
runner = interpreter.get_signature_runner({quoted(file.signature)})
{integers}outputs = runner(**inputs){reals}"""
    return _python_program(file, imports, run)


def _python_integers(file: ProgramFile, tensor: Tensor) -> str:
    affine, name = file.affines.get(tensor.name), quoted(tensor.name)
    if affine is None:
        return ""
    return f"""# The file holds {tensor.name} as integers: real = scale * (integer - zero_point).
scale, zero_point = {affine.scale}, {affine.zero_point}
steps = inputs[{name}] / np.float32(scale)
nearest = np.trunc(steps + np.copysign(0.5, steps)) + zero_point
inputs[{name}] = nearest.clip(-128, 127).astype(np.{affine.dtype})
"""


def _python_reals(file: ProgramFile, tensor: Tensor) -> str:
    affine, name = file.affines.get(tensor.name), quoted(tensor.name)
    if affine is None:
        return ""
    return f"""
scale, zero_point = {affine.scale}, {affine.zero_point}
outputs[{name}] = (outputs[{name}].astype(np.float32) - zero_point) * np.float32(scale)"""


def _python_saved_model(file: ProgramFile) -> str:
    run = f"""model = tf.saved_model.load({quoted(file.path)})
tensors = {{name: tf.constant(array) for name, array in inputs.items()}}
results = model.signatures["serving_default"](**tensors)
outputs = {{name: tensor.numpy() for name, tensor in results.items()}}"""
    return _python_program(file, "import tensorflow as tf\n", run)


PYTHON = {"tflite": _python_tflite, "onnx": _python_onnx, "saved_model": _python_saved_model}


# -- JavaScript, with ONNX Runtime in Node or in a browser -----------------------------------------

JAVASCRIPT_TYPES = {
    "float32": "Float32Array",
    "int32": "Int32Array",
    "int64": "BigInt64Array",
    "bool": "Uint8Array",
    "uint8": "Uint8Array",
    "int8": "Int8Array",
}


def _javascript_onnx(file: ProgramFile) -> str:
    tensors = "\n".join(f"    {_javascript_tensor(tensor)}," for tensor in file.inputs)
    zeros = "\n".join(
        f"  {quoted(t.name)}: new {JAVASCRIPT_TYPES[t.dtype]}({count(t)})," for t in file.inputs
    )
    return f"""// npm install onnxruntime-node; onnxruntime-web has the same functions in a browser
import {{ readFile }} from "node:fs/promises";
import ort from "onnxruntime-node";

{lines(file.about, "//")}
const session = await ort.InferenceSession.create({quoted(file.path)});

export function run(inputs) {{
  return session.run({{
{tensors}
  }});
}}

const outputs = await run({{
{zeros}
}});
{_javascript_answer(file)}"""


def _javascript_tensor(tensor: Tensor) -> str:
    shape = ", ".join(map(str, tensor.shape))
    data = f"inputs[{quoted(tensor.name)}]"
    return f'{quoted(tensor.name)}: new ort.Tensor("{tensor.dtype}", {data}, [{shape}])'


def _javascript_answer(file: ProgramFile) -> str:
    if file.labels is None:
        return "for (const [name, { dims, data }] of Object.entries(outputs)) {\n" + (
            "  console.log(name, dims, data);\n}"
        )
    return """const { labels } = JSON.parse(await readFile("manifest.json", "utf8"));
const logits = Array.from(outputs["logits"].data);
console.log(labels[logits.indexOf(Math.max(...logits))]);"""


JAVASCRIPT = {"onnx": _javascript_onnx}


# -- Kotlin on Android, with LiteRT or ONNX Runtime ------------------------------------------------

# The class of java.nio that holds such numbers.
KOTLIN_TYPES = {"float32": "FloatBuffer", "int32": "IntBuffer", "int64": "LongBuffer"}


def _kotlin_quoted(text: str) -> str:
    # In a Kotlin literal a dollar begins an expression.
    return quoted(text).replace("$", "\\$")


def _kotlin_tflite(file: ProgramFile) -> str:
    outputs = "\n".join(
        f"        {_kotlin_quoted(t.name)} to {KOTLIN_TYPES[t.dtype]}.allocate({count(t)}),"
        for t in file.outputs
    )
    return f"""// implementation("com.google.ai.edge.litert:litert:1.4.2")
import java.nio.*
import org.tensorflow.lite.Interpreter

{lines(file.about, "//")}
// model: the bytes of {file.path}, such as a file of the app's assets mapped into memory.
fun run(model: ByteBuffer, inputs: Map<String, Any>): Map<String, Any> {{
    val outputs = mapOf<String, Any>(
{outputs}
    )
    Interpreter(model).use {{ it.runSignature(inputs, outputs, {_kotlin_quoted(file.signature)}) }}
    return outputs
}}

{_kotlin_use(file, "model")}"""


def _kotlin_onnx(file: ProgramFile) -> str:
    tensors = "\n".join(
        f"        {_kotlin_quoted(t.name)} to OnnxTensor.createTensor(\n"
        f"            env, inputs[{_kotlin_quoted(t.name)}] as {KOTLIN_TYPES[t.dtype]}, "
        f"longArrayOf({', '.join(map(str, t.shape))})\n        ),"
        for t in file.inputs
    )
    outputs = "\n".join(
        f"        {_kotlin_quoted(t.name)} to (results[{_kotlin_quoted(t.name)}].get() as "
        f"OnnxTensor).{KOTLIN_TYPES[t.dtype][0].lower()}{KOTLIN_TYPES[t.dtype][1:]},"
        for t in file.outputs
    )
    return f"""// implementation("com.microsoft.onnxruntime:onnxruntime-android:1.23.0")
import ai.onnxruntime.*
import java.nio.*

{lines(file.about, "//")}
// model: the bytes of {file.path}, such as a file of the app's assets.
fun run(model: ByteArray, inputs: Map<String, Any>): Map<String, Any> {{
    val env = OrtEnvironment.getEnvironment()
    val session = env.createSession(model)
    val tensors = mapOf(
{tensors}
    )
    val results = session.run(tensors)
    return mapOf(
{outputs}
    )
}}

{_kotlin_use(file, "model")}"""


def _kotlin_use(file: ProgramFile, model: str) -> str:
    inputs = ", ".join(_kotlin_zeros(tensor) for tensor in file.inputs)
    call = f"val outputs = run({model}, mapOf({inputs}))"
    if file.few_labels is None:
        return call
    labels = ", ".join(map(_kotlin_quoted, file.few_labels))
    return f"""{call}
val labels = listOf({labels})
val logits = (outputs["logits"] as FloatBuffer).apply {{ rewind() }}
val best = labels.indices.maxBy {{ logits.get(it) }}
println(labels[best])"""


def _kotlin_zeros(tensor: Tensor) -> str:
    return (
        f"{_kotlin_quoted(tensor.name)} to {KOTLIN_TYPES[tensor.dtype]}.allocate({count(tensor)})"
    )


KOTLIN = {"tflite": _kotlin_tflite, "onnx": _kotlin_onnx}


# -- Swift on iOS and macOS, with LiteRT or ONNX Runtime -------------------------------------------

SWIFT_TYPES = {"float32": "Float", "int32": "Int32", "int64": "Int64"}


def _swift_tflite(file: ProgramFile) -> str:
    copies = "\n".join(
        f"try runner.copy(bytes({_swift_zeros(t)}), toInputNamed: {quoted(t.name)})"
        for t in file.inputs
    )
    first = file.outputs[0]
    return f"""// pod "TensorFlowLiteSwift"
import Foundation
import TensorFlowLite

{lines(file.about, "//")}
func bytes<T>(_ numbers: [T]) -> Data {{ numbers.withUnsafeBytes {{ Data($0) }} }}

let interpreter = try Interpreter(modelPath: {quoted(file.path)})
let runner = try interpreter.signatureRunner(with: {quoted(file.signature)})
try runner.allocateTensors()
{copies}
try runner.invoke()
let data = try runner.output(named: {quoted(first.name)}).data
{_swift_answer(file)}"""


def _swift_onnx(file: ProgramFile) -> str:
    values = "\n".join(
        f"    {quoted(t.name)}: try ORTValue(\n"
        f"        tensorData: NSMutableData(data: bytes({_swift_zeros(t)})),\n"
        f"        elementType: .{SWIFT_TYPES[t.dtype].lower()}, "
        f"shape: [{', '.join(map(str, t.shape))}]),"
        for t in file.inputs
    )
    first = file.outputs[0]
    names = ", ".join(quoted(tensor.name) for tensor in file.outputs)
    return f"""// package "onnxruntime-swift-package-manager", product "onnxruntime"
import Foundation
import OnnxRuntimeBindings

{lines(file.about, "//")}
func bytes<T>(_ numbers: [T]) -> Data {{ numbers.withUnsafeBytes {{ Data($0) }} }}

let env = try ORTEnv(loggingLevel: .warning)
let session = try ORTSession(env: env, modelPath: {quoted(file.path)}, sessionOptions: nil)
let inputs: [String: ORTValue] = [
{values}
]
let outputs = try session.run(withInputs: inputs, outputNames: [{names}], runOptions: nil)
let data = try outputs[{quoted(first.name)}]!.tensorData() as Data
{_swift_answer(file)}"""


def _swift_zeros(tensor: Tensor) -> str:
    return f"[{SWIFT_TYPES[tensor.dtype]}](repeating: 0, count: {count(tensor)})"


def _swift_answer(file: ProgramFile) -> str:
    kind = SWIFT_TYPES[file.outputs[0].dtype]
    values = f"let values = data.withUnsafeBytes {{ Array($0.bindMemory(to: {kind}.self)) }}"
    if file.few_labels is None:
        return f"{values}\nprint(values)"
    labels = ", ".join(map(quoted, file.few_labels))
    return f"""{values}
let labels = [{labels}]
print(labels[values.indices.max {{ values[$0] < values[$1] }}!])"""


SWIFT = {"tflite": _swift_tflite, "onnx": _swift_onnx}


# -- C++, with the C++ interface of ONNX Runtime or that of LiteRT ---------------------------------

CPP_TYPES = {
    "float32": "float",
    "int32": "std::int32_t",
    "int64": "std::int64_t",
    "uint8": "std::uint8_t",
    "int8": "std::int8_t",
}


def _cpp_onnx(file: ProgramFile) -> str:
    vectors = "\n".join(_cpp_vector(t, at) for at, t in enumerate(file.inputs))
    tensors = "\n".join(_cpp_tensor(t, at) for at, t in enumerate(file.inputs))
    first = file.outputs[0]
    return f"""// g++ -std=c++17 main.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <vector>

#include <onnxruntime_cxx_api.h>

{lines(file.about, "//")}
int main() {{
  Ort::Env env;
  Ort::Session session(env, ORT_TSTR({quoted(file.path)}), Ort::SessionOptions());
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

{vectors}
  std::vector<Ort::Value> inputs;
{tensors}

  const char* input_names[] = {{{_cpp_names(file.inputs)}}};
  const char* output_names[] = {{{_cpp_names(file.outputs)}}};
  auto outputs = session.Run(Ort::RunOptions(), input_names, inputs.data(), inputs.size(),
                             output_names, {len(file.outputs)});
  const auto size = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();
  const auto* values = outputs[0].GetTensorData<{CPP_TYPES[first.dtype]}>();
{_cpp_answer(file)}
}}"""


def _cpp_tflite(file: ProgramFile) -> str:
    fills = "\n".join(_cpp_fill(file, tensor) for tensor in file.inputs)
    first = in_file(file.outputs[0], file.affines)
    return f"""#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>

#include "tflite/interpreter_builder.h"
#include "tflite/kernels/register.h"
#include "tflite/model_builder.h"
#include "tflite/signature_runner.h"

{lines(file.about, "//")}
int main() {{
  auto model = tflite::FlatBufferModel::BuildFromFile({quoted(file.path)});
  tflite::ops::builtin::BuiltinOpResolver resolver;
  std::unique_ptr<tflite::Interpreter> interpreter;
  tflite::InterpreterBuilder(*model, resolver)(&interpreter);
  auto* runner = interpreter->GetSignatureRunner({quoted(file.signature)});
  runner->AllocateTensors();
{fills}
  runner->Invoke();
  const auto* output = runner->output_tensor({quoted(first.name)});
  const auto* values = reinterpret_cast<const {CPP_TYPES[first.dtype]}*>(output->data.raw);
  const auto size = output->bytes / sizeof(*values);
{_cpp_answer(file)}
}}"""


def _cpp_vector(tensor: Tensor, at: int) -> str:
    shape = ", ".join(map(str, tensor.shape))
    return (
        f"  std::vector<{CPP_TYPES[tensor.dtype]}> data{at}({count(tensor)});  // {tensor.name}\n"
        f"  const std::vector<std::int64_t> shape{at}{{{shape}}};"
    )


def _cpp_tensor(tensor: Tensor, at: int) -> str:
    return (
        f"  inputs.push_back(Ort::Value::CreateTensor<{CPP_TYPES[tensor.dtype]}>(\n"
        f"      memory, data{at}.data(), data{at}.size(), shape{at}.data(), shape{at}.size()));"
    )


def _cpp_fill(file: ProgramFile, tensor: Tensor) -> str:
    kind = CPP_TYPES[in_file(tensor, file.affines).dtype]
    affine = file.affines.get(tensor.name)
    zero, comment = 0, ""
    if affine is not None:
        zero = affine.zero_point
        comment = (
            f"  // The file holds {tensor.name} as integers: a real number is\n"
            f"  // std::clamp(std::lround(real / {affine.scale}) + {zero}, -128L, 127L).\n"
        )
    return (
        f"{comment}  std::fill_n(reinterpret_cast<{kind}*>(\n"
        f"      runner->input_tensor({quoted(tensor.name)})->data.raw), {count(tensor)}, {zero});"
    )


def _cpp_names(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(quoted(tensor.name) for tensor in tensors)


def _cpp_answer(file: ProgramFile) -> str:
    if file.few_labels is None:
        affine = file.affines.get(file.outputs[0].name)
        # With a plus, numbers of 8 bits are not shown as characters.
        real = "+x" if affine is None else f"(x - ({affine.zero_point})) * {affine.scale}"
        each = f"[](auto x) {{ std::cout << {real} << '\\n'; }}"
        return f"  std::for_each(values, values + size, {each});"
    labels = ", ".join(map(quoted, file.few_labels))
    return (
        f"  const char* labels[] = {{{labels}}};\n"
        "  std::cout << labels[std::max_element(values, values + size) - values] << '\\n';"
    )


CPP = {"onnx": _cpp_onnx, "tflite": _cpp_tflite}
