"""What a firmware compiles: the model as a C array, its description, its operators, a README."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Any

import numpy as np

from zoo_runtime.manifest import Artifact, Manifest
from zoo_runtime.tensors import Tensor

_BYTES_PER_LINE = 16
_C_TYPES = {"int8": "std::int8_t", "int32": "std::int32_t", "float32": "float", "bool": "bool"}
# Where MicroMutableOpResolver spells a method otherwise than the operator's words.
_SPELLINGS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


@dataclass(frozen=True)
class Model:
    """What the sources describe.

    Args:
        manifest: The bundle's manifest.
        artifact: The file that takes and gives integers.
        inputs: Names of the inputs in the order of the file.
        outputs: The same of the outputs.
        facts: What running it showed.
    """

    manifest: Manifest
    artifact: Artifact
    inputs: Sequence[str]
    outputs: Sequence[str]
    facts: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """The C++ namespace of all that is declared."""
        return "model_" + re.sub(r"\W", "_", self.manifest.name)


def render(model: Model, content: bytes) -> dict[str, str]:
    """Return the text of every file by its name.

    Args:
        model: What they describe.
        content: The flatbuffer.
    """
    return {
        "model.cc": _source(model, content),
        "model.h": _header(model),
        "operators.h": _operators(model),
        "README.md": _readme(model),
    }


def method(operator: str) -> str:
    """Return the method of ``MicroMutableOpResolver`` that adds an operator.

    Example:
        >>> method("CONV_2D"), method("BATCH_MATMUL"), method("SPACE_TO_BATCH_ND")
        ('AddConv2D', 'AddBatchMatMul', 'AddSpaceToBatchNd')
    """
    words = [word if word[0].isdigit() else word.capitalize() for word in operator.split("_")]
    return "Add" + _SPELLINGS.get(operator, "".join(words))


def _source(model: Model, content: bytes) -> str:
    lines = (
        "    " + " ".join(f"0x{byte:02x}," for byte in content[start : start + _BYTES_PER_LINE])
        for start in range(0, len(content), _BYTES_PER_LINE)
    )
    return f"""#include "model.h"

namespace {model.namespace} {{

alignas(16) const unsigned char kModel[kModelSize] = {{
{chr(10).join(lines)}
}};

}}  // namespace {model.namespace}
"""


def _header(model: Model) -> str:
    guard = f"{model.namespace.upper()}_H_"
    tensors = [
        *_tensors("input", model.inputs, model.artifact.inputs, model),
        *_tensors("output", model.outputs, model.artifact.outputs, model),
    ]
    return f"""// {model.manifest.name} for TensorFlow Lite Micro; this header needs nothing of it.
#ifndef {guard}
#define {guard}

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace {model.namespace} {{

// The flatbuffer: {model.artifact.bytes:,} bytes of flash.
constexpr std::size_t kModelSize = {model.artifact.bytes};
extern const unsigned char kModel[kModelSize];

// The smallest tensor arena that {model.facts["interpreter"]} took, on a 64-bit machine with the
// reference kernels. Pointers of 32 bits need less; kernels of a vendor may need more.
constexpr std::size_t kArenaSize = {model.facts["arena_bytes"]};

{chr(10).join(tensors)}{_labels(model.manifest)}}}  // namespace {model.namespace}

#endif  // {guard}
"""


def _tensors(
    kind: str, names: Sequence[str], tensors: Sequence[Tensor], model: Model
) -> Iterator[str]:
    by_name = {tensor.name: tensor for tensor in tensors}
    quantization = model.artifact.facts["quantization"]
    for index, name in enumerate(names):
        yield _tensor(kind, index, by_name[name], quantization.get(name))


def _tensor(kind: str, index: int, tensor: Tensor, affine: Mapping[str, Any] | None) -> str:
    sizes = [int(size) for size in tensor.shape]
    type_name = _C_TYPES["int8" if affine else tensor.dtype]
    shape = ", ".join(map(str, sizes))
    lines = [
        f"using Type = {type_name};",
        f"constexpr int kIndex = {index};",
        f"constexpr int kShape[] = {{{shape}}};",
        f"constexpr std::size_t kSize = {math.prod(sizes)};",
    ]
    if affine:
        lines += [
            f"constexpr float kScale = {_float(affine['scale'])};",
            f"constexpr int kZeroPoint = {affine['zero_point']};",
            "",
            *(_QUANTIZE if kind == "input" else _DEQUANTIZE).splitlines(),
        ]
    body = "\n".join(lines)
    return f"""namespace {kind}_{tensor.name} {{
{body}
}}  // namespace {kind}_{tensor.name}
"""


_QUANTIZE = """inline std::int8_t Quantize(float real) {
  const float steps = std::round(real / kScale) + kZeroPoint;
  return static_cast<std::int8_t>(steps < -128.0f ? -128.0f : steps > 127.0f ? 127.0f : steps);
}"""
_DEQUANTIZE = """inline float Dequantize(std::int8_t steps) {
  return kScale * (steps - kZeroPoint);
}"""


def _float(value: float) -> str:
    """Return the shortest literal that is read back as the same float32."""
    return np.format_float_positional(np.float32(value), unique=True, trim="0") + "f"


def _labels(manifest: Manifest) -> str:
    if manifest.labels is None:
        return ""
    rows = "\n".join(f"    {_c_string(label)}," for label in manifest.labels)
    return f"""
