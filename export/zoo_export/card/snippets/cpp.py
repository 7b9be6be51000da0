"""C++, with the C++ interface of ONNX Runtime or that of LiteRT."""

from __future__ import annotations

from zoo_export.card.snippets.subject import Subject, count, in_file, lines, quoted
from zoo_runtime.tensors import Tensor

TYPES = {
    "float32": "float",
    "int32": "std::int32_t",
    "int64": "std::int64_t",
    "uint8": "std::uint8_t",
    "int8": "std::int8_t",
}


def _onnx(subject: Subject) -> str:
    vectors = "\n".join(_vector(t, at) for at, t in enumerate(subject.inputs))
    tensors = "\n".join(_tensor(t, at) for at, t in enumerate(subject.inputs))
    first = subject.outputs[0]
    return f"""// g++ -std=c++17 main.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <vector>

#include <onnxruntime_cxx_api.h>

{lines(subject.about, "//")}
int main() {{
  Ort::Env env;
  Ort::Session session(env, ORT_TSTR({quoted(subject.path)}), Ort::SessionOptions());
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

{vectors}
  std::vector<Ort::Value> inputs;
{tensors}

  const char* input_names[] = {{{_names(subject.inputs)}}};
  const char* output_names[] = {{{_names(subject.outputs)}}};
  auto outputs = session.Run(Ort::RunOptions(), input_names, inputs.data(), inputs.size(),
                             output_names, {len(subject.outputs)});
  const auto size = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();
  const auto* values = outputs[0].GetTensorData<{TYPES[first.dtype]}>();
{_answer(subject)}
}}"""


def _tflite(subject: Subject) -> str:
    fills = "\n".join(_fill(subject, tensor) for tensor in subject.inputs)
    first = in_file(subject.outputs[0], subject.affines)
    return f"""#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>

#include "tflite/interpreter_builder.h"
#include "tflite/kernels/register.h"
#include "tflite/model_builder.h"
#include "tflite/signature_runner.h"

{lines(subject.about, "//")}
int main() {{
  auto model = tflite::FlatBufferModel::BuildFromFile({quoted(subject.path)});
  tflite::ops::builtin::BuiltinOpResolver resolver;
  std::unique_ptr<tflite::Interpreter> interpreter;
  tflite::InterpreterBuilder(*model, resolver)(&interpreter);
  auto* runner = interpreter->GetSignatureRunner({quoted(subject.signature)});
  runner->AllocateTensors();
{fills}
  runner->Invoke();
  const auto* output = runner->output_tensor({quoted(first.name)});
  const auto* values = reinterpret_cast<const {TYPES[first.dtype]}*>(output->data.raw);
  const auto size = output->bytes / sizeof(*values);
{_answer(subject)}
}}"""


def _vector(tensor: Tensor, at: int) -> str:
    shape = ", ".join(map(str, tensor.shape))
    return (
        f"  std::vector<{TYPES[tensor.dtype]}> data{at}({count(tensor)});  // {tensor.name}\n"
        f"  const std::vector<std::int64_t> shape{at}{{{shape}}};"
    )


def _tensor(tensor: Tensor, at: int) -> str:
    return (
        f"  inputs.push_back(Ort::Value::CreateTensor<{TYPES[tensor.dtype]}>(\n"
        f"      memory, data{at}.data(), data{at}.size(), shape{at}.data(), shape{at}.size()));"
    )


def _fill(subject: Subject, tensor: Tensor) -> str:
    kind = TYPES[in_file(tensor, subject.affines).dtype]
    affine = subject.affines.get(tensor.name)
    zero, told = 0, ""
    if affine is not None:
        zero = affine.zero_point
        told = (
            f"  // The file holds {tensor.name} as integers: a real number is\n"
            f"  // std::clamp(std::lround(real / {affine.scale}) + {zero}, -128L, 127L).\n"
        )
    return (
        f"{told}  std::fill_n(reinterpret_cast<{kind}*>(\n"
        f"      runner->input_tensor({quoted(tensor.name)})->data.raw), {count(tensor)}, {zero});"
    )


def _names(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(quoted(tensor.name) for tensor in tensors)


def _answer(subject: Subject) -> str:
    if subject.few_labels is None:
        affine = subject.affines.get(subject.outputs[0].name)
        # With a plus, numbers of 8 bits are not shown as characters.
        real = "+x" if affine is None else f"(x - ({affine.zero_point})) * {affine.scale}"
        each = f"[](auto x) {{ std::cout << {real} << '\\n'; }}"
        return f"  std::for_each(values, values + size, {each});"
    labels = ", ".join(map(quoted, subject.few_labels))
    return (
        f"  const char* labels[] = {{{labels}}};\n"
        "  std::cout << labels[std::max_element(values, values + size) - values] << '\\n';"
    )


WRITERS = {"onnx": _onnx, "tflite": _tflite}