constexpr int kNumLabels = {len(manifest.labels)};
constexpr const char* kLabels[kNumLabels] = {{
{rows}
}};

"""


def _c_string(text: str) -> str:
    # Octal, which ends after three digits: a hexadecimal escape would swallow what follows it.
    encoded = "".join(
        chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode()
    )
    return f'"{encoded}"'


def _operators(model: Model) -> str:
    guard = f"{model.namespace.upper()}_OPERATORS_H_"
    operators = model.facts["operators"]
    calls = "\n".join(
        f"  if (resolver.{method(name)}() != kTfLiteOk) return kTfLiteError;" for name in operators
    )
    return f"""// The operators of {model.manifest.name}, and no others, for TensorFlow Lite Micro.
#ifndef {guard}
#define {guard}

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

// Older versions have their classes in tflite, newer ones in tflite::micro.
namespace tflite {{
namespace micro {{}}
}}  // namespace tflite

namespace {model.namespace} {{

namespace tflm {{
using namespace ::tflite;
using namespace ::tflite::micro;
}}  // namespace tflm

using Resolver = tflm::MicroMutableOpResolver<{len(operators)}>;

inline TfLiteStatus AddOperators(Resolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

}}  // namespace {model.namespace}

#endif  // {guard}
"""


def _readme(model: Model) -> str:
    facts = model.facts
    steps = [json.dumps(step, ensure_ascii=False) for step in model.manifest.preprocessing]
    prepared = (
        "Inputs are prepared as in training:\n\n" + "\n".join(f"- `{step}`" for step in steps)
        if steps
        else "Inputs are those of the Keras model."
    )
    apart = facts["one_step_apart"]
    exception = (
        f"""
  One step apart, all in `FULLY_CONNECTED`: {apart:,} of them. There LiteRT rounds once and
  TensorFlow Lite Micro, as everywhere, twice."""
        if apart
        else ""
    )
    return f"""# {model.manifest.name} on a microcontroller

- Flash: {facts["flash_bytes"]:,} bytes of model. Not counted: the interpreter, the kernels of the
  operators and your own program.
- Operators: `{"`, `".join(facts["operators"])}`.
- Tensor arena: {facts["arena_bytes"]:,} bytes, the least that {facts["interpreter"]} took on a
  64-bit machine with the reference kernels. Pointers of 32 bits need less; kernels of a vendor,
  such as CMSIS-NN, may need more: `AllocateTensors` says so.
- Compared with LiteRT's reference kernels, operator by operator: every one that got the same bits
  gave the same bits, in {facts["compared_values"]:,} values.{exception}

{prepared}

Compile `model.cc` with your program and TensorFlow Lite Micro:

```cpp
{_program(model).strip()}
```
"""


def _program(model: Model) -> str:
    quantized = model.artifact.facts["quantization"]
    types = {tensor.name: f"model::input_{tensor.name}::Type" for tensor in model.artifact.inputs}
    types |= dict.fromkeys(quantized, "float")
    parameters = [f"const {types[name]}* given_{name}" for name in model.inputs]
    parameters += [f"model::output_{name}::Type* taken_{name}" for name in model.outputs]
    steps = [_fill(name, name in quantized) for name in model.inputs]
    steps += ["if (interpreter.Invoke() != kTfLiteOk) return false;", *map(_take, model.outputs)]
    return f"""
#include <algorithm>

#include "model.h"
#include "operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace model = {model.namespace};

alignas(16) static std::uint8_t arena[model::kArenaSize];

bool Run({", ".join(parameters)}) {{
  static model::Resolver resolver;
  static const TfLiteStatus added = model::AddOperators(resolver);
  static model::tflm::MicroInterpreter interpreter(
      tflite::GetModel(model::kModel), resolver, arena, sizeof(arena));
  static const TfLiteStatus allocated = interpreter.AllocateTensors();
  if (added != kTfLiteOk || allocated != kTfLiteOk) return false;
{indent(chr(10).join(steps), "  ")}
  return true;
}}
"""


def _fill(name: str, quantized: bool) -> str:
    value = f"given_{name}[i]"
    return f"""{{
  namespace input = model::input_{name};
  auto* values = interpreter.typed_input_tensor<input::Type>(input::kIndex);
  for (std::size_t i = 0; i < input::kSize; ++i) {{
    values[i] = {f"input::Quantize({value})" if quantized else value};
  }}
}}"""


def _take(name: str) -> str:
    return f"""{{
  namespace output = model::output_{name};
  const auto* values = interpreter.typed_output_tensor<output::Type>(output::kIndex);
  std::copy(values, values + output::kSize, taken_{name});
}}"""
